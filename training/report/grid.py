"""The paper's tables: each head over the loss weights and the epochs of the sweep."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

from marrow.records import Cell as GridCell
from marrow.schemes import Head
from training.evaluate import head_figures
from training.report.evidence import SITE, Evidence, ScoredModel
from training.report.parts import Cell, Missing, Part, Table
from training.report.words import PAPER, intervals_text, methods_text

SIDE_NAMES = {
    "train": "Training",
    "out-of-fold": "Out of fold",
    "test": "Testing",
    "seed2022": "Testing (images)",
}

_RATES = ("sensitivity", "specificity", "ppv", "npv")
_COLUMNS = ("Sensitivity", "Specificity", "PPV", "NPV", "AUC", "Accuracy")


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
        found = {look.side for one in models for look in one.scorings}
        return [one for one in SIDE_NAMES if one in found] + sorted(
            one for one in found if one.startswith(SITE)
        )


def cells_of(evidence: Evidence, model: ScoredModel) -> list[GridCell]:
    """The cells of the grid that a model serves; one made up from its spec if it names none."""
    if model.card.cells:
        return list(model.card.cells)
    spec = model.card.training
    return [GridCell(loss_weights=spec.loss_weights, epochs=spec.epochs, seed=spec.seed, run=0)]


def weights_text(cell: GridCell, heads: int) -> str:
    """`1:9`; `equal` where none were given."""
    given = cell.loss_weights or (1.0,) * heads
    return ":".join(f"{weight:g}" for weight in given)


def model_text(cells: Sequence[GridCell], heads: int) -> str:
    """How the paper names a model: `30 epochs, 1:9`; all weights that share it, seeds if many."""
    epochs = ", ".join(f"{one}" for one in sorted({cell.epochs for cell in cells}))
    weights = " = ".join(dict.fromkeys(weights_text(cell, heads) for cell in cells))
    return f"{epochs} epochs, {weights}"


def side_text(side: str) -> str:
    """The name of a side in the tables."""
    if side.startswith(SITE):
        return f"External: {side.removeprefix(SITE)}"
    return SIDE_NAMES.get(side, side)


def paper_tables(grid: Grid) -> list[Part]:
    """The paper's Tables 1 to 5: each head by loss weights and by epochs, then external.

    With other numbers of heads there are as many tables more or less.
    """
    parts: list[Part] = [methods_text(grid.evidence.unit)]
    for head in grid.evidence.scheme.heads:
        parts.append(_slice(grid, head, "weights"))
        parts.append(_slice(grid, head, "epochs"))
    return [*parts, _external(grid)]


def _slice(grid: Grid, head: Head, by: str) -> Part:
    evidence = grid.evidence
    own, heads = evidence.card.training, len(evidence.scheme.heads)
    weights = ":".join(f"{one:g}" for one in own.loss_weights) or ":".join("1" * heads)
    if by == "weights":
        kept = [m for m in _sorted(evidence) if _has(evidence, m, epochs=own.epochs)]
        fixed, what = f"{own.epochs} epochs", "loss weights"
    else:
        kept = [m for m in _sorted(evidence) if _has(evidence, m, weights=weights)]
        fixed, what = f"loss weights {weights}", "numbers of epochs"
    sides = [side for side in grid.sides(kept) if side != "seed2022"]
    rows = [row for model in kept for side in sides for row in _rows(grid, model, side, head)]
    if not rows:
        return Missing(
            f"{head.name}, {what}: no model of this sweep was scored with its answers kept; "
            "`marrow sweep` scores and keeps them."
        )
    alone = "" if len(kept) > 1 else _why_alone(evidence, what)
    return Table(
        key=f"{head.name}-by-{what.split()[-1] if by == 'epochs' else 'loss-weights'}",
        title=f"Head {head.name}: performance with different {what}.",
        caption=f"At {fixed}; in the form of {PAPER}. {_class_text(head)} "
        f"{intervals_text(evidence.unit)}{alone}",
        columns=("Model", "Data set", *_class_columns(head), "n", *_COLUMNS),
        rows=tuple(rows),
        lead=2,
    )


def _sorted(evidence: Evidence) -> list[ScoredModel]:
    """The models of the sweep by epochs, then loss weights as the grid names them, then seed."""

    def place(model: ScoredModel) -> tuple[int, int, int]:
        own = cells_of(evidence, model)[0]
        order = [cell.loss_weights for cell in evidence.sweep.cells] if evidence.sweep else []
        known = own.loss_weights in order
        return own.epochs, order.index(own.loss_weights) if known else len(order), own.seed

    return sorted(evidence.sisters, key=place)


def _has(
    evidence: Evidence, model: ScoredModel, *, epochs: int | None = None, weights: str | None = None
) -> bool:
    heads = len(evidence.scheme.heads)
    return any(
        epochs in (None, cell.epochs) and weights in (None, weights_text(cell, heads))
        for cell in cells_of(evidence, model)
    )


def _why_alone(evidence: Evidence, what: str) -> str:
    notes = evidence.sweep.notes if evidence.sweep else ()
    why = f" {' '.join(notes)}" if notes else ""
    return f" One model serves this table: the sweep has no other with different {what}.{why}"


def _class_columns(head: Head) -> tuple[str, ...]:
    return () if head.positive is not None else ("Class",)


def _class_text(head: Head) -> str:
    if head.positive is not None:
        return f"Sensitivity to NPV and AUC are those of {head.positive}."
    return (
        "Row `all`: macro AUC and accuracy; the other rows: each class against the rest, so that "
        "no class is left out and none is counted twice."
    )


def _rows(grid: Grid, model: ScoredModel, side: str, head: Head) -> list[tuple[Cell, ...]]:
    evidence = grid.evidence
    figures = grid.figures(model.record.id, side, head.name)
    if figures is None:
        return []
    cells = cells_of(evidence, model)
    name = model_text(cells, len(evidence.scheme.heads))
    if len({cell.seed for cell in (evidence.sweep.cells if evidence.sweep else ())}) > 1:
        name += f", seed {', '.join(str(seed) for seed in sorted({cell.seed for cell in cells}))}"
    return [(name, side_text(side), *row) for row in performance(head, figures)]


def performance(head: Head, figures: dict[str, Any]) -> list[tuple[Cell, ...]]:
    """n and the six figures of a two-class head; of more classes a row for all and for each.

    With more than two classes the name of the class stands before n.
    """
    if head.positive is not None:
        rates = [figures[name] for name in _RATES]
        return [(figures["n"], *rates, figures["auc"], figures["accuracy"])]
    none = (None,) * len(_RATES)
    rows: list[tuple[Cell, ...]] = [
        ("all", figures["n"], *none, figures["auc"], figures["accuracy"])
    ]
    for name in head.classes:
        own = figures["per_class"][name]
        rows.append((name, own["n"], *(own[rate] for rate in _RATES), own["auc"], None))
    return rows


def _external(grid: Grid) -> Part:
    evidence = grid.evidence
    sites = [f"{SITE}{name}" for name in evidence.model.sites]
    rows = [
        (side_text(side), head.name, *(cells if head.positive is None else (head.positive, *cells)))
        for side in sites
        for head in evidence.scheme.heads
        if (figures := grid.figures(evidence.model.record.id, side, head.name)) is not None
        for cells in performance(head, figures)
    ]
    if not rows:
        return Missing(
            "External validation: this model was scored on no external cohort; lock a site with "
            f"`marrow lock SITE` and score it with `marrow validate {evidence.model.record.name} "
            "--site SITE`."
        )
    name = model_text(cells_of(evidence, evidence.model), len(evidence.scheme.heads))
    return Table(
        key="external",
        title="External validation.",
        caption=f"Model {evidence.model.record.name} ({name}) on sites that neither trained nor "
        f"chose it, in the form of {PAPER}. Row `all`: macro AUC and accuracy. "
        f"{intervals_text(evidence.unit)}",
        columns=("Site", "Head", "Class", "n", *_COLUMNS),
        rows=tuple(rows),
        lead=2,
    )


def whole_grid(grid: Grid) -> Part:
    """All cells of the sweep: how the model was chosen, and what each came to."""
    evidence = grid.evidence
    heads = len(evidence.scheme.heads)
    sides = [s for s in grid.sides(evidence.sisters) if s not in ("train", "seed2022")]
    rows = [row for model in _sorted(evidence) for row in _grid_rows(grid, model, sides, heads)]
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
    cells = cells_of(evidence, model)
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
