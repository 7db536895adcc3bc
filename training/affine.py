"""Turning, moving, shearing and zooming of images: one map from output to input pixels each.

A map is a float64 3 x 3 matrix that takes an output pixel (row, column, 1) to the place in the
input where its colour is read, as in `scipy.ndimage.affine_transform`.

Source: Keras 2, `keras_preprocessing.image.affine_transformations.apply_affine_transform` and
`transform_matrix_offset_center`, which `ImageDataGenerator` calls.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import cos, radians, sin
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

Map = npt.NDArray[np.float64]
"""(3, 3), output (row, column, 1) to input (row, column, 1), px."""


def rotation(degrees: float) -> Map:
    """Turn about the origin; what was right of it comes to lie below for a positive angle.

    On the screen, where rows grow downwards, that is clockwise.
    """
    c, s = cos(radians(degrees)), sin(radians(degrees))
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])


def shift(rows_px: float, columns_px: float) -> Map:
    """Read `rows_px` further down and `columns_px` further right: the content moves up and left."""
    return np.array([[1.0, 0.0, rows_px], [0.0, 1.0, columns_px], [0.0, 0.0, 1.0]])


def shear(degrees: float) -> Map:
    """Keras's shear: the columns' axis leans by the angle; areas grow by 1 / cos.

    [[1, -sin a], [0, cos a]]: a sine where a textbook's shear has a tangent, so that the matrix
    has determinant cos a, not 1. For a positive angle what lies right of the origin comes to lie
    further right and lower.
    """
    c, s = cos(radians(degrees)), sin(radians(degrees))
    return np.array([[1.0, -s, 0.0], [0.0, c, 0.0], [0.0, 0.0, 1.0]])


def zoom(rows: float, columns: float) -> Map:
    """Read `rows` and `columns` times as far from the origin: below 1 the content grows."""
    return np.diag([rows, columns, 1.0])


def about_centre(own: Map, height_px: int, width_px: int) -> Map:
    """The map with the image's centre as its origin: in = M out + (c - M c).

    c = (H / 2 - 0.5, W / 2 - 0.5), the middle between the first and the last pixel's centre.
    """
    row, column = height_px / 2 - 0.5, width_px / 2 - 0.5
    return shift(row, column) @ own @ shift(-row, -column)


def warp(
    images: torch.Tensor, maps: Sequence[Map], beyond: Literal["border", "reflection"]
) -> torch.Tensor:
    """Images read through their maps, bilinear (order 1).

    Parameters
    ----------
    images : float32 or float64, (B, C, H, W)
        H and W at least 2.
    maps : sequence of B maps
        One per image, in px of the image.
    beyond : "border" or "reflection"
        What lies outside: the nearest edge pixel (scipy's `nearest`), or the image mirrored at
        the centres of its edge pixels (scipy's `mirror`).

    Returns
    -------
    As `images`, contiguous. Each image depends on its own map alone, bit for bit, whatever
    stands beside it.

    Notes
    -----
    With N from normalised (x, y, 1) to (row, column, 1) in px, N = [[0, (H-1)/2, (H-1)/2],
    [(W-1)/2, 0, (W-1)/2], [0, 0, 1]], torch's theta is the upper two rows of N^-1 M N. The grid
    is computed here rather than by `affine_grid`: that one multiplies matrices in batches, whose
    last bits change with the number of images, and in the images' own precision. A product and a
    sum an element, in float64, are the same everywhere.
    """
    count, _, height, width = images.shape
    half_rows, half_columns = (height - 1) / 2, (width - 1) / 2
    to_pixels = np.array([[0, half_rows, half_rows], [half_columns, 0, half_columns], [0, 0, 1.0]])
    thetas = np.linalg.inv(to_pixels) @ np.stack(maps) @ to_pixels
    theta = torch.from_numpy(thetas).to(images.device)[:, :2, :, None, None]  # B, 2, 3, 1, 1
    x = _centres(width, images.device)
    y = _centres(height, images.device)[:, None]
    grid = torch.empty(count, height, width, 2, dtype=images.dtype, device=images.device)
    for axis in range(2):
        across, down, offset = theta[:, axis].unbind(1)
        grid[..., axis] = across * x + (down * y + offset)
    return functional.grid_sample(
        images.contiguous(), grid, mode="bilinear", padding_mode=beyond, align_corners=True
    )


def _centres(count: int, device: torch.device) -> torch.Tensor:
    """Pixel centres from -1 to 1, float64 (count,)."""
    return torch.arange(count, dtype=torch.float64, device=device) * (2 / (count - 1)) - 1


def to_uint8(images: torch.Tensor) -> torch.Tensor:
    """Grey levels rounded (a half goes to the even one) and clipped to 0 to 255, uint8."""
    return images.round().clamp_(0, 255).to(torch.uint8)
