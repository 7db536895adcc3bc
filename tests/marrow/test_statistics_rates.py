"""Weighted shares against scikit-learn, against repeated rows, and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics

from marrow.statistics import (
    accuracy_metric,
    balanced_accuracy,
    balanced_accuracy_metric,
    brier_metric,
    mean_metric,
    npv_metric,
    patient_bootstrap,
    ppv_metric,
    sensitivity_metric,
    specificity_metric,
    two_by_two,
)

TIGHT = 1e-12  # the same sums in another order of additions
CLASSES = ["AA", "AML", "MDS"]


@pytest.fixture
def calls():
    """Calls, truth and weights (5, n) of three classes."""
    rng = np.random.default_rng(0)
    truth = rng.choice(CLASSES, 70)
    called = np.where(rng.random(70) < 0.6, truth, rng.choice(CLASSES, 70))
    return called, truth, rng.integers(0, 4, (5, 70)).astype(float)


def test_the_five_figures_by_hand():
    # tp 2, fn 1, fp 1, tn 3; then the first true positive counts three times.
    called = np.array([1, 1, 0, 1, 0, 0, 0])
    truth = np.array([1, 1, 1, 0, 0, 0, 0])
    weights = np.array([[1, 1, 1, 1, 1, 1, 1], [3, 1, 1, 1, 1, 1, 1]], dtype=float)
    assert sensitivity_metric(called, truth, 1)(weights) == pytest.approx([2 / 3, 4 / 5])
    assert specificity_metric(called, truth, 1)(weights) == pytest.approx([3 / 4, 3 / 4])
    assert ppv_metric(called, truth, 1)(weights) == pytest.approx([2 / 3, 4 / 5])
    assert npv_metric(called, truth, 1)(weights) == pytest.approx([3 / 4, 3 / 4])
    assert accuracy_metric(called, truth)(weights) == pytest.approx([5 / 7, 7 / 9])
    assert balanced_accuracy_metric(called, truth, [0, 1])(weights) == pytest.approx(
        [(2 / 3 + 3 / 4) / 2, (4 / 5 + 3 / 4) / 2]
    )


@pytest.mark.parametrize("positive", CLASSES)
def test_shares_equal_scikit_learn_with_weights(calls, positive):
    called, truth, weights = calls
    said, was = called == positive, truth == positive
    for ours, theirs in (
        (sensitivity_metric, lambda w: metrics.recall_score(was, said, sample_weight=w)),
        (specificity_metric, lambda w: metrics.recall_score(~was, ~said, sample_weight=w)),
        (ppv_metric, lambda w: metrics.precision_score(was, said, sample_weight=w)),
        (npv_metric, lambda w: metrics.precision_score(~was, ~said, sample_weight=w)),
    ):
        expected = [theirs(w) for w in weights]
        assert ours(called, truth, positive)(weights) == pytest.approx(expected, abs=TIGHT)


def test_accuracies_equal_scikit_learn_with_weights(calls):
    called, truth, weights = calls
    for ours, theirs in (
        (accuracy_metric(called, truth), metrics.accuracy_score),
        (balanced_accuracy_metric(called, truth, CLASSES), metrics.balanced_accuracy_score),
    ):
        expected = [theirs(truth, called, sample_weight=w) for w in weights]
        assert ours(weights) == pytest.approx(expected, abs=TIGHT)


def test_at_weight_one_they_are_the_figures_of_the_table(calls):
    called, truth, _ = calls
    said, was = called == "MDS", truth == "MDS"
    table = two_by_two(
        *(int(np.sum(a & b)) for a, b in ((said, was), (~said, was), (said, ~was), (~said, ~was)))
    )
    one = np.ones((1, 70))
    assert sensitivity_metric(called, truth, "MDS")(one)[0] == table.sensitivity.value
    assert specificity_metric(called, truth, "MDS")(one)[0] == table.specificity.value
    assert ppv_metric(called, truth, "MDS")(one)[0] == table.ppv.value
    assert npv_metric(called, truth, "MDS")(one)[0] == table.npv.value
    assert balanced_accuracy(called, truth, CLASSES) == pytest.approx(
        metrics.balanced_accuracy_score(truth, called), abs=TIGHT
    )


def test_a_draw_without_a_denominator_has_no_figure():
    called, truth = np.array([1, 0, 0]), np.array([1, 0, 0])
    weights = np.array([[0.0, 1, 2], [1, 0, 0]])
    assert np.isnan(sensitivity_metric(called, truth, 1)(weights)).tolist() == [True, False]
    assert np.isnan(npv_metric(called, truth, 1)(weights)).tolist() == [False, True]
    # A draw without a class: the mean over the others would be another figure.
    assert np.isnan(balanced_accuracy_metric(called, truth, [0, 1])(weights)).all()


def test_brier_by_hand():
    # (.9 - 1)^2 = .01, (.4 - 0)^2 = .16; the second weighs three times: (.01 + .48)/4.
    found = brier_metric([0.9, 0.4], [1, 0])(np.array([[1.0, 1], [1, 3]]))
    assert found == pytest.approx([0.085, 0.1225], abs=TIGHT)


def test_brier_equals_scikit_learn_with_weights():
    rng = np.random.default_rng(1)
    p, truth = rng.dirichlet([1, 1, 1], 50), rng.integers(0, 3, 50)
    weights = rng.integers(0, 4, (4, 50)).astype(float)
    several = [
        metrics.brier_score_loss(truth, p, sample_weight=w, labels=[0, 1, 2]) for w in weights
    ]
    assert brier_metric(p, truth)(weights) == pytest.approx(several, abs=TIGHT)
    two = [metrics.brier_score_loss(truth == 1, p[:, 1], sample_weight=w) for w in weights]
    assert brier_metric(p[:, 1], truth == 1)(weights) == pytest.approx(two, abs=TIGHT)
    both = np.stack([1 - p[:, 1], p[:, 1]], axis=1)
    assert brier_metric(both, (truth == 1).astype(int))(weights) == pytest.approx(
        2 * np.array(two), abs=TIGHT
    )


def test_shares_have_intervals_over_patients():
    """Four images of each of 30 patients, all called alike: the interval is that of 30."""
    right = np.random.default_rng(2).random(30) < 0.8
    one = patient_bootstrap(mean_metric(right), np.arange(30), draws=500)
    four = patient_bootstrap(
        mean_metric(np.repeat(right, 4)), np.repeat(np.arange(30), 4), None, 500
    )
    assert (four.low, four.high, four.n) == (one.low, one.high, 30)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: mean_metric([]), "equal columns"),
        (lambda: mean_metric([1.0, np.nan]), "1 of the values are not finite"),
        (lambda: mean_metric([1.0, 2.0], [True]), "equal columns"),
        (lambda: sensitivity_metric(["a"], ["a", "b"], "a"), "two equal columns"),
        (lambda: balanced_accuracy_metric(["a"], ["c"], ["a", "b"]), "holds c"),
        (lambda: brier_metric([[0.5, 0.5]], [2]), "between 0 and 1"),
        (lambda: brier_metric([0.5, 0.5], [1]), "do not fit"),
    ],
)
def test_refuses_what_does_not_fit(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_values_outside_of_the_rows_that_count_may_be_missing():
    assert mean_metric([1.0, np.nan, 3.0], [True, False, True])(np.ones((1, 3))) == [2.0]
