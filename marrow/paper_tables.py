"""The paper's tables as plain rows: each head over the loss weights and the epochs of a sweep."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from marrow.records import Cell as GridCell
from marrow.schemes import Head, Scheme

SITE = "site:"
"""Prefix of the side of an external cohort."""
SIDE_NAMES = {
    "train": "Training",
    "out-of-fold": "Out of fold",
    "test": "Testing",
    "seed2022": "Testing (images)",
}
COLUMNS = ("Sensitivity", "Specificity", "PPV", "NPV", "AUC", "Accuracy")
_RATES = ("sensitivity", "specificity", "ppv", "npv")

Figures = Mapping[str, Any]
"""What `marrow.evaluate.head_figures` gives."""
Value = str | int | float | None | Mapping[str, Any]
"""A cell of a table; a mapping is a figure with `value`, `low`, `high`, `n` and `unit`."""
Row = tuple[Value, ...]


@dataclass(frozen=True)
class GridModel:
    """A model of a sweep: the cells that it serves, and the sides that it was scored on."""

    id: int
    cells: tuple[GridCell, ...]
    sides: tuple[str, ...]


@dataclass(frozen=True)
class Slice:
    """A table of one head: the models of a sweep that differ in one thing alone."""

    head: Head
    varied: Literal["loss weights", "numbers of epochs"]
    fixed: str
    """What these models have in common: `30 epochs`, or `loss weights 1:9`."""
    models: int
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    """Model and data set, then what `performance` gives; () where nothing was scored."""


@dataclass(frozen=True)
class PaperGrid:
    """A sweep in the eyes of one of its models.

    Attributes
    ----------
    own : GridCell
        Loss weights and epochs that are held while the other is varied.
    models : sequence of GridModel
        Of the sweep, in any order; the model itself among them.
    order : sequence of loss weights
        As the sweep names them, which is their order in the tables.
    has_seeds : bool
        Whether the sweep has several, which must then be told.
    figures : callable
        The figures of a model (by id) on a side for a head; None where it was not scored.
    """

    scheme: Scheme
    own: GridCell
    models: Sequence[GridModel]
    order: Sequence[tuple[float, ...]]
    has_seeds: bool
    figures: Callable[[int, str, str], Figures | None]

    def slices(self, head: Head) -> tuple[Slice, Slice]:
        """The table over the loss weights, and that over the epochs."""
        weights = weights_text(self.own, len(self.scheme.heads))
        by_weights = [one for one in self.sorted() if self._has(one, epochs=self.own.epochs)]
        by_epochs = [one for one in self.sorted() if self._has(one, weights=weights)]
        return (
            self._slice(head, "loss weights", f"{self.own.epochs} epochs", by_weights),
            self._slice(head, "numbers of epochs", f"loss weights {weights}", by_epochs),
        )

    def external(self, model: GridModel) -> list[Row]:
        """Site, head, class and what `performance` gives, of each external cohort."""
        return [
            (side_text(side), head.name, *(row if head.positive is None else (head.positive, *row)))
            for side in sorted(model.sides)
            if side.startswith(SITE)
            for head in self.scheme.heads
            if (found := self.figures(model.id, side, head.name)) is not None
            for row in performance(head, found)
        ]

    def sorted(self) -> list[GridModel]:
        """The models by epochs, then loss weights as the sweep names them, then seed."""

        def place(model: GridModel) -> tuple[int, int, int]:
            cell, order = model.cells[0], list(self.order)
            known = cell.loss_weights in order
            return cell.epochs, order.index(cell.loss_weights) if known else len(order), cell.seed

        return sorted(self.models, key=place)

    def name(self, model: GridModel) -> str:
        """How the paper names a model, with its seed where there are several."""
        name = model_text(model.cells, len(self.scheme.heads))
        if not self.has_seeds:
            return name
        return f"{name}, seed {', '.join(str(s) for s in sorted({c.seed for c in model.cells}))}"

    def _has(
        self, model: GridModel, *, epochs: int | None = None, weights: str | None = None
    ) -> bool:
        heads = len(self.scheme.heads)
        return any(
            epochs in (None, cell.epochs) and weights in (None, weights_text(cell, heads))
            for cell in model.cells
        )

    def _slice(
        self,
        head: Head,
        varied: Literal["loss weights", "numbers of epochs"],
        fixed: str,
        kept: Sequence[GridModel],
    ) -> Slice:
        sides = [one for one in sides_of(kept) if one != "seed2022"]
        rows = tuple(
            (self.name(model), side_text(side), *row)
            for model in kept
            for side in sides
            if (found := self.figures(model.id, side, head.name)) is not None
            for row in performance(head, found)
        )
        columns = ("Model", "Data set", *class_columns(head), "n", *COLUMNS)
        return Slice(head, varied, fixed, len(kept), columns, rows)


def sides_of(models: Sequence[GridModel]) -> list[str]:
    """The sides on which any of these models was scored, in the order of the tables."""
    found = {side for one in models for side in one.sides}
    own = [one for one in SIDE_NAMES if one in found]
    return own + sorted(one for one in found if one.startswith(SITE))


def side_text(side: str) -> str:
    """The name of a side in the tables."""
    if side.startswith(SITE):
        return f"External: {side.removeprefix(SITE)}"
    return SIDE_NAMES.get(side, side)


def weights_text(cell: GridCell, heads: int) -> str:
    """`1:9`; equal ones, `1:1`, where none were given."""
    given = cell.loss_weights or (1.0,) * heads
    return ":".join(f"{weight:g}" for weight in given)


def model_text(cells: Sequence[GridCell], heads: int) -> str:
    """How the paper names a model: `30 epochs, 1:9`; all weights that share it."""
    epochs = ", ".join(f"{one}" for one in sorted({cell.epochs for cell in cells}))
    weights = " = ".join(dict.fromkeys(weights_text(cell, heads) for cell in cells))
    return f"{epochs} epochs, {weights}"


def class_columns(head: Head) -> tuple[str, ...]:
    """The column that names the class, where there are rows of several."""
    return () if head.positive is not None else ("Class",)


def performance(head: Head, figures: Figures) -> list[Row]:
    """n and the six figures of a two-class head; of more classes a row for all and for each.

    With more than two classes the name of the class stands before n.
    """
    if head.positive is not None:
        rates = [figures[name] for name in _RATES]
        return [(figures["n"], *rates, figures["auc"], figures["accuracy"])]
    none = (None,) * len(_RATES)
    rows: list[Row] = [("all", figures["n"], *none, figures["auc"], figures["accuracy"])]
    for name in head.classes:
        own = figures["per_class"][name]
        rows.append((name, own["n"], *(own[rate] for rate in _RATES), own["auc"], None))
    return rows
