"""How a training run goes, epoch by epoch, from the events that tell of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from marrow.records import Record

State = Literal["waiting", "running", "stopped", "done", "failed", "chosen", "cancelled"]
"""Of a run or a cell; a run is never `chosen`."""

Values = tuple[float | None, ...]
"""One value an epoch; None where it is not known."""


class Point(NamedTuple):
    """One epoch of a curve."""

    loss: float | None
    balanced: float | None
    auc: float | None


class Curve(Record):
    """How one side of a run went, epoch by epoch; over views, not patients."""

    loss: Values = ()
    """Weighted sum of the heads' balanced cross-entropies."""
    balanced: Values = ()
    """Balanced accuracy of the primary head, 0 to 1."""
    auc: Values = ()
    """Macro one-vs-rest AUC of the primary head, 0 to 1."""

    def after(self, told: Sequence[Mapping[str, Any]], primary: str) -> Curve:
        """The curve with these epochs at its end."""
        balanced = (one.get("balanced", {}).get(primary) for one in told)
        return Curve.model_construct(
            loss=(*self.loss, *(one.get("loss") for one in told)),
            balanced=(*self.balanced, *balanced),
            auc=(*self.auc, *(one.get("auc") for one in told)),
        )


class RunCurves(Record):
    """A run and its curves."""

    run: int
    """Index of the run in the sweep."""
    fold: int | None
    """The part of the training patients that it leaves out; None: it trains on all of them."""
    total: int
    """Epochs that it is to train."""
    state: State = "waiting"
    epochs: tuple[int, ...] = ()
    """Epochs that were told, ascending from 1: the abscissa of both curves."""
    train: Curve = Curve()
    """Of the training views, while dropout was on."""
    validation: Curve | None = None
    """Of the patients that the run leaves out; None: it leaves out none. The test patients are
    in neither curve."""

    @property
    def epoch(self) -> int:
        """Epochs done."""
        return self.epochs[-1] if self.epochs else 0

    def after(self, told: Sequence[Mapping[str, Any]], primary: str) -> RunCurves:
        """The run once these epochs were told, whose events follow on those that it knows."""
        new = [one for one in told if one["epoch"] > self.epoch]
        if not new:
            return self
        sides = [one.get("validation") or {} for one in new]
        validation = self.validation
        return self.model_copy(
            update={
                "epochs": (*self.epochs, *(one["epoch"] for one in new)),
                "train": self.train.after(new, primary),
                "validation": None if validation is None else validation.after(sides, primary),
            }
        )

    def validated(self, epochs: int) -> Point:
        """The validation side's newest epoch, not beyond `epochs`."""
        at = min(self.epoch, epochs)
        curve = self.validation
        if curve is None or not at:
            return Point(None, None, None)
        return Point(curve.loss[at - 1], curve.balanced[at - 1], curve.auc[at - 1])
