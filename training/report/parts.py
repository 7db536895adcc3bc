"""What a report is made of: sections of sentences, tables, plots and pictures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Figure = Mapping[str, Any]
"""A number with its `value`, `low`, `high`, `n`, `unit`, `method` and perhaps `reason`."""

Cell = str | int | float | None | Figure


@dataclass(frozen=True)
class Table:
    """A table of figures.

    Attributes
    ----------
    key : str
        Name of its CSV file, without the suffix.
    title : str
        What it shows, as a heading would say it.
    caption : str
        Unit, n, intervals, and how to read it.
    columns : names
    rows : cells
        One per column. A mapping is a figure; None is left empty.
    banner : str
        A warning that must be read with the table; empty: none.
    lead : int
        How many columns, from the left, name the row: a name is not repeated below itself.
    """

    key: str
    title: str
    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    banner: str = ""
    lead: int = 1

    def __post_init__(self) -> None:
        odd = next((row for row in self.rows if len(row) != len(self.columns)), None)
        if odd is not None:
            raise ValueError(f"{self.key}: {len(odd)} cells for {len(self.columns)} columns")


@dataclass(frozen=True)
class Plot:
    """A drawn figure, as SVG and as PNG.

    Attributes
    ----------
    key : str
        Name of its files, without the suffix.
    """

    key: str
    title: str
    caption: str
    svg: bytes
    png: bytes
    banner: str = ""


@dataclass(frozen=True)
class Warn:
    """A sentence that must not be overlooked."""

    sentence: str


@dataclass(frozen=True)
class Missing:
    """What a report lacks, in one sentence, and how to get it."""

    sentence: str


@dataclass(frozen=True)
class Picture:
    """An image of the gallery, as PNG or JPEG, and the words beside it."""

    image: bytes
    map: bytes | None
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Gallery:
    """Pictures side by side."""

    title: str
    caption: str
    pictures: tuple[Picture, ...]


@dataclass(frozen=True)
class Listing:
    """Checklist items, each with what the records say of it, or what a person must write."""

    title: str
    caption: str
    items: tuple[tuple[str, str, str, bool], ...]
    """Number, topic, text, and whether the records filled it."""


Part = str | Table | Plot | Missing | Warn | Gallery | Listing


@dataclass(frozen=True)
class Section:
    """A chapter of the report."""

    key: str
    title: str
    parts: tuple[Part, ...]


def figure_text(figure: Figure, digits: int = 3) -> str:
    """A figure as text: `0.914 (0.776–0.970)`; a dash where it has no value."""
    value = figure.get("value")
    if value is None:
        return "–"
    return f"{number_text(value, digits)} {interval_text(figure, digits)}"


def interval_text(figure: Figure, digits: int = 3) -> str:
    """The interval as text: `(0.776–0.970)`, `(−0.1 to 0.2)`, `(–)` where there is none."""
    low, high = figure.get("low"), figure.get("high")
    if low is None or high is None:
        return "(–)"
    between = " to " if low < 0 else "–"
    return f"({number_text(low, digits)}{between}{number_text(high, digits)})"


def number_text(value: float, digits: int = 3) -> str:
    """A number with a typographic minus."""
    return f"{value:.{digits}f}".replace("-", "−")
