"""Areas under ROC curves: two classes, with DeLong's interval, and several classes."""

from __future__ import annotations

from itertools import permutations
from typing import Literal

import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray

from marrow.statistics.bootstrap import Floats, Metric
from marrow.statistics.interval import Interval, normal_quantile
from marrow.statistics.rates import quotient

Rows = NDArray[np.intp]


def auc_metric(scores: ArrayLike, labels: ArrayLike) -> Metric:
    """Chance that a positive scores above a negative, ties counted half, over weighted rows.

    sum_i w_i (B_i + E_i / 2) / (sum of positive weights x sum of negative weights), over the
    positives i, with B_i and E_i the weight of the negatives that score below and equal. Both
    come from cumulative sums over the sorted negatives, in O(n) a draw; with whole-number
    weights every sum is exact.

    Parameters
    ----------
    scores : array_like, (n,)
        Higher means more likely positive.
    labels : array_like, (n,)
        True or 1 for positive, False or 0 for negative.

    Returns
    -------
    Metric
        0 to 1; NaN for a draw without one of the classes.

    Raises
    ------
    ValueError
        If a class is missing, a score is not finite, or the lengths differ.

    Source: Mann and Whitney 1947, Ann Math Stat 18:50; Hanley and McNeil 1982, Radiology 143:29.
    """
    values, is_positive = scored_labels(scores, labels)
    positive, negative = np.flatnonzero(is_positive), np.flatnonzero(~is_positive)
    return _area(values[positive], positive, values[negative], negative)


def auc(scores: ArrayLike, labels: ArrayLike) -> float:
    """`auc_metric` of the rows as they are, 0 to 1; parameters and errors there."""
    return _unweighted(auc_metric(scores, labels), labels)


def delong_interval(
    scores: ArrayLike,
    labels: ArrayLike,
    confidence: float = 0.95,
    scale: Literal["logit", "plain"] = "logit",
) -> Interval:
    """AUC with DeLong's interval; one score a patient.

    The variance is S10/m + S01/n, with S10 and S01 the sample variances of the placements of
    positives and negatives, found from midranks in O(N log N). On the logit scale the ends are
    expit(logit(A) +- z s / (A (1 - A))); on the plain scale A +- z s, cut to [0, 1].

    Not estimable, so that `low` and `high` are None and `reason` says why: at A = 0 or 1 the
    placements do not vary and the formula would promise certainty, however few patients
    there are; where all scores are alike; and with fewer than 2 patients in a class.

    Parameters
    ----------
    scores, labels
        As in `auc_metric`.
    scale : "logit" or "plain"
        "logit" for reports, "plain" for comparison with other programs.

    Raises
    ------
    ValueError
        As in `auc_metric`.

    Source: DeLong, DeLong and Clarke-Pearson 1988, Biometrics 44:837; Sun and Xu 2014, IEEE
    Signal Process Lett 21:1389; the logit scale: Pepe 2003, The Statistical Evaluation of
    Medical Tests, section 5.2.
    """
    if scale not in ("logit", "plain"):
        raise ValueError(f"scale is {scale!r}; it must be logit or plain")
    z = normal_quantile(confidence)
    values, is_positive = scored_labels(scores, labels)
    positive, negative = values[is_positive], values[~is_positive]
    area, count, method = auc(scores, labels), len(positive) + len(negative), f"delong, {scale}"
    reason = None
    if area in (0.0, 1.0):
        reason = f"the classes are fully separated (AUC {area:.0f})"
    elif min(len(positive), len(negative)) < 2:
        reason = "fewer than 2 patients in a class"
    else:
        variance = delong_covariance(positive[None], negative[None])[0, 0]
        if variance <= 0:
            reason = "the scores do not vary"
    if reason:
        return Interval(area, None, None, count, method, confidence, reason)
    half = z * float(np.sqrt(variance))
    if scale == "plain":
        low, high = max(area - half, 0.0), min(area + half, 1.0)
    else:
        centre, half = np.log(area / (1 - area)), half / (area * (1 - area))
        low, high = (float(1 / (1 + np.exp(-(centre + end)))) for end in (-half, half))
    return Interval(area, low, high, count, method, confidence)


