"""What form a file has, by its content."""

from __future__ import annotations

import stat
from enum import Enum
from pathlib import Path

from marrow.images.boundary import Refused

DICOM_MARK_AT = 128


class Form(Enum):
    """A form of file that can hold a smear."""

    PNG = "PNG"
    JPEG = "JPEG"
    BMP = "BMP"
    TIFF = "TIFF"
    DICOM = "DICOM"
    # forms that only openslide knows, by their name as their content is no mark of them
    VENDOR = "vendor slide"


_MARKS = (
    (b"\x89PNG\r\n\x1a\n", Form.PNG),
    (b"\xff\xd8\xff", Form.JPEG),
    (b"BM", Form.BMP),
    (b"II*\0", Form.TIFF),
    (b"MM\0*", Form.TIFF),
    (b"II+\0", Form.TIFF),
    (b"MM\0+", Form.TIFF),
)
# MRXS is a JPEG beside a folder; the others are text or a container of the vendor's own.
VENDOR_SUFFIXES = frozenset({".mrxs", ".vms", ".vmu", ".czi"})
READ_HERE = "PNG, JPEG, BMP, TIFF, SVS, NDPI, MRXS or DICOM"


def recognise(path: Path) -> Form:
    """Return the form of a file by its first bytes (by its name for vendors' many-file slides).

    Raises
    ------
    OSError
        If it is not there.
    Refused
        If it is no regular file, is empty, or has no form that is read here.
    """
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        raise Refused("is a folder; give the files in it")
    if not stat.S_ISREG(mode):
        raise Refused("is no regular file")
    with path.open("rb") as stream:
        head = stream.read(DICOM_MARK_AT + 4)
    if not head:
        raise Refused("is empty")
    if path.suffix.lower() in VENDOR_SUFFIXES:
        return Form.VENDOR
    for mark, form in _MARKS:
        if head.startswith(mark):
            return form
    if head[DICOM_MARK_AT:] == b"DICM":
        return Form.DICOM
    raise Refused(f"is of no known form; {READ_HERE} is wanted")
