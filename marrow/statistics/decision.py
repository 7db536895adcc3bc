"""Decision curves: whether acting on the model does more good than acting on all or on none."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from marrow.statistics.bootstrap import FAILED, Floats, patient_weights
from marrow.statistics.inputs import Bools, checked_calls


@dataclass(frozen=True)
class DecisionCurve:
    """Net benefit over threshold probabilities, with pointwise bands over patients.

    Net benefit is in true positives a patient: 0.1 is worth 10 rightly treated of 100 patients
    without one treated in vain. To treat none has 0 throughout.

    Attributes
    ----------
    thresholds : ndarray, (t,)
        Probability at and above which one would act, between 0 and 1.
    model, treat_all : ndarray, (t,)
    model_band, treat_all_band : ndarray, (2, t), or None
        Low and high ends at each threshold by itself: not of the curve as a whole. None where
        `reason` says why.
    prevalence : float
        Of the cohort, or the one that was chosen.
    n : int
        Patients.
    confidence : float
    reason : str or None
    """

    thresholds: Floats
    model: Floats
    treat_all: Floats
    model_band: Floats | None
    treat_all_band: Floats | None
    prevalence: float
    n: int
    confidence: float = 0.95
    reason: str | None = None


def decision_curve(
    probabilities: ArrayLike,
    truth: ArrayLike,
    groups: ArrayLike,
    thresholds: ArrayLike | None = None,
    prevalence: float | None = None,
    draws: int = 2000,
    seed: int = 0,
    confidence: float = 0.95,
) -> DecisionCurve:
    """Net benefit of acting on the model, on all and on none.

    At threshold t, with prevalence pi: sensitivity(t) pi - (1 - specificity(t)) (1 - pi) t/(1 - t),
    where a patient is called at p >= t; to treat all has a sensitivity of 1 and a specificity of 0.
    At the cohort's prevalence that is TP/n - FP/n t/(1 - t), and each draw has its own prevalence;
    a chosen one stays as it is.

    Parameters
    ----------
    probabilities : array_like, (n,)
        Calibrated probability of the positive class.
    truth : array_like, (n,)
        True or 1 for positive.
    groups : array_like, (n,)
        Patient of each row.
    thresholds : array_like, (t,), optional
        Above 0 and below 1; default 0.01, 0.02, ..., 0.99.
    prevalence : float, optional
        Share of positives where the model is to be used; None: the cohort's.
    draws, seed, confidence
        As in `patient_bootstrap`.

    Raises
    ------
    ValueError
        If a class is missing, or a threshold or the prevalence is not between 0 and 1.

    Source: Vickers and Elkin 2006, Med Decis Making 26:565; a chosen prevalence: Vickers, Cronin,
    Elkin and Gonen 2008, BMC Med Inform Decis Mak 8:53.
    """
    said, is_positive = checked_calls(probabilities, truth)
    if is_positive.all() or not is_positive.any():
        raise ValueError("a decision curve takes patients with and without the disease")
    at = np.arange(1, 100) / 100 if thresholds is None else np.asarray(thresholds, dtype=np.float64)
    if at.ndim != 1 or not len(at) or not ((at > 0) & (at < 1)).all():
        raise ValueError(f"thresholds {at.shape} must be numbers above 0 and below 1")
    if prevalence is not None and not 0 < prevalence < 1:
        raise ValueError(f"prevalence is {prevalence}; it must lie between 0 and 1")
    columns = _columns(said, is_positive, at)
    whole = _net_benefit(np.ones((1, len(said))), columns, at, prevalence)[:, 0]  # (2, t)
    drawn = np.concatenate(
        [
            _net_benefit(weights, columns, at, prevalence)
            for weights in patient_weights(groups, draws=draws, seed=seed)
        ],
        axis=1,
    )  # (2, draws, t)
    kept = drawn[:, ~np.isnan(drawn).any(axis=(0, 2))]
    lost = draws - kept.shape[1]
    reason = f"{lost} of {draws} draws lack a class" if lost > FAILED * draws else None
    model_band = all_band = None
    if reason is None:
        tail = (1 - confidence) / 2
        ends = np.quantile(kept, [tail, 1 - tail], axis=1)  # (low and high, model and all, t)
        model_band, all_band = ends[:, 0], ends[:, 1]
    share = float(is_positive.mean()) if prevalence is None else prevalence
    n = len(np.unique(np.asarray(groups)))
    return DecisionCurve(at, whole[0], whole[1], model_band, all_band, share, n, confidence, reason)


def _columns(said: Floats, is_positive: Bools, at: Floats) -> Floats:
    """What is summed over rows, (n, 2 t + 2): TP and FP at each t, positives, negatives."""
    called, positive = said[:, None] >= at, is_positive[:, None]
    return np.hstack([called & positive, called & ~positive, positive, ~positive]).astype(float)


def _net_benefit(weights: Floats, columns: Floats, at: Floats, prevalence: float | None) -> Floats:
    """(2, D, t): of the model and of treating all, for D draws; NaN where a class is missing."""
    sums = weights @ columns
    tp, fp = sums[:, : len(at)], sums[:, len(at) : 2 * len(at)]
    positives, negatives = sums[:, -2, None], sums[:, -1, None]
    if prevalence is None:
        worth = cost = 1 / (positives + negatives)  # of one positive and of one negative
    else:
        with np.errstate(divide="ignore"):
            worth, cost = prevalence / positives, (1 - prevalence) / negatives
    odds = at / (1 - at)
    with np.errstate(invalid="ignore"):  # a missing class: 0 x infinity is the NaN that is meant
        return np.stack(
            [tp * worth - fp * cost * odds, positives * worth - negatives * cost * odds]
        )
