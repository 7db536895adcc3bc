"""Losses, accuracies and areas under ROC curves of an epoch, counted batch by batch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from pydantic import Field

from marrow.records import Record
from marrow.statistics.auc import macro_auc
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
    balanced: dict[str, float | None] = Field(default_factory=dict)
    """Balanced accuracy by head: the mean, over the classes that were seen, of the share of
    their views that was called as labelled."""
    auc: float | None = None
    """Of the primary head, macro one-vs-rest, over views; None: a class was not seen."""
    known: dict[str, int]
    """Views (not patients) behind them."""
    validation: dict[str, Any] | None = None
    """`loss`, `losses`, `accuracies`, `balanced`, `auc` and `known` of the patients that this
    run leaves out, on their originals and without dropout; None: it leaves out none."""
    seconds: float | None = None
    """From its first batch to its last, validation apart; None: a segment ended within it."""


@dataclass
class Tally:
    """Running sums of one epoch over one side, per head.

    Attributes
    ----------
    primary : str
        The head whose AUC is wanted; empty: none.
    loss : dict of float
        Sum of balanced cross-entropies over the views whose answer is known.
    calls : dict of list of int
        Views by true class, then by called class, flat (K * K).
    scores : list of list of float
        Probabilities of the primary head, of each view whose answer to it is known.
    truth : list of int
        Index of the true class of each of these.
    """

    primary: str = ""
    loss: dict[str, float] = field(default_factory=dict)
    calls: dict[str, list[int]] = field(default_factory=dict)
    scores: list[list[float]] = field(default_factory=list)
    truth: list[int] = field(default_factory=list)

    def add(
        self,
        logits: Mapping[str, torch.Tensor],
        classes: torch.Tensor,
        losses: Mapping[str, torch.Tensor],
    ) -> None:
        """Count one batch; arguments as `losses.head_losses` takes and gives them."""
        for column, (name, values) in enumerate(logits.items()):
            is_known = classes[:, column] != UNKNOWN
            own, said, count = classes[is_known, column], values.detach()[is_known], values.shape[1]
            pairs = torch.bincount(own * count + said.argmax(1), minlength=count * count).tolist()
            before = self.calls.get(name)
            self.calls[name] = pairs if before is None else _sums(before, pairs)
            if name in losses:
                loss = len(own) * float(losses[name].detach())
                self.loss[name] = self.loss.get(name, 0.0) + loss
            if name == self.primary:
                self.scores += said.float().softmax(1).tolist()
                self.truth += own.tolist()

    @property
    def known(self) -> dict[str, int]:
        """Views whose answer is known, by head."""
        return {name: sum(pairs) for name, pairs in self.calls.items()}

    def figures(self, epoch: int, epochs: int, weights: Mapping[str, float]) -> EpochFigures:
        """What the epoch came to; `weights` are the heads' shares of the loss."""
        return EpochFigures(epoch=epoch, epochs=epochs, **self.means(weights))

    def means(self, weights: Mapping[str, float]) -> dict[str, Any]:
        """Losses, accuracies, AUC and views known by head, fit for JSON."""
        known = self.known
        losses = {
            name: self.loss.get(name, 0.0) / known[name] if known.get(name) else None
            for name in weights
        }
        accuracies = {name: _accuracies(self.calls.get(name, [])) for name in weights}
        return {
            "loss": sum(weights[name] * its for name, its in losses.items() if its is not None),
            "losses": losses,
            "accuracies": {name: plain for name, (plain, _) in accuracies.items()},
            "balanced": {name: balanced for name, (_, balanced) in accuracies.items()},
            "auc": self._auc(),
            "known": {name: known.get(name, 0) for name in weights},
        }

    def _auc(self) -> float | None:
        if not self.scores or len(set(self.truth)) < len(self.scores[0]):
            return None
        scores = np.array(self.scores)
        return macro_auc(scores, np.array(self.truth)) if np.isfinite(scores).all() else None


def _sums(one: list[int], other: list[int]) -> list[int]:
    return [a + b for a, b in zip(one, other, strict=True)]


def _accuracies(pairs: list[int]) -> tuple[float | None, float | None]:
    """Plain and balanced accuracy, each 0 to 1, of views by true and called class (K * K)."""
    table = np.array(pairs, dtype=np.int64).reshape(round(len(pairs) ** 0.5), -1)
    members = table.sum(axis=1)
    if not members.sum():
        return None, None
    right, is_seen = table.diagonal(), members > 0
    plain = float(right.sum() / members.sum())
    return plain, float((right[is_seen] / members[is_seen]).mean())
