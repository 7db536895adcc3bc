"""A TIFF's directories, walked before any decoder follows them: no loops, no bombs, no hangs."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from marrow.images.boundary import NoSmear, Refused, TooLarge
from marrow.images.limits import MEGA, check_tile

# A slide has some ten levels and three further images; more is a stack.
_MOST_DIRECTORIES = 1000
_MOST_TAGS = 1000
# A 200,000 x 200,000 px slide in tiles of 128 px has 2.4 million of them.
_MOST_SEGMENTS = 4 * MEGA
# Everything else that tags point at (descriptions, profiles, private data) is read by the decoder.
_MOST_TAG_BYTES = 64 * MEGA
# A description is parsed as XML: 4 MB take up to 3 s and 100 MB. OME-XML of a slide has some KB.
_MOST_DESCRIPTION_BYTES = 4 * MEGA

_TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}
_TYPE_BYTES |= {13: 4, 16: 8, 17: 8, 18: 8}
_INTEGERS = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}

_BITS, _DESCRIPTION, _SAMPLES, _PLANAR = 258, 270, 277, 284
_TILE_WIDTH, _TILE_LENGTH, _SUBIFDS, _NDPI = 322, 323, 330, 65420
_SEGMENT_ARRAYS = {273, 279, 324, 325}  # offsets and byte counts of strips and tiles


@dataclass
class _Tiff:
    """How this file writes its numbers, and what was read so far."""

    stream: BinaryIO
    order: str
    is_big: bool
    size: int
    seen: set[int] = field(default_factory=set)
    tag_bytes: int = 0
    is_ndpi: bool = False

    def numbers(self, at: int, code: str, count: int = 1) -> tuple[int, ...]:
        """Return `count` integers stored at offset `at`."""
        self.stream.seek(at)
        form = f"{self.order}{count}{code}"
        found = self.stream.read(struct.calcsize(form))
        if len(found) < struct.calcsize(form):
            raise Refused("is cut short: its directory points beyond the end of the file")
        return struct.unpack(form, found)


def check_directories(path: Path) -> None:
    """Walk every directory of a TIFF file and refuse what would hurt a decoder.

    NDPI files above 4 GB write 64-bit offsets in a way of their own; a file of that name is left
    to openslide, which guards its own walk.

    Raises
    ------
    Refused
        If a directory loops, is damaged, or ends beyond the file.
    TooLarge
        If a tile, or what tags point at, is larger than is decoded here.
    NoSmear
        If there are so many images that it is a stack.
    """
    if path.suffix.lower() == ".ndpi":
        return
    with path.open("rb") as stream:
        size = stream.seek(0, 2)
        stream.seek(0)
        mark = stream.read(4)
        tiff = _Tiff(stream, "<" if mark[:2] == b"II" else ">", b"+" in mark, size)
        (first,) = tiff.numbers(8 if tiff.is_big else 4, "Q" if tiff.is_big else "I")
        _walk(tiff, first)


def _walk(tiff: _Tiff, first: int) -> None:
    """Check every directory, chain by chain.

    A chain that meets itself, or leads back to a directory above it, is a loop; two that meet
    are none: writers both list SubIFDs and chain them.
    """
    chains: list[tuple[int, frozenset[int]]] = [(first, frozenset())]
    while chains:
        at, above = chains.pop()
        chain: set[int] = set()
        below: list[int] = []
        while at != 0:
            if at in chain or at in above:
                raise Refused("is damaged: its chain of images runs in a loop")
            if at in tiff.seen:
                break
            chain.add(at)
            tiff.seen.add(at)
            if len(tiff.seen) > _MOST_DIRECTORIES:
                raise NoSmear(f"has more than {_MOST_DIRECTORIES} images: a stack, no smear")
            at, under = _directory(tiff, at)
            below.extend(under)
        chains.extend((start, above | chain) for start in dict.fromkeys(below))


def _directory(tiff: _Tiff, at: int) -> tuple[int, tuple[int, ...]]:
    """Check one directory; return the offsets of the next one and of those below it."""
    count_code, head, entry, inline = ("Q", 8, 20, 8) if tiff.is_big else ("H", 2, 12, 4)
    (tags,) = tiff.numbers(at, count_code)
    if tags > _MOST_TAGS:
        raise Refused(f"is damaged: a directory with {tags} tags")
    edges: dict[int, int] = {}
    below: tuple[int, ...] = ()
    for number in range(tags):
        place = at + head + number * entry
        tag, kind = tiff.numbers(place, "H", 2)
        (count,) = tiff.numbers(place + 4, "Q" if tiff.is_big else "I")
        nbytes = count * _TYPE_BYTES.get(kind, 1)
        value_at = place + entry - inline
        if nbytes > inline:
            (value_at,) = tiff.numbers(value_at, "Q" if tiff.is_big else "I")
            _check_value(tiff, tag, count, value_at, nbytes)
        if tag == _NDPI:
            tiff.is_ndpi = True
        if kind not in _INTEGERS or count == 0:
            continue
        if tag in {_TILE_WIDTH, _TILE_LENGTH, _SAMPLES, _BITS, _PLANAR}:
            edges[tag] = max(tiff.numbers(value_at, _INTEGERS[kind], min(count, 8)))
        elif tag == _SUBIFDS:
            below = tiff.numbers(value_at, _INTEGERS[kind], min(count, _MOST_DIRECTORIES + 1))
    _check_tile_of(edges)
    (following,) = tiff.numbers(at + head + tags * entry, "Q" if tiff.is_big else "I")
    return following, below


def _check_value(tiff: _Tiff, tag: int, count: int, at: int, nbytes: int) -> None:
    if tag in _SEGMENT_ARRAYS:
        if at + nbytes > tiff.size:
            raise Refused("is cut short: the table of its strips or tiles lies beyond its end")
        if count > _MOST_SEGMENTS:
            raise TooLarge(f"declares {count} strips or tiles; at most {_MOST_SEGMENTS} are read")
        return
    # what lies beyond the end of the file no decoder can read
    nbytes = min(nbytes, max(0, tiff.size - at))
    tiff.tag_bytes += nbytes
    if tiff.tag_bytes > _MOST_TAG_BYTES or (
        tag == _DESCRIPTION and nbytes > _MOST_DESCRIPTION_BYTES
    ):
        raise TooLarge(f"holds more than {nbytes / MEGA:.0f} MB of descriptions beside its pixels")


def _check_tile_of(edges: dict[int, int]) -> None:
    if _TILE_WIDTH in edges and _TILE_LENGTH in edges:
        samples = edges.get(_SAMPLES, 1) if edges.get(_PLANAR, 1) == 1 else 1
        sample_bytes = (edges.get(_BITS, 1) + 7) // 8
        check_tile(edges[_TILE_WIDTH] * edges[_TILE_LENGTH] * samples * sample_bytes)
