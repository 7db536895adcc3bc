"""Abstention: what is gained when the model may say "unsure", and what it costs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from marrow.statistics.bootstrap import Floats, Metric
from marrow.statistics.inputs import checked_calls, checked_weights
from marrow.statistics.rates import quotient


@dataclass(frozen=True)
class RiskCoverage:
    """A risk-coverage curve: one point for each distinct confidence, from sure to unsure.

    Attributes
    ----------
    thresholds : ndarray, (t,)
        Falling; a row is answered when its confidence is at least this.
    coverage : ndarray, (t,)
        Weighted share of the rows that is answered; the last one is 1.
    risk : ndarray, (t,)
        Weighted share of the answered that is wrong.
    """

    thresholds: Floats
    coverage: Floats
    risk: Floats


def risk_coverage(
    confidence: ArrayLike, is_right: ArrayLike, weights: ArrayLike | None = None
) -> RiskCoverage:
    """How often the answers are wrong, if only the surest share of them is given.

    Rows of equal confidence are answered or withheld together, whatever their order in the file.

    Parameters
    ----------
    confidence : array_like, (n,)
        Probability of the class called.
    is_right : array_like, (n,)
    weights : array_like, (n,), optional
        1 / (rows of its patient), so that each patient counts alike.

    Raises
    ------
    ValueError
        If the columns differ in length or are empty, or a confidence is outside of 0 to 1.

    Source: El-Yaniv and Wiener 2010, J Mach Learn Res 11:1605; Geifman and El-Yaniv 2017, NeurIPS
    30:4878.
    """
    sure, right = checked_calls(confidence, is_right)
    share = checked_weights(weights, len(sure))
    found, level = np.unique(-sure, return_inverse=True)
    by_level = np.stack([np.bincount(level, share), np.bincount(level, share * ~right)])
    answered, wrong = np.cumsum(by_level.astype(np.float64), axis=1)
    return RiskCoverage(-found, answered / answered[-1], quotient(wrong, answered))


def aurc_metric(confidence: ArrayLike, is_right: ArrayLike) -> Metric:
    """Area under the risk-coverage curve, 0 to 1; 0 is best.

    The mean over rows of the risk at the row's own confidence: sum_i w_i r(c_i) / sum w, where r(c)
    is the weighted share wrong among rows of confidence c or more. It is the error rate where all
    confidences are alike, so that only a confidence which knows the errors lowers it.

    Parameters and errors as in `risk_coverage`.

    Source: Geifman, Uziel and El-Yaniv 2019, ICLR, section 2.
    """
    sure, right = checked_calls(confidence, is_right)
    order = np.argsort(-sure, kind="stable")
    wrong = (~right[order]).astype(np.float64)
    # Each row is read at the last one of its confidence, so that ties come together.
    last = np.searchsorted(-sure[order], -sure[order], side="right") - 1

    def area(weights: Floats) -> Floats:
        drawn = weights[:, order]
        risk = quotient(np.cumsum(drawn * wrong, axis=1), np.cumsum(drawn, axis=1))[:, last]
        # Before the first row that was drawn there is no risk, and no weight either.
        return quotient(np.where(drawn > 0, drawn * risk, 0.0).sum(axis=1), drawn.sum(axis=1))

    return area


def threshold_for_false_alarms(
    confidence: ArrayLike,
    is_right: ArrayLike,
    weights: ArrayLike | None = None,
    share: float = 0.10,
) -> float:
    """The highest threshold that withholds at most this share of the right calls.

    A call is withheld when its confidence lies below the threshold. Fixed on calibration patients,
    out of fold, and never on those it is judged on.

    Parameters
    ----------
    confidence, is_right, weights
        As in `risk_coverage`.
    share : float
        Weighted share of right calls that may be lost, 0 or more and below 1.

    Returns
    -------
    float
        The confidence of a right call, the lowest one that must be answered.

    Raises
    ------
    ValueError
        If no call with weight is right: there is nothing to hold the threshold down.

    Source: the project's choice of rule; the trade: Chow 1970, IEEE Trans Inf Theory 16:41.
    """
    if not 0 <= share < 1:
        raise ValueError(f"share is {share}; it must be at least 0 and below 1")
    sure, right = checked_calls(confidence, is_right)
    weight = checked_weights(weights, len(sure))
    levels, level = np.unique(sure[right & (weight > 0)], return_inverse=True)
    if not len(levels):
        raise ValueError("no calibration call is right: no threshold can spare the right ones")
    held = np.bincount(level, weight[right & (weight > 0)])
    below = np.cumsum(held) - held  # weight of right calls below each level
    # Rounding must not cost a call that is allowed exactly.
    return float(levels[below <= share * held.sum() * (1 + 1e-12)][-1])
