"""Bootstrap of patients: intervals for any figure, with all images of a patient drawn together."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from marrow.statistics.interval import Interval, normal_quantile

Rows = NDArray[np.int64]
Floats = NDArray[np.float64]
Metric = Callable[[Rows], float]
"""A figure of the rows (images) with these numbers; a row drawn twice comes twice. It gives
NaN, or raises ValueError, where the figure does not exist."""

_FAILED = 0.05
"""Share of draws without a figure above which there is no interval; the project's choice."""


def patient_bootstrap(
    metric: Metric,
    groups: ArrayLike,
    strata: ArrayLike | None = None,
    draws: int = 2000,
    seed: int = 0,
    method: Literal["percentile", "bca"] = "percentile",
    confidence: float = 0.95,
) -> Interval:
    """A figure over images with an interval over patients (cluster bootstrap).

    Patients are drawn with replacement, each with all of its images. Two calls with the same
    groups, strata, draws and seed draw the same patients, so that models can be compared on
    shared draws, whatever the metric.

    Percentile: the alpha/2 and 1 - alpha/2 quantiles of the draws. BCa: the same at
    Phi(z0 + (z0 + z)/(1 - a (z0 + z))), with z0 the normal quantile of the share of draws
    below the estimate (ties half) and a the acceleration from leaving out one patient.

    Parameters
    ----------
    metric : callable
        See `Metric`.
    groups : array_like, (n,)
        Patient of each row.
    strata : array_like, (n,), optional
        Class of each row's patient. Each class is then drawn apart and keeps its number of
        patients: for AUC, sensitivity and specificity only, because with fixed classes a
        predictive value's interval is too narrow (coverage .85 for .95, measured).
    draws : int
        Bootstrap draws.
    seed : int
        Source of the draws.
    method : "percentile" or "bca"
    confidence : float
        Level, between 0 and 1.

    Returns
    -------
    Interval
        With n in patients. Not estimable (low and high None, with the reason) where all
        draws give one value (full separation: that is no certainty), where more than 5% of
        the draws have no figure, or where BCa has no finite correction.

    Raises
    ------
    ValueError
        With fewer than 2 patients, or fewer than 2 in a class; if a patient is in two
        classes; if the figure does not exist for the rows as they are.

    Source: Efron 1987, JASA 82:171 (BCa; acceleration over several samples as in
    `scipy.stats.bootstrap`); Field and Welsh 2007, JRSS B 69:369 (cluster bootstrap).
    """
    if method not in ("percentile", "bca"):
        raise ValueError(f"method is {method!r}; it must be percentile or bca")
    if draws < 100:
        raise ValueError(f"{draws} draws are too few for an interval; take 2,000")
    tail = (1 - confidence) / 2
    normal_quantile(confidence)  # checks the level
    samples = _samples(groups, strata)
    count = sum(len(sample) for sample in samples)
    value = _figure(metric, np.arange(np.size(groups)))
    if np.isnan(value):
        raise ValueError("the figure does not exist for these rows")
    values = np.array([_figure(metric, rows) for rows in _drawn(samples, draws, seed)])
    ends, reason = _ends(values, value, tail)
    if ends is not None and method == "bca":
        ends, failure = _bca(values, value, tail, metric, samples)
        reason = failure or reason
    name = f"bootstrap of patients, {method}{', stratified' if strata is not None else ''}"
    if ends is None:
        return Interval(value, None, None, count, name, confidence, reason)
    return Interval(value, ends[0], ends[1], count, name, confidence, reason)


def patient_draws(
    groups: ArrayLike, strata: ArrayLike | None = None, draws: int = 2000, seed: int = 0
) -> Iterator[Rows]:
    """The rows of each bootstrap draw: exactly those that `patient_bootstrap` uses.

    Parameters as there. Yields int arrays of row numbers, with repetitions.
    """
    yield from _drawn(_samples(groups, strata), draws, seed)


