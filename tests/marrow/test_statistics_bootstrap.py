"""The bootstrap of patients against scipy.stats.bootstrap, and what it must refuse."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from marrow.statistics import auc, balanced_accuracy, patient_bootstrap, patient_draws

METHODS = [("percentile", "percentile"), ("bca", "BCa")]


@pytest.mark.parametrize(("ours", "theirs"), METHODS)
def test_equals_scipy_when_each_patient_has_one_image(ours, theirs):
    values = np.random.default_rng(0).gamma(2, 1, 40)
    expected = stats.bootstrap(
        (values,), np.mean, n_resamples=500, method=theirs, rng=np.random.default_rng(7)
    ).confidence_interval
    found = patient_bootstrap(
        lambda rows: float(values[rows].mean()), np.arange(40), draws=500, seed=7, method=ours
    )
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
        lambda rows: auc(scores[rows], labels[rows]),
        np.arange(40),
        strata=labels,
        draws=400,
        seed=3,
        method=ours,
    )
    assert (found.low, found.high) == pytest.approx(tuple(expected), abs=1e-12)


def test_copies_of_an_image_do_not_narrow_the_interval():
    """24 copies of each image are no new patients: the interval must stay as it was."""
    right = np.random.default_rng(2).random(30) < 0.8
    once = patient_bootstrap(lambda rows: right[rows].mean(), np.arange(30), draws=500)
    copied, groups = np.repeat(right, 24), np.repeat(np.arange(30), 24)
    many = patient_bootstrap(lambda rows: copied[rows].mean(), groups, draws=500)
    assert (many.low, many.high, many.n) == (
        pytest.approx(once.low),
        pytest.approx(once.high),
        30,
    )


def test_all_images_of_a_patient_are_drawn_together():
    groups = np.array(["b", "a", "b", "c", "a", "b"])
    for rows in patient_draws(groups, draws=100, seed=1):
        names, counts = np.unique(groups[rows], return_counts=True)
        for name, count in zip(names, counts, strict=True):
            assert count % np.sum(groups == name) == 0


def test_stratified_draws_keep_the_number_of_patients_of_each_class():
    groups, strata = np.repeat(np.arange(10), 2), np.repeat([0, 1], [6, 14])
    for rows in patient_draws(groups, strata, draws=100, seed=1):
        assert np.bincount(strata[rows]).tolist() == [6, 14]


def test_the_order_of_rows_does_not_matter():
    rng = np.random.default_rng(4)
    groups, values = rng.integers(0, 12, 60), rng.normal(size=60)
    order = rng.permutation(60)
    first = patient_bootstrap(lambda rows: values[rows].mean(), groups, draws=200)
    shuffled = values[order]
    second = patient_bootstrap(lambda rows: shuffled[rows].mean(), groups[order], draws=200)
    assert (second.low, second.high) == pytest.approx((first.low, first.high), abs=1e-12)


def test_same_seed_draws_the_same_patients_for_every_metric():
    groups = np.repeat(np.arange(8), 3)
    first = [rows.tolist() for rows in patient_draws(groups, draws=100, seed=5)]
    seen: list[list[int]] = []

    def watch(rows):
        seen.append(rows.tolist())
        return float(rows.mean())

    patient_bootstrap(watch, groups, draws=100, seed=5)
    assert seen[1:] == first  # the first call is the estimate itself


def test_percentile_interval_covers_the_truth_for_clustered_images():
    """4 images a patient, intra-patient correlation 0.3: 95% within Monte Carlo error."""
    rng, hits, rounds = np.random.default_rng(6), 0, 200
    groups = np.repeat(np.arange(40), 4)
    for _ in range(rounds):
        values = rng.normal(0, np.sqrt(0.3), 40)[groups] + rng.normal(0, np.sqrt(0.7), 160)
        found = patient_bootstrap(lambda rows, v=values: v[rows].mean(), groups, draws=200)
        hits += found.low <= 0 <= found.high
    # Expected about .94 (40 patients); standard error .017. Images drawn alone give .84.
    assert hits / rounds > 0.89


def test_full_separation_is_not_reported_as_certainty():
    scores, labels = np.arange(20.0), np.repeat([0, 1], 10)
    found = patient_bootstrap(
        lambda rows: auc(scores[rows], labels[rows]), np.arange(20), strata=labels, draws=200
    )
    assert found.value == 1.0
    assert found.low is None
    assert "every draw" in found.reason


def test_draws_without_a_class_are_counted_and_too_many_refused():
    scores, labels = np.random.default_rng(0).random(40), np.r_[np.ones(2), np.zeros(38)]
    found = patient_bootstrap(
        lambda rows: auc(scores[rows], labels[rows]), np.arange(40), draws=400
    )
    assert found.low is None  # (38/40)^40 = 13% of draws have no positive
    assert "draws have no figure" in found.reason
    labels[2:4] = 1
    found = patient_bootstrap(
        lambda rows: auc(scores[rows], labels[rows]), np.arange(40), draws=400
    )
    assert found.is_estimable  # (36/40)^40 = 1.5%
    assert "left out" in found.reason


def test_refuses_a_class_with_one_patient():
    with pytest.raises(ValueError, match="class AA has 1 patient"):
        patient_bootstrap(
            lambda rows: 1.0, [0, 0, 1, 2], strata=["AA", "AA", "MDS", "MDS"], draws=100
        )
    with pytest.raises(ValueError, match="at least 2"):
        patient_bootstrap(lambda rows: 1.0, ["p", "p"], draws=100)


def test_refuses_a_patient_in_two_classes():
    with pytest.raises(ValueError, match="more than one class"):
        patient_bootstrap(lambda rows: 1.0, [0, 0, 1], strata=["AA", "MDS", "MDS"], draws=100)


def test_refuses_a_figure_that_does_not_exist():
    with pytest.raises(ValueError, match="does not exist"):
        patient_bootstrap(lambda rows: auc(rows, np.ones(len(rows))), np.arange(5), draws=100)
    with pytest.raises(ValueError, match="too few"):
        patient_bootstrap(lambda rows: 1.0, np.arange(5), draws=10)


def test_serves_metrics_of_calls():
    truth = np.repeat(["AA", "MDS", "AML"], [6, 8, 12])
    calls = truth.copy()
    calls[[0, 7, 20, 21]] = ["MDS", "AML", "AA", "AA"]
    found = patient_bootstrap(
        lambda rows: balanced_accuracy(calls[rows], truth[rows], ["AA", "MDS", "AML"]),
        np.arange(26),
        strata=truth,
        draws=300,
        method="bca",
    )
    assert found.low < found.value < found.high
