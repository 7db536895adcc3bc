"""The gentle preset: changes that another slide of the same marrow could show.

A smear has no upright position, so quarter turns and mirror images are free. Beyond them the
angle and the size change by little, both axes alike: ratios of nucleus to cell and roundness,
by which a cell is told, stay as they are. Stain and light vary in optical density.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from training.affine import Map, about_centre, rotation, to_uint8, warp, zoom
from training.draws import between, uniform_draws

LARGEST_ANGLE = 10.0
"""Degrees to either side, beside the quarter turn."""
LARGEST_ZOOM = 0.10
"""Share to either side, both axes alike."""
LARGEST_GAIN = 0.10
"""Of the optical density of each colour, to either side: how strongly the slide is stained.

Form and scale follow Tellez et al. 2018, IEEE Trans Med Imaging 37:2126 (each stain's density
times U(1 - s, 1 + s) plus U(-s, s); s = 0.05 "light", 0.2 "strong"), but on red, green and blue:
their stain matrix is that of haematoxylin and eosin, and May-Gruenwald-Giemsa has no agreed one.
0.10 is chosen between the two; between patients of one site the density of the darkest tenth of
a picture of a blood cell varied by 0.11 to 0.45 of itself (standard deviation), other cells
included.
"""
LARGEST_OFFSET = 0.05
"""Of the optical density of each colour, to either side: lamp and white balance, 5% of the light.

Measured on the same pictures, the density of the empty glass varied between patients of one site
by a standard deviation of 0.02 to 0.06; that of U(-0.05, 0.05) is 0.03.
"""


class Gentle(NamedTuple):
    """One gentle change."""

    quarter_turns: int
    """0 to 3, clockwise on the screen as `degrees`; of an image that is no square 0 or 2."""
    is_mirrored: bool
    """Left and right exchanged, after the turns."""
    degrees: float
    zoom: float
    """Factor on both axes of the place that is read: below 1 the content grows."""
    gain: tuple[float, float, float]
    """Factor on the natural optical density of red, green and blue."""
    offset: tuple[float, float, float]
    """Added to it after the gain."""


def gentle_draw(seed: int, place: str, number: int, is_square: bool = True) -> Gentle:
    """The gentle change of one copy; a pure function of its arguments.

    Parameters
    ----------
    place : str
        Name of the view: the smear's identity, and of a tile its row and column.
    number : int
        Which gentle copy of that view, from 0.
    """
    turn, mirror, angle, size, *stain = uniform_draws((seed, place, "gentle", number), 10)
    gain = [between(1 - LARGEST_GAIN, 1 + LARGEST_GAIN, draw) for draw in stain[:3]]
    offset = [between(-LARGEST_OFFSET, LARGEST_OFFSET, draw) for draw in stain[3:]]
    return Gentle(
        quarter_turns=int(turn * 4) if is_square else 2 * int(turn * 2),
        is_mirrored=mirror >= 0.5,
        degrees=between(-LARGEST_ANGLE, LARGEST_ANGLE, angle),
        zoom=between(1 - LARGEST_ZOOM, 1 + LARGEST_ZOOM, size),
        gain=(gain[0], gain[1], gain[2]),
        offset=(offset[0], offset[1], offset[2]),
    )


def change_gently(pixels: torch.Tensor, changes: Sequence[Gentle]) -> torch.Tensor:
    """Images after their changes: densities first, then one reading of the turned image.

    Parameters
    ----------
    pixels : uint8, (B, 3, H, W)
    changes : sequence of B Gentle

    Returns
    -------
    uint8, (B, 3, H, W)
        What lay outside is the image mirrored at its edge. Without angle, zoom and stain
        the turns and mirror images are exact.
    """
    height, width = pixels.shape[2:]
    maps = [about_centre(_map(change), height, width) for change in changes]
    return to_uint8(warp(_restained(pixels, changes), maps, "reflection"))


_QUARTER_TURN: Map = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
"""`rotation(90)` in integers, which cos 90 degrees is not: so that a turn is exact."""
_MIRROR: Map = np.diag([1.0, -1.0, 1.0])


def _map(change: Gentle) -> Map:
    turned = np.linalg.matrix_power(_QUARTER_TURN, change.quarter_turns)
    if change.is_mirrored:
        turned = turned @ _MIRROR
    return turned @ rotation(change.degrees) @ zoom(change.zoom, change.zoom)


def _restained(pixels: torch.Tensor, changes: Sequence[Gentle]) -> torch.Tensor:
    """Grey levels 255 * exp(-(gain * density + offset)), float32 (B, 3, H, W).

    density = -ln(max(level, 1) / 255): black has no logarithm. Read from a table of 256 levels
    for each image and colour, which is faster than a power a pixel and, unlike vector code for
    powers, the same to the last bit on every machine.
    """
    density = -np.log(np.maximum(np.arange(256), 1) / 255)
    gain = np.array([change.gain for change in changes])[:, :, None]
    offset = np.array([change.offset for change in changes])[:, :, None]
    levels = 255 * np.exp(-(gain * density + offset))  # B, 3, 256
    table = torch.from_numpy(levels.astype(np.float32).ravel()).to(pixels.device)
    first = torch.arange(len(changes) * 3, dtype=torch.int32, device=pixels.device) * 256
    index = pixels.to(torch.int32) + first.view(-1, 3, 1, 1)
    return table.index_select(0, index.flatten()).view(index.shape)
