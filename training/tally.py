"""Losses and accuracies of an epoch, counted batch by batch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from marrow.records import Record
from training.losses import UNKNOWN


class EpochFigures(Record):
    """The training side during one epoch, per head; the test side is never in it."""

    epoch: int
    """Epochs done, counted from 1."""
    epochs: int
    loss: float
    """Weighted sum of the heads' losses."""
    losses: dict[str, float | None]
    """Balanced cross-entropy by head, while dropout was on; None: no answer is known."""
    accuracies: dict[str, float | None]
    """Share of the views called as labelled, while dropout was on."""
    known: dict[str, int]
    """Views (not patients) behind them."""
    validation: dict[str, Any] | None = None
    """`losses`, `accuracies` and `known` of the patients that this run leaves out, on their
    originals and without dropout; None: it leaves out none."""
    seconds: float | None = None
    """From its first batch to its last, validation apart; None: a segment ended within it."""


@dataclass
class Tally:
    """Running sums of one epoch over the training side, per head.

    Attributes
    ----------
    known : dict of int
        Views whose answer is known.
    loss : dict of float
        Sum of balanced cross-entropies over them.
    correct : dict of int
        Views called as labelled, while dropout was on.
    """

    known: dict[str, int] = field(default_factory=dict)
    loss: dict[str, float] = field(default_factory=dict)
    correct: dict[str, int] = field(default_factory=dict)

    def add(
        self,
        logits: Mapping[str, torch.Tensor],
        classes: torch.Tensor,
        losses: Mapping[str, torch.Tensor],
    ) -> None:
        """Count one batch; arguments as `losses.head_losses` takes and gives them."""
        for column, (name, values) in enumerate(logits.items()):
            known = int((classes[:, column] != UNKNOWN).sum())
            right = int((values.argmax(1) == classes[:, column]).sum())
            self.known[name] = self.known.get(name, 0) + known
            self.correct[name] = self.correct.get(name, 0) + right
            if name in losses:
                self.loss[name] = self.loss.get(name, 0.0) + known * float(losses[name].detach())

    def figures(self, epoch: int, epochs: int, weights: Mapping[str, float]) -> EpochFigures:
        """What the epoch came to; `weights` are the heads' shares of the loss."""
        means = self.means(weights)
        known = {name: loss for name, loss in means["losses"].items() if loss is not None}
        loss = sum(weights[name] * its for name, its in known.items())
        return EpochFigures(epoch=epoch, epochs=epochs, loss=loss, **means)

    def means(self, weights: Mapping[str, float]) -> dict[str, Any]:
        """Losses, accuracies and views known by head, fit for JSON."""
        return {
            "losses": {name: self._mean(self.loss, name) for name in weights},
            "accuracies": {name: self._mean(self.correct, name) for name in weights},
            "known": {name: self.known.get(name, 0) for name in weights},
        }

    def _mean(self, sums: Mapping[str, float], name: str) -> float | None:
        known = self.known.get(name, 0)
        return sums.get(name, 0) / known if known else None
