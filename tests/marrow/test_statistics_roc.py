"""ROC curves against scikit-learn, and their bands over patients."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score
from sklearn.metrics import roc_curve as sklearn_curve

from marrow.statistics.bootstrap import patient_weights
from marrow.statistics.roc import FALSE_ALARMS, curve_and_draws, roc_curve, roc_curves


def test_a_roc_curve_is_that_of_scikit_learn_ties_included() -> None:
    rng = np.random.default_rng(0)
    truth = rng.random(200) < 0.4
    scores = np.round(rng.normal(truth.astype(float), 1), 1)
    curve = roc_curves(scores, truth, np.ones((1, 200)))[0]
    fpr, tpr, _ = sklearn_curve(truth, scores, drop_intermediate=False)
    np.testing.assert_allclose(curve, np.interp(FALSE_ALARMS, fpr, tpr), atol=1e-12)
    area = ((curve[1:] + curve[:-1]) / 2).mean()
    # The grid cuts corners of at most one step by one point of the curve.
    assert area == pytest.approx(roc_auc_score(truth, scores), abs=0.01)


def test_a_drawn_curve_counts_a_row_as_often_as_it_was_drawn() -> None:
    rng = np.random.default_rng(1)
    truth, scores = rng.random(30) < 0.5, np.round(rng.random(30), 1)
    weights = rng.integers(0, 3, (1, 30)).astype(float)
    repeated = np.repeat(np.arange(30), weights[0].astype(int))
    drawn = roc_curves(scores, truth, weights)[0]
    whole = roc_curves(scores[repeated], truth[repeated], np.ones((1, len(repeated))))[0]
    np.testing.assert_allclose(drawn, whole, atol=1e-12)
    assert np.isnan(roc_curves(scores, truth, truth[None].astype(float))).all()


def test_a_band_holds_its_curve_and_rests_on_the_draws_of_the_auc() -> None:
    rng = np.random.default_rng(2)
    truth = np.arange(80) % 3 == 0
    scores = rng.normal(truth.astype(float), 1)
    patients = np.repeat([f"p{i}" for i in range(40)], 2)
    found = roc_curve(scores, truth, patients, draws=400)
    assert found.low is not None
    assert found.high is not None
    assert (found.low <= found.sensitivity + 1e-12).all()
    assert (found.sensitivity <= found.high + 1e-12).all()
    weights = np.concatenate(list(patient_weights(patients, draws=400)))
    assert (weights[:, ::2] == weights[:, 1::2]).all()  # all rows of a patient together
    _, drawn = curve_and_draws(scores, truth, patients, draws=400)
    np.testing.assert_array_equal(drawn, roc_curves(scores, truth, weights))
    expected = [np.nanquantile(drawn[:, 20], q) for q in (0.025, 0.975)]
    assert (found.low[20], found.high[20]) == pytest.approx(expected)


def test_a_band_covers_the_true_curve_about_as_often_as_it_says() -> None:
    """Normal scores one deviation apart: at a false positive rate of 0.3 the truth is known."""
    at, truth = 30, np.repeat([True, False], [40, 60])
    sensitivity = 0.6828  # 1 - Phi(Phi^-1(0.7) - 1)
    patients = np.arange(100)
    inside = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        scores = rng.normal(truth.astype(float), 1)
        found = roc_curve(scores, truth, patients, draws=200)
        assert found.low is not None
        assert found.high is not None
        inside += found.low[at] <= sensitivity <= found.high[at]
    # A percentile bootstrap of 40 positives is a little narrow; three binomial deviations at 0.93.
    assert inside >= 85


def test_one_patient_of_a_class_has_a_curve_and_no_band() -> None:
    scores, truth = [0.9, 0.8, 0.1, 0.2], [1, 1, 0, 0]
    found = roc_curve(scores, truth, ["a", "a", "b", "c"])
    assert (found.low, found.high) == (None, None)
    assert found.reason == "fewer than 2 patients in a class"
    assert found.sensitivity.tolist() == [1.0] * 101
    with pytest.raises(ValueError, match="needs both classes"):
        roc_curve(scores, [1, 1, 1, 1], list("abcd"))
