"""From a smear's pixels to the network's input: the same steps in training and in serving."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field
from torch.nn import functional

from marrow.records import Record

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
"""Red, green, blue, of pixels scaled to [0, 1]: the figures that torchvision's
IMAGENET1K_V1 weights were trained with (torchvision.transforms, ImageClassification)."""


class Preprocessing(Record):
    """All that decides which numbers the network sees of a smear; kept on the model's card.

    `version` counts the steps of this module (squeeze, resample, scale): whoever changes
    what they compute raises it, so that the hash, and with it every stored prediction,
    tells the two apart.
    """

    input_px: int = Field(256, ge=32, le=2048)
    """Edge of the square that the network sees, in pixels."""
    mean: tuple[float, float, float] = IMAGENET_MEAN
    """Red, green, blue, of pixels scaled to [0, 1]."""
    std: tuple[float, float, float] = IMAGENET_STD
    field_of_view_um: float | None = Field(None, gt=0)
    """Edge of one tile of a slide, in um; None: a tile is `input_px` level-0 pixels."""
    version: int = Field(1, ge=1)

    @property
    def hash(self) -> str:
        """SHA-256, in hex, of the record as JSON with sorted keys and no spaces."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


def fit_image(image: npt.NDArray[np.uint8], input_px: int) -> npt.NDArray[np.uint8]:
    """The whole image, squeezed to the network's square: bilinear with antialias.

    Parameters
    ----------
    image : uint8, (H, W, 3)
        Red, green, blue, 0 to 255.
    input_px : int
        Edge of the square, in pixels.

    Returns
    -------
    uint8, (input_px, input_px, 3)

    Notes
    -----
    The square takes no account of the aspect ratio, as in Wang et al. 2022. torch's uint8
    kernel reads the interleaved pixels in place: 1.4 ms for 1024 x 1024 to 256 x 256 on one
    core, where Pillow's BILINEAR, which differs by at most one grey level, takes 8 ms and
    Pillow with `reduce` takes 5 ms and differs by up to 9. It runs on the calling thread
    and lets go of Python's lock. Repeatable on one kind of processor; between kinds it may
    round to the neighbouring grey level.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise ValueError(f"got {image.dtype} {image.shape}, wanted uint8 (H, W, 3)")
    if image.shape[:2] == (input_px, input_px):
        return np.ascontiguousarray(image)
    # torch takes neither negative strides nor, without a warning, memory it may not write.
    pixels = np.require(image, requirements=["C", "W"])
    planes = torch.from_numpy(pixels).permute(2, 0, 1)[None]  # 1, 3, H, W; channels last
    square = functional.interpolate(
        planes, size=(input_px, input_px), mode="bilinear", align_corners=False, antialias=True
    )
    fitted: npt.NDArray[np.uint8] = square[0].permute(1, 2, 0).contiguous().numpy()
    return fitted


def to_batch(images: Sequence[npt.NDArray[np.uint8]]) -> torch.Tensor:
    """Fitted images, each uint8 (S, S, 3), as one uint8 tensor (B, 3, S, S), channels last.

    Raises
    ------
    ValueError
        If there is no image, or they differ in shape.
    """
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)


def normalise(batch: torch.Tensor, preprocessing: Preprocessing) -> torch.Tensor:
    """Pixels on the network's scale: (pixel / 255 - mean) / std for each colour.

    Parameters
    ----------
    batch : uint8 tensor, (B, 3, S, S)
        On the device where the network is: a byte a pixel crosses the bus, not four.

    Returns
    -------
    float32 tensor, (B, 3, S, S), on the same device and in the same memory format
    """
    mean = torch.tensor(preprocessing.mean, device=batch.device).view(1, 3, 1, 1)
    std = torch.tensor(preprocessing.std, device=batch.device).view(1, 3, 1, 1)
    return batch.to(torch.float32).div_(255).sub_(mean).div_(std)
