"""Calibration and temperature against scikit-learn, torchmetrics, netcal and hand-worked cases."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from netcal.metrics import ECE
from netcal.scaling import TemperatureScaling
from scipy import optimize
from sklearn.metrics import brier_score_loss
from torchmetrics.functional.classification import multiclass_calibration_error

from marrow.statistics import (
    apply_temperature,
    brier_metric,
    calibration_error,
    calibration_error_metric,
    fit_temperature,
    log_probabilities,
    patient_bootstrap,
    reliability,
)
from marrow.statistics.temperature import TEMPERATURES


def unweighted(metric, n):
    return float(metric(np.ones((1, n)))[0])


def answers(n=200, classes=3, sharpness=2.0, seed=0):
    """Softmax answers whose logits are `sharpness` times those that the truth was drawn from."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 1.5, (n, classes))
    honest = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    truth = (honest.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1)
    said = np.exp(sharpness * logits)
    return said / said.sum(axis=1, keepdims=True), truth


def called(probabilities, truth):
    return probabilities.max(axis=1), probabilities.argmax(axis=1) == truth


def test_brier_score_equals_scikit_learn_for_two_and_more_classes():
    probabilities, truth = answers()
    ours = unweighted(brier_metric(probabilities, truth), 200)
    assert ours == pytest.approx(brier_score_loss(truth, probabilities, labels=[0, 1, 2]))
    positive, is_one = probabilities[:, 1], truth == 1
    ours = unweighted(brier_metric(positive, is_one), 200)
    assert ours == pytest.approx(brier_score_loss(is_one, positive))


def test_calibration_error_of_two_bins_by_hand():
    # Sure: .9 and .8, one right: |1.7 - 1| = .7. Unsure: .6 and .5, both right: |1.1 - 2| = .9.
    metric = calibration_error_metric([0.9, 0.6, 0.8, 0.5], [True, True, False, True], bins=2)
    assert unweighted(metric, 4) == pytest.approx((0.7 + 0.9) / 4)


def test_a_weight_of_two_counts_as_two_equal_rows():
    metric = calibration_error_metric([0.9, 0.6, 0.8, 0.5], [True, True, False, True], bins=2)
    # The wrong call twice: |.9 + 2 x .8 - 1| = 1.5; the bins stay.
    assert metric(np.array([[1.0, 1, 2, 1], [0, 0, 0, 0]])) == pytest.approx(
        [(1.5 + 0.9) / 5, np.nan], nan_ok=True
    )


@pytest.mark.parametrize("bins", [2, 5, 10])
def test_calibration_error_equals_netcal_with_bins_of_equal_mass(bins):
    # 201 rows: every cut falls on a row, which belongs to the upper bin.
    confidence, is_right = called(*answers(n=201, seed=bins))
    theirs = ECE(bins, equal_intervals=False).measure(confidence, is_right.astype(int))
    ours = unweighted(calibration_error_metric(confidence, is_right, bins), len(is_right))
    assert ours == pytest.approx(theirs, abs=1e-12)


def test_calibration_error_equals_torchmetrics_where_equal_width_is_equal_mass():
    rng = np.random.default_rng(1)
    confidence = np.concatenate([rng.uniform(k / 5 + 0.01, k / 5 + 0.19, 30) for k in range(5)])
    is_right = rng.random(150) < confidence**2
    # Two classes, of which the second is called when right or not: torchmetrics takes the maximum.
    confidence = 0.5 + confidence / 2
    columns = np.stack([1 - confidence, confidence], axis=1)
    theirs = multiclass_calibration_error(
        torch.tensor(columns), torch.tensor(is_right.astype(int)), num_classes=2, n_bins=10
    )  # bins of .1: five of them hold rows, 30 each
    ours = unweighted(calibration_error_metric(confidence, is_right, 5), 150)
    assert ours == pytest.approx(float(theirs), abs=1e-7)  # theirs is float32


def test_equal_confidences_share_a_bin_whatever_the_order():
    confidence, is_right = np.array([0.7] * 6 + [0.9] * 2), np.arange(8) % 2 == 0
    table = reliability(confidence, is_right, bins=4)
    assert [(point.rows, point.right.value) for point in table] == [(6, 0.5), (2, 0.5)]
    again = reliability(confidence[::-1], is_right[::-1], bins=4)
    assert [point.right for point in again] == [point.right for point in table]