def _samples(groups: ArrayLike, strata: ArrayLike | None) -> list[list[Rows]]:
    """Rows of each patient, patients in the order of their names, one list a stratum."""
    names, patient = np.unique(np.asarray(groups), return_inverse=True)
    order = np.argsort(patient, kind="stable")
    cuts = np.cumsum(np.bincount(patient, minlength=len(names)))[:-1]
    rows = [part.astype(np.int64) for part in np.split(order, cuts)]
    if strata is None:
        if len(names) < 2:
            raise ValueError(f"{len(names)} patient: a bootstrap of patients needs at least 2")
        return [rows]
    return _by_class(names, rows, np.asarray(strata), patient)


def _by_class(
    names: NDArray[Any], rows: list[Rows], strata: NDArray[Any], patient: NDArray[np.int64]
) -> list[list[Rows]]:
    if strata.shape != patient.shape:
        raise ValueError(f"groups {patient.shape} and strata {strata.shape} must be equal columns")
    samples: dict[Any, list[Rows]] = {stratum: [] for stratum in np.unique(strata).tolist()}
    for name, own in zip(names, rows, strict=True):
        found = np.unique(strata[own]).tolist()
        if len(found) > 1:
            raise ValueError(f"patient {name} is in more than one class: {found}")
        samples[found[0]].append(own)
    for stratum, sample in samples.items():
        if len(sample) < 2:
            raise ValueError(f"class {stratum} has {len(sample)} patient; at least 2 are needed")
    return list(samples.values())


def _drawn(samples: list[list[Rows]], draws: int, seed: int) -> Iterator[Rows]:
    rng = np.random.default_rng(seed)
    # One table a sample, as scipy.stats.bootstrap draws: the tests compare them bit for bit.
    tables = [rng.integers(0, len(sample), (draws, len(sample))) for sample in samples]
    for draw in range(draws):
        yield np.concatenate(
            [
                sample[place]
                for sample, table in zip(samples, tables, strict=True)
                for place in table[draw]
            ]
        )


def _figure(metric: Metric, rows: Rows) -> float:
    try:
        return float(metric(rows))
    except ValueError:
        return float("nan")


def _ends(
    values: Floats, value: float, tail: float
) -> tuple[tuple[float, float] | None, str | None]:
    """Percentile ends of the draws, or why there are none; a note if draws were lost."""
    kept = values[~np.isnan(values)]
    lost = len(values) - len(kept)
    if lost > _FAILED * len(values):
        return None, f"{lost} of {len(values)} draws have no figure (a class was not drawn)"
    if np.ptp(kept) == 0:
        return None, f"every draw gives {value:.3f}"
    low, high = np.quantile(kept, [tail, 1 - tail])
    note = f"{lost} of {len(values)} draws had no figure and were left out" if lost else None
    return (float(low), float(high)), note


def _bca(
    values: Floats, value: float, tail: float, metric: Metric, samples: list[list[Rows]]
) -> tuple[tuple[float, float] | None, str | None]:
    kept = values[~np.isnan(values)]
    below = (np.mean(kept < value) + np.mean(kept <= value)) / 2
    acceleration = _acceleration(metric, samples)
    if not 0 < below < 1 or not np.isfinite(acceleration):
        return None, "no finite bias correction or acceleration"
    z0 = stats.norm.ppf(below)
    shifted = z0 + stats.norm.ppf([tail, 1 - tail])
    shares = stats.norm.cdf(z0 + shifted / (1 - acceleration * shifted))
    low, high = np.quantile(kept, shares)
    return (float(low), float(high)), None


def _acceleration(metric: Metric, samples: list[list[Rows]]) -> float:
    """Skewness of the jackknife over patients, summed over strata; NaN where it fails."""
    cubes = squares = 0.0
    for i, sample in enumerate(samples):
        others = [own for j, other in enumerate(samples) if j != i for own in other]
        without = np.array(
            [
                _figure(metric, np.concatenate(others + sample[:k] + sample[k + 1 :]))
                for k in range(len(sample))
            ]
        )
        n = len(sample)
        influence = (n - 1) * (without.mean() - without)
        cubes += float(np.sum(influence**3)) / n**3
        squares += float(np.sum(influence**2)) / n**2
    return cubes / (6 * squares**1.5) if squares > 0 else float("nan")
