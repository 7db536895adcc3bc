"""The morning worklist as a number: the smaller, the sooner a person should look."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

RANKS: Final = ("heads-disagree", "unsure", "unlike-training")
"""Flags, the most urgent first; a prediction without any comes after them. Failed smears have no
prediction and come before all."""


def worklist_place(flags: Collection[str], top_p: float) -> float:
    """Rank of the most urgent flag, 0 to 3, plus the probability of the primary head's call:
    within a rank the most uncertain comes first.

    Parameters
    ----------
    flags : collection of str
        As on the answer.
    top_p : float
        0 to 1.
    """
    rank = next((place for place, flag in enumerate(RANKS) if flag in flags), len(RANKS))
    return rank + top_p
