"""Many configurations: max-T against brute force and Sidak, Holm against statsmodels."""

from __future__ import annotations

import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests

from marrow.statistics import (
    auc_metric,
    holm,
    max_t,
    mean_metric,
    paired_bootstrap,
    patient_weights,
)

TIGHT = 1e-12


def configurations(seed: int, shifts=(0.0, 0.1, 0.6), patients: int = 60):
    """Values (n, K) of K configurations on 2 images a patient, alike within a patient."""
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(patients), 2)
    shared = rng.normal(0, 1, patients)[groups]
    values = np.stack([s + shared + rng.normal(0, 0.8, 2 * patients) for s in shifts], axis=1)
    return values, groups


def brute_max_t(values, groups, pairs, draws, seed):
    """Adjusted p-values and half-widths from draws made row by row."""
    means = []
    for weights in patient_weights(groups, None, draws, seed):
        for own in weights:
            means.append(np.repeat(values, own.astype(int), axis=0).mean(axis=0))
    means = np.array(means)
    gap = np.array([values[:, k].mean() - values[:, j].mean() for k, j in pairs])
    shift = np.array([means[:, k] - means[:, j] for k, j in pairs]).T - gap
    spread = shift.std(axis=0, ddof=1)
    maxima = np.abs(shift / spread).max(axis=1)
    p = [(np.sum(maxima >= abs(d) / s) + 1) / (draws + 1) for d, s in zip(gap, spread, strict=True)]
    return gap, np.array(p), np.quantile(maxima, 0.95) * spread


def metrics_of(values):
    return [mean_metric(column) for column in values.T]


@pytest.mark.parametrize("seed", range(3))
def test_max_t_against_a_named_reference_equals_brute_force(seed):
    values, groups = configurations(seed)
    found = max_t(metrics_of(values), groups, reference=0, draws=400, seed=seed)
    gap, p, half = brute_max_t(values, groups, [(1, 0), (2, 0)], 400, seed)
    assert [(one.configuration, one.reference) for one in found] == [(1, 0), (2, 0)]
    assert [one.difference.value for one in found] == pytest.approx(gap, abs=TIGHT)
    assert [one.difference.high for one in found] == pytest.approx(gap + half, abs=1e-10)
    assert [one.difference.low for one in found] == pytest.approx(gap - half, abs=1e-10)
    assert [one.p_value for one in found] == pytest.approx(p, abs=TIGHT)
    assert {one.difference.n for one in found} == {60}


def test_max_t_against_the_best_pays_for_the_choice():
    """The best is found on the same rows: all pairs share the maximum, and p is larger."""
    values, groups = configurations(3)
    best = max_t(metrics_of(values), groups, draws=400, seed=1)
    gap, p, half = brute_max_t(values, groups, [(0, 2), (1, 2), (1, 0)], 400, 1)
    assert [(one.configuration, one.reference) for one in best] == [(0, 2), (1, 2)]
    assert [one.difference.value for one in best] == pytest.approx(gap[:2], abs=TIGHT)
    assert [one.p_value for one in best] == pytest.approx(p[:2], abs=TIGHT)
    assert [one.difference.high for one in best] == pytest.approx((gap + half)[:2], abs=1e-10)
    named = max_t(metrics_of(values), groups, reference=2, draws=400, seed=1)
    for ours, theirs in zip(best, named, strict=True):
        assert ours.p_value >= theirs.p_value
        assert ours.difference.high > theirs.difference.high


def test_independent_contrasts_are_corrected_as_by_sidak():
    """Eight unrelated columns against a constant: no likeness to make use of."""
    rng = np.random.default_rng(0)
    values = rng.normal(0.16, 1, (300, 8))
    nothing = mean_metric(np.zeros(300))
    found = max_t([nothing, *metrics_of(values)], np.arange(300), reference=0, draws=4000)
    alone = [
        max_t([nothing, one], np.arange(300), reference=0, draws=4000)[0].p_value
        for one in metrics_of(values)
    ]
    sidak = multipletests(alone, method="sidak")[1]
    # 4,000 draws: error of a p near .5 is .008, raised eightfold by the correction at small p.
    assert [one.p_value for one in found] == pytest.approx(sidak, abs=0.05)


