"""The bootstrap of patients against scipy.stats.bootstrap, and what it must refuse."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from scipy import stats

from marrow.statistics import (
    accuracy_metric,
    auc,
    auc_metric,
    balanced_accuracy_metric,
    bootstrap,
    mean_metric,
    patient_bootstrap,
    patient_weights,
)

METHODS = [("percentile", "percentile"), ("bca", "BCa")]


@pytest.mark.parametrize(("ours", "theirs"), METHODS)
def test_equals_scipy_when_each_patient_has_one_image(ours, theirs):
    values = np.random.default_rng(0).gamma(2, 1, 40)
    expected = stats.bootstrap(
        (values,), np.mean, n_resamples=500, method=theirs, rng=np.random.default_rng(7)
    ).confidence_interval
    found = patient_bootstrap(mean_metric(values), np.arange(40), draws=500, seed=7, method=ours)
    assert (found.low, found.high) == pytest.approx(tuple(expected), abs=1e-12)
    assert found.value == pytest.approx(values.mean())
    assert found.n == 40


@pytest.mark.parametrize(("ours", "theirs"), METHODS)
def test_stratified_auc_equals_scipy_over_two_samples(ours, theirs):
    rng = np.random.default_rng(1)
    scores = np.concatenate([rng.normal(0, 1, 25), rng.normal(1, 1, 15)])
    labels = np.repeat([0, 1], [25, 15])

    def of_two(negative, positive):
        return auc(
            np.concatenate([negative, positive]), np.repeat([0, 1], [len(negative), len(positive)])
        )

    expected = stats.bootstrap(
        (scores[:25], scores[25:]),
        of_two,
        n_resamples=400,
        method=theirs,
        vectorized=False,
        rng=np.random.default_rng(3),
    ).confidence_interval
    found = patient_bootstrap(
        auc_metric(scores, labels),
        np.arange(40),
        strata=labels,
        draws=400,
        seed=3,
        method=ours,
    )
    assert (found.low, found.high) == pytest.approx(tuple(expected), abs=1e-12)


def scipy_tables(sizes, draws, seed):
    """The patients of each draw as scipy.stats.bootstrap takes them: one whole table a sample."""
    rng = np.random.default_rng(seed)
    return [rng.integers(0, size, (draws, size)) for size in sizes]


@pytest.mark.parametrize("block", [1, 97, 2**16])
def test_draws_are_scipys_draws_counted_whatever_the_block(block, monkeypatch):
    monkeypatch.setattr(bootstrap, "_BLOCK", block)
    groups = np.array(["d", "a", "c", "a", "b", "e", "e", "c"])
    strata = np.array([1, 0, 0, 0, 0, 1, 1, 0])  # a, b, c and d, e
    weights = np.concatenate(list(patient_weights(groups, strata, draws=150, seed=3)))
    first, second = scipy_tables((3, 2), 150, 3)
    for draw in range(150):
        drawn = ["abc"[k] for k in first[draw]] + ["de"[k] for k in second[draw]]
        assert weights[draw].tolist() == [drawn.count(name) for name in groups]
    (only,) = scipy_tables((5,), 150, 3)
    free = np.concatenate(list(patient_weights(groups, draws=150, seed=3)))
    assert free.tolist() == [
        [["abcde"[k] for k in row].count(name) for name in groups] for row in only
    ]


def test_a_large_study_needs_little_memory():
    """400 draws of 50,000 images are 160 MB of weights at once; they are never at once."""
    groups = np.repeat(np.arange(5_000), 10)
    metric = mean_metric(np.arange(50_000) % 7 == 0)
    tracemalloc.start()
    patient_bootstrap(metric, groups, groups % 2, draws=400)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20e6


def test_copies_of_an_image_do_not_narrow_the_interval():
    """24 copies of each image are no new patients: the interval must stay as it was."""
    right = np.random.default_rng(2).random(30) < 0.8
    once = patient_bootstrap(mean_metric(right), np.arange(30), draws=500)
    groups = np.repeat(np.arange(30), 24)
    many = patient_bootstrap(mean_metric(np.repeat(right, 24)), groups, draws=500)
    assert (many.low, many.high, many.n) == (once.low, once.high, 30)


def test_all_images_of_a_patient_are_drawn_together():
    groups = np.array(["b", "a", "b", "c", "a", "b"])
    for weights in patient_weights(groups, draws=100, seed=1):
        for name in "abc":
            assert np.ptp(weights[:, groups == name], axis=1).max() == 0


def test_stratified_draws_keep_the_number_of_patients_of_each_class():
    groups, strata = np.repeat(np.arange(10), 2), np.repeat([0, 1], [6, 14])
    for weights in patient_weights(groups, strata, draws=100, seed=1):
        assert set(weights[:, strata == 0].sum(axis=1)) == {6.0}
        assert set(weights[:, strata == 1].sum(axis=1)) == {14.0}


def test_the_order_of_rows_does_not_matter():
    rng = np.random.default_rng(4)
    groups, values = rng.integers(0, 12, 60), rng.normal(size=60)
    order = rng.permutation(60)
    first = patient_bootstrap(mean_metric(values), groups, draws=200)
    second = patient_bootstrap(mean_metric(values[order]), groups[order], draws=200)
    assert (second.low, second.high) == pytest.approx((first.low, first.high), abs=1e-12)


def test_same_seed_draws_the_same_patients_for_every_metric():
    groups = np.repeat(np.arange(8), 3)
    first = np.concatenate(list(patient_weights(groups, draws=100, seed=5)))
    seen: list[np.ndarray] = []

    def watch(weights):
        seen.append(weights.copy())
        return weights @ np.arange(24.0)

    patient_bootstrap(watch, groups, draws=100, seed=5)
    assert (seen[0] == 1).all()  # the estimate itself
    assert (np.concatenate(seen[1:]) == first).all()


def test_bca_leaves_out_one_patient_with_all_images():
    groups = np.array([0, 0, 1, 2, 2, 2])
    seen: list[np.ndarray] = []

    def watch(weights):
        seen.append(weights.copy())
        return weights @ np.array([1.0, 2, 3, 4, 5, 9]) / weights.sum(axis=1)

    patient_bootstrap(watch, groups, draws=100, method="bca")
    assert seen[-1].tolist() == [[0, 0, 1, 1, 1, 1], [1, 1, 0, 1, 1, 1], [1, 1, 1, 0, 0, 0]]


def test_percentile_interval_covers_the_truth_for_clustered_images():
    """4 images a patient, intra-patient correlation 0.3: 95% within Monte Carlo error."""
    rng, hits, rounds = np.random.default_rng(6), 0, 200
    groups = np.repeat(np.arange(40), 4)
    for _ in range(rounds):
        values = rng.normal(0, np.sqrt(0.3), 40)[groups] + rng.normal(0, np.sqrt(0.7), 160)
        found = patient_bootstrap(mean_metric(values), groups, draws=200)
        hits += found.low <= 0 <= found.high
    # Expected about .94 (40 patients); standard error .017. Images drawn alone give .84.
    assert hits / rounds > 0.89


def test_full_separation_is_not_reported_as_certainty():
    scores, labels = np.arange(20.0), np.repeat([0, 1], 10)
    found = patient_bootstrap(auc_metric(scores, labels), np.arange(20), strata=labels, draws=200)
    assert found.value == 1.0
    assert found.low is None
    assert "every draw" in found.reason


def test_draws_without_a_class_are_counted_and_too_many_refused():
    scores, labels = np.random.default_rng(0).random(40), np.r_[np.ones(2), np.zeros(38)]
    found = patient_bootstrap(auc_metric(scores, labels), np.arange(40), draws=400)
    assert found.low is None  # (38/40)^40 = 13% of draws have no positive
    assert "draws have no figure" in found.reason
    labels[2:4] = 1
    found = patient_bootstrap(auc_metric(scores, labels), np.arange(40), draws=400)
    assert found.is_estimable  # (36/40)^40 = 1.5%
    assert "left out" in found.reason


def constant(weights):
    return np.ones(len(weights))


def test_rounding_is_no_variation():
    """The mean of equal numbers differs in its last digits from draw to draw."""
    found = patient_bootstrap(mean_metric(np.full(30, 0.1)), np.arange(30), draws=200)
    assert not found.is_estimable
    assert found.reason == "every draw gives 0.100"


def test_accuracy_by_hand():
    """Two patients, one called rightly: a draw has 0, 1 or 2 of him, a quarter, half, a quarter."""
    found = patient_bootstrap(accuracy_metric([1, 0], [1, 1]), ["p", "q"], draws=2000)
    assert (found.value, found.low, found.high, found.n) == (0.5, 0.0, 1.0, 2)
    # At 40% the ends are the quantiles .3 and .7, within the half of the draws that give .5.
    narrow = patient_bootstrap(accuracy_metric([1, 0], [1, 1]), ["p", "q"], confidence=0.4)
    assert (narrow.low, narrow.high) == (0.5, 0.5)


def test_refuses_a_class_with_one_patient():
    with pytest.raises(ValueError, match="class AA has 1 patient"):
        patient_bootstrap(constant, [0, 0, 1, 2], strata=["AA", "AA", "MDS", "MDS"], draws=100)
    with pytest.raises(ValueError, match="at least 2"):
        patient_bootstrap(constant, ["p", "p"], draws=100)


def test_refuses_a_patient_in_two_classes():
    with pytest.raises(ValueError, match="more than one class"):
        patient_bootstrap(constant, [0, 0, 1], strata=["AA", "MDS", "MDS"], draws=100)


def test_refuses_a_figure_that_does_not_exist():
    with pytest.raises(ValueError, match="does not exist"):
        patient_bootstrap(lambda w: np.full(len(w), np.nan), np.arange(5), draws=100)
    with pytest.raises(ValueError, match=r"gave \(\) for weights \(1, 5\)"):
        patient_bootstrap(lambda w: w.mean(), np.arange(5), draws=100)
    with pytest.raises(ValueError, match="too few"):
        patient_bootstrap(constant, np.arange(5), draws=10)


def test_serves_metrics_of_calls():
    truth = np.repeat(["AA", "MDS", "AML"], [6, 8, 12])
    calls = truth.copy()
    calls[[0, 7, 20, 21]] = ["MDS", "AML", "AA", "AA"]
    found = patient_bootstrap(
        balanced_accuracy_metric(calls, truth, ["AA", "MDS", "AML"]),
        np.arange(26),
        strata=truth,
        draws=300,
        method="bca",
    )
    assert found.low < found.value < found.high
