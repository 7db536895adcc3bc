"""Two models on the same patients, against brute force, MLstatkit, statsmodels and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from MLstatkit import Delong_test
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar as exact_mcnemar

from marrow.statistics import (
    accuracy_metric,
    auc,
    auc_metric,
    delong_test,
    mcnemar,
    mean_metric,
    paired_bootstrap,
    patient_bootstrap,
    patient_weights,
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


@pytest.mark.parametrize("seed", range(9))
def test_paired_test_equals_mlstatkit_with_ties(seed):
    a, b, labels = tied_case(seed)
    # MLstatkit takes b - a, and gives each model's plain interval too.
    z, p, _, _, auc_a, auc_b, info = Delong_test(labels.astype(int), a, b)
    found = delong_test(a, b, labels)
    assert info["method"] == "delong"
    assert (found.auc_a, found.auc_b) == pytest.approx((auc_a, auc_b), abs=1e-9)
    assert (found.z, found.p_value) == pytest.approx((-z, p), abs=1e-9)
    half = stats.norm.ppf(0.975) * np.sqrt(info["var_diff"])
    assert found.difference.high - found.difference.low == pytest.approx(2 * half, abs=1e-9)


def test_paired_delong_by_hand():
    # a: positives 3, 2; negatives 1, 3: placements (.75, .5) and (1, .25), AUC .625.
    # b: positives 3, 4; negatives 1, 2: all 1, AUC 1, no variance.
    # Variance of the difference = .03125/2 + .28125/2 = .15625; z = -.375/sqrt(.15625).
    found = delong_test([3, 2, 1, 3], [3, 4, 1, 2], [1, 1, 0, 0])
    assert found.difference.value == -0.375
    assert found.z == pytest.approx(-0.375 / np.sqrt(0.15625), abs=TIGHT)


def test_one_patient_in_a_class_has_no_paired_test():
    found = delong_test([1, 2, 3], [1, 3, 2], [0, 0, 1])
    assert (found.z, found.p_value) == (None, None)
    assert "fewer than 2" in found.difference.reason


def clustered_models(seed: int, gap: float):
    """Scores of two models on 4 images of each of 50 patients, of which 20 are positive."""
    rng = np.random.default_rng(seed)
    labels, groups = np.repeat(np.arange(50) < 20, 4), np.repeat(np.arange(50), 4)
    shared = rng.normal(0, 0.6, 50)[groups] + rng.normal(0, 0.6, 200)
    a = labels * (1 + gap) + shared + rng.normal(0, 0.5, 200)
    return a, labels + shared + rng.normal(0, 0.5, 200), labels, groups


def test_paired_bootstrap_equals_explicit_draws():
    a, b, labels, groups = clustered_models(0, 0.4)
    found = paired_bootstrap(
        auc_metric(a, labels), auc_metric(b, labels), groups, labels, draws=300, seed=4
    )
    gaps = []
    for weights in patient_weights(groups, labels, 300, 4):
        for own in weights:
            rows = np.repeat(np.arange(200), own.astype(int))
            gaps.append(auc(a[rows], labels[rows]) - auc(b[rows], labels[rows]))
    assert (found.figure_a, found.figure_b) == (auc(a, labels), auc(b, labels))
    assert found.difference.value == pytest.approx(found.figure_a - found.figure_b, abs=TIGHT)
    ends = np.quantile(gaps, [0.025, 0.975])
    assert (found.difference.low, found.difference.high) == pytest.approx(tuple(ends), abs=TIGHT)
    tail = min(np.sum(np.array(gaps) <= 0), np.sum(np.array(gaps) >= 0))
    assert found.p_value == pytest.approx(min(1, 2 * (tail + 1) / 301))
    assert found.difference.n == 50


def test_shared_draws_make_the_difference_sharper():
    a, b, labels, groups = clustered_models(1, 0.2)
    first, second = auc_metric(a, labels), auc_metric(b, labels)
    paired = paired_bootstrap(first, second, groups, labels, draws=500).difference
    alone = [patient_bootstrap(one, groups, labels, draws=500) for one in (first, second)]
    unpaired = np.hypot(*(one.high - one.low for one in alone))
    assert paired.high - paired.low < 0.8 * unpaired


def test_paired_bootstrap_by_hand():
    # Patient p: a right, b wrong; q: both right. Difference 1/2; draws of 2 give 1 (pp, 1/4),
    # 1/2 (1/2) or 0 (qq, 1/4): p is about 2 x 1/4, and the interval reaches from 0 to 1.
    truth = [1, 1]
    found = paired_bootstrap(
        accuracy_metric([1, 1], truth), accuracy_metric([0, 1], truth), ["p", "q"]
    )
    assert (found.figure_a, found.figure_b, found.difference.value) == (1.0, 0.5, 0.5)
    assert (found.difference.low, found.difference.high) == (0.0, 1.0)
    assert found.p_value == pytest.approx(0.5, abs=0.05)  # 2,000 draws: error .02


def test_models_that_call_alike_do_not_differ_in_the_bootstrap():
    same = mean_metric(np.arange(20) % 3 == 0)
    found = paired_bootstrap(same, same, np.arange(20), draws=200)
    assert (found.difference.value, found.p_value) == (0.0, 1.0)
    assert not found.difference.is_estimable


def test_a_constant_difference_is_no_certainty():
    found = paired_bootstrap(
        mean_metric(np.ones(20)), mean_metric(np.zeros(20)), np.arange(20), draws=200
    )
    assert found.difference.value == 1.0
    assert found.p_value is None
    assert "every draw" in found.difference.reason


@pytest.mark.slow
def test_paired_bootstrap_keeps_its_level_for_clustered_images():
    """Two equally good models: p below .05 in about 5% of 200 cohorts (error 1.5%)."""
    rejected = 0
    for seed in range(200):
        a, b, labels, groups = clustered_models(100 + seed, 0.0)
        found = paired_bootstrap(
            auc_metric(a, labels), auc_metric(b, labels), groups, labels, draws=200, seed=seed
        )
        rejected += found.p_value < 0.05
    assert rejected / 200 < 0.10


def test_mcnemar_of_the_source():
    """Bentur et al. 2009 as in Fagerland 2013: 1 and 7 unlike pairs; exact .0703, mid-p .0391."""
    right_a = np.repeat([1, 1, 0, 0], [1, 1, 7, 12])
    right_b = np.repeat([1, 0, 1, 0], [1, 1, 7, 12])
    found = mcnemar(right_a, right_b)
    assert (found.both, found.only_a, found.only_b, found.neither, found.n) == (1, 1, 7, 12, 21)
    # By hand: 2 (1 + 8)/256 - 8/256 = 10/256.
    assert found.p_value == pytest.approx(10 / 256, abs=TIGHT)
    assert found.difference == pytest.approx(-6 / 21, abs=TIGHT)


@pytest.mark.parametrize(("only_a", "only_b"), [(0, 5), (3, 4), (12, 2), (40, 55)])
def test_mid_p_is_the_exact_p_less_the_point_probability(only_a, only_b):
    right_a = np.repeat([True, True, False, False], [30, only_a, only_b, 8])
    right_b = np.repeat([True, False, True, False], [30, only_a, only_b, 8])
    exact = exact_mcnemar([[30, only_a], [only_b, 8]], exact=True).pvalue
    expected = exact - stats.binom.pmf(only_a, only_a + only_b, 0.5)
    assert mcnemar(right_a, right_b).p_value == pytest.approx(expected, abs=TIGHT)
    assert mcnemar(right_b, right_a).p_value == pytest.approx(expected, abs=TIGHT)


def test_mid_p_where_the_models_err_equally_often():
    # 2 and 2: 1 - C(4, 2)/16/2; none: nothing speaks against equality.
    assert mcnemar([1, 1, 0, 0], [0, 0, 1, 1]).p_value == pytest.approx(1 - 3 / 16, abs=TIGHT)
    assert mcnemar([1, 0], [1, 0]).p_value == 1.0


@pytest.mark.parametrize(
    ("a", "b", "message"), [([], [], "equal columns"), ([1], [1, 0], "equal"), ([2], [1], "True")]
)
def test_mcnemar_refuses_what_is_no_pair_of_calls(a, b, message):
    with pytest.raises(ValueError, match=message):
        mcnemar(a, b)
