"""PNG, JPEG and BMP fields, decoded by Pillow."""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import BmpImagePlugin, Image, ImageFile, JpegImagePlugin, PngImagePlugin

from marrow.images.boundary import NoSmear, TooLarge
from marrow.images.colour import Pixels, lay_onto_white, orient, oriented_shape
from marrow.images.forms import Form
from marrow.images.limits import MEGA, check_extent, check_whole
from marrow.images.pixel_size import from_dots, judge_pixel_size
from marrow.images.smear import SmearImage, WholeLevel

# The plugins themselves, not Image.open: exactly the form that was recognised, and our own limit
# of pixels in place of a warning at 89 and an error at 179 megapixels.
_PLUGINS: dict[Form, Callable[[BinaryIO], ImageFile.ImageFile]] = {
    Form.PNG: PngImagePlugin.PngImageFile,
    Form.JPEG: JpegImagePlugin.JpegImageFile,
    Form.BMP: BmpImagePlugin.BmpImageFile,
}
_COLOUR_MODES = {"RGB", "RGBA", "RGBX", "P", "PA", "CMYK", "YCbCr"}
_ORIENTATION = 0x0112
# A progressive JPEG of a camera has about 10 scans; each costs a pass over all pixels, even if it
# has no more than a few bytes. 2000 megapixels are some seconds: 14 scans of the largest image,
# 100 of a field.
_MOST_SCANNED_PIXELS = 2000 * MEGA
# Pillow stores 4 bytes a pixel; a progressive JPEG's coefficients take 3 more until its end.
_BYTES_PER_PIXEL, _BYTES_OF_COEFFICIENTS = 4, 3
# Bands that stay in the processor's cache: 512 rows cost a third more time for a field, in page
# faults alone.
_BAND_ROWS = 128


def open_plain(path: Path, form: Form) -> SmearImage:
    """Return the smear of a PNG, JPEG or BMP file; only its header is read.

    Raises
    ------
    NoSmear, Refused
        As at the boundary, which also catches what Pillow raises.
    """
    with path.open("rb") as stream:
        image = _PLUGINS[form](stream)
        width, height = image.size
        if image.mode not in _COLOUR_MODES:
            raise NoSmear(f"is an image of one channel ({image.mode}), no colour smear")
        check_extent(height, width)
        check_whole(height, width)
        if image.info.get("progressive"):
            _check_scans(stream, height * width)
        pixel_size_um, warnings = judge_pixel_size(*from_dots(image.info.get("dpi")))
        is_progressive = bool(image.info.get("progressive"))
        orientation, complaints = _orientation(image)
    level = WholeLevel(
        oriented_shape(height, width, orientation),
        partial(_decode, path, form, orientation),
        height * width * (_BYTES_PER_PIXEL + is_progressive * _BYTES_OF_COEFFICIENTS),
    )
    return SmearImage(path, [level], pixel_size_um, (*warnings, *complaints))


def _check_scans(stream: BinaryIO, pixels: int) -> None:
    """Refuse a progressive JPEG with far more scans than any camera writes."""
    scans, last = 0, b""
    stream.seek(0)
    while chunk := stream.read(1 << 20):
        # inside a scan 0xFF is always followed by 0x00 or a restart, so this is a marker
        scans += (last + chunk).count(b"\xff\xda")
        last = chunk[-1:]
    if scans * pixels > _MOST_SCANNED_PIXELS:
        raise TooLarge(
            f"has {scans} scans of {pixels / MEGA:.1f} megapixels, which no camera writes; "
            "save it anew, not as a progressive JPEG"
        )


def _orientation(image: Image.Image) -> tuple[int, tuple[str, ...]]:
    try:
        orientation = int(image.getexif().get(_ORIENTATION, 1))
    except (
        ArithmeticError,
        AttributeError,
        LookupError,
        OSError,
        SyntaxError,
        TypeError,
        ValueError,
        struct.error,
    ):
        return 1, ("the EXIF data are damaged: the image is shown as it is stored",)
    return (orientation if 1 <= orientation <= 8 else 1), ()


def _decode(path: Path, form: Form, orientation: int) -> Pixels:
    """Return all pixels, uint8 (H, W, 3), converted in bands to hold no third copy."""
    with path.open("rb") as stream:
        image = _PLUGINS[form](stream)
        image.load()
        width, height = image.size
        pixels = np.empty((height, width, 3), np.uint8)
        for top in range(0, height, _BAND_ROWS):
            bottom = min(top + _BAND_ROWS, height)
            pixels[top:bottom] = _rgb(image.crop((0, top, width, bottom)))
    return orient(pixels, orientation)


def _rgb(band: Image.Image) -> Pixels:
    if band.mode in {"RGBA", "PA"} or "transparency" in band.info:
        rgba = np.asarray(band.convert("RGBA"))
        return lay_onto_white(rgba[..., :3], rgba[..., 3])
    # convert() copies what is RGB already
    return np.asarray(band if band.mode == "RGB" else band.convert("RGB"))