def macro_auc_metric(probabilities: ArrayLike, labels: ArrayLike) -> Metric:
    """Mean over the classes of the AUC of each class against the rest, 0 to 1.

    Parameters
    ----------
    probabilities : array_like, (n, K)
        One column a class.
    labels : array_like of int, (n,)
        Column of each row's true class, 0 to K - 1.

    Returns
    -------
    Metric
        NaN for a draw without one of the classes.

    Raises
    ------
    ValueError
        If a class has no row (its AUC does not exist), or the shapes do not fit.

    Source: Provost and Domingos 2000, CeDER IS-00-04; scikit-learn's `roc_auc_score` with
    multi_class="ovr", average="macro".
    """
    areas = _one_vs_rest(*_several_classes(probabilities, labels))
    return lambda weights: np.mean([area(weights) for area in areas], axis=0)


def macro_auc(probabilities: ArrayLike, labels: ArrayLike) -> float:
    """`macro_auc_metric` of the rows as they are; parameters and errors there."""
    return _unweighted(macro_auc_metric(probabilities, labels), labels)


def weighted_auc_metric(probabilities: ArrayLike, labels: ArrayLike) -> Metric:
    """As `macro_auc_metric`, each class weighted by how many rows of it were drawn.

    Source: Fawcett 2006, Pattern Recognit Lett 27:861, section 9.
    """
    columns, true = _several_classes(probabilities, labels)
    areas = _one_vs_rest(columns, true)
    members = (true[:, None] == np.arange(columns.shape[1])).astype(np.float64)  # (n, K)

    def figure(weights: Floats) -> Floats:
        sizes = weights @ members
        total = np.sum([area(weights) * sizes[:, k] for k, area in enumerate(areas)], axis=0)
        return quotient(total, sizes.sum(axis=1))

    return figure


def weighted_auc(probabilities: ArrayLike, labels: ArrayLike) -> float:
    """`weighted_auc_metric` of the rows as they are."""
    return _unweighted(weighted_auc_metric(probabilities, labels), labels)


def micro_auc_metric(probabilities: ArrayLike, labels: ArrayLike) -> Metric:
    """AUC over all n K pairs of row and class at once.

    Every row counts K times, so that no interval for independent units applies to it: draw
    patients. Parameters and errors as in `macro_auc_metric`.

    Source: scikit-learn's `roc_auc_score` with average="micro".
    """
    columns, true = _several_classes(probabilities, labels)
    rows = np.repeat(np.arange(len(true)), columns.shape[1])
    is_own = (true[:, None] == np.arange(columns.shape[1])).ravel()
    each = columns.ravel()
    return _area(each[is_own], rows[is_own], each[~is_own], rows[~is_own])


def micro_auc(probabilities: ArrayLike, labels: ArrayLike) -> float:
    """`micro_auc_metric` of the rows as they are."""
    return _unweighted(micro_auc_metric(probabilities, labels), labels)


def hand_till_metric(probabilities: ArrayLike, labels: ArrayLike) -> Metric:
    """Hand and Till's M: the mean over pairs of classes of their mutual separability.

    For each pair i, j among the rows of these two: the mean of the AUC of column i for class i
    and of column j for class j. Unlike `macro_auc_metric` it does not depend on how frequent
    the classes are. Parameters and errors as there.

    Source: Hand and Till 2001, Machine Learning 45:171.
    """
    columns, true = _several_classes(probabilities, labels)
    rows = [np.flatnonzero(true == k) for k in range(columns.shape[1])]
    areas = [
        _area(columns[rows[i], i], rows[i], columns[rows[j], i], rows[j])
        for i, j in permutations(range(columns.shape[1]), 2)
    ]
    return lambda weights: np.mean([area(weights) for area in areas], axis=0)


def hand_till(probabilities: ArrayLike, labels: ArrayLike) -> float:
    """`hand_till_metric` of the rows as they are."""
    return _unweighted(hand_till_metric(probabilities, labels), labels)


def _one_vs_rest(columns: Floats, true: Rows) -> list[Metric]:
    return [auc_metric(columns[:, k], true == k) for k in range(columns.shape[1])]


