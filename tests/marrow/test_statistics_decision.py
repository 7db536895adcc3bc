"""Decision curves against dcurves and a hand-worked case."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from dcurves import dca

from marrow.statistics import decision_curve


def cohort(n=150, seed=0):
    rng = np.random.default_rng(seed)
    risk = rng.beta(1, 2, n)
    return np.round(risk, 2), rng.random(n) < risk


def test_net_benefit_of_ten_patients_by_hand():
    """At .25 six are called, four of them ill: 4/10 - 2/10 x 1/3. All: 5/10 - 5/10 x 1/3."""
    probabilities = [0.9, 0.8, 0.6, 0.25, 0.1, 0.7, 0.3, 0.2, 0.1, 0.0]
    truth = [1, 1, 1, 1, 1, 0, 0, 0, 0, 0]
    found = decision_curve(probabilities, truth, range(10), [0.25], draws=100)
    assert found.model == pytest.approx([0.4 - 0.2 / 3])
    assert found.treat_all == pytest.approx([0.5 - 0.5 / 3])
    assert (found.n, found.prevalence) == (10, 0.5)
    # At a prevalence of 10%: sensitivity .8, false alarms .4.
    rare = decision_curve(probabilities, truth, range(10), [0.25], prevalence=0.1, draws=100)
    assert rare.model == pytest.approx([0.8 * 0.1 - 0.4 * 0.9 / 3])
    assert rare.treat_all == pytest.approx([0.1 - 0.9 / 3])


@pytest.mark.parametrize("prevalence", [None, 0.15])
def test_equals_dcurves(prevalence):
    probabilities, truth = cohort()
    at = np.arange(1, 100) / 100
    theirs = dca(
        data=pd.DataFrame({"ill": truth, "model": probabilities}),
        outcome="ill",
        modelnames=["model"],
        thresholds=at,
        prevalence=prevalence,
    )
    found = decision_curve(probabilities, truth, range(150), prevalence=prevalence, draws=100)
    for name, ours in (("model", found.model), ("all", found.treat_all)):
        expected = theirs[theirs.model == name].sort_values("threshold").net_benefit.to_numpy()
        assert ours == pytest.approx(expected, abs=1e-12)
    assert found.thresholds == pytest.approx(at)


def test_bands_hold_the_curve_and_are_over_patients():
    probabilities, truth = cohort()
    at = [0.1, 0.3, 0.5]
    once = decision_curve(probabilities, truth, np.arange(150), at, draws=500)
    assert (once.model_band[0] < once.model).all()
    assert (once.model < once.model_band[1]).all()
    assert (once.treat_all_band[0] < once.treat_all).all()
    copied = decision_curve(
        np.repeat(probabilities, 8),
        np.repeat(truth, 8),
        np.repeat(np.arange(150), 8),
        at,
        draws=500,
    )
    assert copied.model_band == pytest.approx(once.model_band)
    assert copied.n == 150


def test_a_chosen_prevalence_does_not_vary_with_the_draw():
    probabilities, truth = cohort()
    found = decision_curve(probabilities, truth, range(150), [0.2], prevalence=0.3, draws=300)
    assert found.treat_all_band[0] == pytest.approx(found.treat_all_band[1])
    assert found.model_band[0, 0] < found.model_band[1, 0]


def test_draws_without_a_class_give_no_band():
    truth = np.zeros(30)
    truth[:2] = 1
    found = decision_curve(
        np.linspace(0, 1, 30), truth, range(30), [0.2], prevalence=0.3, draws=300
    )
    assert found.model_band is None  # (28/30)^30 = 13% of draws have no positive
    assert "lack a class" in found.reason
    # At the cohort's own prevalence such a draw has a net benefit all the same.
    assert decision_curve(np.linspace(0, 1, 30), truth, range(30), [0.2]).model_band is not None


def test_refuses_what_has_no_curve():
    with pytest.raises(ValueError, match="with and without"):
        decision_curve([0.5, 0.6], [1, 1], [0, 1])
    with pytest.raises(ValueError, match="above 0 and below 1"):
        decision_curve([0.5, 0.6], [1, 0], [0, 1], thresholds=[0.0, 0.5])
    with pytest.raises(ValueError, match="prevalence"):
        decision_curve([0.5, 0.6], [1, 0], [0, 1], prevalence=1.0)
