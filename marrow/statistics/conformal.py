"""Conformal sets: the classes that a patient may have, at a promised rate of missing the truth.

The promise is for a new patient like those of calibration. It holds class by class (a rare class
is not paid for by a frequent one) and needs no belief in the model. Two limits belong beside
every figure: scores from out-of-fold predictions come from several networks and not from the one
that is served, so that a set of confidence 1 - alpha is only sure to hold the truth at about
1 - 2 alpha (Vovk 2015, Ann Math Artif Intell 74:9; Barber, Candes, Ramdas and Tibshirani 2021,
Ann Stat 49:486), though near 1 - alpha as a rule; and patients of another site are not like these.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from marrow.statistics.inputs import checked_answers, patient_numbers


@dataclass(frozen=True)
class ConformalQuantile:
    """The score up to which a class belongs to the set.

    Attributes
    ----------
    quantile : float or None
        Between 0 and 1; None where too few patients were seen (`reason` says how many it takes):
        then the class cannot be ruled out and belongs to every set.
    patients : int
        Calibration patients that it rests on.
    reason : str or None
    """

    quantile: float | None
    patients: int
    reason: str | None = None


def conformal_quantile(
    scores: ArrayLike, groups: ArrayLike | None = None, confidence: float = 0.90
) -> ConformalQuantile:
    """The smallest score q such that a new patient's score is at most q with this confidence.

    With one score a patient, among n patients: the ceil((n + 1)(1 - alpha)) smallest score, which
    is the quantile of level ceil((n + 1)(1 - alpha)) / n. With several scores a patient (cells, of
    which each is answered by itself) each of its N scores weighs 1 / N, and q is the smallest score
    whose cumulated weight reaches (n + 1)(1 - alpha): the promise is then for one image of a new
    patient. A patient's mean score would promise too much (a mean strays less than an image), its
    maximum would grow with the number of images until every set held every class.

    Parameters
    ----------
    scores : array_like, (n rows,)
        1 - probability of the true class.
    groups : array_like, (n rows,), optional
        Patient of each row; None: each row is a patient.
    confidence : float
        1 - alpha, between 0 and 1. It takes at least (1 - alpha) / alpha patients: 9 at 0.90,
        19 at 0.95.

    Raises
    ------
    ValueError
        If a score is not finite, lengths differ, or the confidence is outside of 0 to 1.

    Source: Vovk, Gammerman and Shafer 2005, Algorithmic Learning in a Random World, section 4.2;
    several scores a patient: Lee, Barber and Willett 2023, arXiv 2306.06342, section 3.
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence is {confidence}; it must lie between 0 and 1, such as 0.90")
    values = np.asarray(scores, dtype=np.float64)
    if values.ndim != 1 or not np.isfinite(values).all():
        raise ValueError(f"scores {values.shape} must be one column of finite numbers")
    names, patient = patient_numbers(groups, len(values))
    n = len(names)
    # Rounding must not ask for a tenth patient where nine suffice.
    wanted = (n + 1) * confidence - 1e-9
    if wanted > n:
        needed = int(np.ceil(confidence / (1 - confidence) - 1e-9))
        reason = f"{n} calibration patients; a set of {confidence:.0%} takes at least {needed}"
        return ConformalQuantile(None, n, reason)
    order = np.argsort(values, kind="stable")
    reached = np.cumsum((1 / np.bincount(patient))[patient][order])
    # The last sum is n but for rounding, which must not end beyond the last score.
    place = min(int(np.searchsorted(reached, wanted)), len(values) - 1)
    return ConformalQuantile(float(values[order][place]), n)


def class_quantiles(
    probabilities: ArrayLike,
    truth: ArrayLike,
    groups: ArrayLike | None = None,
    confidence: float = 0.90,
) -> tuple[ConformalQuantile, ...]:
    """`conformal_quantile` of each class among the patients who have it (Mondrian), K of them.

    Parameters
    ----------
    probabilities : array_like, (n, K)
        Calibrated. Where the answer is one a patient, one row a patient: the mean over its smears,
        which is what is served. Where images are the unit, one row an image.
    truth : array_like of int, (n,)
        Column of the true class.
    groups, confidence
        As in `conformal_quantile`.

    Source: Vovk 2012, ACML, PMLR 25:475 (class-conditional); the score 1 - p: Sadinle, Lei and
    Wasserman 2019, JASA 114:223.
    """
    answers, true = checked_answers(probabilities, truth)
    _, patient = patient_numbers(groups, len(true))
    scores = 1 - answers[np.arange(len(true)), true]
    return tuple(
        conformal_quantile(scores[true == k], patient[true == k], confidence)
        for k in range(answers.shape[1])
    )


def conformal_set(probabilities: ArrayLike, quantiles: Sequence[float | None]) -> NDArray[np.bool_]:
    """Whether each class belongs to each row's set: 1 - p <= the quantile of the class.

    A set of one class is a call; a set of none says that no class's own patients look like this;
    a class whose quantile is None belongs to every set.

    Parameters
    ----------
    probabilities : array_like, (n, K)
    quantiles : sequence of float or None, K
        The same number K times gives the plain split-conformal set.

    Returns
    -------
    ndarray of bool, (n, K)

    Source: as `class_quantiles`.
    """
    answers = np.asarray(probabilities, dtype=np.float64)
    ends = np.array([np.inf if one is None else one for one in quantiles])
    if answers.ndim != 2 or answers.shape[1] != len(ends):
        raise ValueError(f"{len(ends)} quantiles do not fit probabilities {answers.shape}")
    return np.asarray(1 - answers <= ends)
