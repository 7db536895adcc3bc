"""TIFF in all its forms (striped, tiled, BigTIFF, OME, pyramids with SubIFDs), by tifffile.

Segments are decoded one by one with tifffile's decoder, so that each is checked before it is
decoded and a window touches only the tiles it needs.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from marrow.images.boundary import NoSmear, Refused
from marrow.images.budget import PIXELS_IN_FLIGHT
from marrow.images.colour import Pixels, orient, oriented_shape
from marrow.images.limits import MEGA, check_extent, check_tile, check_whole
from marrow.images.pixel_size import from_description, from_resolution, judge_pixel_size
from marrow.images.segment_size import check_segment
from marrow.images.smear import Level, SmearImage, WholeLevel
from marrow.images.tiff_colour import check_colour, rgb_of

# Decoders whose output is bounded, either by the caller or by a header that is checked first.
_COMPRESSIONS = {
    1: "none",
    5: "LZW",
    7: "JPEG",
    8: "deflate",
    32773: "PackBits",
    32946: "deflate",
    33003: "JPEG 2000",
    33004: "JPEG 2000",
    33005: "JPEG 2000",
    33007: "JPEG",
    34712: "JPEG 2000",
    34892: "JPEG",
    34925: "LZMA",
    34926: "Zstandard",
    34927: "WebP",
    50000: "Zstandard",
    50001: "WebP",
}
# Tiles kept decoded per open file, as much as openslide keeps.
_CACHE_BYTES = 32 * MEGA
_BAND_ROWS = 512
_ORIENTATION, _X_RESOLUTION = 274, 282


def open_tiff(path: Path) -> SmearImage:
    """Return the smear of a TIFF file whose directories were checked.

    Raises
    ------
    NoSmear, Refused
        As at the boundary, which also catches what tifffile raises.
    """
    import tifffile

    # one file is one smear: an OME header may not make us open other files
    tiff = tifffile.TiffFile(path, _multifile=False)
    try:
        series = tiff.series[0]
        page = series.keyframe
        _check_axes(series)
        check_colour(page)
        check_extent(page.imagelength, page.imagewidth)
        levels = _levels(_pages(tiff))
        pixel_size_um, warnings = judge_pixel_size(*_stated_um(page))
    except BaseException:
        tiff.close()
        raise
    return SmearImage(path, levels, pixel_size_um, warnings, tiff.close)


def _check_axes(series: Any) -> None:
    extra = {
        axis: length
        for axis, length in zip(series.axes, series.shape, strict=True)
        if axis not in "YXS" and length > 1
    }
    if extra:
        lengths = ", ".join(f"{length} along {axis}" for axis, length in extra.items())
        raise NoSmear(f"is a series of images ({lengths}), not one colour image")


def _pages(tiff: Any) -> list[Any]:
    """Return the pages that may be levels of the first image, as tifffile or their tags say."""
    first = tiff.series[0]
    pages = [level.keyframe for level in first.levels]
    if len(pages) == 1 and pages[0].is_tiled:
        # tifffile joins only pyramids of known makers; a reduced page says so of itself
        others = (series.keyframe for series in tiff.series[1:])
        pages += [page for page in others if page.is_reduced and page.is_tiled]
    return pages


def _levels(pages: list[Any]) -> list[Level]:
    levels: list[Level] = []
    for page in pages:
        if levels and not _belongs(levels, page):
            continue
        check_colour(page)
        _check_page(page)
        if page.is_tiled:
            check_tile(page.tilelength * page.tilewidth * _bytes_per_pixel(page))
            levels.append(_TiledLevel(page))
        else:
            levels.append(_whole_level(page))
    if len(levels) == 1 and isinstance(levels[0], WholeLevel):
        levels = [_whole_level(pages[0], _orientation(pages[0]))]
    return levels


def _belongs(levels: list[Level], page: Any) -> bool:
    """Is this page a coarser picture of the same? Else it is a label or a thumbnail."""
    height, width = levels[-1].shape
    rows, columns = page.imagelength, page.imagewidth
    if not (0 < rows < height and 0 < columns < width):
        return False
    full_height, full_width = levels[0].shape
    by_rows, by_columns = full_height / rows, full_width / columns
    # edges are rounded to whole pixels: one pixel more or less, on top of 2 %
    tolerance = 0.02 * by_rows + by_rows / min(rows, columns)
    return bool(abs(by_rows - by_columns) <= tolerance)


def _check_page(page: Any) -> None:
    if page.compression not in _COMPRESSIONS:
        raise Refused(
            f"uses compression {int(page.compression)}, which is not read; "
            "save it with JPEG, LZW, deflate or none"
        )
    if page.imagedepth > 1 or page.tiledepth > 1:
        raise NoSmear("is a volume, no smear")


def _bytes_per_pixel(page: Any) -> int:
    return int(page.samplesperpixel * page.dtype.itemsize)


def _orientation(page: Any) -> int:
    tag = page.tags.get(_ORIENTATION)
    value = tag.value if tag is not None else 1
    return int(value) if value in range(1, 9) else 1


def _whole_level(page: Any, orientation: int = 1) -> WholeLevel:
    height, width = int(page.imagelength), int(page.imagewidth)
    check_whole(height, width)
    # pixels as delivered, and at worst all samples in one strip
    cost = height * width * (max(1, _bytes_per_pixel(page)) + 1)
    return WholeLevel(
        oriented_shape(height, width, orientation),
        partial(_decode_whole, page, orientation),
        cost,
    )


def _decode_whole(page: Any, orientation: int) -> Pixels:
    strips = _Segments(page)
    height, width = int(page.imagelength), int(page.imagewidth)
    pixels = np.full((height, width, 3), 255, np.uint8)
    rows = max(1, min(int(page.rowsperstrip), height))
    for number in range(-(-height // rows)):
        strips.paint(number, pixels[number * rows : (number + 1) * rows])
    return orient(pixels, orientation)


class _Segments:
    """The strips or tiles of one page, decoded to RGB one at a time."""

    def __init__(self, page: Any) -> None:
        self._page = page
        self._file = page.parent.filehandle
        self._planes = int(page.samplesperpixel) if page.planarconfig == 2 else 1
        self._per_plane = len(page.dataoffsets) // self._planes

    def paint(self, number: int, into: Pixels) -> bool:
        """Decode one segment into `into` (rows, columns, 3); False where nothing is stored."""
        height, width = into.shape[:2]
        planes = [
            self._samples(number + plane * self._per_plane, height, width)
            for plane in range(self._planes)
        ]
        stored = [plane for plane in planes if plane is not None]
        if len(stored) < self._planes:
            return False
        samples = stored[0] if self._planes == 1 else np.concatenate(stored, axis=-1)
        # in bands: a strip may be the whole image, and conversions need room of their own
        for top in range(0, height, _BAND_ROWS):
            band = samples[top : min(top + _BAND_ROWS, height), :width]
            into[top : top + band.shape[0], : band.shape[1]] = rgb_of(band, self._page)
        return True

    def _samples(self, number: int, height: int, width: int) -> Any:
        page = self._page
        if number >= len(page.dataoffsets) or number >= len(page.databytecounts):
            raise Refused("is cut short: it lists fewer strips or tiles than it has")
        offset, nbytes = page.dataoffsets[number], page.databytecounts[number]
        if offset == 0 or nbytes == 0:
            return None
        if offset + nbytes > self._file.size:
            raise Refused("is cut short: a strip or tile lies beyond the end of the file")
        self._file.seek(offset)
        stored = self._file.read(nbytes)
        check_segment(stored, int(page.compression), self._pixels(height, width))
        tables, header = page.jpegtables, page.jpegheader
        decoded, _, _ = page.decode(stored, number, jpegtables=tables, jpegheader=header)
        return None if decoded is None else decoded[0]

    def _pixels(self, height: int, width: int) -> int:
        page = self._page
        return int(page.tilelength * page.tilewidth) if page.is_tiled else height * width


class _TiledLevel:
    def __init__(self, page: Any) -> None:
        self.shape = (int(page.imagelength), int(page.imagewidth))
        self._tile = (int(page.tilelength), int(page.tilewidth))
        self._across = -(-self.shape[1] // self._tile[1])
        self._page = page
        self._segments: _Segments | None = None
        self._cache: OrderedDict[int, Pixels | None] = OrderedDict()
        self._lock = threading.Lock()
        self._most_kept = max(1, _CACHE_BYTES // (self._tile[0] * self._tile[1] * 3))

    def read(self, row: int, column: int, height: int, width: int) -> Pixels:
        tile_height, tile_width = self._tile
        working = tile_height * tile_width * (_bytes_per_pixel(self._page) + 3)
        with PIXELS_IN_FLIGHT.reserve(height * width * 3 + working):
            window = np.full((height, width, 3), 255, np.uint8)
            for down in range(row // tile_height, -(-(row + height) // tile_height)):
                for along in range(column // tile_width, -(-(column + width) // tile_width)):
                    tile = self._tile_at(down * self._across + along)
                    if tile is not None:
                        at = down * tile_height - row, along * tile_width - column
                        _paste(window, tile, *at)
            return window

    def _tile_at(self, number: int) -> Pixels | None:
        with self._lock:
            if number in self._cache:
                self._cache.move_to_end(number)
                return self._cache[number]
            self._segments = self._segments or _Segments(self._page)
            pixels = np.full((*self._tile, 3), 255, np.uint8)
            tile = pixels if self._segments.paint(number, pixels) else None
            self._cache[number] = tile
            if len(self._cache) > self._most_kept:
                self._cache.popitem(last=False)
            return tile


def _paste(window: Pixels, tile: Pixels, top: int, left: int) -> None:
    """Copy the part of `tile` that lies inside, its corner at (top, left) of the window."""
    bottom = min(top + tile.shape[0], window.shape[0])
    right = min(left + tile.shape[1], window.shape[1])
    into = window[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)]
    start_row, start_column = max(-top, 0), max(-left, 0)
    into[...] = tile[
        start_row : start_row + into.shape[0], start_column : start_column + into.shape[1]
    ]


def _stated_um(page: Any) -> tuple[float | None, float | None]:
    x, y = from_description(page.description)
    if x is not None or y is not None:
        return x, y
    if _X_RESOLUTION not in page.tags:
        return None, None
    unit = {2: "inch", 3: "cm"}.get(int(page.resolutionunit), "")
    metadata = page.parent.imagej_metadata if page.parent.is_imagej else None
    if metadata:
        # ImageJ: pixels per unit in the tags, the unit's name in its own description
        unit = str(metadata.get("unit", "")).replace("\\u00B5", "u")
    return from_resolution(page.resolution[0], page.resolution[1], unit)
