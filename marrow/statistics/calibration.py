"""Calibration: whether calls made with 80% confidence are right 80% of the time.

`brier_metric` (rates.py) scores probabilities as a whole; here is what is wrong with them, by bin.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from marrow.statistics.bootstrap import Floats, Metric, patient_bootstrap
from marrow.statistics.inputs import Bools, Numbers, checked_calls, patient_numbers
from marrow.statistics.interval import Interval
from marrow.statistics.proportions import wilson
from marrow.statistics.rates import mean_metric, quotient


def calibration_error_metric(confidence: ArrayLike, is_right: ArrayLike, bins: int = 10) -> Metric:
    """Expected calibration error over bins of equal mass, 0 to 1; 0 is best.

    The sum over bins of |sum of w (confidence - is_right)| / sum of all w: the distance between
    mean confidence and share right, weighted by the bin. The bins are cut at quantiles of the rows
    given and stay where they are while a bootstrap draws. Of few rows it reads too high, and a
    percentile interval even higher: `calibration_error` sets both right.

    Parameters
    ----------
    confidence : array_like, (n,)
        Probability of the class called; or, of a two-class head, of the positive class.
    is_right : array_like, (n,)
        Whether the call was right; or whether the patient is positive.
    bins : int
        At least 1. Equal confidences share a bin, so that there may be fewer.

    Raises
    ------
    ValueError
        If the columns differ in length or are empty, or a confidence is outside of 0 to 1.

    Source: Naeini, Cooper and Hauskrecht 2015, AAAI 29:2901; equal mass: Nguyen and O'Connor 2015,
    EMNLP 1587.
    """
    sure, right = checked_calls(confidence, is_right)
    number = _bin_numbers(sure, bins)
    gaps = np.zeros((len(sure), number.max() + 1))  # (n, bins): each row's gap in its own bin
    gaps[np.arange(len(sure)), number] = sure - right

    def error(weights: Floats) -> Floats:
        return quotient(np.abs(weights @ gaps).sum(axis=1), weights.sum(axis=1))

    return error


@dataclass(frozen=True)
class CalibrationError:
    """An expected calibration error and what chance alone makes of it.

    Attributes
    ----------
    error : Interval
        0 to 1, with n in patients.
    by_chance : float
        Of 20 perfectly calibrated heads with the same confidences, 19 show an error of at most
        this. An error below it is no sign of bad calibration.
    bins : int
        Bins asked for.
    """

    error: Interval
    by_chance: float
    bins: int


def calibration_error(
    confidence: ArrayLike,
    is_right: ArrayLike,
    groups: ArrayLike,
    bins: int | None = None,
    draws: int = 2000,
    seed: int = 0,
) -> CalibrationError:
    """Expected calibration error with a 95% interval over patients.

    An error is a sum of distances, which noise only adds to: it reads too high (0.13 for a perfect
    head of 35 patients in 10 bins), and each draw of a bootstrap adds the same noise once more. So
    the interval is the basic one, which turns the draws around the estimate e: from
    max(0, 2 e - q_97.5) to max(e, 2 e - q_2.5). With the default bins it covers the error of
    endless data in 83 to 94% for heads with a true temperature of 1.3 to 4, where the percentiles
    of the draws cover 62 to 97%; and in 57 to 83% for a perfect head, where those cover it never
    (docs/statistics.md). Hence `by_chance`.

    Parameters
    ----------
    confidence, is_right
        As in `calibration_error_metric`.
    groups : array_like, (n,)
        Patient of each row.
    bins : int, optional
        None: one for 20 patients, at least 2 and at most 10.
    draws, seed : int
        Of the bootstrap, and of the perfect heads: there each row is right with a chance of its
        confidence, independently, which is too kind where a patient's images err together.

    Source: Davison and Hinkley 1997, Bootstrap Methods and their Application, section 5.2 (basic
    interval); Brocker and Smith 2007, Weather Forecast 22:651 (perfect heads).
    """
    sure, right = checked_calls(confidence, is_right)
    names, _ = patient_numbers(groups, len(sure))
    bins = _bins_for(len(names)) if bins is None else bins
    found = patient_bootstrap(
        calibration_error_metric(sure, right, bins), groups, draws=draws, seed=seed
    )
    if found.value is not None and found.low is not None and found.high is not None:
        found = replace(
            found,
            low=max(0.0, 2 * found.value - found.high),
            high=max(found.value, 2 * found.value - found.low),
            method="bootstrap of patients, basic",
        )
    rng, number = np.random.default_rng(seed), _bin_numbers(sure, bins)
    perfect = [
        np.abs(np.bincount(number, sure - (rng.random(len(sure)) < sure))).sum() / len(sure)
        for _ in range(draws)
    ]
    return CalibrationError(found, float(np.quantile(perfect, 0.95)), bins)


@dataclass(frozen=True)
class ReliabilityBin:
    """One point of a reliability diagram.

    Attributes
    ----------
    confidence : float
        Mean confidence of the bin's rows.
    right : Interval
        Share of them that was right, with n in patients.
    rows : int
        Rows in the bin (images, where a patient has several).
    """

    confidence: float
    right: Interval
    rows: int


def reliability(
    confidence: ArrayLike,
    is_right: ArrayLike,
    groups: ArrayLike | None = None,
    bins: int | None = None,
    draws: int = 2000,
    seed: int = 0,
) -> tuple[ReliabilityBin, ...]:
    """The reliability diagram as a table: bins of equal mass, from unsure to sure.

    The share right has Wilson's interval where each row of the bin is a patient, and one from a
    bootstrap of patients otherwise.

    Parameters
    ----------
    confidence, is_right, bins
        As in `calibration_error`.
    groups : array_like, (n,), optional
        Patient of each row; None: each row is a patient.

    Source: Murphy and Winkler 1977, Appl Stat 26:41.
    """
    sure, right = checked_calls(confidence, is_right)
    names, patient = patient_numbers(groups, len(sure))
    number = _bin_numbers(sure, _bins_for(len(names)) if bins is None else bins)
    table = []
    for k in range(number.max() + 1):
        own = number == k
        share = _share(right[own], patient[own], draws, seed)
        table.append(ReliabilityBin(float(sure[own].mean()), share, int(own.sum())))
    return tuple(table)


def _share(right: Bools, patient: Numbers, draws: int, seed: int) -> Interval:
    patients = len(np.unique(patient))
    if patients == len(right):
        return wilson(int(right.sum()), patients)
    if patients < 2:
        method = "bootstrap of patients"
        return Interval(float(right.mean()), None, None, 1, method, reason="a single patient")
    return patient_bootstrap(mean_metric(right), patient, draws=draws, seed=seed)


def _bins_for(patients: int) -> int:
    """One bin for 20 patients, 2 to 10: with fewer a bin the interval is of no use (measured)."""
    return min(max(patients // 20, 2), 10)


def _bin_numbers(confidence: Floats, bins: int) -> Numbers:
    """Bin of each row, 0 to at most bins - 1, each bin with a row; equal confidences together."""
    if bins < 1:
        raise ValueError(f"{bins} bins; at least 1 is needed")
    cuts = np.quantile(confidence, np.linspace(0, 1, bins + 1))[1:-1]
    place = np.searchsorted(cuts, confidence, side="right")
    return np.unique(place, return_inverse=True)[1].astype(np.int64)
