"""When what is done to a machine room: a pure function of the seed."""

from __future__ import annotations

import random
from typing import Literal, NamedTuple

What = Literal[
    "worker", "broker", "scheduler", "agent", "viewer",
    "holder", "freeze", "wipe", "scheduler+", "agent+",
]  # fmt: skip
"""kill -9 of one of the first five at any moment, and of a worker in the midst of a piece; a
worker stopped there for twice its lease; the broker's data wiped; a second scheduler started, a
second agent."""

KILLS: tuple[What, ...] = ("worker", "broker", "scheduler", "agent", "viewer")
DEEDS: tuple[What, ...] = ("holder", "freeze", "wipe", "scheduler+", "agent+")
FIRST, LAST = 0.03, 0.85
"""Share of the pieces that are finished before the first moment, and after the last slot."""


class Moment(NamedTuple):
    """Something that is done as soon as so many pieces are finished."""

    after: int
    what: What
    which: int
    """Chooses among several: the room takes it modulo their number."""


def plan(seed: int, pieces: int, kills: int, possible: frozenset[What]) -> list[Moment]:
    """`kills` kills at any moment, and one of each other deed that is possible, in their order.

    The kinds of kills take turns, and each seed begins with another one, so that few kills a
    seed are still all kinds over the seeds. One moment falls into each slot of equal length.
    """
    chance = random.Random(f"marrow {seed}")
    kinds = [what for what in KILLS if what in possible]
    wanted = [kinds[(seed + number) % len(kinds)] for number in range(kills)]
    wanted += [what for what in DEEDS if what in possible]
    chance.shuffle(wanted)
    slot = (LAST - FIRST) * pieces / len(wanted)
    return [
        Moment(int(FIRST * pieces + slot * (k + chance.random())), what, chance.randrange(1000))
        for k, what in enumerate(wanted)
    ]