def test_reliability_has_an_interval_over_patients():
    confidence, is_right = called(*answers(n=120))
    alone = reliability(confidence, is_right, bins=4)
    assert [point.right.method for point in alone] == ["wilson"] * 4
    assert sum(point.rows for point in alone) == 120
    assert [point.confidence for point in alone] == sorted(point.confidence for point in alone)
    of_two = reliability(np.repeat(confidence, 2), np.repeat(is_right, 2), np.arange(240) // 2, 4)
    for once, twice in zip(alone, of_two, strict=True):
        assert twice.right.n == once.right.n
        assert twice.right.value == pytest.approx(once.right.value)
        # Copies are no new patients: about as wide, where 60 rows would be 0.7 times that.
        assert twice.right.high - twice.right.low > 0.85 * (once.right.high - once.right.low)


def test_a_bin_of_one_patient_has_no_interval():
    table = reliability([0.6, 0.61, 0.9, 0.95], [1, 0, 1, 1], ["a", "a", "b", "b"], bins=2)
    assert [point.right.low for point in table] == [None, None]
    assert table[0].right.reason == "a single patient"


def test_interval_turns_the_draws_around_the_estimate():
    confidence, is_right = called(*answers(n=120))
    found = calibration_error(confidence, is_right, np.arange(120), bins=5, draws=400, seed=2)
    raw = patient_bootstrap(
        calibration_error_metric(confidence, is_right, 5), np.arange(120), draws=400, seed=2
    )
    assert found.error.value == raw.value
    assert found.error.low == pytest.approx(max(0, 2 * raw.value - raw.high))
    assert found.error.high == pytest.approx(max(raw.value, 2 * raw.value - raw.low))
    assert (found.error.n, found.bins) == (120, 5)


def test_chance_level_tells_a_calibrated_head_from_one_that_is_too_sure():
    rng, below = np.random.default_rng(3), 0
    for seed in range(40):
        confidence = rng.uniform(0.5, 1, 100)
        found = calibration_error(
            confidence, rng.random(100) < confidence, range(100), draws=200, seed=seed
        )
        below += found.error.value <= found.by_chance
    assert below >= 34  # 38 of 40 expected; fewer than 34 has a chance of 1%
    boasting = np.clip(confidence + 0.3, 0, 1)
    found = calibration_error(boasting, rng.random(100) < confidence, range(100), draws=200)
    assert found.error.low > found.by_chance


@pytest.mark.slow
def test_interval_covers_the_error_of_endless_data():
    """500 rounds of 115 patients, true temperature 2: the percentile interval covers 73%."""
    rng, bins, hits = np.random.default_rng(4), 10, 0
    logits = np.abs(rng.normal(2, 1.5, 400_000))
    sure, right = 1 / (1 + np.exp(-logits)), 1 / (1 + np.exp(-logits / 2))
    endless = unweighted_expected(sure, right, bins)
    for seed in range(500):
        z = np.abs(rng.normal(2, 1.5, 115))
        is_right = rng.random(115) < 1 / (1 + np.exp(-z / 2))
        found = calibration_error(
            1 / (1 + np.exp(-z)), is_right, range(115), bins=bins, draws=300, seed=seed
        )
        hits += found.error.low <= endless <= found.error.high
    assert hits / 500 > 0.86  # .91 measured, standard error .013


def unweighted_expected(confidence, chance_right, bins):
    number = np.argsort(np.argsort(confidence)) * bins // len(confidence)
    gaps = np.bincount(number, confidence - chance_right)
    return np.abs(gaps).sum() / len(confidence)


def test_temperature_finds_the_one_that_was_put_in():
    probabilities, truth = answers(n=4000, sharpness=2.5)
    found = fit_temperature(log_probabilities(probabilities), truth)
    assert found == pytest.approx(2.5, rel=0.08)  # standard error about 2.5%


def test_temperature_of_a_two_class_case_by_hand():
    # All say p = .8 and 3 of 4 are right: best is 4^(1/T) / (1 + 4^(1/T)) = 3/4, T = ln 4 / ln 3.
    probabilities = np.tile([0.8, 0.2], (4, 1))
    found = fit_temperature(log_probabilities(probabilities), [0, 0, 0, 1])
    assert found == pytest.approx(np.log(4) / np.log(3), rel=1e-6)
    assert apply_temperature(probabilities, found)[0] == pytest.approx([0.75, 0.25])


@pytest.mark.parametrize("seed", range(3))
def test_temperature_equals_a_search_over_its_whole_range(seed):
    probabilities, truth = answers(n=60, sharpness=0.6 + seed, seed=seed)
    weights = np.random.default_rng(seed).integers(1, 5, 60)
    logs = log_probabilities(probabilities)

    def loss(temperature):
        softened = logs / temperature
        softened -= np.log(np.exp(softened).sum(axis=1, keepdims=True))
        return -(weights * softened[np.arange(60), truth]).sum()

    theirs = optimize.minimize_scalar(loss, bounds=TEMPERATURES, options={"xatol": 1e-9}).x
    assert fit_temperature(logs, truth, weights) == pytest.approx(theirs, rel=1e-5)


def test_temperature_agrees_with_netcal():
    probabilities, truth = answers(n=300, sharpness=2.0)
    theirs = TemperatureScaling()
    theirs.fit(probabilities, truth)
    found = fit_temperature(log_probabilities(probabilities), truth)
    # Theirs is the weight on the logits, 1 / T, found in float32.
    assert 1 / found == pytest.approx(float(np.squeeze(theirs.temperature)), rel=2e-3)


def test_a_row_of_weight_two_counts_as_two_rows():
    probabilities, truth = answers(n=30)
    logs, twice = log_probabilities(probabilities), np.r_[np.arange(30), 0, 1, 2]
    weights = np.r_[[2.0, 2, 2], np.ones(27)]
    assert fit_temperature(logs, truth, weights) == pytest.approx(
        fit_temperature(logs[twice], truth[twice]), rel=1e-6
    )


def test_temperature_stays_in_its_bounds_where_the_data_know_none():
    all_right = log_probabilities([[0.6, 0.4], [0.3, 0.7]])
    assert fit_temperature(all_right, [0, 1]) == pytest.approx(TEMPERATURES[0])
    assert fit_temperature(all_right, [1, 0]) == pytest.approx(TEMPERATURES[1])
    assert fit_temperature(log_probabilities(np.full((4, 2), 0.5)), [0, 1, 0, 1]) == 1.0


def test_certain_answers_stay_finite():
    certain = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    found = fit_temperature(log_probabilities(certain), [0, 1, 0])
    assert TEMPERATURES[0] <= found <= TEMPERATURES[1]
    softened = apply_temperature(certain, found)
    assert np.isfinite(softened).all()
    assert softened.sum(axis=1) == pytest.approx(1)


def test_temperature_keeps_the_call_and_one_changes_nothing():
    probabilities, _ = answers(n=50)
    assert apply_temperature(probabilities, 1.0) == pytest.approx(probabilities)
    softened = apply_temperature(probabilities, 3.0)
    assert (softened.argmax(axis=1) == probabilities.argmax(axis=1)).all()
    assert (softened.max(axis=1) < probabilities.max(axis=1)).all()


@pytest.mark.parametrize(
    ("confidence", "is_right", "message"),
    [
        ([0.5, 1.2], [1, 0], "not between 0 and 1"),
        ([0.5, np.nan], [1, 0], "not between 0 and 1"),
        ([0.5], [1, 0], "equal columns"),
        ([], [], "equal columns"),
        ([0.5, 0.6], [1, 2], "True or False"),
    ],
)
def test_refuses_what_are_no_calls(confidence, is_right, message):
    with pytest.raises(ValueError, match=message):
        calibration_error_metric(confidence, is_right)


def test_refuses_what_gives_no_temperature():
    with pytest.raises(ValueError, match="not finite"):
        fit_temperature([[0.0, -np.inf]], [0])
    with pytest.raises(ValueError, match="between 0 and 1"):
        fit_temperature([[0.0, -1.0]], [2])
    with pytest.raises(ValueError, match="weights"):
        fit_temperature([[0.0, -1.0]], [0], [0.0])
    with pytest.raises(ValueError, match="above 0"):
        apply_temperature([[0.5, 0.5]], 0.0)
