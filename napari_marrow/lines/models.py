"""Two models side by side, ready made: curves, matrices, tables, changed calls, and words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from marrow.comparison_facts import ClassCurves, ComparisonFacts, FactTable
from marrow.paper_tables import Value
from marrow.records import ModelRecord, Promotion
from marrow.statistics.roc import FALSE_ALARMS
from marrow.times import clock_text
from napari_marrow.lines.column import NOTHING, Column
from napari_marrow.lines.jobs import model_choice_words

CHANGE_COLUMNS = (
    Column("smear"),
    Column("patient"),
    Column("question"),
    Column("before"),
    Column("after"),
    Column("label"),
    Column(""),
)
HISTORY_COLUMNS = (
    Column("when"),
    Column("champion"),
    Column("before"),
    Column("how"),
    Column("reason"),
)


@dataclass(frozen=True)
class ModelLine:
    """A model that can be compared."""

    model_id: int
    words: str
    is_champion: bool


@dataclass(frozen=True)
class Offer:
    """Who may be promoted, and in whose place."""

    challenger: int | None = None
    """None: nobody."""
    champion: int | None = None
    """None: there is none."""
    why_not: str = ""
    """Why nobody may, in one sentence."""


@dataclass(frozen=True)
class RocLine:
    """A ROC curve and its band."""

    name: str
    """In the legend, with its AUC and interval."""
    false_alarms: NDArray[np.float64]
    """1 - specificity, float64 (n,), 0 to 1."""
    sensitivity: NDArray[np.float64]
    band: tuple[NDArray[np.float64], NDArray[np.float64]] | None
    """Ends of the pointwise 95% band; None where it cannot be estimated."""


@dataclass(frozen=True)
class ClassRoc:
    """The curves of both models for one class against the rest, the champion's first."""

    name: str
    curves: tuple[RocLine, ...]


@dataclass(frozen=True)
class RocPanel:
    """The curves of one head."""

    title: str
    classes: tuple[ClassRoc, ...]


@dataclass(frozen=True)
class ConfusionPanel:
    """What one model called what."""

    title: str
    classes: tuple[str, ...]
    counts: NDArray[np.int64]
    """int64 (K, K): rows are the readers' answers, columns the calls."""


@dataclass(frozen=True)
class TableRow:
    """A row of a table of figures."""

    cells: tuple[str, ...]


@dataclass(frozen=True)
class FigureTable:
    """A table of figures."""

    title: str
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[TableRow, ...]


@dataclass(frozen=True)
class ChangeLine:
    """A smear whose call is another under the challenger."""

    smear_id: int
    cells: tuple[str, ...]


@dataclass(frozen=True)
class HistoryLine:
    """A change of the champion."""

    cells: tuple[str, ...]
    hint: str


@dataclass(frozen=True)
class ComparisonLines:
    """All that the Compare tab shows of two models."""

    champion: int
    challenger: int
    headline: str
    verdict: str
    """Rich text: the paired tests in words."""
    objection: str
    """Why the challenger should not be champion; empty: nothing speaks against it, or promotion
    is not decided by these two."""
    changes: tuple[ChangeLine, ...]
    changes_words: str
    roc: tuple[RocPanel, ...] = ()
    confusion: tuple[ConfusionPanel, ...] = ()
    tables: tuple[FigureTable, ...] = ()


def model_line(model: ModelRecord) -> ModelLine:
    """A model with what it was trained with."""
    return ModelLine(model.id, model_choice_words(model), model.is_champion)


def champion_of(known: Sequence[ModelLine]) -> int | None:
    """The champion among these models."""
    return next((one.model_id for one in known if one.is_champion), None)


def offer_of(known: Sequence[ModelLine], left: int | None, right: int | None) -> Offer:
    """Who may be promoted while these two are compared: the right one, in the champion's place."""
    champion = champion_of(known)
    if right is not None and right == champion:
        return Offer(None, champion, f"m{right} is the champion already.")
    if champion is not None and left is not None and left != champion:
        words = f"Promotion is decided against the champion m{champion}: choose it on the left."
        return Offer(None, champion, words)
    return Offer(right, champion)


def roc_panels(facts: ComparisonFacts, names: tuple[str, str]) -> tuple[RocPanel, ...]:
    """A panel a head; `names` are those of champion and challenger."""
    return tuple(
        RocPanel(
            f"{one.head.name}, n = {one.n} {one.unit}",
            tuple(_class_roc(own, names, one.n) for own in one.curves),
        )
        for one in facts.heads
        if one.curves
    )


def confusion_panels(facts: ComparisonFacts, names: tuple[str, str]) -> tuple[ConfusionPanel, ...]:
    """Two matrices a head, the champion's first."""
    return tuple(
        ConfusionPanel(f"{name}: {one.head.name}, n = {one.n} {one.unit}", one.head.classes, calls)
        for one in facts.heads
        for name, calls in zip(names, (one.champion_calls, one.challenger_calls), strict=True)
    )


def figure_table(table: FactTable) -> FigureTable:
    """A table with its figures as text."""
    at = table.columns.index("n") if "n" in table.columns else None
    rows = [
        TableRow(tuple(_cell(value, None if at is None else row[at]) for value in row))
        for row in table.rows
    ]
    is_text = [
        all(isinstance(row[column], str) for row in table.rows)
        for column in range(len(table.columns))
    ]
    columns = tuple(
        Column(name, is_number=not text) for name, text in zip(table.columns, is_text, strict=True)
    )
    return FigureTable(table.title, table.caption, columns, tuple(rows))


def history_line(change: Promotion, now: float) -> HistoryLine:
    """A change of the champion, and why."""
    how = "rolled back" if change.is_rollback else "forced" if change.is_forced else ""
    before = NOTHING if change.previous_id is None else f"m{change.previous_id}"
    cells = (clock_text(change.at, now), f"m{change.model_id}", before, how, change.reason)
    return HistoryLine(cells, hint=change.reason)


def _class_roc(own: ClassCurves, names: tuple[str, str], count: int) -> ClassRoc:
    both = ((own.champion, own.champion_auc), (own.challenger, own.challenger_auc))
    lines = []
    for name, (curve, area) in zip(names, both, strict=True):
        band = None if curve.low is None or curve.high is None else (curve.low, curve.high)
        lines.append(RocLine(f"{name} AUC {_figure(area)}", FALSE_ALARMS, curve.sensitivity, band))
    return ClassRoc(f"{own.name} against the rest, {own.n} of {count}", tuple(lines))


def _cell(value: Value, row_n: Value) -> str:
    if value is None:
        return ""
    if isinstance(value, Mapping):
        text = _figure(value)
        own_n = value.get("n")
        return text if own_n in (None, row_n) or value.get("value") is None else f"{text} n={own_n}"
    return f"{value:.3f}" if isinstance(value, float) else f"{value}"


def _figure(figure: Mapping[str, Any]) -> str:
    """`0.914 (0.776–0.970)`; a dash where it has no value."""
    value, low, high = figure.get("value"), figure.get("low"), figure.get("high")
    if value is None:
        return NOTHING
    if low is None or high is None:
        return f"{value:.3f} (no interval)"
    return f"{value:.3f} ({low:.3f}–{high:.3f})"
