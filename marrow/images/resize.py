"""Antialiased resizing, the same for thumbnails, training and serving."""

from __future__ import annotations

import numpy as np
from PIL import Image

from marrow.images.colour import Pixels

# Whole-number averaging down to twice the wanted size, then a triangle filter: within a rounding
# step of the plain filter and many times faster for large factors (Pillow's `reducing_gap`).
_REDUCING_GAP = 2.0


def resize(pixels: Pixels, height: int, width: int) -> Pixels:
    """Return `pixels` (H, W, 3) resized to (height, width, 3), averaged where it shrinks."""
    if pixels.shape[:2] == (height, width):
        return pixels
    image = Image.fromarray(pixels)
    small = image.resize((width, height), Image.Resampling.BILINEAR, reducing_gap=_REDUCING_GAP)
    return np.array(small, dtype=np.uint8)


def reduce(pixels: Pixels, factor: int) -> Pixels:
    """Return the mean of each `factor` x `factor` block of `pixels` (H, W, 3)."""
    if factor == 1:
        return pixels
    return np.array(Image.fromarray(pixels).reduce(factor), dtype=np.uint8)
