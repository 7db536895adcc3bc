"""The size that a compressed strip or tile declares of itself, read before it is decoded.

JPEG, JPEG 2000 and WebP segments carry their own width and height, which may have nothing to do
with what the TIFF around them says; a decoder allocates by the inner one.
"""

from __future__ import annotations

import struct

from marrow.images.boundary import TooLarge

JPEG_CODES = frozenset({6, 7, 34892, 33007})
JPEG2000_CODES = frozenset({33003, 33004, 33005, 34712})
WEBP_CODES = frozenset({34927, 50001})

_SOF = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_BARE = frozenset({0x01, *range(0xD0, 0xD9)})
_MOST_COMPONENTS = 4


def check_segment(segment: bytes, compression: int, pixels: int) -> None:
    """Refuse a segment whose own header declares far more than its place in the image holds.

    Parameters
    ----------
    segment : bytes
        As stored.
    compression : int
        TIFF's code.
    pixels : int
        Pixels of a full strip or tile.

    Raises
    ------
    TooLarge
        If it declares over twice as many pixels (tiles at the edge may be padded), or more than
        4 components.
    """
    if compression in JPEG_CODES:
        declared = _jpeg(segment)
    elif compression in JPEG2000_CODES:
        declared = _jpeg2000(segment)
    elif compression in WEBP_CODES:
        declared = _webp(segment)
    else:
        return
    if declared is None:
        return
    height, width, components = declared
    if height * width > 2 * pixels or components > _MOST_COMPONENTS:
        raise TooLarge(
            f"has a tile that declares {width} x {height} px in {components} components "
            f"where {pixels} px belong"
        )


def _jpeg(segment: bytes) -> tuple[int, int, int] | None:
    at = 0
    while at + 9 < len(segment):
        if segment[at] != 0xFF:
            at += 1
            continue
        marker = segment[at + 1]
        if marker in _SOF:
            height, width, components = struct.unpack_from(">HHB", segment, at + 5)
            return height, width, components
        if marker in _BARE or marker in {0x00, 0xFF}:
            at += 1 if marker == 0xFF else 2
            continue
        at += 2 + struct.unpack_from(">H", segment, at + 2)[0]
    return None


def _jpeg2000(segment: bytes) -> tuple[int, int, int] | None:
    # SOC and SIZ follow each other; in a JP2 file they come after its boxes
    at = segment.find(b"\xff\x4f\xff\x51")
    if at < 0 or at + 42 > len(segment):
        return None
    right, bottom, left, top = struct.unpack_from(">IIII", segment, at + 8)
    (components,) = struct.unpack_from(">H", segment, at + 40)
    return max(0, bottom - top), max(0, right - left), components


def _webp(segment: bytes) -> tuple[int, int, int] | None:
    if len(segment) < 30:
        return None
    kind = segment[12:16]
    if kind == b"VP8X":
        width, height = (1 + int.from_bytes(segment[i : i + 3], "little") for i in (24, 27))
        return height, width, 4
    if kind == b"VP8L":
        bits = int.from_bytes(segment[21:25], "little")
        return (bits >> 14 & 0x3FFF) + 1, (bits & 0x3FFF) + 1, 4
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", segment, 26)
        return height & 0x3FFF, width & 0x3FFF, 3
    return None
