"""What a DICOM file says of itself: its series, and the kind of its frames."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO, Self

from marrow.images.forms import DICOM_MARK_AT

_SERIES, _PIXELS = (0x0020, 0x000E), (0x7FE0, 0x0010)
_TRANSFER_SYNTAX = (0x0002, 0x0010)
_ITEM, _ITEM_END, _SEQUENCE_END = (0xFFFE, 0xE000), (0xFFFE, 0xE00D), (0xFFFE, 0xE0DD)
_UNDEFINED = 0xFFFFFFFF
_IMPLICIT = "1.2.840.10008.1.2"
# Big-endian and deflated files: retired, and no scanner writes them.
_NOT_READ = {"1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"}
# Value representations with a 32-bit length. Source: DICOM PS3.5 2024, 7.1.2.
_LONG = {b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"}
# a sparse slide lists some ten elements for each of its frames
_MOST_ELEMENTS = 200_000
_MOST_DEPTH = 8
_MOST_UID_BYTES = 64  # PS3.5, 9.1


class _Damaged(ValueError):
    pass


def series_uid(path: Path) -> str | None:
    """Return SeriesInstanceUID (0020,000E); None if it is no DICOM file or has none.

    Raises
    ------
    OSError
        If the file cannot be read.
    """
    with path.open("rb") as stream:
        header = _Header.of(stream)
        try:
            length = header.find(_SERIES) if header else None
            return header.text(length) if header and length is not None else None
        except (_Damaged, struct.error):
            return None


def has_jfif_frames(path: Path) -> bool:
    """Is the first frame of a DICOM file a JFIF JPEG, whose samples are YCbCr by definition?

    Source: JFIF 1.02, page 3. What the file declares of its colours may differ.

    Raises
    ------
    OSError
        If the file cannot be read.
    """
    with path.open("rb") as stream:
        header = _Header.of(stream)
        try:
            if header is None or header.find(_PIXELS) != _UNDEFINED:
                return False  # uncompressed
            header.skip_item()  # the table of offsets
            header.enter_item()
            start = stream.read(10)
        except (_Damaged, struct.error):
            return False
    return start[:4] == b"\xff\xd8\xff\xe0" and start[6:] == b"JFIF"


class _Header:
    """The elements of a DICOM file, walked in order."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._is_explicit = True  # group 2 always is
        self._read_elements = 0

    @classmethod
    def of(cls, stream: BinaryIO) -> Self | None:
        """Return the header of a DICOM file; None if it is none."""
        stream.seek(DICOM_MARK_AT)
        return cls(stream) if stream.read(4) == b"DICM" else None

    def find(self, wanted: tuple[int, int]) -> int | None:
        """Go to the value of the element `wanted` and return its length; None if it is missing."""
        syntax = ""
        while True:
            start = self._stream.tell()
            tag, length = self._element()
            if tag[0] > 2 and self._is_explicit and syntax == _IMPLICIT:
                # the first element after group 2 is written the other way
                self._is_explicit = False
                self._stream.seek(start)
                continue
            if syntax in _NOT_READ or tag > wanted:
                return None
            if tag == wanted:
                return length
            if tag == _TRANSFER_SYNTAX:
                syntax = self.text(length)
                continue
            self._skip(length, depth=0)

    def enter_item(self) -> int:
        """Go to the content of the item that begins here and return its length."""
        tag, length = self._element()
        if tag != _ITEM:
            raise _Damaged
        return length

    def skip_item(self) -> None:
        """Go to the end of the item that begins here."""
        self._skip(self.enter_item(), depth=0)

    def text(self, length: int) -> str:
        """Return a short text that begins here."""
        if length > _MOST_UID_BYTES:
            raise _Damaged
        return self._stream.read(length).decode("ascii", "replace").strip("\0 ")

    def _element(self) -> tuple[tuple[int, int], int]:
        """Return tag and length of the next element; the stream is left at its value."""
        self._read_elements += 1
        if self._read_elements > _MOST_ELEMENTS:
            raise _Damaged
        group, element = struct.unpack("<HH", self._stream.read(4))
        if group == _ITEM[0] or not self._is_explicit:
            (length,) = struct.unpack("<I", self._stream.read(4))
        else:
            kind = self._stream.read(2)
            if kind in _LONG:
                _, length = struct.unpack("<HI", self._stream.read(6))
            else:
                (length,) = struct.unpack("<H", self._stream.read(2))
        return (group, element), length

    def _skip(self, length: int, depth: int) -> None:
        if length != _UNDEFINED:
            self._stream.seek(length, 1)
            return
        if depth > _MOST_DEPTH:
            raise _Damaged
        # a sequence or an item without a length: skip what is inside until its end
        while True:
            tag, inner = self._element()
            if tag in (_ITEM_END, _SEQUENCE_END):
                return
            self._skip(inner, depth + 1)
