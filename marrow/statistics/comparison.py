"""Two models on the same patients: DeLong's test, a clustered bootstrap, and McNemar's mid-p."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import scipy
from numpy.typing import ArrayLike

from marrow.statistics.auc import auc, delong_covariance, scored_labels
from marrow.statistics.bootstrap import ROUNDING, Floats, Metric, figures, interval_and_draws
from marrow.statistics.interval import Interval, normal_quantile


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
        As in `auc_metric`.

    Raises
    ------
    ValueError
        As in `auc_metric`.

    Source: DeLong, DeLong and Clarke-Pearson 1988, Biometrics 44:837; Sun and Xu 2014, IEEE
    Signal Process Lett 21:1389.
    """
    quantile = normal_quantile(confidence)
    a, is_positive = scored_labels(scores_a, labels)
    b, _ = scored_labels(scores_b, labels)
    first, second, count = auc(a, is_positive), auc(b, is_positive), len(a)
    smaller = int(min(is_positive.sum(), (~is_positive).sum()))
    gap, method = first - second, "delong, paired"
    reason = None
    if smaller < 2:
        reason = "fewer than 2 patients in a class"
    else:
        both = np.stack([a, b])
        cov = delong_covariance(both[:, is_positive], both[:, ~is_positive])
        variance = float(cov[0, 0] + cov[1, 1] - 2 * cov[0, 1])
        # Rounding leaves about 1e-18 where the true variance is 0.
        if variance <= 1e-15:
            reason = "the difference does not vary between patients"
    if reason:
        z, p = (0.0, 1.0) if gap == 0 and smaller > 1 else (None, None)
        none = Interval(gap, None, None, count, method, confidence, reason)
        return DelongTest(first, second, none, z, p)
    error = float(np.sqrt(variance))
    ends = Interval(gap, gap - quantile * error, gap + quantile * error, count, method, confidence)
    return DelongTest(
        first, second, ends, gap / error, float(2 * scipy.stats.norm.sf(abs(gap) / error))
    )


@dataclass(frozen=True)
class PairedBootstrap:
    """One figure of two models on the same patients.

    Attributes
    ----------
    figure_a, figure_b : float
    difference : Interval
        figure_a - figure_b, with n in patients.
    p_value : float or None
        Two-sided test of no difference; 1 where the models never differ, None where there is
        no interval (the difference's reason says why).
    """

    figure_a: float
    figure_b: float
    difference: Interval
    p_value: float | None


def paired_bootstrap(
    metric_a: Metric,
    metric_b: Metric,
    groups: ArrayLike,
    strata: ArrayLike | None = None,
    draws: int = 2000,
    seed: int = 0,
    method: Literal["percentile", "bca"] = "percentile",
    confidence: float = 0.95,
) -> PairedBootstrap:
    """Whether two models differ in a figure, patients drawn with all their images.

    Both metrics see the same draws, so that what the models have in common cancels. The p-value
    is 2 min(P(d* <= 0), P(d* >= 0)) over the drawn differences d*, each share counted as
    (k + 1)/(draws + 1), at most 1: with 2,000 draws it is never below 0.001. It belongs to the
    percentile interval, which leaves 0 out at about the same level.

    Parameters
    ----------
    metric_a, metric_b : callable
        The figure under each model, over the same rows in the same order.
    groups, strata, draws, seed, method, confidence
        As in `patient_bootstrap`.

    Raises
    ------
    ValueError
        As in `patient_bootstrap`.

    Source: Field and Welsh 2007, JRSS B 69:369; the p-value: Davison and Hinkley 1997, Bootstrap
    Methods and their Application, sections 4.2 and 5.8 (inversion of the percentile interval).
    """

    def difference(weights: Floats) -> Floats:
        return figures(metric_a, weights) - figures(metric_b, weights)

    gap, drawn = interval_and_draws(difference, groups, strata, draws, seed, method, confidence)
    whole = np.ones((1, np.size(groups)))
    first, second = (float(figures(metric, whole)[0]) for metric in (metric_a, metric_b))
    return PairedBootstrap(first, second, gap, _p_value(gap, drawn[~np.isnan(drawn)]))


def _p_value(gap: Interval, drawn: Floats) -> float | None:
    """Two-sided, from the share of drawn differences on the other side of 0."""
    never_differ = bool(np.all(np.abs([gap.value, *drawn]) <= ROUNDING))
    if not gap.is_estimable and not never_differ:
        return None
    beyond = min(np.sum(drawn <= ROUNDING), np.sum(drawn >= -ROUNDING))
    return float(min(1.0, 2 * (beyond + 1) / (len(drawn) + 1)))


@dataclass(frozen=True)
class McnemarTest:
    """How often two models are right about the same patients.

    Attributes
    ----------
    both, only_a, only_b, neither : int
        Patients that both, one or none of the models call rightly.
    difference : float
        Share called rightly by a minus by b, -1 to 1.
    p_value : float
        Two-sided exact mid-p.
    """

    both: int
    only_a: int
    only_b: int
    neither: int
    difference: float
    p_value: float

    @property
    def n(self) -> int:
        """Patients."""
        return self.both + self.only_a + self.only_b + self.neither


def mcnemar(right_a: ArrayLike, right_b: ArrayLike) -> McnemarTest:
    """Whether two models call different shares of the patients rightly (paired, two-sided).

    With b patients called rightly by a alone, c by b alone and X ~ Binomial(b + c, 1/2):
    p = 2 P(X <= min(b, c)) - P(X = b); 1 - P(X = b)/2 where b = c; 1 where the models are
    never unlike. One row a patient: for several images of a patient take `paired_bootstrap`.

    Parameters
    ----------
    right_a, right_b : array_like of bool, (n,)
        Whether each model calls each patient rightly. For sensitivity give the diseased
        patients only, for specificity the others.

    Raises
    ------
    ValueError
        If there is no patient, the lengths differ, or a value is neither True nor False.

    Source: McNemar 1947, Psychometrika 12:153; Fagerland, Lydersen and Laake 2013, BMC Med Res
    Methodol 13:91 (mid-p: exact tests are too cautious, the asymptotic one too bold).
    """
    a, b = np.asarray(right_a), np.asarray(right_b)
    if a.ndim != 1 or a.shape != b.shape or not len(a):
        raise ValueError(f"right_a {a.shape} and right_b {b.shape} must be equal columns")
    if not (np.isin(a, (0, 1)).all() and np.isin(b, (0, 1)).all()):
        raise ValueError("right_a and right_b must hold True and False alone, or 1 and 0")
    a, b = a.astype(bool), b.astype(bool)
    both, only_a = int(np.sum(a & b)), int(np.sum(a & ~b))
    only_b, neither = int(np.sum(~a & b)), int(np.sum(~a & ~b))
    difference = (only_a - only_b) / len(a)
    return McnemarTest(both, only_a, only_b, neither, difference, _mid_p(only_a, only_b))


def _mid_p(only_a: int, only_b: int) -> float:
    unlike = only_a + only_b
    if not unlike:
        return 1.0
    point = float(scipy.stats.binom.pmf(only_a, unlike, 0.5))
    if only_a == only_b:
        return 1 - point / 2
    return 2 * float(scipy.stats.binom.cdf(min(only_a, only_b), unlike, 0.5)) - point
