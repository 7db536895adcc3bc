"""Bootstrap of patients: intervals for any figure, with all images of a patient drawn together."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray

from marrow.statistics.interval import Interval, normal_quantile

Floats = NDArray[np.float64]
Metric = Callable[[Floats], Floats]
"""A figure over weighted rows (images): row weights, float64 (D, n), to D figures, float64 (D,).

A row of weight 2 counts as two equal rows and one of weight 0 not at all, so that each draw of
a bootstrap is a row of whole-number weights. NaN where the figure does not exist."""

FAILED = 0.05
"""Share of draws without a figure above which there is no interval; the project's choice."""

ROUNDING = 1e-12
"""Relative gap below which two figures are one: weighted sums differ in their last digits."""

_BLOCK = 2**16
"""Weights at a time: 512 KiB stay in a core's cache (8 MiB take twice as long, measured), and
memory stays small however many images there are."""


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
    below the estimate (ties half) and a the acceleration from leaving out one patient; it
    costs one more evaluation a patient.

    Parameters
    ----------
    metric : callable
        See `Metric`; `auc_metric`, `sensitivity_metric` and their kin make one.
    groups : array_like, (n,)
        Patient of each row.
    strata : array_like, (n,), optional
        Class of each row's patient. Each class is then drawn apart and keeps its number of
        patients: for AUC, sensitivity and specificity only, because with fixed classes a
        predictive value's interval is too narrow (docs/statistics.md has the coverage).
    draws : int
        Bootstrap draws, at least 100.
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
    return interval_and_draws(metric, groups, strata, draws, seed, method, confidence)[0]


def interval_and_draws(
    metric: Metric,
    groups: ArrayLike,
    strata: ArrayLike | None,
    draws: int,
    seed: int,
    method: Literal["percentile", "bca"],
    confidence: float,
) -> tuple[Interval, Floats]:
    """The interval of `patient_bootstrap`, and the figures of its draws, (draws,), some NaN."""
    if method not in ("percentile", "bca"):
        raise ValueError(f"method is {method!r}; it must be percentile or bca")
    normal_quantile(confidence)  # checks the level
    patients = _patients(groups, strata)
    value = float(figures(metric, np.ones((1, len(patients.of_row))))[0])
    if np.isnan(value):
        raise ValueError("the figure does not exist for these rows")
    drawn = np.concatenate([figures(metric, part) for part in _drawn(patients, draws, seed)])
    name = f"bootstrap of patients, {method}{', stratified' if strata is not None else ''}"
    tail = (1 - confidence) / 2
    ends, reason = _ends(drawn, value, tail)
    if ends is not None and method == "bca":
        ends, failure = _bca(drawn, value, tail, _acceleration(metric, patients))
        reason = failure or reason
    low, high = ends or (None, None)
    return Interval(value, low, high, patients.count, name, confidence, reason), drawn


def patient_weights(
    groups: ArrayLike, strata: ArrayLike | None = None, draws: int = 2000, seed: int = 0
) -> Iterator[Floats]:
    """How often each row is in each bootstrap draw: exactly those that `patient_bootstrap` uses.

    Several figures, or several models, evaluated on these weights share their draws.
    Parameters and errors as there.

    Yields
    ------
    ndarray of float64, (D, n)
        Whole numbers, as many draws at a time as keep memory bounded; `draws` in all.
    """
    yield from _drawn(_patients(groups, strata), draws, seed)


def figures(metric: Metric, weights: Floats) -> Floats:
    """The metric's figures of D weighted draws, (D,), or ValueError if it gives another shape."""
    found = np.asarray(metric(weights), dtype=np.float64)
    if found.shape != weights.shape[:1]:
        raise ValueError(
            f"the metric gave {found.shape} for weights {weights.shape}; one figure a draw, "
            f"{weights.shape[:1]}, is wanted"
        )
    return found


