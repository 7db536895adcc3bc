"""Areas under ROC curves: two classes with DeLong's interval and test, and several classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from marrow.statistics.interval import Interval, normal_quantile

Floats = NDArray[np.float64]


def auc(scores: ArrayLike, labels: ArrayLike) -> float:
    """Chance that a positive scores above a negative, ties counted half; 0 to 1.

    From midranks: (sum of the positives' ranks - m (m + 1)/2) / (m n), for m positives and
    n negatives.

    Parameters
    ----------
    scores : array_like, (n,)
        Higher means more likely positive.
    labels : array_like, (n,)
        True or 1 for positive, False or 0 for negative.

    Raises
    ------
    ValueError
        If a class is missing, a score is not finite, or the lengths differ.

    Source: Mann and Whitney 1947, Ann Math Stat 18:50; Hanley and McNeil 1982, Radiology 143:29.
    """
    positive, negative = _two_classes(scores, labels)
    ranks = stats.rankdata(np.concatenate([positive, negative]))
    m, n = len(positive), len(negative)
    return float((ranks[:m].sum() - m * (m + 1) / 2) / (m * n))


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
        As in `auc`.
    scale : "logit" or "plain"
        "logit" for reports, "plain" for comparison with other programs.

    Raises
    ------
    ValueError
        As in `auc`.

    Source: DeLong, DeLong and Clarke-Pearson 1988, Biometrics 44:837; Sun and Xu 2014, IEEE
    Signal Process Lett 21:1389; the logit scale: Pepe 2003, The Statistical Evaluation of
    Medical Tests, section 5.2.
    """
    if scale not in ("logit", "plain"):
        raise ValueError(f"scale is {scale!r}; it must be logit or plain")
    z = normal_quantile(confidence)
    positive, negative = _two_classes(scores, labels)
    area, count, method = auc(scores, labels), len(positive) + len(negative), f"delong, {scale}"
    reason = None
    if area in (0.0, 1.0):
        reason = f"the classes are fully separated (AUC {area:.0f})"
    elif min(len(positive), len(negative)) < 2:
        reason = "fewer than 2 patients in a class"
    else:
        variance = _covariance(positive[None], negative[None])[0, 0]
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


@dataclass(frozen=True)
class DelongTest:
    """Two AUCs on the same patients.

    Attributes
    ----------
    auc_a, auc_b : float
    difference : Interval
        auc_a - auc_b, on the plain scale, with n in patients.
    z, p_value : float or None
        Two-sided test of no difference; None where it cannot be made (the difference's
        reason says why).
    """

    auc_a: float
    auc_b: float
    difference: Interval
    z: float | None
    p_value: float | None


def delong_test(
    scores_a: ArrayLike, scores_b: ArrayLike, labels: ArrayLike, confidence: float = 0.95
) -> DelongTest:
    """Whether two models differ in AUC on the same patients (paired, two-sided).

    z = (A - B) / sqrt(var A + var B - 2 cov(A, B)), with DeLong's covariance. If both models
    order the patients alike, the difference is 0 and p is 1. If they differ without any
    variance (one separates fully, the other fully the wrong way), there is no test.

    Parameters
    ----------
    scores_a, scores_b : array_like, (n,)
        Scores of the two models, one a patient, in the same order.
    labels : array_like, (n,)
        As in `auc`.

    Raises
    ------
    ValueError
        As in `auc`.

    Source: DeLong, DeLong and Clarke-Pearson 1988, Biometrics 44:837; Sun and Xu 2014, IEEE
    Signal Process Lett 21:1389.
    """
    quantile = normal_quantile(confidence)
    (pos_a, neg_a), (pos_b, neg_b) = _two_classes(scores_a, labels), _two_classes(scores_b, labels)
    first, second, count = auc(scores_a, labels), auc(scores_b, labels), len(pos_a) + len(neg_a)
    gap, method = first - second, "delong, paired"
    reason = None
    if min(len(pos_a), len(neg_a)) < 2:
        reason = "fewer than 2 patients in a class"
    else:
        cov = _covariance(np.stack([pos_a, pos_b]), np.stack([neg_a, neg_b]))
        variance = float(cov[0, 0] + cov[1, 1] - 2 * cov[0, 1])
        # Rounding leaves about 1e-18 where the true variance is 0.
        if variance <= 1e-15:
            reason = "the difference does not vary between patients"
    if reason:
        z, p = (0.0, 1.0) if gap == 0 and len(pos_a) > 1 < len(neg_a) else (None, None)
        none = Interval(gap, None, None, count, method, confidence, reason)
        return DelongTest(first, second, none, z, p)
    error = float(np.sqrt(variance))
    ends = Interval(gap, gap - quantile * error, gap + quantile * error, count, method, confidence)
    return DelongTest(first, second, ends, gap / error, float(2 * stats.norm.sf(abs(gap) / error)))


def macro_auc(probabilities: ArrayLike, labels: ArrayLike) -> float:
    """Mean over the classes of the AUC of each class against the rest, 0 to 1.

    Parameters
    ----------
    probabilities : array_like, (n, K)
        One column a class.
    labels : array_like of int, (n,)
        Column of each patient's true class, 0 to K - 1.

    Raises
    ------
    ValueError
        If a class has no patient (its AUC does not exist), or the shapes do not fit.

    Source: Provost and Domingos 2000, CeDER IS-00-04; scikit-learn's `roc_auc_score` with
    multi_class="ovr", average="macro".
    """
    columns, true = _several_classes(probabilities, labels)
    return float(np.mean(_one_vs_rest(columns, true)))


def weighted_auc(probabilities: ArrayLike, labels: ArrayLike) -> float:
    """As `macro_auc`, each class weighted by its number of patients.

    Source: Fawcett 2006, Pattern Recognit Lett 27:861, section 9.
    """
    columns, true = _several_classes(probabilities, labels)
    return float(np.average(_one_vs_rest(columns, true), weights=np.bincount(true)))


def micro_auc(probabilities: ArrayLike, labels: ArrayLike) -> float:
    """AUC over all n K pairs of patient and class at once.

    Every patient counts K times, so that no interval for independent units applies to it.
    Parameters and errors as in `macro_auc`. Source: scikit-learn, average="micro".
    """
    columns, true = _several_classes(probabilities, labels)
    return auc(columns.ravel(), (true[:, None] == np.arange(columns.shape[1])).ravel())


def hand_till(probabilities: ArrayLike, labels: ArrayLike) -> float:
    """Hand and Till's M: the mean over pairs of classes of their mutual separability.

    For each pair i, j among the patients of these two: the mean of the AUC of column i for
    class i and of column j for class j. Unlike `macro_auc` it does not depend on how
    frequent the classes are. Parameters and errors as in `macro_auc`.

    Source: Hand and Till 2001, Machine Learning 45:171.
    """
    columns, true = _several_classes(probabilities, labels)
    areas = []
    for i in range(columns.shape[1]):
        for j in range(i):
            both = (true == i) | (true == j)
            areas.append(auc(columns[both, i], true[both] == i))
            areas.append(auc(columns[both, j], true[both] == j))
    return float(np.mean(areas))


def _one_vs_rest(columns: Floats, true: NDArray[np.int64]) -> list[float]:
    return [auc(columns[:, k], true == k) for k in range(columns.shape[1])]


def _covariance(positive: Floats, negative: Floats) -> Floats:
    """DeLong's covariance of the AUCs of k models, (k, k).

    Parameters
    ----------
    positive, negative : ndarray, (k, m) and (k, n)
        Scores of the same patients under each model.
    """
    m, n = positive.shape[1], negative.shape[1]
    both = stats.rankdata(np.concatenate([positive, negative], axis=1), axis=1)
    # Placements: the share of the other class that lies below, ties counted half.
    of_positive = (both[:, :m] - stats.rankdata(positive, axis=1)) / n
    of_negative = 1 - (both[:, m:] - stats.rankdata(negative, axis=1)) / m
    covariance = np.atleast_2d(np.cov(of_positive)) / m + np.atleast_2d(np.cov(of_negative)) / n
    return np.asarray(covariance, dtype=np.float64)


def _two_classes(scores: ArrayLike, labels: ArrayLike) -> tuple[Floats, Floats]:
    """Scores of the positives and of the negatives."""
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
    return values[is_positive], values[~is_positive]


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
