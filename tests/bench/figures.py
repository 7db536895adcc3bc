"""A figure of the bench: a ratio of two things that were measured in turn, and its goal."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Figure:
    """One row of the table."""

    name: str
    measured: float
    goal: float
    unit: str
    """`x` for a ratio, otherwise `ms`."""
    is_at_least: bool
    """Whether the goal is a least value; otherwise a greatest."""
    of: str
    """The two things measured, each with its own figure."""

    @property
    def is_met(self) -> bool:
        """Whether the goal is reached."""
        if self.is_at_least:
            return self.measured >= self.goal
        return self.measured <= self.goal

    def as_json(self) -> dict[str, Any]:
        """All of it, for --json."""
        return {**asdict(self), "is_met": self.is_met}


def in_turn(
    sides: Mapping[str, Callable[[int], float]], rounds: int
) -> dict[str, tuple[float, ...]]:
    """What each side measures in each round: A B C, C B A, A B C ...

    One after the other on the same machine, and the order turned each time, so that neither a
    neighbour's load nor a drift of the clock frequency falls on one side alone.
    """
    measured: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(rounds):
        names = list(sides) if number % 2 == 0 else list(sides)[::-1]
        for name in names:
            measured[name].append(sides[name](number))
    return {name: tuple(values) for name, values in measured.items()}


def ratio(upper: Sequence[float], lower: Sequence[float]) -> float:
    """Median of the rounds' own ratios: what slows a whole round down takes no part in it."""
    return statistics.median(a / b for a, b in zip(upper, lower, strict=True))


def beyond(whole: Sequence[float], part: Sequence[float]) -> float:
    """Median of the rounds' own differences."""
    return statistics.median(a - b for a, b in zip(whole, part, strict=True))


def seconds_of(work: Callable[[], object]) -> float:
    """How long it takes by the wall clock."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def table(figures: Sequence[Figure]) -> str:
    """Rows of text: what, measured, goal, whether it is met, and of which two things."""
    head = ("what", "measured", "goal", "", "of")
    rows = [head, *(_row(figure) for figure in figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    return "\n".join([lines[0], "-" * max(map(len, lines)), *lines[1:]])


def _row(figure: Figure) -> tuple[str, str, str, str, str]:
    digits = 2 if figure.unit == "x" else 0
    sign = ">=" if figure.is_at_least else "<="
    return (
        figure.name,
        f"{figure.measured:.{digits}f} {figure.unit}",
        f"{sign} {figure.goal:.{digits}f}",
        "met" if figure.is_met else "MISSED",
        figure.of,
    )
