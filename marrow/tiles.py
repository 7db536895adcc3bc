"""The usable area of a large smear, and the grid of tiles over it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from skimage.draw import polygon2mask

from marrow.images import SmearImage
from marrow.images.resize import resize
from marrow.records import Region

Mask = npt.NDArray[np.bool_]

# Background is glass: bright in every channel. On scanned slides it measures 243 to 255 with a
# spread between the channels of 0 to 12; stained cytoplasm differs by 60 and more. At 200 and 20
# the pale rim of a cell still counts as stained, and a lamp that is slightly off white as glass.
BLANK_BRIGHTNESS, BLANK_SPREAD = 200, 20
# The darkest 1 % of stained tissue measures 70 in its brightest channel; below 40 lie slide
# edges, dust, ink and what was never lit.
DARK_BRIGHTNESS = 40
# One cell of the mask is about one red cell (7 to 8 um), so that the bright gaps between
# neighbouring cells average out. 32 px are 8 um at 0.25 um a pixel, the usual 40x scan.
MASK_CELL_UM, MASK_CELL_PX = 8.0, 32
_LONGEST_MASK_PX = 4096
# A tile counts from this share of usable area on.
LEAST_USABLE = 0.5


@dataclass(frozen=True)
class Tiles:
    """Square tiles of one smear, in reading order.

    Attributes
    ----------
    positions : int64 array (N, 2)
        (row, column) of each tile's top left corner, in px of level 0.
    size_px : int
        Edge of one tile in px of level 0.
    grid : (rows, columns)
        Of the whole smear, used or not.
    index : int64 array (N, 2)
        (row, column) of each tile in that grid.
    """

    positions: npt.NDArray[np.int64]
    size_px: int
    grid: tuple[int, int]
    index: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.positions)


def usable_tiles(
    image: SmearImage, regions: Sequence[Region], tile_px: int, field_of_view_um: float | None
) -> Tiles:
    """The tiles of a slide that count, in training and in serving alike.

    Parameters
    ----------
    regions : sequence of Region
        `use` and `exclude` bound the usable area; those of a class say nothing about it.
    tile_px, field_of_view_um
        As in `tile_grid`.
    """
    use, exclude = (
        [np.array(region.polygon) for region in regions if region.role == role]
        for role in ("use", "exclude")
    )
    return tile_grid(image, tile_px, field_of_view_um, usable_area(image, use, exclude))


def usable_area(
    image: SmearImage,
    use: Sequence[npt.NDArray[Any]] = (),
    exclude: Sequence[npt.NDArray[Any]] = (),
) -> Mask:
    """Return where a smear can be judged: stained, inside `use`, never inside `exclude`.

    Parameters
    ----------
    image : SmearImage
        An open smear.
    use, exclude : sequence of float arrays (N, 2)
        Polygons of (row, column) in px of level 0. Without any `use` all of the smear is taken.

    Returns
    -------
    bool array (rows, columns)
        A coarse grid over the whole smear, each cell about 8 um (32 px where the pixel size is
        unknown); empty of True if nothing is usable, as on a dark fluorescence slide.
    """
    height, width = image.levels[0]
    cell_px = MASK_CELL_PX
    if image.pixel_size_um is not None:
        cell_px = max(1, round(MASK_CELL_UM / image.pixel_size_um))
    longest = min(_LONGEST_MASK_PX, math.ceil(max(height, width) / cell_px))
    picture = image.thumbnail(longest)
    usable = is_stained(picture)
    scale = np.array([height / usable.shape[0], width / usable.shape[1]])
    if len(use) > 0:
        usable &= _inside(use, usable.shape, scale)
    if len(exclude) > 0:
        usable &= ~_inside(exclude, usable.shape, scale)
    return usable


def is_stained(picture: npt.NDArray[np.uint8]) -> Mask:
    """Return where `picture` (H, W, 3) is neither blank glass nor black, bool (H, W)."""
    brightest, faintest = picture.max(axis=-1), picture.min(axis=-1)
    blank = (brightest >= BLANK_BRIGHTNESS) & (brightest - faintest < BLANK_SPREAD)
    stained: Mask = ~blank & (brightest >= DARK_BRIGHTNESS)
    return stained


def _inside(
    polygons: Sequence[npt.NDArray[Any]], shape: tuple[int, ...], scale: npt.NDArray[np.float64]
) -> Mask:
    """Return which cells have their centre in any of the polygons."""
    inside = np.zeros(shape, dtype=np.bool_)
    for polygon in polygons:
        # the centre of cell 0 lies half a cell from the smear's edge
        inside |= polygon2mask(shape, np.asarray(polygon, dtype=np.float64) / scale - 0.5)
    return inside


def tile_grid(image: SmearImage, tile_px: int, field_of_view_um: float | None, mask: Mask) -> Tiles:
    """Return the tiles, side by side from the top left corner, that are at least half usable.

    What a tile at the lower or right edge shows beyond the smear counts as not usable.

    Parameters
    ----------
    image : SmearImage
        An open smear.
    tile_px : int
        Edge of a tile as the network takes it.
    field_of_view_um : float or None
        Edge of a tile in um. If this or the smear's pixel size is unknown, a tile is `tile_px`
        px of level 0.
    mask : bool array (rows, columns)
        As from `usable_area`: a grid over the whole smear.
    """
    height, width = image.levels[0]
    size_px = tile_px
    if image.pixel_size_um is not None and field_of_view_um is not None:
        size_px = max(1, round(field_of_view_um / image.pixel_size_um))
    grid = (math.ceil(height / size_px), math.ceil(width / size_px))
    down = _overlaps(grid[0], size_px, mask.shape[0], height)
    along = _overlaps(grid[1], size_px, mask.shape[1], width)
    usable = down @ mask.astype(np.float64) @ along.T
    # a rounding step below one half is one half
    index = np.argwhere(usable >= LEAST_USABLE - 1e-9).astype(np.int64)
    return Tiles(index * size_px, size_px, grid, index)


def _overlaps(tiles: int, size_px: int, cells: int, length_px: int) -> npt.NDArray[np.float64]:
    """Return which share of each tile lies in each cell of the mask, along one axis.

    Shape (tiles, cells); a tile that ends inside the smear has shares that sum to 1.
    """
    cell_px = length_px / cells
    tile_starts = np.arange(tiles)[:, np.newaxis] * float(size_px)
    cell_starts = np.arange(cells)[np.newaxis] * cell_px
    shared = np.minimum(tile_starts + size_px, cell_starts + cell_px) - np.maximum(
        tile_starts, cell_starts
    )
    shares: npt.NDArray[np.float64] = np.clip(shared, 0.0, None) / size_px
    return shares


def read_tile(
    image: SmearImage, position: Sequence[int] | npt.NDArray[np.int64], size_px: int, tile_px: int
) -> npt.NDArray[np.uint8]:
    """Return one tile, resized and antialiased from the best level; white beyond the smear.

    Parameters
    ----------
    image : SmearImage
        An open smear.
    position : (row, column)
        Top left corner in px of level 0.
    size_px : int
        Edge of the tile in px of level 0.
    tile_px : int
        Edge of the tile as returned.

    Returns
    -------
    uint8 array (tile_px, tile_px, 3)
    """
    level = image.level_for(size_px / tile_px)
    (height, width), (rows, columns) = image.levels[0], image.levels[level]
    row = round(int(position[0]) * rows / height)
    column = round(int(position[1]) * columns / width)
    edges = max(1, round(size_px * rows / height)), max(1, round(size_px * columns / width))
    return resize(image.read(level, row, column, *edges), tile_px, tile_px)
