"""AUC, DeLong and multi-class AUC against brute force, scikit-learn and hand-worked cases."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from marrow.statistics import (
    auc,
    delong_interval,
    delong_test,
    hand_till,
    macro_auc,
    micro_auc,
    weighted_auc,
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


def brute_covariance(a, b, labels):
    a10, a01 = placements(a, labels)
    b10, b01 = placements(b, labels)
    return np.cov(a10, b10) / len(a10) + np.cov(a01, b01) / len(a01)


def tied_case(seed: int, n: int = 60):
    """Scores rounded to few values, so that most pairs of some cases are tied."""
    rng = np.random.default_rng(seed)
    labels = rng.random(n) < 0.4
    labels[:2], labels[2:4] = True, False
    a = np.round(rng.normal(labels * 1.0, 1), seed % 3)
    b = np.round(rng.normal(labels * 0.5, 1) + 0.5 * a, 1)
    return a, b, labels


def test_auc_counts_a_tie_as_half():
    # Pairs (positive, negative): 3>1, 3=3, 2>1, 2<3: 1 + .5 + 1 + 0 of 4.
    assert auc([3, 2, 1, 3], [1, 1, 0, 0]) == 0.625


@pytest.mark.parametrize("seed", range(9))
def test_auc_equals_scikit_learn_with_ties(seed):
    scores, _, labels = tied_case(seed)
    assert auc(scores, labels) == pytest.approx(roc_auc_score(labels, scores), abs=TIGHT)


@pytest.mark.parametrize("seed", range(9))
def test_plain_delong_interval_equals_brute_force_with_ties(seed):
    scores, _, labels = tied_case(seed)
    area = placements(scores, labels)[0].mean()
    half = stats.norm.ppf(0.975) * np.sqrt(brute_covariance(scores, scores, labels)[0, 0])
    found = delong_interval(scores, labels, scale="plain")
    assert found.value == pytest.approx(area, abs=TIGHT)
    assert found.low == pytest.approx(max(area - half, 0), abs=TIGHT)
    assert found.high == pytest.approx(min(area + half, 1), abs=TIGHT)
    assert found.n == len(labels)


@pytest.mark.parametrize("seed", range(9))
def test_logit_delong_interval_equals_brute_force_with_ties(seed):
    scores, _, labels = tied_case(seed)
    area = placements(scores, labels)[0].mean()
    error = np.sqrt(brute_covariance(scores, scores, labels)[0, 0]) / (area * (1 - area))
    centre, z = np.log(area / (1 - area)), stats.norm.ppf(0.95)
    found = delong_interval(scores, labels, confidence=0.9)
    assert found.low == pytest.approx(1 / (1 + np.exp(-centre + z * error)), abs=TIGHT)
    assert found.high == pytest.approx(1 / (1 + np.exp(-centre - z * error)), abs=TIGHT)


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


@pytest.mark.parametrize("seed", range(9))
def test_paired_test_equals_brute_force_with_ties(seed):
    a, b, labels = tied_case(seed)
    cov = brute_covariance(a, b, labels)
    gap = placements(a, labels)[0].mean() - placements(b, labels)[0].mean()
    z = gap / np.sqrt(cov[0, 0] + cov[1, 1] - 2 * cov[0, 1])
    found = delong_test(a, b, labels)
    assert found.z == pytest.approx(z, abs=1e-10)  # a quotient of small numbers
    assert found.p_value == pytest.approx(2 * stats.norm.sf(abs(z)), abs=1e-10)
    assert found.difference.value == pytest.approx(gap, abs=TIGHT)


def test_models_that_order_alike_do_not_differ():
    scores, _, labels = tied_case(1)
    found = delong_test(scores, np.exp(scores), labels)
    assert (found.z, found.p_value, found.difference.value) == (0.0, 1.0, 0.0)


def test_opposite_perfect_models_have_no_test():
    found = delong_test([0, 0, 1, 1], [1, 1, 0, 0], [0, 0, 1, 1])
    assert found.difference.value == 1.0
    assert found.p_value is None
    assert found.difference.reason


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
