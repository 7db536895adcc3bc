"""Near-duplicates: smears that show the same field, and must not lie on two sides of a split."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import fft

from marrow.errors import NotASmear, UnreachableSmear, UnreadableSmear
from marrow.images import open_smear
from training.dataset import DECODING_THREADS, LabelledSmear
from training.preprocess import fit_image

Bits = npt.NDArray[np.float32]
"""(n, 8, 8), +1 or -1 for each coefficient: frequency of the rows, then of the columns; the
mean, at (0, 0), is 0."""

HASH_PX, HASH_EDGE = 32, 8
BITS = HASH_EDGE**2 - 1
"""63: signs of the 8 x 8 lowest frequencies of a 32 x 32 thumbnail without their mean."""

DUPLICATE_BITS = 8
"""Most bits in which near-duplicates differ. Measured on 514 photographs of blood cells:
saved again as JPEG at quality 60, scaled to 150 px, darkened or stained otherwise by up to
20%, a picture differs from itself in 2 bits at most; cropped by 2% on each side or moved by
3% in 6 to 8 (median); all but 3 of 256 pairs up to 8 bits show one cell of one patient twice,
and no pair from two laboratories has fewer than 11. By chance 63 fair bits, turned and
mirrored in 8 ways, agree so well in 1 of 260 million pairs."""

_SLIDE_PX = 512
"""Longest edge of the thumbnail that a slide is hashed from."""
_ROWS = 1024
"""Smears compared at once with all others: 40 MB at 10,000 smears."""

_LUMA = np.array([0.299, 0.587, 0.114])
"""Grey of red, green and blue: ITU-R BT.601."""


class Pair(NamedTuple):
    """Two near-duplicates on different sides: indices into what was compared, ascending."""

    first: int
    second: int
    distance: int
    """Bits in which they differ, of 63, as they are best turned and mirrored."""


def perceptual_hash(pixels: npt.NDArray[np.uint8]) -> int:
    """A number that stays nearly the same when a picture is scaled, recompressed or recoloured.

    Bit 8 u + v is the sign of the coefficient of frequency (u, v) of the cosine transform of
    the grey thumbnail; bit 0 is 0. Signs instead of the usual comparison with the median,
    because then mirroring flips and turning swaps known bits, so that `near_duplicates` finds
    mirrored and turned pictures without seeing their pixels.

    Parameters
    ----------
    pixels : uint8, (H, W, 3)
        Red, green, blue.

    Returns
    -------
    int
        0 to 2^64 - 1.

    Source: Zauner 2010, "Implementation and benchmarking of perceptual image hash functions"
    (pHash); signs of DCT coefficients: Arnia, Iizuka, Fujiyoshi and Kiya 2007.
    """
    grey = fit_image(pixels, HASH_PX).astype(np.float64) @ _LUMA  # 32, 32
    low = fft.dctn(grey, norm="ortho")[:HASH_EDGE, :HASH_EDGE]  # 8, 8
    is_set = low > 0
    is_set[0, 0] = False
    return int.from_bytes(np.packbits(is_set, bitorder="little").tobytes(), "little")


def hash_smears(smears: Sequence[LabelledSmear]) -> list[int | None]:
    """`perceptual_hash` of each smear, of a slide that of its overview; None if unreadable."""
    with ThreadPoolExecutor(DECODING_THREADS) as pool:
        return list(pool.map(_hash_smear, smears))


def _hash_smear(labelled: LabelledSmear) -> int | None:
    try:
        with open_smear(labelled.path) as image:
            return perceptual_hash(image.thumbnail(_SLIDE_PX) if image.is_slide else image.whole())
    except (NotASmear, UnreadableSmear, UnreachableSmear):
        return None  # told where it is trained or tested on


def near_duplicates(
    hashes: Sequence[int | None], sides: Sequence[str | None], most_bits: int = DUPLICATE_BITS
) -> list[Pair]:
    """Pairs of near-duplicates that lie on different sides, the most alike first.

    Parameters
    ----------
    hashes : sequence of int or None
        As `perceptual_hash` gives them; None is compared with nothing.
    sides : sequence of str or None
        Side, site or fold of each; None: on no side, compared with nothing.

    Notes
    -----
    With bits as +1 and -1, the distance is (63 - their product) / 2: one matrix product for
    each of the 8 ways to turn and mirror. 10,000 smears take seconds on one core.
    """
    kept = [row for row, one in enumerate(hashes) if one is not None and sides[row] is not None]
    bits = _bits([hashes[row] or 0 for row in kept])
    names = np.array([sides[row] for row in kept], dtype=object)
    pairs: list[Pair] = []
    rest = np.ones(len(kept), dtype=bool)
    for side in dict.fromkeys(names.tolist()):
        own = np.flatnonzero(names == side)
        rest[own] = False
        others = np.flatnonzero(rest)
        for start in range(0, len(own), _ROWS):
            chunk = own[start : start + _ROWS]
            distance = _distances(bits[chunk], bits[others])  # chunk, others
            for i, j in np.argwhere(distance <= most_bits):
                low, high = sorted((kept[chunk[i]], kept[others[j]]))
                pairs.append(Pair(low, high, int(distance[i, j])))
    return sorted(pairs, key=lambda pair: (pair.distance, pair.first, pair.second))


def told(pairs: Sequence[Pair], names: Sequence[str], sides: Sequence[str | None]) -> str:
    """One sentence: how many near-duplicates lie across the sides, and the first three."""
    if not pairs:
        return "no near-duplicates across the sides"
    shown = [
        f"{names[p.first]} ({sides[p.first]}) and {names[p.second]} ({sides[p.second]})"
        for p in pairs[:3]
    ]
    more = f" and {len(pairs) - 3} more" if len(pairs) > 3 else ""
    noun = "pair of near-duplicates lies" if len(pairs) == 1 else "pairs of near-duplicates lie"
    return f"{len(pairs)} {noun} across the sides: {'; '.join(shown)}{more}"


def _bits(hashes: Sequence[int]) -> Bits:
    raw = b"".join(one.to_bytes(8, "little") for one in hashes)
    octets = np.frombuffer(raw, dtype=np.uint8).reshape(-1, HASH_EDGE)
    is_set = np.unpackbits(octets, axis=1, bitorder="little").reshape(-1, HASH_EDGE, HASH_EDGE)
    bits = np.where(is_set, 1, -1).astype(np.float32)
    bits[:, 0, 0] = 0
    return bits


def _distances(first: Bits, second: Bits) -> npt.NDArray[np.float32]:
    """Bits between all of the one and all of the other, the least over all turns, (n, m)."""
    flat = second.reshape(-1, BITS + 1).T
    best = np.full((len(first), len(second)), -np.inf, dtype=np.float32)
    for turned in _turned(first):
        np.maximum(best, turned.reshape(-1, BITS + 1) @ flat, out=best)
    return np.asarray((BITS - best) / 2, dtype=np.float32)


def _turned(bits: Bits) -> list[Bits]:
    """The hashes of the pictures mirrored and turned: 8 ways, the first as they are.

    Mirroring a picture changes the sign of every odd frequency along that axis; mirroring it
    at its diagonal swaps the axes; turns by 90 degrees are made of both.
    """
    odd = np.where(np.arange(HASH_EDGE) % 2, -1, 1).astype(np.float32)
    along_rows, along_columns = bits * odd[:, None], bits * odd[None, :]
    mirrored = [bits, along_rows, along_columns, along_rows * odd[None, :]]
    return mirrored + [one.transpose(0, 2, 1) for one in mirrored]
