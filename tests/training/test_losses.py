"""Heads' losses: weighted, masked, balanced by class and patient."""

from __future__ import annotations

import pytest
import torch

from marrow.errors import BadScheme
from training.losses import balance_by_patient, class_indices, head_losses, head_weights


def test_weights_are_normalised_and_equal_by_default(scheme):
    assert head_weights(scheme, ()) == {"mds": 0.5, "diagnosis": 0.5}
    assert head_weights(scheme, (1, 9)) == pytest.approx({"mds": 0.1, "diagnosis": 0.9})


@pytest.mark.parametrize("given", [(1,), (1, 2, 3), (-1, 2), (0, 0)])
def test_refuses_weights_that_do_not_fit_the_heads(scheme, given):
    with pytest.raises(BadScheme, match="one weight per head"):
        head_weights(scheme, given)


def test_classes_are_indices_in_the_order_of_the_scheme(make_smears, scheme):
    smears = make_smears([("a", "AML"), ("b", "MDS"), ("c", None)])
    assert class_indices(smears, scheme).tolist() == [[0, 2], [1, 1], [-1, -1]]


def test_a_missing_answer_masks_its_head_alone():
    logits = {"a": torch.tensor([[2.0, 0.0], [0.0, 1.0]]), "b": torch.zeros(2, 3)}
    classes = torch.tensor([[0, -1], [-1, -1]])
    losses = head_losses(logits, classes, torch.ones(2, 2))
    assert set(losses) == {"a"}
    # -log(e^2 / (e^2 + 1)), the first view alone
    assert float(losses["a"]) == pytest.approx(0.126928, abs=1e-6)


def test_loss_of_a_batch_is_the_mean_over_its_known_views():
    logits = {"a": torch.zeros(4, 2)}
    classes = torch.tensor([[0], [1], [-1], [1]])
    balance = torch.tensor([[3.0], [1.0], [0.0], [2.0]])
    assert float(head_losses(logits, classes, balance)["a"]) == pytest.approx(
        2 * torch.log(torch.tensor(2.0)).item(), abs=1e-6
    )


def test_each_class_counts_alike_and_in_it_each_patient():
    # Worked by hand: class 0 has patients p (3 views) and q (1), class 1 has q (2).
    classes = torch.tensor([[0], [0], [0], [0], [1], [1], [-1]])
    patients = ["p", "p", "p", "q", "q", "q", "p"]
    weights = balance_by_patient(classes, patients)[:, 0]
    assert weights.tolist() == pytest.approx([0.5, 0.5, 0.5, 1.5, 1.5, 1.5, 0])
    assert float(weights.sum()) == pytest.approx(6)