def _unweighted(metric: Metric, labels: ArrayLike) -> float:
    return float(metric(np.ones((1, np.size(labels))))[0])


def _area(
    positive_scores: Floats, positive_rows: Rows, negative_scores: Floats, negative_rows: Rows
) -> Metric:
    """Area between two sets of scores whose weights are those of the rows named.

    Parameters
    ----------
    positive_scores, positive_rows : (m,)
        Scores, and the column of the weights that goes with each.
    negative_scores, negative_rows : (n,)
        Alike.
    """
    order = np.argsort(negative_scores, kind="stable")
    ordered, columns = negative_scores[order], negative_rows[order]
    below = np.searchsorted(ordered, positive_scores, side="left")
    upto = np.searchsorted(ordered, positive_scores, side="right")

    def figure(weights: Floats) -> Floats:
        heavy = weights[:, positive_rows]  # (D, m)
        mass = np.zeros((len(weights), len(columns) + 1))  # (D, n + 1): weight of the k lowest
        np.cumsum(weights[:, columns], axis=1, out=mass[:, 1:])
        wins = np.einsum("dm,dm->d", heavy, mass[:, below] + mass[:, upto]) / 2
        return quotient(wins, heavy.sum(axis=1) * mass[:, -1])

    return figure


def delong_covariance(positive: Floats, negative: Floats) -> Floats:
    """DeLong's covariance of the AUCs of k models, (k, k), float64.

    Parameters
    ----------
    positive, negative : ndarray, (k, m) and (k, n)
        Scores of the same patients under each model.
    """
    m, n = positive.shape[1], negative.shape[1]
    both = scipy.stats.rankdata(np.concatenate([positive, negative], axis=1), axis=1)
    # Placements: the share of the other class that lies below, ties counted half.
    of_positive = (both[:, :m] - scipy.stats.rankdata(positive, axis=1)) / n
    of_negative = 1 - (both[:, m:] - scipy.stats.rankdata(negative, axis=1)) / m
    covariance = np.atleast_2d(np.cov(of_positive)) / m + np.atleast_2d(np.cov(of_negative)) / n
    return np.asarray(covariance, dtype=np.float64)


def scored_labels(scores: ArrayLike, labels: ArrayLike) -> tuple[Floats, NDArray[np.bool_]]:
    """Scores and which of them are positive, (n,) each; ValueError unless both classes are there.

    The errors are those of `auc_metric`.
    """
    values, marks = np.asarray(scores, dtype=np.float64), np.asarray(labels)
    if values.ndim != 1 or values.shape != marks.shape:
        raise ValueError(f"scores {values.shape} and labels {marks.shape} must be equal columns")
    if not np.isfinite(values).all():
        raise ValueError(f"{int((~np.isfinite(values)).sum())} of the scores are not finite")
    if not np.isin(marks, (0, 1)).all():
        raise ValueError("labels must be True or False, or 1 and 0")
    is_positive = marks.astype(bool)
    if is_positive.all() or not is_positive.any():
        raise ValueError(
            f"{int(is_positive.sum())} positive of {len(marks)} patients: an AUC needs both classes"
        )
    return values, is_positive


def _several_classes(
    probabilities: ArrayLike, labels: ArrayLike
) -> tuple[Floats, NDArray[np.int64]]:
    columns, marks = np.asarray(probabilities, dtype=np.float64), np.asarray(labels)
    if columns.ndim != 2 or marks.shape != columns.shape[:1]:
        raise ValueError(f"probabilities {columns.shape} and labels {marks.shape} do not fit")
    if columns.shape[1] < 2:
        raise ValueError("at least two columns are needed, one a class")
    if not np.issubdtype(marks.dtype, np.integer):
        raise ValueError(f"labels must be the columns of the true classes, got {marks.dtype}")
    classes = np.arange(columns.shape[1])
    if not np.isin(marks, classes).all():
        raise ValueError(f"labels must lie between 0 and {classes[-1]}")
    missing = [int(k) for k in classes if k not in marks]
    if missing:
        raise ValueError(f"no patient of class {missing}: its AUC does not exist")
    return columns, marks.astype(np.int64)
