"""AUC, DeLong and multi-class AUC against brute force, scikit-learn and hand-worked cases."""

from __future__ import annotations

import confidenceinterval
import confidenceinterval.delong
import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from marrow.statistics import (
    auc,
    auc_metric,
    delong_interval,
    hand_till,
    hand_till_metric,
    macro_auc,
    macro_auc_metric,
    micro_auc,
    micro_auc_metric,
    weighted_auc,
    weighted_auc_metric,
)

TIGHT = 1e-12  # the same sums in another order of additions


def psi(x: float, y: float) -> float:
    return 1.0 if x > y else 0.5 if x == y else 0.0


def placements(scores, labels):
    """DeLong's structural components by definition, O(m n)."""
    positive = [s for s, is_one in zip(scores, labels, strict=True) if is_one]
    negative = [s for s, is_one in zip(scores, labels, strict=True) if not is_one]
    v10 = np.array([np.mean([psi(x, y) for y in negative]) for x in positive])
    v01 = np.array([np.mean([psi(x, y) for x in positive]) for y in negative])
    return v10, v01


def brute_variance(scores, labels):
    v10, v01 = placements(scores, labels)
    return v10.var(ddof=1) / len(v10) + v01.var(ddof=1) / len(v01)


def tied_case(seed: int, n: int = 60):
    """Scores rounded to few values, so that most pairs of some cases are tied."""
    rng = np.random.default_rng(seed)
    labels = rng.random(n) < 0.4
    labels[:2], labels[2:4] = True, False
    return np.round(rng.normal(labels * 1.0, 1), seed % 3), labels


def test_auc_counts_a_tie_as_half():
    # Pairs (positive, negative): 3>1, 3=3, 2>1, 2<3: 1 + .5 + 1 + 0 of 4.
    assert auc([3, 2, 1, 3], [1, 1, 0, 0]) == 0.625


@pytest.mark.parametrize("seed", range(9))
def test_auc_equals_scikit_learn_with_ties(seed):
    scores, labels = tied_case(seed)
    assert auc(scores, labels) == pytest.approx(roc_auc_score(labels, scores), abs=TIGHT)


@pytest.mark.parametrize("seed", range(6))
def test_weighted_auc_equals_the_kernel_and_scikit_learn_with_ties(seed):
    scores, labels = tied_case(seed)
    weights = np.random.default_rng(seed).integers(0, 4, (7, len(labels))).astype(float)
    found = auc_metric(scores, labels)(weights)
    kernel = np.array([[psi(x, y) for y in scores[~labels]] for x in scores[labels]])
    for own, area in zip(weights, found, strict=True):
        pairs = np.outer(own[labels], own[~labels])
        assert area == pytest.approx((pairs * kernel).sum() / pairs.sum(), abs=TIGHT)
        assert area == pytest.approx(roc_auc_score(labels, scores, sample_weight=own), abs=TIGHT)


def test_weighted_auc_counts_a_row_of_weight_two_twice():
    # As above, the positive that scores 2 twice: 1 + .5 + 2 (1 + 0) of 6 pairs.
    weights = np.array([[1.0, 2, 1, 1], [0, 1, 1, 1], [1, 1, 0, 0]])
    found = auc_metric([3, 2, 1, 3], [1, 1, 0, 0])(weights)
    assert found[:2].tolist() == [3.5 / 6, 0.5]
    assert np.isnan(found[2])  # no negative


@pytest.mark.parametrize("seed", range(9))
def test_plain_delong_interval_equals_brute_force_with_ties(seed):
    scores, labels = tied_case(seed)
    area = placements(scores, labels)[0].mean()
    half = stats.norm.ppf(0.975) * np.sqrt(brute_variance(scores, labels))
    found = delong_interval(scores, labels, scale="plain")
    assert found.value == pytest.approx(area, abs=TIGHT)
    assert found.low == pytest.approx(max(area - half, 0), abs=TIGHT)
    assert found.high == pytest.approx(min(area + half, 1), abs=TIGHT)
    assert found.n == len(labels)


