"""Sheets of smooth noise and of granules, from which every cell takes a random piece."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Plane = NDArray[np.float32]

_SHEET_SEED = 844978
_SHEET_UM = 64.0
"""Side of a sheet: more than the largest cell (40 um) with its margin."""


@dataclass(frozen=True)
class Sheets:
    """Square periodic textures at one pixel size, float32.

    Attributes
    ----------
    fine, coarse, clump, cloud : ndarray, (N, N)
        Gaussian noise, mean 0 and standard deviation 1, correlated over about 0.3, 0.55,
        0.85 and 2.5 um: the scales of fine chromatin, coarse chromatin, clumps and cytoplasm.
    azurophil, specific : ndarray, (N, N)
        Granules, 0 to about 1: of 0.55 um, about 0.5 per um2, and of 0.35 um, 1.5 per um2.
    """

    fine: Plane
    coarse: Plane
    clump: Plane
    cloud: Plane
    azurophil: Plane
    specific: Plane

    def piece(self, name: str, shape: tuple[int, int], rng: np.random.Generator) -> Plane:
        """A randomly placed, randomly mirrored (h, w) piece of the sheet of that name."""
        sheet: Plane = getattr(self, name)
        side = sheet.shape[0]
        row, column, mirror = rng.integers(0, side, 3)
        if max(shape) > side:  # finer than the sheet: only for pixels far below 0.1 um
            sheet = np.tile(sheet, (-(-shape[0] // side), -(-shape[1] // side)))
        row %= sheet.shape[0] - shape[0] + 1
        column %= sheet.shape[1] - shape[1] + 1
        piece = sheet[row : row + shape[0], column : column + shape[1]]
        if mirror & 1:
            piece = piece[::-1]
        if mirror & 2:
            piece = piece[:, ::-1]
        return piece


@lru_cache(maxsize=4)
def sheets(pixel_size_um: float) -> Sheets:
    """The texture sheets for one pixel size (um); made at the first request, then kept."""
    side = max(256, int(np.ceil(_SHEET_UM / pixel_size_um)))
    rng = np.random.default_rng(_SHEET_SEED)

    def noise(sigma_um: float) -> Plane:
        white = rng.standard_normal((side, side), dtype=np.float32)
        smooth = ndimage.gaussian_filter(white, sigma_um / pixel_size_um, mode="wrap")
        return np.asarray((smooth - smooth.mean()) / smooth.std(), dtype=np.float32)

    def granules(width_um: float, per_um2: float) -> Plane:
        count = rng.poisson(per_um2 * pixel_size_um**2, (side, side)).astype(np.float32)
        sigma = width_um / 2.355 / pixel_size_um  # full width at half maximum
        spots = ndimage.gaussian_filter(count, sigma, mode="wrap")
        peak = min(1.0, 1 / (2 * np.pi * sigma**2))
        return np.asarray(np.minimum(spots / np.float32(peak), np.float32(1.3)))

    return Sheets(
        fine=noise(0.15),
        coarse=noise(0.28),
        clump=noise(0.42),
        cloud=noise(1.25),
        azurophil=granules(0.55, 0.5),
        specific=granules(0.35, 1.5),
    )
