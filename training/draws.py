"""Numbers drawn from a hash: what a copy is made with depends on its name, and on nothing else."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

_BYTES = 8


def uniform_draws(name: Sequence[object], count: int) -> tuple[float, ...]:
    """`count` numbers in [0, 1), the same for one name on every machine, in every version.

    Parameters
    ----------
    name : sequence
        What the numbers belong to, such as (seed, smear, method, copy); joined by line ends,
        which none of its parts may hold.
    count : int
        Further numbers of one name leave the first ones as they are.

    Notes
    -----
    SHAKE-256 of the name (FIPS 202), 53 bits to a number: all that a float64 in [0, 1) holds.
    numpy's generators promise no such thing across versions (NEP 19), and one generator that
    runs on would make a copy depend on what was drawn before it.
    """
    digest = hashlib.shake_256("\n".join(map(str, name)).encode()).digest(count * _BYTES)
    words = (digest[at : at + _BYTES] for at in range(0, len(digest), _BYTES))
    return tuple((int.from_bytes(word, "little") >> 11) / (1 << 53) for word in words)


def between(low: float, high: float, draw: float) -> float:
    """A draw in [0, 1), taken to [low, high)."""
    return low + (high - low) * draw
