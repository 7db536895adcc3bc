"""Shares and their intervals against statsmodels and the seed paper's printed figures."""

from __future__ import annotations

from dataclasses import astuple

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, multilabel_confusion_matrix
from statsmodels.stats.proportion import proportion_confint

import marrow.statistics
from marrow.statistics import (
    Interval,
    balanced_accuracy,
    clopper_pearson,
    pooled_counts,
    seed_pooled,
    two_by_two,
    wald,
    wilson,
)


def printed(figures) -> list[tuple[float, float, float]]:
    return [
        (round(figure[0], 3), round(figure[1], 3), round(figure[2], 3))
        for figure in astuple(figures)
    ]


def test_seed_table_gives_the_printed_figures():
    assert printed(two_by_two(tp=234, fn=7, fp=65, tn=488, interval=wald)) == [
        (0.971, 0.950, 0.992),
        (0.882, 0.856, 0.909),
        (0.783, 0.736, 0.829),
        (0.986, 0.975, 0.996),
        (0.909, 0.889, 0.929),
    ]


def test_seed_pooled_gives_the_printed_figures():
    assert printed(seed_pooled(tp=465, fn=88, fp=29, tn=1006)) == [
        (0.841, 0.810, 0.871),
        (0.972, 0.962, 0.982),
        (0.941, 0.921, 0.962),
        (0.920, 0.903, 0.936),
        (0.926, 0.913, 0.939),
    ]


@pytest.mark.parametrize(
    ("ours", "theirs"), [(wilson, "wilson"), (clopper_pearson, "beta"), (wald, "normal")]
)
@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99])
def test_intervals_equal_statsmodels(ours, theirs, confidence):
    for n in (1, 2, 9, 33, 794):
        for k in {0, 1, n // 3, n - 1, n}:
            found = ours(k, n, confidence)
            low, high = proportion_confint(k, n, 1 - confidence, theirs)
            assert found.value == k / n
            assert (found.low, found.high) == pytest.approx((low, high), abs=1e-12)
            assert found.n == n


def test_thirty_of_thirty_three_has_the_exact_interval_of_the_review():
    found = clopper_pearson(30, 33)
    assert (round(found.low, 3), round(found.high, 3)) == (0.757, 0.981)


@pytest.mark.parametrize("interval", [wilson, clopper_pearson, wald])
def test_refuses_a_share_of_nothing(interval):
    with pytest.raises(ValueError, match="at least 1"):
        interval(0, 0)
    with pytest.raises(ValueError, match="between 0 and n"):
        interval(4, 3)
    with pytest.raises(ValueError, match="confidence"):
        interval(1, 3, 95)


def test_a_figure_without_a_denominator_says_why():
    found = two_by_two(tp=0, fn=3, fp=0, tn=5)
    assert found.ppv.value is None
    assert not found.ppv.is_estimable
    assert found.ppv.n == 0
    assert "called diseased" in found.ppv.reason
    assert found.sensitivity == wilson(0, 3)
    assert found.accuracy == wilson(5, 8)


def test_interval_prints_value_ends_and_n():
    assert str(wilson(30, 33)) == "0.909 (0.764-0.969, n = 33)"
    assert str(Interval(1.0, None, None, 9, "x")) == "1.000 (interval not estimable, n = 9)"


def test_pooled_counts_are_the_sum_of_one_vs_rest_tables():
    rng = np.random.default_rng(0)
    classes = ["AA", "MDS", "AML"]
    truth, calls = rng.choice(classes, 80), rng.choice(classes, 80)
    tables = multilabel_confusion_matrix(truth, calls, labels=["AA", "AML"]).sum(axis=0)
    (tn, fp), (fn, tp) = tables
    assert pooled_counts(calls, truth, ["AA", "AML"]) == (tp, fn, fp, tn)


def test_seed_accuracies_of_200_epochs_are_the_printed_ones():
    assert round(seed_pooled(tp=474, fn=79, fp=34, tn=1001).accuracy.value, 3) == 0.929
    found = two_by_two(tp=239, fn=2, fp=66, tn=487, interval=wald).accuracy
    assert (found.value, found.n) == (726 / 794, 794)


@pytest.mark.parametrize(
    ("tp", "fp", "bounds", "printed_accuracy"),
    [(465, 29, (0.853, 0.889), 0.926), (474, 34, (0.858, 0.901), 0.929)],
)
def test_no_confusion_with_the_seeds_counts_reaches_its_pooled_accuracy(
    tp, fp, bounds, printed_accuracy
):
    """241 MDS images of 794: k of the false positives are MDS images, the others are not.

    Then 241 - k MDS images and the true positives are called rightly, whatever k is.
    """
    shares = []
    for k in range(fp + 1):
        found = two_by_two(tp=tp, fn=553 - tp, fp=fp, tn=1035 - fp)
        assert found.accuracy.value == pytest.approx(printed_accuracy, abs=5e-4)
        shares.append((tp + 241 - k) / 794)
    assert (round(min(shares), 3), round(max(shares), 3)) == bounds


def test_balanced_accuracy_by_hand_and_by_scikit_learn():
    # AA 1 of 2, MDS 2 of 2, AML 0 of 1.
    calls, truth = ["AA", "MDS", "MDS", "MDS", "AA"], ["AA", "AA", "MDS", "MDS", "AML"]
    assert balanced_accuracy(calls, truth, ["AA", "MDS", "AML"]) == pytest.approx(0.5)
    rng = np.random.default_rng(1)
    truth, calls = rng.integers(0, 4, 50), rng.integers(0, 4, 50)
    assert balanced_accuracy(calls, truth, range(4)) == pytest.approx(
        balanced_accuracy_score(truth, calls), abs=1e-12
    )


def test_balanced_accuracy_leaves_out_a_class_without_patients():
    assert balanced_accuracy(["b", "a"], ["b", "b"], ["a", "b"]) == 0.5


def test_balanced_accuracy_refuses_an_unknown_truth():
    with pytest.raises(ValueError, match="holds MDS"):
        balanced_accuracy(["AA"], ["MDS"], ["AA", "AML"])
    with pytest.raises(ValueError, match="no patient"):
        balanced_accuracy([], [], ["AA"])


def test_public_names_exist_once():
    names = marrow.statistics.__all__
    assert len(set(names)) == len(names)
    assert [name for name in names if not hasattr(marrow.statistics, name)] == []
