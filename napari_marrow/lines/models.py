"""Two models side by side, ready made: curves, matrices, tables, changed calls, and words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

from marrow.comparing import Change, Comparison
from marrow.comparison_facts import ClassCurves, ComparisonFacts, FactTable
from marrow.paired import Difference, HeadComparison, RightCalls
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
_TROUBLE = "#e4572e"
_NAMES = {"auc": "AUC", "balanced_accuracy": "balanced accuracy"}


@dataclass(frozen=True)
class ModelLine:
    """A model that can be compared."""

    model_id: int
    words: str
    is_champion: bool


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
    """Why the challenger should not be champion; empty: nothing speaks against it."""
    changes: tuple[ChangeLine, ...]
    changes_words: str
    roc: tuple[RocPanel, ...] = ()
    confusion: tuple[ConfusionPanel, ...] = ()
    tables: tuple[FigureTable, ...] = ()


def model_line(model: ModelRecord) -> ModelLine:
    """A model with what it was trained with."""
    return ModelLine(model.id, model_choice_words(model), model.is_champion)


def headline(found: Comparison) -> str:
    """On whom the two are compared."""
    pair = f"m{found.challenger} against m{found.champion}"
    if not found.sides:
        return f"{pair}: no patient was scored with both and trained neither."
    sides = ", ".join(
        f"{count} smears of {_side(side)}" for side, count in sorted(found.sides.items())
    )
    words = f"{pair} on {_count(found.patients, 'patient')} that trained neither ({sides})"
    if found.trained_on:
        left = _count(found.trained_on, "patient")
        words += f"; {left} left out because one of the two was trained on them"
    return f"{words}."


def verdict(found: Comparison, primary: str, objection: str) -> str:
    """The paired tests in words, as rich text."""
    parts = [
        f'<p style="color:{_TROUBLE}"><b>{escape(objection)}.</b></p>'
        if objection
        else f"<p><b>m{found.challenger} is not worse than m{found.champion} on {escape(primary)}"
        "</b>: it may become champion.</p>"
    ]
    blind = sorted(found.blind, key=lambda one: one.head != primary)
    parts += [_head(found, one, "blind labels", one.head == primary) for one in blind]
    for one in found.all or ():
        parts.append(_head(found, one, "all labels, those given after a prediction too", False))
    return "".join(parts)


def change_lines(changes: Sequence[Change]) -> tuple[ChangeLine, ...]:
    """The smears whose call changes: those that get worse first, then those that get better."""
    rank = {"worse": 0, "better": 1, "": 2}
    lines = [(_effect(one), one) for one in changes]
    ordered = sorted(lines, key=lambda pair: (rank[pair[0]], pair[1].smear_id, pair[1].head))
    return tuple(
        ChangeLine(
            one.smear_id,
            (
                one.smear,
                one.patient,
                one.head,
                one.before,
                one.after,
                one.truth or NOTHING,
                effect,
            ),
        )
        for effect, one in ordered
    )


def changes_words(found: Comparison) -> str:
    """How many smears are called otherwise."""
    count = len({one.smear_id for one in found.changes})
    if not found.sides:
        return "Nothing to compare."
    words = f"{_count(count, 'smear')} called otherwise" if count else "No call changes"
    if count:
        effects = [_effect(one) for one in found.changes]
        words += f" ({effects.count('worse')} calls worse, {effects.count('better')} better)"
    if found.hidden:
        words += f"; {_count(found.hidden, 'smear')} hidden until all blind readers have read them"
    return f"{words}. Enter opens the smear." if count else f"{words}."


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


def _side(side: str) -> str:
    return "the test side" if side == "test" else side.replace("site:", "site ")


def _head(found: Comparison, one: HeadComparison, labels: str, is_primary: bool) -> str:
    decides = ", decides" if is_primary and labels == "blind labels" else ""
    lines = [f"<b>{escape(one.head)}</b> ({labels}{decides}; n = {one.n} {one.unit})"]
    lines += [_difference(difference) for difference in one.differences]
    if one.right is not None:
        lines.append(_right(found, one, one.right))
    return f"<p>{'<br>'.join(lines)}</p>"


def _difference(one: Difference) -> str:
    name = _NAMES[one.figure]
    if one.value is None or one.champion is None or one.challenger is None:
        return f"{name}: not estimable ({escape(one.reason or '')})"
    text = f"{name} {one.champion:.3f} → {one.challenger:.3f}, difference {_signed(one.value)}"
    if one.low is None or one.high is None:
        return f"{text} (no interval: {escape(one.reason or '')})"
    p = "" if one.p_value is None else f", p = {one.p_value:.3f}"
    return f"{text} (95% {_signed(one.low)} to {_signed(one.high)}{p})"


def _right(found: Comparison, one: HeadComparison, right: RightCalls) -> str:
    test = f"McNemar p = {right.p_value:.3f}" if right.p_value is not None else right.reason
    return (
        f"right calls of {one.n} {one.unit}: both {right.both}, only m{found.champion} "
        f"{right.only_champion}, only m{found.challenger} {right.only_challenger}, neither "
        f"{right.neither} ({escape(test or '')})"
    )


def _signed(value: float) -> str:
    return f"{value:+.3f}".replace("-", "−")


def _effect(one: Change) -> str:
    if one.truth is None:
        return ""
    return {one.before: "worse", one.after: "better"}.get(one.truth, "")


def _count(count: int, what: str) -> str:
    return f"{count:,} {what}{'s' * (count != 1)}"
