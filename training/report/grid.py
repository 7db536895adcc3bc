"""The paper's tables: each head over the loss weights and the epochs of the sweep."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache, cached_property
from typing import Any

from marrow.evaluate import head_figures
from marrow.paper_tables import (
    COLUMNS,
    GridModel,
    PaperGrid,
    Slice,
    model_text,
    side_text,
    sides_of,
    weights_text,
)
from marrow.records import Cell as GridCell
from marrow.schemes import Head
from training.report.evidence import Evidence, ScoredModel
from training.report.parts import Cell, Missing, Part, Table
from training.report.words import PAPER, intervals_text, methods_text


class Grid:
    """The figures of every model of a sweep on every side, each computed once."""

    def __init__(self, evidence: Evidence) -> None:
        self.evidence = evidence
        self.figures = cache(self._figures)

    def _figures(self, model_id: int, side: str, head: str) -> dict[str, Any] | None:
        """`evaluate.head_figures`, or None where the side was not scored with its answers."""
        rows = self.evidence.rows(self.model(model_id), side, head)
        return None if rows is None else head_figures(rows)

    def model(self, model_id: int) -> ScoredModel:
        """The model of that id, of this sweep or another."""
        every = (*self.evidence.sisters, *self.evidence.others)
        return next(one for one in every if one.record.id == model_id)

    def sides(self, models: Iterable[ScoredModel]) -> list[str]:
        """The sides on which any of these models was scored, in the order of the tables."""
        return sides_of([plain(one) for one in models])

    @cached_property
    def paper(self) -> PaperGrid:
        """The sweep of the reported model as rows of the paper's tables."""
        evidence = self.evidence
        spec = evidence.card.training
        cells = evidence.sweep.cells if evidence.sweep else ()
        return PaperGrid(
            evidence.scheme,
            GridCell(loss_weights=spec.loss_weights, epochs=spec.epochs, seed=spec.seed, run=0),
            [plain(one) for one in evidence.sisters],
            [cell.loss_weights for cell in cells],
            len({cell.seed for cell in cells}) > 1,
            self.figures,
        )


def cells_of(model: ScoredModel) -> list[GridCell]:
    """The cells of the grid that a model serves; one made up from its spec if it names none."""
    if model.card.cells:
        return list(model.card.cells)
    spec = model.card.training
    return [GridCell(loss_weights=spec.loss_weights, epochs=spec.epochs, seed=spec.seed, run=0)]


def plain(model: ScoredModel) -> GridModel:
    """The model as the rows of the tables need it."""
    sides = dict.fromkeys(look.side for look in model.scorings)
    return GridModel(model.record.id, tuple(cells_of(model)), tuple(sides))


def paper_tables(grid: Grid) -> list[Part]:
    """The paper's Tables 1 to 5: each head by loss weights and by epochs, then external.

    With other numbers of heads there are as many tables more or less.
    """
    parts: list[Part] = [methods_text(grid.evidence.unit)]
    for head in grid.evidence.scheme.heads:
        parts += [_table(grid.evidence, one) for one in grid.paper.slices(head)]
    return [*parts, _external(grid)]


def _table(evidence: Evidence, found: Slice) -> Part:
    head, what = found.head, found.varied
    if not found.rows:
        return Missing(
            f"{head.name}, {what}: no model of this sweep was scored with its answers kept; "
            "`marrow sweep` scores and keeps them."
        )
    alone = "" if found.models > 1 else _why_alone(evidence, what)
    return Table(
        key=f"{head.name}-by-{'loss-weights' if what == 'loss weights' else 'epochs'}",
        title=f"Head {head.name}: performance with different {what}.",
        caption=f"At {found.fixed}; in the form of {PAPER}. {_class_text(head)} "
        f"{intervals_text(evidence.unit)}{alone}",
        columns=found.columns,
        rows=found.rows,
        lead=2,
    )


def _why_alone(evidence: Evidence, what: str) -> str:
    notes = evidence.sweep.notes if evidence.sweep else ()
    why = f" {' '.join(notes)}" if notes else ""
    return f" One model serves this table: the sweep has no other with different {what}.{why}"


def _class_text(head: Head) -> str:
    if head.positive is not None:
        return f"Sensitivity to NPV and AUC are those of {head.positive}."
    return (
        "Row `all`: macro AUC and accuracy; the other rows: each class against the rest, so that "
        "no class is left out and none is counted twice."
    )


def _external(grid: Grid) -> Part:
    evidence = grid.evidence
    rows = grid.paper.external(plain(evidence.model))
    if not rows:
        return Missing(
            "External validation: this model was scored on no external cohort; lock a site with "
            f"`marrow lock SITE` and score it with `marrow validate {evidence.model.record.name} "
            "--site SITE`."
        )
    name = model_text(cells_of(evidence.model), len(evidence.scheme.heads))
    return Table(
        key="external",
        title="External validation.",
        caption=f"Model {evidence.model.record.name} ({name}) on sites that neither trained nor "
        f"chose it, in the form of {PAPER}. Row `all`: macro AUC and accuracy. "
        f"{intervals_text(evidence.unit)}",
        columns=("Site", "Head", "Class", "n", *COLUMNS),
        rows=tuple(rows),
        lead=2,
    )


def whole_grid(grid: Grid) -> Part:
    """All cells of the sweep: how the model was chosen, and what each came to."""
    evidence = grid.evidence
    heads = len(evidence.scheme.heads)
    sides = [s for s in grid.sides(evidence.sisters) if s not in ("train", "seed2022")]
    ordered = [grid.model(one.id) for one in grid.paper.sorted()]
    rows = [row for model in ordered for row in _grid_rows(grid, model, sides, heads)]
    if not rows:
        return Missing("The grid: no cell of the sweep was scored with its answers kept.")
    notes = " ".join(evidence.sweep.notes) if evidence.sweep else ""
    return Table(
        key="grid",
        title="All cells of the grid.",
        caption="* marks the reported model. Cells that one model serves stand together (5:5 = "
        f"1:9). {notes} The choice among cells uses the out-of-fold figures of the training "
        f"patients alone. {intervals_text(evidence.unit)}",
        columns=(
            "Epochs",
            "Loss weights",
            "Seed",
            "Model",
            "Head",
            "Data set",
            "AUC",
            "Accuracy",
            "Balanced accuracy",
        ),
        rows=tuple(rows),
        lead=5,
    )


def _grid_rows(
    grid: Grid, model: ScoredModel, sides: Sequence[str], heads: int
) -> list[tuple[Cell, ...]]:
    evidence = grid.evidence
    cells = cells_of(model)
    chosen = " *" if model.record.id == evidence.model.record.id else ""
    named = (
        ", ".join(str(epochs) for epochs in sorted({cell.epochs for cell in cells})),
        " = ".join(dict.fromkeys(weights_text(cell, heads) for cell in cells)),
        ", ".join(str(seed) for seed in sorted({cell.seed for cell in cells})),
        f"{model.record.name}{chosen}",
    )
    rows: list[tuple[Cell, ...]] = []
    for head in evidence.scheme.heads:
        for side in sides:
            found = grid.figures(model.record.id, side, head.name)
            if found is not None:
                measured = (found["auc"], found["accuracy"], found["balanced_accuracy"])
                rows.append((*named, head.name, side_text(side), *measured))
    return rows
