"""Vendors' slides and DICOM, decoded by openslide (the optional extra `slides`)."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from marrow.images.boundary import Refused
from marrow.images.budget import PIXELS_IN_FLIGHT
from marrow.images.colour import Pixels, fits_ycbcr, from_ycbcr, lay_onto_white
from marrow.images.dicom_header import has_jfif_frames
from marrow.images.limits import check_extent, check_tile
from marrow.images.pixel_size import judge_pixel_size
from marrow.images.smear import SmearImage

# openslide hands out 4 bytes a pixel and copies them twice; blocks of this edge keep that small.
_BLOCK_PX = 2048


def _openslide() -> ModuleType | None:
    try:
        import openslide
    except (ImportError, OSError):  # OSError: the Python part without its C library
        return None
    module: ModuleType = openslide
    return module


def vendor(path: Path) -> str | None:
    """Return openslide's name for the maker of a slide; None if it knows none or is absent."""
    openslide = _openslide()
    if openslide is None:
        return None
    name: str | None = openslide.OpenSlide.detect_format(str(path))
    return name


def open_slide(path: Path) -> SmearImage:
    """Return the smear of anything that openslide reads.

    Raises
    ------
    NoSmear, Refused
        As at the boundary, which also catches what openslide raises.
    """
    openslide = _openslide()
    if openslide is None:
        raise Refused('needs openslide to be read: pip install "napari-marrow[slides]"')
    slide = openslide.OpenSlide(str(path))
    try:
        levels = [_SlideLevel(slide, number) for number in range(slide.level_count)]
        check_extent(*levels[0].shape)
        warnings = _correct_colours(path, slide, levels)
        stated = (slide.properties.get(f"openslide.mpp-{axis}") for axis in "xy")
        pixel_size_um, doubts = judge_pixel_size(*stated)
    except BaseException:
        slide.close()
        raise
    return SmearImage(path, levels, pixel_size_um, (*warnings, *doubts), slide.close)


def _correct_colours(path: Path, slide: Any, levels: list[_SlideLevel]) -> tuple[str, ...]:
    """Convert a DICOM slide that declares RGB, but whose JPEG frames are YCbCr.

    openslide 4.0 believes the declaration and shows white glass as salmon. Converters have
    written such files; JFIF frames are YCbCr by definition. That openslide did not convert them
    is seen in the coarsest level, so that a version that does is not corrected twice.
    """
    declared = slide.properties.get("dicom.PhotometricInterpretation")
    if declared != "RGB" or not has_jfif_frames(path):
        return ()
    height, width = levels[-1].shape
    sample = levels[-1].read(0, 0, min(height, _BLOCK_PX), min(width, _BLOCK_PX))
    if not fits_ycbcr(sample):
        return ()
    for level in levels:
        level.is_ycbcr = True
    return ("the file declares RGB, but its JPEG frames are YCbCr: they were converted",)


class _SlideLevel:
    def __init__(self, slide: Any, number: int) -> None:
        width, height = slide.level_dimensions[number]
        self.shape = (int(height), int(width))
        self._slide = slide
        self._number = number
        self.is_ycbcr = False
        self._downsample = float(slide.level_downsamples[number])
        tile = [
            int(slide.properties.get(f"openslide.level[{number}].tile-{edge}", 0))
            for edge in ("height", "width")
        ]
        check_tile(tile[0] * tile[1] * 4)

    def read(self, row: int, column: int, height: int, width: int) -> Pixels:
        with PIXELS_IN_FLIGHT.reserve(height * width * 3 + 8 * _BLOCK_PX**2):
            pixels = np.empty((height, width, 3), np.uint8)
            for top in range(0, height, _BLOCK_PX):
                for left in range(0, width, _BLOCK_PX):
                    block = pixels[top : top + _BLOCK_PX, left : left + _BLOCK_PX]
                    block[...] = self._block(row + top, column + left, *block.shape[:2])
            return pixels

    def _block(self, row: int, column: int, height: int, width: int) -> Pixels:
        # openslide takes the corner in px of level 0 and the size in px of the level
        corner = round(column * self._downsample), round(row * self._downsample)
        region = self._slide.read_region(corner, self._number, (width, height))
        rgba = np.asarray(region)
        rgb: Pixels = rgba[..., :3]
        alpha: Pixels = rgba[..., 3]
        if self.is_ycbcr:
            rgb = from_ycbcr(rgb)
        # where nothing was scanned, alpha is 0
        return rgb if alpha.min() == 255 else lay_onto_white(rgb, alpha)
