"""Shares of patients: sensitivity and its kin, with Wilson, Clopper-Pearson or Wald intervals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray

from marrow.statistics.interval import Interval, normal_quantile

ShareInterval = Callable[[int, int], Interval]
"""A function of (successes, n), such as `wilson`."""


def wilson(successes: int, n: int, confidence: float = 0.95) -> Interval:
    """Share successes/n with Wilson's score interval: the project's default.

    With p = successes/n and z the normal quantile, centre (p + z^2/2n) / (1 + z^2/n) and
    half-width z sqrt(p (1 - p)/n + z^2/4n^2) / (1 + z^2/n).

    Parameters
    ----------
    successes, n : int
        Counts of independent units (patients, not images), 0 <= successes <= n.

    Raises
    ------
    ValueError
        If n is 0: a share of nothing is not 0; or if the counts are no counts.

    Source: Wilson 1927, JASA 22:209. No continuity correction.
    """
    p, z = _share(successes, n), normal_quantile(confidence)
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * float(np.sqrt(p * (1 - p) / n + z * z / (4 * n * n))) / (1 + z * z / n)
    # At 0 and n the ends are exact; rounding would leave 1e-17 beside them.
    low = 0.0 if successes == 0 else centre - half
    high = 1.0 if successes == n else centre + half
    return Interval(p, low, high, n, "wilson", confidence)


def clopper_pearson(successes: int, n: int, confidence: float = 0.95) -> Interval:
    """Share successes/n with the exact interval: never covers less than promised.

    Low end: the alpha/2 quantile of Beta(k, n - k + 1), 0 at k = 0; high end: the
    1 - alpha/2 quantile of Beta(k + 1, n - k), 1 at k = n.

    Parameters and errors as in `wilson`.

    Source: Clopper and Pearson 1934, Biometrika 26:404.
    """
    p = _share(successes, n)
    normal_quantile(confidence)  # checks the level
    tail, k = (1 - confidence) / 2, successes
    low = 0.0 if k == 0 else float(scipy.stats.beta.ppf(tail, k, n - k + 1))
    high = 1.0 if k == n else float(scipy.stats.beta.ppf(1 - tail, k + 1, n - k))
    return Interval(p, low, high, n, "clopper-pearson", confidence)


def wald(successes: int, n: int, confidence: float = 0.95) -> Interval:
    """Share successes/n with p +- z sqrt(p (1 - p)/n), cut to [0, 1].

    For comparison with published tables only: it is too narrow near 0 and 1, and of width
    0 at 0 and n. Parameters and errors as in `wilson`.

    Source: Laplace 1812; its faults: Brown, Cai and DasGupta 2001, Stat Sci 16:101.
    """
    p, z = _share(successes, n), normal_quantile(confidence)
    half = z * float(np.sqrt(p * (1 - p) / n))
    return Interval(p, max(p - half, 0.0), min(p + half, 1.0), n, "wald", confidence)


def _share(successes: int, n: int) -> float:
    if n <= 0:
        raise ValueError(f"a share of {n} patients cannot be given; at least 1 is needed")
    if not 0 <= successes <= n:
        raise ValueError(f"{successes} of {n}: successes must lie between 0 and n")
    return successes / n


@dataclass(frozen=True)
class TwoByTwo:
    """The five figures of a table of calls against truth, each with its own n."""

    sensitivity: Interval
    specificity: Interval
    ppv: Interval
    npv: Interval
    accuracy: Interval


def two_by_two(tp: int, fn: int, fp: int, tn: int, interval: ShareInterval = wilson) -> TwoByTwo:
    """Sensitivity, specificity, predictive values and accuracy of a 2 x 2 table.

    Sensitivity tp/(tp + fn), specificity tn/(tn + fp), PPV tp/(tp + fp), NPV tn/(tn + fn),
    accuracy (tp + tn)/all. A figure without a denominator is an Interval of value None
    whose reason says so.

    Parameters
    ----------
    tp, fn, fp, tn : int
        Patients called positive and negative among the diseased, then among the others.
    interval : callable
        `wilson`, `clopper_pearson` or `wald`.

    Source: Altman and Bland 1994, BMJ 308:1552 and 309:102.
    """
    if min(tp, fn, fp, tn) < 0:
        raise ValueError(f"counts {(tp, fn, fp, tn)} must be 0 or more")
    of = partial(_interval_or_none, interval)
    return TwoByTwo(
        sensitivity=of(tp, tp + fn, "no diseased patient"),
        specificity=of(tn, tn + fp, "no patient without the disease"),
        ppv=of(tp, tp + fp, "no patient was called diseased"),
        npv=of(tn, tn + fn, "every patient was called diseased"),
        accuracy=of(tp + tn, tp + fn + fp + tn, "no patient"),
    )


def _interval_or_none(interval: ShareInterval, successes: int, n: int, without: str) -> Interval:
    if n:
        return interval(successes, n)
    return Interval(None, None, None, 0, getattr(interval, "__name__", "share"), reason=without)


def seed_pooled(tp: int, fn: int, fp: int, tn: int) -> TwoByTwo:
    """The pooled three-class figures as the seed paper prints them, Wald intervals and all.

    For replication only. The counts are the sums of two one-vs-rest tables (AA and AML; the
    MDS column is dropped), so that each image counts twice: the "accuracy" is no share of
    images called rightly, and n is twice their number. `pooled_counts` makes the counts.

    Source: Wang et al. 2022, Front Oncol 12:844978, reconstructed from its printed intervals.
    """
    return two_by_two(tp, fn, fp, tn, wald)


def pooled_counts(
    calls: ArrayLike, truth: ArrayLike, classes: Sequence[Any]
) -> tuple[int, int, int, int]:
    """(tp, fn, fp, tn) summed over the one-vs-rest tables of `classes`.

    With all classes this is micro-averaging; the seed paper takes AA and AML only.

    Parameters
    ----------
    calls, truth : array_like, (n,)
        Class called and true class of each image.
    """
    called, true = calls_and_truth(calls, truth)
    tp = fn = fp = tn = 0
    for name in classes:
        said, was = called == name, true == name
        tp += int(np.sum(said & was))
        fn += int(np.sum(~said & was))
        fp += int(np.sum(said & ~was))
        tn += int(np.sum(~said & ~was))
    return tp, fn, fp, tn


def calls_and_truth(calls: ArrayLike, truth: ArrayLike) -> tuple[NDArray[Any], NDArray[Any]]:
    """Both as arrays (n,), or ValueError unless they are equal columns with at least one row."""
    called, true = np.asarray(calls), np.asarray(truth)
    if called.ndim != 1 or called.shape != true.shape:
        raise ValueError(f"calls {called.shape} and truth {true.shape} must be two equal columns")
    if not len(true):
        raise ValueError("no patient to count")
    return called, true
