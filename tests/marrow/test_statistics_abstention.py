"""Risk and coverage: hand-worked cases, brute force and ties."""

from __future__ import annotations

import numpy as np
import pytest

from marrow.statistics import (
    aurc_metric,
    patient_bootstrap,
    risk_coverage,
    threshold_for_false_alarms,
)


def unweighted(metric, n):
    return float(metric(np.ones((1, n)))[0])


def test_curve_of_four_calls_by_hand():
    curve = risk_coverage([0.6, 0.9, 0.7, 0.8], [False, True, True, False])
    assert curve.thresholds.tolist() == [0.9, 0.8, 0.7, 0.6]
    assert curve.coverage.tolist() == [0.25, 0.5, 0.75, 1.0]
    assert curve.risk == pytest.approx([0, 1 / 2, 1 / 3, 1 / 2])
    # AURC: the mean of the four risks.
    area = aurc_metric([0.6, 0.9, 0.7, 0.8], [False, True, True, False])
    assert unweighted(area, 4) == pytest.approx((0 + 1 / 2 + 1 / 3 + 1 / 2) / 4)


def test_equal_confidences_come_together_in_any_order():
    confidence, is_right = np.array([0.9, 0.7, 0.7, 0.7]), np.array([1, 0, 1, 1])
    for order in ([0, 1, 2, 3], [0, 3, 2, 1], [2, 1, 0, 3]):
        curve = risk_coverage(confidence[order], is_right[order])
        assert curve.coverage.tolist() == [0.25, 1.0]
        assert curve.risk.tolist() == [0, 0.25]
        area = aurc_metric(confidence[order], is_right[order])
        assert unweighted(area, 4) == pytest.approx((0 + 3 * 0.25) / 4)


def test_weights_let_each_patient_count_alike():
    # Patient a: one call, right; patient b: two calls of .5 each, one right.
    curve = risk_coverage([0.9, 0.8, 0.7], [1, 0, 1], [1, 0.5, 0.5])
    assert curve.coverage.tolist() == [0.5, 0.75, 1.0]
    assert curve.risk == pytest.approx([0, 0.5 / 1.5, 0.25])


def test_area_of_weighted_rows_equals_that_of_repeated_rows():
    rng = np.random.default_rng(0)
    confidence, is_right = np.round(rng.random(40), 1), rng.random(40) < 0.7
    metric, counts = aurc_metric(confidence, is_right), rng.integers(0, 4, (6, 40))
    for drawn, found in zip(counts, metric(counts.astype(float)), strict=True):
        rows = np.repeat(np.arange(40), drawn)
        sure, wrong = confidence[rows], ~is_right[rows]
        brute = np.mean([wrong[sure >= own].mean() for own in sure])
        assert found == pytest.approx(brute, abs=1e-12)
    assert np.isnan(metric(np.zeros((1, 40)))[0])


def test_useless_confidence_has_the_error_rate_and_an_interval_over_patients():
    is_right = np.arange(50) % 5 != 0
    metric = aurc_metric(np.full(50, 0.8), is_right)
    assert unweighted(metric, 50) == pytest.approx(0.2)
    found = patient_bootstrap(metric, np.arange(50), draws=300)
    assert found.low < 0.2 < found.high


def test_threshold_of_ten_right_calls_by_hand():
    """Ten right calls of .50, .55, ..., .95: one of them may be lost, so all from .55 stay."""
    confidence = np.arange(50, 100, 5) / 100
    assert threshold_for_false_alarms(confidence, np.ones(10), share=0.10) == 0.55
    assert threshold_for_false_alarms(confidence, np.ones(10), share=0.19) == 0.55
    assert threshold_for_false_alarms(confidence, np.ones(10), share=0.20) == 0.60
    assert threshold_for_false_alarms(confidence, np.ones(10), share=0.0) == 0.50


def test_wrong_calls_do_not_move_the_threshold():
    confidence = np.r_[np.arange(50, 100, 5) / 100, 0.99, 0.2, 0.52]
    is_right = np.r_[np.ones(10), 0, 0, 0]
    assert threshold_for_false_alarms(confidence, is_right) == 0.55


def test_threshold_never_withholds_more_than_the_share_and_is_the_highest_such():
    rng = np.random.default_rng(1)
    for _ in range(50):
        confidence, is_right = np.round(rng.random(30), 1), rng.random(30) < 0.8
        weights, share = rng.integers(1, 4, 30), rng.random() / 2
        found = threshold_for_false_alarms(confidence, is_right, weights, share)

        def lost(threshold, of=confidence, right=is_right, each=weights):
            return each[right & (of < threshold)].sum() / each[right].sum()

        assert lost(found) <= share < lost(np.nextafter(found, 2))


def test_refuses_calibration_without_a_right_call():
    with pytest.raises(ValueError, match="no calibration call is right"):
        threshold_for_false_alarms([0.5, 0.6], [0, 0])
    with pytest.raises(ValueError, match="below 1"):
        threshold_for_false_alarms([0.5, 0.6], [0, 1], share=1.0)