@pytest.mark.parametrize("seed", range(9))
def test_logit_delong_interval_equals_brute_force_with_ties(seed):
    scores, labels = tied_case(seed)
    area = placements(scores, labels)[0].mean()
    error = np.sqrt(brute_variance(scores, labels)) / (area * (1 - area))
    centre, z = np.log(area / (1 - area)), stats.norm.ppf(0.95)
    found = delong_interval(scores, labels, confidence=0.9)
    assert found.low == pytest.approx(1 / (1 + np.exp(-centre + z * error)), abs=TIGHT)
    assert found.high == pytest.approx(1 / (1 + np.exp(-centre - z * error)), abs=TIGHT)


class DoubleNumpy:
    """numpy with float64 for float32: the reference stores its ranks in single precision."""

    float32 = np.float64

    def __getattr__(self, name):
        return getattr(np, name)


@pytest.mark.parametrize("seed", range(9))
def test_plain_delong_interval_equals_confidenceinterval_with_ties(seed, monkeypatch):
    scores, labels = tied_case(seed)
    found = delong_interval(scores, labels, scale="plain")
    for tolerance in (1e-6, 1e-9):  # as it comes, and in double precision
        area, (low, high) = confidenceinterval.roc_auc_score(labels.astype(int), scores)
        assert found.value == pytest.approx(area, abs=tolerance)
        assert found.low == pytest.approx(low, abs=tolerance)
        assert found.high == pytest.approx(min(high, 1), abs=tolerance)
        monkeypatch.setattr(confidenceinterval.delong, "np", DoubleNumpy())


def test_delong_interval_by_hand():
    # Positives 3, 2; negatives 1, 3: V10 = (.75, .5), V01 = (1, .25), AUC .625;
    # S10 = .03125, S01 = .28125, variance (.03125 + .28125)/2 = .15625.
    found = delong_interval([3, 2, 1, 3], [1, 1, 0, 0], confidence=0.5, scale="plain")
    half = 0.6744897501960817 * np.sqrt(0.15625)
    assert (found.low, found.high) == pytest.approx((0.625 - half, 0.625 + half), abs=TIGHT)


@pytest.mark.parametrize("scale", ["logit", "plain"])
@pytest.mark.parametrize(("scores", "area"), [([1, 2, 3, 4], 1.0), ([4, 3, 2, 1], 0.0)])
def test_full_separation_has_no_interval(scale, scores, area):
    found = delong_interval(scores, [0, 0, 1, 1], scale=scale)
    assert found.value == area
    assert found.low is None
    assert found.high is None
    assert not found.is_estimable
    assert "separated" in found.reason


def test_scores_that_do_not_vary_have_no_interval():
    found = delong_interval([0.5] * 6, [0, 1, 0, 1, 0, 1])
    assert found.value == 0.5
    assert not found.is_estimable


def test_one_patient_in_a_class_has_no_interval():
    found = delong_interval([0.1, 0.9, 0.5, 0.3], [0, 0, 1, 0])
    assert found.value == pytest.approx(2 / 3)
    assert "fewer than 2" in found.reason


@pytest.mark.parametrize("decimals", [1, 2, 6])
def test_multiclass_areas_equal_scikit_learn(decimals):
    rng = np.random.default_rng(decimals)
    labels = rng.permutation(np.repeat([0, 1, 2], [9, 20, 31]))
    p = rng.dirichlet([1, 1, 1], 60) + 0.5 * np.eye(3)[labels]
    # Rounded to make ties; the last column keeps the row sum that scikit-learn insists on.
    p = np.round(p / p.sum(axis=1, keepdims=True), decimals)
    p[:, 2] = 1 - p[:, 0] - p[:, 1]
    for ours, how in (
        (macro_auc, {"multi_class": "ovr", "average": "macro"}),
        (weighted_auc, {"multi_class": "ovr", "average": "weighted"}),
        (micro_auc, {"multi_class": "ovr", "average": "micro"}),
        (hand_till, {"multi_class": "ovo", "average": "macro"}),
    ):
        assert ours(p, labels) == pytest.approx(roc_auc_score(labels, p, **how), abs=TIGHT)


