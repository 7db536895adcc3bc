"""Kappa against statsmodels, hand-worked cases and the interval's coverage."""

from __future__ import annotations

import numpy as np
import pytest
from statsmodels.stats.inter_rater import aggregate_raters
from statsmodels.stats.inter_rater import cohens_kappa as their_cohen
from statsmodels.stats.inter_rater import fleiss_kappa as their_fleiss

from marrow.statistics import cohen_kappa, fleiss_kappa

CLASSES = np.array(["AA", "MDS", "AML"])


def readings(n=80, readers=2, seed=0, agreement=0.6):
    """Each reader gives the true class with this chance, or any class."""
    rng = np.random.default_rng(seed)
    truth = rng.choice(3, n, p=[0.2, 0.3, 0.5])
    knows = rng.random((readers, n)) < agreement
    return CLASSES[np.where(knows, truth, rng.integers(0, 3, (readers, n)))]


def cross_table(first, second):
    return np.array([[np.sum((first == a) & (second == b)) for b in CLASSES] for a in CLASSES])


@pytest.mark.parametrize("seed", range(5))
def test_cohen_and_its_interval_equal_statsmodels(seed):
    first, second = readings(seed=seed)
    theirs = their_cohen(cross_table(first, second))
    found = cohen_kappa(first, second)
    assert found.value == pytest.approx(theirs.kappa, abs=1e-12)
    assert (found.low, found.high) == pytest.approx((theirs.kappa_low, theirs.kappa_upp), abs=1e-9)
    assert found.n == 80


def test_cohen_of_fifty_grants_by_hand():
    # Both yes 20, yes/no 5, no/yes 10, both no 15: p_o = .7, p_e = .5 x .6 + .5 x .4 = .5.
    first = np.repeat(["yes", "yes", "no", "no"], [20, 5, 10, 15])
    second = np.repeat(["yes", "no", "yes", "no"], [20, 5, 10, 15])
    assert cohen_kappa(first, second).value == pytest.approx(0.4)


def test_a_class_that_one_reader_never_gives_is_no_trouble():
    first, second = ["AA", "MDS", "AML", "AML"], ["AA", "MDS", "MDS", "MDS"]
    # p_o = 1/2, p_e = 1/16 + 3/16 + 0.
    assert cohen_kappa(first, second).value == pytest.approx((1 / 2 - 1 / 4) / (1 - 1 / 4))


def test_smears_of_a_patient_are_one_patient():
    first, second = readings(n=60)
    once = cohen_kappa(first, second)
    copied = cohen_kappa(
        np.repeat(first, 10), np.repeat(second, 10), np.repeat(np.arange(60), 10), draws=1000
    )
    assert copied.value == pytest.approx(once.value)
    assert copied.n == 60
    assert copied.high - copied.low == pytest.approx(once.high - once.low, rel=0.15)


def test_complete_agreement_is_no_certainty():
    found = cohen_kappa(["AA", "AML", "AA"], ["AA", "AML", "AA"])
    assert (found.value, found.low) == (1.0, None)
    assert "agree on every patient" in found.reason


def test_one_class_throughout_has_no_kappa():
    found = cohen_kappa(["AA"] * 5, ["AA"] * 5)
    assert found.value is None
    assert "one class" in found.reason
    several = fleiss_kappa(np.tile([3, 0], (5, 1)))
    assert (several.value, several.n) == (None, 5)
    assert "one class" in several.reason


def test_intervals_stay_within_minus_one_and_one():
    found = cohen_kappa(["a", "b", "a", "b", "a"], ["a", "b", "a", "b", "b"])
    assert found.high == 1.0


@pytest.mark.parametrize("readers", [2, 3, 6])
def test_fleiss_equals_statsmodels(readers):
    counts, _ = aggregate_raters(readings(readers=readers).T)
    found = fleiss_kappa(counts, draws=200)
    assert found.value == pytest.approx(their_fleiss(counts), abs=1e-12)
    assert found.low < found.value < found.high


def test_fleiss_of_his_own_example():
    """Fleiss 1971 as Wikipedia works it: 10 subjects, 14 readers, 5 classes: 0.210."""
    counts = [
        [0, 0, 0, 0, 14],
        [0, 2, 6, 4, 2],
        [0, 0, 3, 5, 6],
        [0, 3, 9, 2, 0],
        [2, 2, 8, 1, 1],
        [7, 7, 0, 0, 0],
        [3, 2, 6, 3, 0],
        [2, 5, 3, 2, 2],
        [6, 5, 2, 1, 0],
        [0, 2, 2, 3, 7],
    ]
    assert fleiss_kappa(counts, draws=100).value == pytest.approx(0.210, abs=5e-4)


def test_readers_may_differ_in_number_by_hand():
    # Pairs agreeing: 1, 1/3, 1: P = 7/9. Shares of class 1: 1, 2/3, 0: mean 5/9; P_e = 41/81.
    found = fleiss_kappa([[2, 0], [2, 1], [0, 4]], draws=100)
    assert found.value == pytest.approx((7 / 9 - 41 / 81) / (1 - 41 / 81))


def test_fleiss_interval_is_over_patients():
    counts, _ = aggregate_raters(readings(n=50, readers=3).T)
    once = fleiss_kappa(counts, draws=500)
    copied = fleiss_kappa(np.repeat(counts, 6, axis=0), np.repeat(np.arange(50), 6), draws=500)
    assert (copied.low, copied.high) == pytest.approx((once.low, once.high))
    assert copied.n == 50


@pytest.mark.parametrize("readers", [2, 3])
def test_interval_covers_the_kappa_of_endless_readings(readers):
    many, _ = aggregate_raters(readings(n=200_000, readers=readers, seed=99).T)
    endless, hits = their_fleiss(many), 0
    for seed in range(200):
        counts, _ = aggregate_raters(readings(n=60, readers=readers, seed=seed).T)
        found = fleiss_kappa(counts, draws=200, seed=seed)
        hits += found.low <= endless <= found.high
    assert hits / 200 > 0.88  # about .94 expected, standard error .017


def test_refuses_smears_with_one_reader():
    with pytest.raises(ValueError, match="row 1 has fewer than 2 readers"):
        fleiss_kappa([[2, 1], [1, 0]])
    with pytest.raises(ValueError, match="equal columns"):
        cohen_kappa(["AA"], ["AA", "MDS"])
    with pytest.raises(ValueError, match="0 or more"):
        fleiss_kappa([[2, -1]])
