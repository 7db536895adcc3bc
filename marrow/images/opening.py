"""Opening a smear: what form it has, which decoder serves it, and which one is tried next."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from marrow.errors import UnreadableSmear
from marrow.images.boundary import Refused, TooLarge, decoding
from marrow.images.forms import Form, recognise
from marrow.images.plain import open_plain
from marrow.images.slides import open_slide, vendor
from marrow.images.smear import SmearImage
from marrow.images.tiff import open_tiff
from marrow.images.tiff_directory import check_directories


def open_smear(path: Path) -> SmearImage:
    """Return a smear, opened lazily: its header is read and judged, no pixel is decoded.

    Reads PNG, JPEG, BMP, TIFF (striped, tiled, BigTIFF, OME, pyramids), and with the extra
    `slides` the slides of scanners (SVS, NDPI, MRXS ...) and DICOM. The form is told by content.

    Parameters
    ----------
    path : Path
        For a slide of several files any of a DICOM series, or the .mrxs file.

    Raises
    ------
    NotASmear
        Readable, but no colour image of a smear.
    UnreadableSmear
        Damaged, too large to decode safely, or of no known form.
    UnreachableSmear
        Not there, or not to be read by this user.
    """
    path = Path(path)
    with decoding(path):
        form = recognise(path)
        if form is Form.TIFF:
            return _open_tiff(path)
        if form is Form.VENDOR:
            return _open_vendor(path)
        if form is Form.DICOM:
            return open_slide(path)
        return open_plain(path, form)


def _open_vendor(path: Path) -> SmearImage:
    if path.suffix.lower() == ".mrxs" and not path.with_suffix("").is_dir():
        raise Refused(f"is part of a slide whose folder {path.stem} is missing beside it")
    return open_slide(path)


def _open_tiff(path: Path) -> SmearImage:
    check_directories(path)
    # A scanner's own TIFF has quirks that openslide knows; for all others tifffile reads more.
    decoders: tuple[Callable[[Path], SmearImage], ...] = (open_tiff, open_slide)
    if vendor(path) not in (None, "generic-tiff"):
        decoders = (open_slide, open_tiff)
    first, second = decoders
    try:
        with decoding(path):
            return first(path)
    except UnreadableSmear as error:
        if isinstance(error.__cause__, TooLarge):
            raise
        try:
            with decoding(path):
                return second(path)
        except UnreadableSmear:
            raise error from error.__cause__