def test_multiclass_areas_of_weighted_rows_are_those_of_repeated_rows():
    rng = np.random.default_rng(5)
    labels = rng.permutation(np.repeat([0, 1, 2, 3], [6, 9, 12, 15]))
    p = np.round(rng.dirichlet([1, 1, 1, 1], 42) + 0.4 * np.eye(4)[labels], 1)
    weights = rng.integers(0, 3, (6, 42)).astype(float)
    for metric, plain in (
        (macro_auc_metric, macro_auc),
        (weighted_auc_metric, weighted_auc),
        (micro_auc_metric, micro_auc),
        (hand_till_metric, hand_till),
    ):
        repeated = [np.repeat(np.arange(42), own.astype(int)) for own in weights]
        expected = [plain(p[rows], labels[rows]) for rows in repeated]
        assert metric(p, labels)(weights) == pytest.approx(expected, abs=TIGHT)


def test_multiclass_areas_by_hand():
    # Class 0 against the rest: .6 > .2, .3 : 1. Class 1: .3 against .3, .3: ties, .5.
    # Class 2: .5 > .1, .4: 1. Macro 2.5/3; every class has one patient, so weighted is the same.
    p, labels = [[0.6, 0.3, 0.1], [0.3, 0.3, 0.4], [0.2, 0.3, 0.5]], [0, 1, 2]
    assert macro_auc(p, labels) == pytest.approx(2.5 / 3, abs=TIGHT)
    assert weighted_auc(p, labels) == pytest.approx(2.5 / 3, abs=TIGHT)
    # Pairs of classes: {0, 1}: 1 and .5; {0, 2}: 1 and 1; {1, 2}: .5 and 1.
    assert hand_till(p, labels) == pytest.approx(5 / 6, abs=TIGHT)
    # Own .6, .3, .5 against .3, .1, .3, .4, .2, .3: 6 + (2 + 1.5) + 6 of 18.
    assert micro_auc(p, labels) == pytest.approx(15.5 / 18, abs=TIGHT)


def test_a_draw_without_a_class_has_no_area():
    p, labels = np.eye(3)[[0, 1, 2, 0]], [0, 1, 2, 0]
    weights = np.array([[1.0, 0, 1, 1], [0, 1, 1, 1]])
    for metric in (macro_auc_metric, weighted_auc_metric, hand_till_metric):
        assert np.isnan(metric(p, labels)(weights)).tolist() == [True, False]
    assert not np.isnan(micro_auc_metric(p, labels)(weights)).any()


def test_refuses_a_class_without_patients():
    with pytest.raises(ValueError, match="no patient of class \\[2\\]"):
        macro_auc(np.full((4, 3), 1 / 3), [0, 1, 0, 1])
    with pytest.raises(ValueError, match="needs both classes"):
        auc([0.1, 0.2], [1, 1])


@pytest.mark.parametrize(
    ("scores", "labels", "message"),
    [
        ([0.1, np.nan], [0, 1], "not finite"),
        ([0.1, 0.2, 0.3], [0, 1], "equal columns"),
        ([0.1, 0.2], [1, 2], "labels must be"),
    ],
)
def test_refuses_what_cannot_be_ranked(scores, labels, message):
    with pytest.raises(ValueError, match=message):
        auc(scores, labels)


def test_labels_outside_of_the_columns_are_refused():
    with pytest.raises(ValueError, match="between 0 and 1"):
        macro_auc([[0.2, 0.8], [0.3, 0.7]], [0, 2])
    with pytest.raises(ValueError, match="columns of the true classes"):
        macro_auc([[0.2, 0.8], [0.3, 0.7]], ["a", "b"])
