"""ZCA whitening, the paper's eighth method: of whole images, exactly, and of their neighbourhoods.

Whole images: a covariance matrix of 256 x 256 x 3 pixels takes 155 GB, but of n images it has
rank below n, so that all of it lies in the space of the n images. With n far below the number of
pixels this makes all fitted images equally far from each other, and of any other image little
but its difference from the fitted ones: it is there for comparison with the paper. Whitening
each pixel against its neighbourhood (`ConvZCA`) is the form that can be used.

Source of both: Bell & Sejnowski 1997, Vision Res 37:3327 (zero-phase whitening, C^-1/2 x); of
neighbourhoods: Coates, Ng & Lee 2011, AISTATS.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import torch
from torch.nn import functional

from marrow.errors import CannotSplit
from training.affine import to_uint8
from training.precision import exact_float32

FIT_IMAGES = 256
"""The most images that a caller should fit whole images on. At 256 x 256 each takes 0.79 MB of
axes in float32: 201 MB for 256, 90 MB for the paper's 115; fitting takes twice that for a while."""
EPS = 1e-6
"""Added to the variances, of pixels scaled to [0, 1]."""
SHOWN_PERCENT = (0.1, 99.9)
"""Percentiles of the whitened fit set that become black and white."""
_LEAST_VARIANCE = 1e-10
"""Smaller ones come from rounding: one grey level in one pixel of 256 images makes 6e-8."""
_CHUNK = 16_384
"""Pixels that are computed in float64 at once."""
_QUANTILE_VALUES = 4_000_000
"""Whitened values that the percentiles are taken of; 4,000 of them lie beyond each."""

PATCH_PX = 5
PATCHES = 200_000
EPS_SHARE = 0.01
"""Of the patches' mean variance; without it the noise of the finest patterns is all one sees."""


def require_training_only(fit_patients: Iterable[str], test_patients: Iterable[str]) -> None:
    """Refuse a fit set that meets test patients: what is fitted on them is not tested by them.

    Raises
    ------
    CannotSplit
        If a patient is in both.
    """
    if shared := set(fit_patients) & set(test_patients):
        raise CannotSplit(
            f"whitening would be fitted on {len(shared)} test patients; "
            "fit it on smears of training patients alone"
        )


