"""Shares and means over weighted rows: what the bootstrap needs of sensitivity and its kin."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from marrow.statistics.bootstrap import Floats, Metric
from marrow.statistics.proportions import calls_and_truth


def mean_metric(values: ArrayLike, among: ArrayLike | None = None) -> Metric:
    """Weighted mean of a value over some of the rows: sum w v / sum w.

    Parameters
    ----------
    values : array_like, (n,)
        Finite numbers, or True and False, whose mean is a share.
    among : array_like of bool, (n,), optional
        Rows that count; None: all.

    Returns
    -------
    Metric
        NaN for a draw without any of these rows.

    Raises
    ------
    ValueError
        If the lengths differ, there is no row, or a value that counts is not finite.
    """
    each = np.asarray(values, dtype=np.float64)
    counts = np.ones(each.shape, dtype=bool) if among is None else np.asarray(among, dtype=bool)
    if each.ndim != 1 or each.shape != counts.shape or not len(each):
        raise ValueError(f"values {each.shape} and among {counts.shape} must be equal columns")
    if not np.isfinite(each[counts]).all():
        raise ValueError(f"{int((~np.isfinite(each[counts])).sum())} of the values are not finite")
    # (n, 2): summed value and summed weight of each draw in one product.
    columns = np.stack([np.where(counts, each, 0.0), counts.astype(np.float64)], axis=1)

    def figure(weights: Floats) -> Floats:
        sums = weights @ columns
        return quotient(sums[:, 0], sums[:, 1])

    return figure


def sensitivity_metric(called: ArrayLike, truth: ArrayLike, positive: Any) -> Metric:
    """Share of the rows of class `positive` that are called so: tp/(tp + fn).

    Parameters
    ----------
    called, truth : array_like, (n,)
        Class called and true class of each row: names or numbers, any number of classes.
    positive
        The class in question; every other one counts as negative.

    Returns
    -------
    Metric
        NaN for a draw without a denominator.

    Source: Altman and Bland 1994, BMJ 308:1552.
    """
    said, was = _one_vs_rest(called, truth, positive)
    return mean_metric(said, was)


def specificity_metric(called: ArrayLike, truth: ArrayLike, positive: Any) -> Metric:
    """Share of the rows not of class `positive` that are not called so: tn/(tn + fp).

    Parameters and source as in `sensitivity_metric`.
    """
    said, was = _one_vs_rest(called, truth, positive)
    return mean_metric(~said, ~was)


def ppv_metric(called: ArrayLike, truth: ArrayLike, positive: Any) -> Metric:
    """Share of the rows called `positive` that are so: tp/(tp + fp). Draw without strata.

    Parameters as in `sensitivity_metric`. Source: Altman and Bland 1994, BMJ 309:102.
    """
    said, was = _one_vs_rest(called, truth, positive)
    return mean_metric(was, said)


def npv_metric(called: ArrayLike, truth: ArrayLike, positive: Any) -> Metric:
    """Share of the rows not called `positive` that are not so: tn/(tn + fn). Without strata.

    Parameters as in `sensitivity_metric`. Source: Altman and Bland 1994, BMJ 309:102.
    """
    said, was = _one_vs_rest(called, truth, positive)
    return mean_metric(~was, ~said)


def accuracy_metric(called: ArrayLike, truth: ArrayLike) -> Metric:
    """Share of the rows that are called rightly. Draw without strata.

    Parameters as in `sensitivity_metric`.
    """
    said, was = calls_and_truth(called, truth)
    return mean_metric(said == was)


def balanced_accuracy_metric(called: ArrayLike, truth: ArrayLike, classes: Sequence[Any]) -> Metric:
    """Mean over the classes of the share of each that is called rightly.

    A class of which no row is true has no share and is left out, as in scikit-learn's
    `balanced_accuracy_score`; a draw that lacks one of the others has no figure (NaN), because
    the mean over what is left would be another figure.

    Parameters
    ----------
    called, truth : array_like, (n,)
        As in `sensitivity_metric`.
    classes : sequence
        The head's classes; a true class outside of them is an error.

    Raises
    ------
    ValueError
        If `truth` is empty, differs in length, or holds a class that is not in `classes`.

    Source: Brodersen et al. 2010, ICPR 3121.
    """
    said, was = calls_and_truth(called, truth)
    strange = sorted({str(name) for name in was.tolist() if name not in classes})
    if strange:
        raise ValueError(f"the truth holds {', '.join(strange)}; classes are {list(classes)}")
    shares = [mean_metric(said == name, was == name) for name in classes if name in was]
    return lambda weights: np.mean([share(weights) for share in shares], axis=0)


def balanced_accuracy(calls: ArrayLike, truth: ArrayLike, classes: Sequence[Any]) -> float:
    """`balanced_accuracy_metric` of the rows as they are, 0 to 1; parameters and errors there."""
    metric = balanced_accuracy_metric(calls, truth, classes)
    return float(metric(np.ones((1, np.size(truth))))[0])


def brier_metric(probabilities: ArrayLike, truth: ArrayLike) -> Metric:
    """Mean squared distance of the probabilities from what happened; 0 is best.

    Parameters
    ----------
    probabilities : array_like, (n,) or (n, K)
        Probability of the positive class, or of each class.
    truth : array_like, (n,)
        True or 1 for positive; or the column of the true class, 0 to K - 1.

    Returns
    -------
    Metric
        (p - y)^2 for one column, 0 to 1; the sum over classes of it for K columns, 0 to 2,
        so that two columns give twice the figure of one.

    Raises
    ------
    ValueError
        If the shapes do not fit, or a true class has no column.

    Source: Brier 1950, Mon Weather Rev 78:1.
    """
    said, was = np.asarray(probabilities, dtype=np.float64), np.asarray(truth)
    if said.ndim not in (1, 2) or was.shape != said.shape[:1]:
        raise ValueError(f"probabilities {said.shape} and truth {was.shape} do not fit")
    classes = np.array([1]) if said.ndim == 1 else np.arange(said.shape[1])
    if not np.isin(was, (0, 1) if said.ndim == 1 else classes).all():
        raise ValueError(f"truth must lie between 0 and {classes[-1]}, the columns' numbers")
    happened = was[:, None] == classes
    return mean_metric(((said.reshape(happened.shape) - happened) ** 2).sum(axis=1))


def quotient(numerator: Floats, denominator: Floats) -> Floats:
    """Elementwise, NaN where the denominator is 0: a share of nothing is not 0."""
    shares: Floats = np.full(denominator.shape, np.nan)
    np.divide(numerator, denominator, out=shares, where=denominator > 0)
    return shares


def _one_vs_rest(
    called: ArrayLike, truth: ArrayLike, positive: Any
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    said, was = calls_and_truth(called, truth)
    return said == positive, was == positive