@dataclass(frozen=True)
class _Patients:
    """Who is drawn: patients numbered in the order of their names.

    Attributes
    ----------
    of_row : int64 (n,)
        Number of each row's patient.
    samples : list of int64 (P_s,)
        The patients of each stratum; one list of all where there are no strata.
    """

    of_row: NDArray[np.int64]
    samples: list[NDArray[np.int64]]

    @property
    def count(self) -> int:
        return sum(len(sample) for sample in self.samples)

    @property
    def block(self) -> int:
        """Draws that are evaluated at once."""
        return max(1, _BLOCK // len(self.of_row))


def _patients(groups: ArrayLike, strata: ArrayLike | None) -> _Patients:
    names, of_row = np.unique(np.asarray(groups), return_inverse=True)
    of_row = of_row.astype(np.int64)
    if strata is None:
        if len(names) < 2:
            raise ValueError(f"{len(names)} patient: a bootstrap of patients needs at least 2")
        return _Patients(of_row, [np.arange(len(names))])
    return _Patients(of_row, _by_class(names, of_row, np.asarray(strata)))


def _by_class(
    names: NDArray[Any], of_row: NDArray[np.int64], strata: NDArray[Any]
) -> list[NDArray[np.int64]]:
    if strata.shape != of_row.shape:
        raise ValueError(f"groups {of_row.shape} and strata {strata.shape} must be equal columns")
    classes, of_class = np.unique(strata, return_inverse=True)
    pairs = np.unique(np.stack([of_row, of_class]), axis=1)  # (2, one column a patient and class)
    repeated = np.flatnonzero(np.bincount(pairs[0]) > 1)
    if len(repeated):
        found = classes[pairs[1, pairs[0] == repeated[0]]].tolist()
        raise ValueError(f"patient {names[repeated[0]]} is in more than one class: {found}")
    samples = [pairs[0, pairs[1] == k] for k in range(len(classes))]
    for stratum, sample in zip(classes.tolist(), samples, strict=True):
        if len(sample) < 2:
            raise ValueError(f"class {stratum} has {len(sample)} patient; at least 2 are needed")
    return samples


def _drawn(patients: _Patients, draws: int, seed: int) -> Iterator[Floats]:
    """Weights of the rows in each draw, (block, n) at a time."""
    if draws < 100:
        raise ValueError(f"{draws} draws are too few for an interval; take 2,000")
    sizes = [min(patients.block, draws - done) for done in range(0, draws, patients.block)]
    streams = _streams(patients, sizes, seed)
    for size in sizes:
        counts = np.empty((size, patients.count))
        for sample, stream in zip(patients.samples, streams, strict=True):
            counts[:, sample] = _tallied(stream, size, len(sample))
        yield np.take(counts, patients.of_row, axis=1)


def _tallied(stream: np.random.Generator, size: int, count: int) -> NDArray[np.int64]:
    """How often each of `count` patients is in each of `size` draws, (size, count)."""
    table = stream.integers(0, count, (size, count)) + count * np.arange(size)[:, None]
    return np.bincount(table.ravel(), minlength=size * count).reshape(size, count)


def _streams(patients: _Patients, sizes: list[int], seed: int) -> list[np.random.Generator]:
    """For each stratum a generator that stands where the strata before it have ended.

    scipy.stats.bootstrap draws one whole table a sample from one generator, and the draws are
    to equal its draws bit for bit. To be made block by block, each table needs its own copy of
    the generator; the tables before it are drawn once and thrown away.
    """
    stream = np.random.default_rng(seed)
    streams = [stream]
    for sample in patients.samples[:-1]:
        stream = deepcopy(stream)
        for size in sizes:
            stream.integers(0, len(sample), (size, len(sample)))
        streams.append(stream)
    return streams


def _ends(
    values: Floats, value: float, tail: float
) -> tuple[tuple[float, float] | None, str | None]:
    """Percentile ends of the draws, or why there are none; a note if draws were lost."""
    kept = values[~np.isnan(values)]
    lost = len(values) - len(kept)
    if lost > FAILED * len(values):
        return None, f"{lost} of {len(values)} draws have no figure (a class was not drawn)"
    if np.ptp(kept) <= ROUNDING * max(1.0, abs(value)):
        return None, f"every draw gives {value:.3f}"
    low, high = np.quantile(kept, [tail, 1 - tail])
    note = f"{lost} of {len(values)} draws had no figure and were left out" if lost else None
    return (float(low), float(high)), note


def _bca(
    values: Floats, value: float, tail: float, acceleration: float
) -> tuple[tuple[float, float] | None, str | None]:
    kept = values[~np.isnan(values)]
    is_tied = np.abs(kept - value) <= ROUNDING * max(1.0, abs(value))
    below = np.mean(np.where(is_tied, 0.5, kept < value))
    if not 0 < below < 1 or not np.isfinite(acceleration):
        return None, "no finite bias correction or acceleration"
    z0 = scipy.stats.norm.ppf(below)
    shifted = z0 + scipy.stats.norm.ppf([tail, 1 - tail])
    shares = scipy.stats.norm.cdf(z0 + shifted / (1 - acceleration * shifted))
    low, high = np.quantile(kept, shares)
    return (float(low), float(high)), None


def _acceleration(metric: Metric, patients: _Patients) -> float:
    """Skewness of the jackknife over patients, summed over strata; NaN where it fails."""
    without = np.concatenate([figures(metric, weights) for weights in _left_out(patients)])
    cubes = squares = 0.0
    for sample in patients.samples:
        own, n = without[sample], len(sample)
        influence = (n - 1) * (own.mean() - own)
        cubes += float(np.sum(influence**3)) / n**3
        squares += float(np.sum(influence**2)) / n**2
    return cubes / (6 * squares**1.5) if squares > 0 else float("nan")


def _left_out(patients: _Patients) -> Iterator[Floats]:
    """Weights without patient 0, without patient 1, ..., (block, n) at a time."""
    for start in range(0, patients.count, patients.block):
        left_out = np.arange(start, min(start + patients.block, patients.count))
        yield (patients.of_row != left_out[:, None]).astype(np.float64)