@dataclass(frozen=True)
class Whitening:
    """Exact ZCA of whole images in the space of the fit set.

    With X (n, D) the fit set less its mean, G = X X' / n = U diag(g) U' and
    V = X' U diag(1 / sqrt(n g)), an image x becomes, with a = (x - mean) V,

        z = V [a / sqrt(g + eps)] + eps^-1/2 [(x - mean) - V a],

    which for the fitted images is (G + eps I)^-1/2 X, and for all is (X' X / n + eps I)^-1/2 x.

    Attributes
    ----------
    mean : (D,)
        Of pixels scaled to [0, 1].
    axes : (rank, D)
        V, transposed: rows of length 1, each orthogonal to the others.
    variances : float64 (rank,)
        g, ascending.
    shape : (3, H, W)
    eps : float
    low, high : float
        `SHOWN_PERCENT` of the whitened fit set.
    key : str
        SHA-256, in hex, over the fit set's shape, bytes and eps; part of a cache's key.
    """

    method: ClassVar[str] = "zca"
    mean: torch.Tensor = field(repr=False)
    axes: torch.Tensor = field(repr=False)
    variances: torch.Tensor = field(repr=False)
    shape: tuple[int, int, int]
    eps: float
    low: float
    high: float
    key: str

    @classmethod
    def fit(
        cls, images: torch.Tensor, eps: float = EPS, dtype: torch.dtype = torch.float32
    ) -> Whitening:
        """Fit on images of training patients; call `require_training_only` before.

        Parameters
        ----------
        images : uint8, (n, 3, H, W)
            At most `FIT_IMAGES`, or mind the memory. They are read in chunks of pixels; the
            Gram matrix is summed in float64.
        eps : float
            Above 0.
        dtype : torch.float32 or torch.float64
            Of the stored mean and axes, and of what `apply` computes in.

        Raises
        ------
        CannotSplit
            If there are no two different images.
        """
        count = len(images)
        flat = images.reshape(count, -1)
        mean = torch.empty(flat.shape[1], dtype=torch.float64, device=flat.device)
        gram = torch.zeros(count, count, dtype=torch.float64, device=flat.device)
        for part, pixels in _chunks(flat):
            mean[part] = pixels.mean(0)
            centred = pixels - mean[part]
            gram += centred @ centred.T / count
        variances, vectors = torch.linalg.eigh(gram)
        # Centring takes one direction away, each repeated image another: only rounding is left.
        rounding = variances.max().item() * count * torch.finfo(torch.float64).eps
        kept = variances > max(rounding, _LEAST_VARIANCE)
        if count < 2 or not kept.any():
            raise CannotSplit(
                f"whitening got {count} training images, no two of them different; label more"
            )
        variances, vectors = variances[kept], vectors[:, kept]
        axes = torch.empty(len(variances), flat.shape[1], dtype=dtype, device=flat.device)
        to_axes = (vectors / (count * variances).sqrt()).T
        for part, pixels in _chunks(flat):
            axes[:, part] = (to_axes @ (pixels - mean[part])).to(dtype)
        shares = vectors * (count * variances / (variances + eps)).sqrt()  # (n, rank)
        # An odd step takes its pixels from all columns of the images in turn.
        step = (count * flat.shape[1] // _QUANTILE_VALUES) | 1
        low, high = _percentiles(shares.to(dtype) @ axes[:, ::step])
        channels, height, width = images.shape[1:]
        shape = (int(channels), int(height), int(width))
        key = _key(flat, cls.method, shape, eps)
        return cls(mean.to(dtype), axes, variances, shape, eps, low, high, key)

    def whiten(self, image: torch.Tensor) -> torch.Tensor:
        """One image, (D,) pixels scaled to [0, 1], after whitening; the same dtype."""
        centred = image - self.mean
        own = self.axes @ centred  # rank
        scale = (self.variances + self.eps).rsqrt().to(own.dtype)
        inside, scaled = torch.stack([own, own * scale]) @ self.axes  # D each, one pass over V
        white: torch.Tensor = scaled + (centred - inside) / self.eps**0.5
        return white

    def apply(self, pixels: torch.Tensor) -> torch.Tensor:
        """Images uint8 (B, 3, H, W) as whitened grey levels, uint8 of the same shape.

        One after the other: a product of matrices has other last bits for another batch. About
        40 ms an image of 256 x 256 with 256 fitted ones, bound by the memory.

        Raises
        ------
        ValueError
            If the images are of another size than the fitted ones.
        """
        if tuple(pixels.shape[1:]) != self.shape:
            raise ValueError(f"got images {tuple(pixels.shape[1:])}, fitted on {self.shape}")
        made = torch.empty_like(pixels)
        for row, image in enumerate(pixels):
            scaled = image.flatten().to(self.mean) / 255
            white = self.whiten(scaled).view(self.shape)
            made[row] = _as_levels(white, self.low, self.high)
        return made


@dataclass(frozen=True)
class ConvZCA:
    """ZCA of each pixel against its neighbourhood of `PATCH_PX` x `PATCH_PX` x 3.

    Attributes
    ----------
    kernel : float32 (3, 3, k, k)
        The centre pixel's rows of the patches' whitening matrix, as a convolution.
    bias : float32 (3,)
        So that the mean patch becomes 0.
    low, high, key
        As in `Whitening`.
    """

    method: ClassVar[str] = "convzca"
    kernel: torch.Tensor = field(repr=False)
    bias: torch.Tensor = field(repr=False)
    low: float
    high: float
    key: str

    @classmethod
    def fit(cls, images: torch.Tensor, seed: int = 0, eps_share: float = EPS_SHARE) -> ConvZCA:
        """Fit on patches at random places of training images; `require_training_only` before.

        Parameters
        ----------
        images : uint8, (n, 3, H, W)
            Edges of at least `PATCH_PX`. `PATCHES` patches are drawn, with repetition; they
            take 240 MB for a while.
        seed : int
            Of the places.
        eps_share : float
            Added to each variance, as a share of their mean.
        """
        patches = _patches(images, seed)
        mean, matrix = patch_whitening(patches, eps_share)
        area = PATCH_PX**2
        centre = matrix[[colour * area + area // 2 for colour in range(3)]]  # 3, 75
        low, high = _percentiles((patches - mean) @ centre.T)
        kernel = centre.view(3, 3, PATCH_PX, PATCH_PX).float()
        key = _key(images.flatten(1), cls.method, tuple(images.shape[1:]), seed, eps_share)
        return cls(kernel, -(centre @ mean).float(), low, high, key)

    def apply(self, pixels: torch.Tensor) -> torch.Tensor:
        """Images uint8 (B, 3, H, W) as whitened grey levels, uint8 of the same shape.

        Beyond its edge an image is mirrored. One after the other, as in `Whitening.apply`.
        """
        made = torch.empty_like(pixels)
        for row, image in enumerate(pixels):
            scaled = image[None].to(self.kernel) / 255
            margin = [PATCH_PX // 2] * 4
            padded = functional.pad(scaled, margin, mode="reflect")
            with exact_float32(self.kernel.device):
                white = functional.conv2d(padded, self.kernel, self.bias)
            made[row] = _as_levels(white[0], self.low, self.high)
        return made


def patch_whitening(patches: torch.Tensor, eps_share: float) -> tuple[torch.Tensor, torch.Tensor]:
    """(mean, matrix) with which (patch - mean) @ matrix has covariance near the identity.

    Parameters
    ----------
    patches : float64, (m, d)
        More than d of them.
    eps_share : float
        Above 0; as a share of the mean variance, added to each.

    Returns
    -------
    float64 (d,) and symmetric float64 (d, d): E diag(1 / sqrt(l + eps)) E'.
    """
    mean = patches.mean(0)
    centred = patches - mean
    variances, vectors = torch.linalg.eigh(centred.T @ centred / len(patches))
    eps = eps_share * variances.mean()
    return mean, (vectors * (variances.clamp(min=0) + eps).rsqrt()) @ vectors.T


def _patches(images: torch.Tensor, seed: int) -> torch.Tensor:
    """`PATCHES` patches, colour by colour and row by row, float64 (m, 75) in [0, 1]."""
    generator = torch.Generator().manual_seed(seed)
    windows = images.unfold(2, PATCH_PX, 1).unfold(3, PATCH_PX, 1)  # n, 3, h, w, k, k
    count, _, height, width = windows.shape[:4]
    number, row, column = (
        torch.randint(size, (PATCHES,), generator=generator) for size in (count, height, width)
    )
    return windows[number, :, row, column].flatten(1).double() / 255


def _chunks(flat: torch.Tensor) -> Iterator[tuple[slice, torch.Tensor]]:
    """Columns of uint8 (n, D) after one another, float64 in [0, 1]."""
    for start in range(0, flat.shape[1], _CHUNK):
        part = slice(start, start + _CHUNK)
        yield part, flat[:, part].double() / 255


def _percentiles(values: torch.Tensor) -> tuple[float, float]:
    low, high = np.percentile(values.cpu().numpy(), SHOWN_PERCENT)
    return float(low), float(high)


def _as_levels(white: torch.Tensor, low: float, high: float) -> torch.Tensor:
    return to_uint8((white - low) * (255 / (high - low)))


def _key(flat: torch.Tensor, *facts: object) -> str:
    digest = hashlib.sha256(repr(facts).encode())
    for image in flat:
        digest.update(image.cpu().numpy().tobytes())
    return digest.hexdigest()
