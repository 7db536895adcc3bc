"""Confusion matrices: what was called what."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from marrow.paper_tables import side_text
from marrow.scored import ScoredRows
from training.report.drawing import PANEL_IN, panels, plot, size_of
from training.report.grid import Grid
from training.report.parts import Cell, Missing, Part, Table

_CELLS_WITH_TEXT = 12
"""Classes up to which the counts fit into the cells of a panel."""


def confusion_parts(grid: Grid) -> list[Part]:
    """A figure and a table for each head."""
    evidence = grid.evidence
    parts: list[Part] = []
    for head in evidence.scheme.heads:
        sides = [side for side in grid.sides([evidence.model]) if side != "train"]
        found = [(side, evidence.rows(evidence.model, side, head.name)) for side in sides]
        drawn = [(side, rows) for side, rows in found if rows is not None and len(rows)]
        if not drawn:
            parts.append(Missing(f"Confusion of {head.name}: no side was scored with its answers."))
            continue
        parts += [_plot(head.name, drawn), _table(head.name, head.classes, drawn)]
    return parts


def _plot(head: str, drawn: list[tuple[str, ScoredRows]]) -> Part:
    classes = drawn[0][1].head.classes
    columns = None if len(classes) <= 5 else 2

    def draw(figure: Any) -> None:
        for axes, (side, rows) in zip(panels(figure, len(drawn), columns), drawn, strict=True):
            _matrix(axes, rows.confusion, classes)
            axes.set_title(f"{side_text(side)} (n = {len(rows)})")

    width, height = size_of(len(drawn), columns)
    scale = 1.0 if columns is None else 1.45
    return plot(
        f"confusion-{head}",
        f"Confusion matrices, head {head}.",
        f"Counts of {drawn[0][1].unit}; rows: the readers' answer, columns: the model's call; "
        "colour: share of the row.",
        (max(width * scale, PANEL_IN), height * scale),
        draw,
    )


def _matrix(axes: Any, counts: npt.NDArray[np.int64], classes: tuple[str, ...]) -> None:
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    places = range(len(classes))
    axes.set_xticks(places, classes, rotation=90 if len(classes) > 5 else 0)
    axes.set_yticks(places, classes)
    axes.set(xlabel="called", ylabel="answer of the readers")
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    if len(classes) > _CELLS_WITH_TEXT:
        return
    for row in places:
        for column in places:
            colour = "white" if shares[row, column] > 0.55 else "#1a1a1a"
            text = f"{counts[row, column]}"
            axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=8)


def _table(head: str, classes: tuple[str, ...], drawn: list[tuple[str, ScoredRows]]) -> Part:
    rows: list[tuple[Cell, ...]] = [
        (side_text(side), name, int(own.sum()), *(int(count) for count in own))
        for side, scored in drawn
        for name, own in zip(classes, scored.confusion, strict=True)
    ]
    return Table(
        key=f"confusion-{head}",
        title=f"Calls against the readers' answers, head {head}.",
        caption=f"Counts of {drawn[0][1].unit}; a row is a true class, n its size, and the columns "
        "are the calls.",
        columns=("Data set", "Answer", "n", *(f"called {name}" for name in classes)),
        rows=tuple(rows),
        lead=2,
    )
