"""What an epoch came to, counted batch by batch: against scikit-learn on the whole."""

from __future__ import annotations

import pytest
import torch
from sklearn.metrics import accuracy_score, balanced_accuracy_score, roc_auc_score

from training.losses import UNKNOWN, head_losses
from training.tally import Tally

WEIGHTS = {"mds": 0.25, "diagnosis": 0.75}


def rows(count: int = 60) -> tuple[dict[str, torch.Tensor], torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(4)
    logits = {
        "mds": torch.randn(count, 2, generator=generator),
        "diagnosis": torch.randn(count, 3, generator=generator),
    }
    classes = torch.stack(
        [torch.randint(0, k, (count,), generator=generator) for k in (2, 3)], dim=1
    )
    classes[::7, 1] = UNKNOWN
    return logits, classes, torch.ones(count, 2)


def counted(batches: list[slice]) -> Tally:
    logits, classes, balance = rows()
    tally = Tally("diagnosis")
    for batch in batches:
        own = {name: values[batch] for name, values in logits.items()}
        tally.add(own, classes[batch], head_losses(own, classes[batch], balance[batch]))
    return tally


def test_figures_of_an_epoch_agree_with_scikit_learn() -> None:
    logits, classes, balance = rows()
    figures = counted([slice(0, 60)]).figures(3, 9, WEIGHTS)
    for column, name in enumerate(WEIGHTS):
        known = classes[:, column] != UNKNOWN
        truth, said = classes[known, column], logits[name][known].argmax(1)
        assert figures.known[name] == int(known.sum())
        assert figures.accuracies[name] == pytest.approx(accuracy_score(truth, said))
        assert figures.balanced[name] == pytest.approx(balanced_accuracy_score(truth, said))
    known = classes[:, 1] != UNKNOWN
    scores = logits["diagnosis"][known].softmax(1)
    expected = roc_auc_score(classes[known, 1], scores, multi_class="ovr", average="macro")
    assert figures.auc == pytest.approx(expected, abs=1e-6)
    losses = head_losses(logits, classes, balance)
    assert figures.loss == pytest.approx(sum(WEIGHTS[n] * float(v) for n, v in losses.items()))


def test_batches_change_nothing_but_the_rounding() -> None:
    whole = counted([slice(0, 60)]).means(WEIGHTS)
    parts = counted([slice(0, 7), slice(7, 8), slice(8, 60)]).means(WEIGHTS)
    assert parts.pop("losses") == pytest.approx(whole.pop("losses"), rel=1e-6)
    assert parts.pop("loss") == pytest.approx(whole.pop("loss"), rel=1e-6)
    assert parts == whole


def test_what_was_not_seen_has_no_figure() -> None:
    tally = Tally("diagnosis")
    nobody = torch.full((4, 2), UNKNOWN)
    logits = {"mds": torch.zeros(4, 2), "diagnosis": torch.zeros(4, 3)}
    tally.add(logits, nobody, {})
    means = tally.means(WEIGHTS)
    assert (means["loss"], means["auc"]) == (0, None)
    assert means["balanced"] == means["accuracies"] == {"mds": None, "diagnosis": None}
    one_class = torch.zeros((4, 2), dtype=torch.int64)
    tally.add(logits, one_class, head_losses(logits, one_class, torch.ones(4, 2)))
    means = tally.means(WEIGHTS)
    assert means["balanced"]["diagnosis"] == 1.0  # of the one class that was seen
    assert means["auc"] is None