def test_like_configurations_are_corrected_less_than_by_holm():
    values, groups = configurations(1, shifts=(0.0, 0.2, 0.2, 0.2, 0.2, 0.2))
    values[:, 2:] = values[:, [1]] + 0.02 * np.random.default_rng(0).normal(size=(120, 4))
    found = [one.p_value for one in max_t(metrics_of(values), groups, reference=0)]
    alone = [
        paired_bootstrap(one, mean_metric(values[:, 0]), groups).p_value
        for one in metrics_of(values)[1:]
    ]
    assert max(found) < 0.5 * min(holm(alone))


@pytest.mark.slow
def test_max_t_keeps_the_family_wise_level():
    """Six equally good configurations, the best against all: any p < .05 in about 5% of runs.

    About, because the draws are not studentised one by one: .06 at 120 patients, .085 at 40.
    """
    runs, rejected = 200, 0
    for seed in range(runs):
        values, groups = configurations(200 + seed, shifts=(0,) * 6, patients=120)
        found = max_t(metrics_of(values), groups, draws=200, seed=seed)
        rejected += any(one.p_value < 0.05 for one in found)
    assert rejected / runs < 0.10  # error 1.6%; without correction .39


def test_max_t_by_hand():
    """One contrast of 2 patients: d* - d is -.5, 0 or .5, so that |d*- d|/s reaches |d|/s
    in the half of the draws that give +-.5, and the simultaneous interval is d +- .5."""
    found = max_t([mean_metric([0, 0]), mean_metric([1, 0])], ["p", "q"], reference=0)[0]
    assert found.difference.value == 0.5
    assert (found.difference.low, found.difference.high) == pytest.approx((0.0, 1.0), abs=TIGHT)
    assert found.p_value == pytest.approx(0.5, abs=0.05)


def test_a_configuration_that_never_differs_is_said_so():
    values, groups = configurations(0)
    twins = [*metrics_of(values), mean_metric(values[:, 0])]
    found = max_t(twins, groups, reference=0, draws=200)
    assert (found[2].difference.value, found[2].p_value) == (0.0, 1.0)
    assert "every draw" in found[2].difference.reason
    assert found[0].difference.is_estimable


def test_max_t_says_which_draws_were_lost():
    scores, labels = np.random.default_rng(0).random((2, 40)), np.arange(40) < 2
    areas = [auc_metric(one, labels) for one in scores]
    (found,) = max_t(areas, np.arange(40), draws=400)
    assert found.p_value is None
    assert "have no figure" in found.difference.reason
    (found,) = max_t(areas, np.arange(40), labels, draws=400)
    assert found.difference.is_estimable


def test_max_t_refuses_what_it_cannot_compare():
    one = mean_metric([0.0, 1.0])
    with pytest.raises(ValueError, match="at least 2 are needed"):
        max_t([one], ["p", "q"])
    with pytest.raises(ValueError, match="reference 2"):
        max_t([one, one], ["p", "q"], reference=2)
    with pytest.raises(ValueError, match="configuration 1 has no figure"):
        max_t([one, lambda w: np.full(len(w), np.nan)], ["p", "q"])


@pytest.mark.parametrize("seed", range(5))
def test_holm_equals_statsmodels_with_ties(seed):
    p = np.round(np.random.default_rng(seed).random(12) ** 3, 2)
    assert holm(p) == pytest.approx(multipletests(p, method="holm")[1], abs=TIGHT)


def test_holm_by_hand():
    # Sorted .01, .02, .04: 3 x .01, 2 x .02, 1 x .04; .04 stays .04 and none may fall.
    assert holm([0.04, 0.01, 0.02]) == pytest.approx([0.04, 0.03, 0.04], abs=TIGHT)
    assert holm([]).tolist() == []
    with pytest.raises(ValueError, match="between 0 and 1"):
        holm([0.5, np.nan])
