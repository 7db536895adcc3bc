"""Agreement of readers beyond chance: Cohen's kappa of two, Fleiss' kappa of several."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from marrow.statistics.bootstrap import Floats, Metric, patient_bootstrap
from marrow.statistics.inputs import patient_numbers
from marrow.statistics.interval import Interval, normal_quantile
from marrow.statistics.proportions import calls_and_truth
from marrow.statistics.rates import quotient

_NO_CHANCE = "all answers are one class: agreement by chance is complete and kappa does not exist"


def cohen_kappa(
    first: ArrayLike,
    second: ArrayLike,
    groups: ArrayLike | None = None,
    draws: int = 2000,
    seed: int = 0,
    confidence: float = 0.95,
) -> Interval:
    """Agreement of two readers (or of a reader and a model): 1 complete, 0 as by chance.

    kappa = (p_o - p_e) / (1 - p_e), with p_o the share of equal answers and p_e = sum_k p_k. p_.k.
    Where each row is a patient, the interval is kappa +- z sqrt(V / n), cut to [-1, 1]:

    V = (sum_i p_ii (1 - (p_i. + p_.i)(1 - kappa))^2
         + (1 - kappa)^2 sum_{i != j} p_ij (p_.i + p_j.)^2
         - (kappa - p_e (1 - kappa))^2) / (1 - p_e)^2.

    Where patients have several rows, it is bootstrapped over patients.

    Parameters
    ----------
    first, second : array_like, (n,)
        Class that either reader gave, blind, in the same order.
    groups : array_like, (n,), optional
        Patient of each row; None: each row is a patient.
    draws, seed : int
        Of the bootstrap.

    Returns
    -------
    Interval
        Value None where all answers of both are one class; no interval where they agree
        throughout (the formula's variance is 0, which is no certainty), with the reason.

    Raises
    ------
    ValueError
        If the readers' columns are empty or differ in length.

    Source: Cohen 1960, Educ Psychol Meas 20:37; Fleiss, Cohen and Everitt 1969, Psychol Bull
    72:323.
    """
    one, other = calls_and_truth(first, second)
    z, (names, patient) = normal_quantile(confidence), patient_numbers(groups, len(one))
    table = _pairs(one, other)
    kappa = float(_cohen(table.sum(axis=0)[None])[0])
    if np.isnan(kappa):
        return Interval(None, None, None, len(names), "cohen", confidence, _NO_CHANCE)
    if len(names) < len(one):
        return patient_bootstrap(
            lambda weights: _cohen(np.tensordot(weights, table, axes=1)),
            patient,
            draws=draws,
            seed=seed,
            confidence=confidence,
        )
    method, n = "fleiss-cohen-everitt", len(names)
    if kappa == 1:
        reason = "the readers agree on every patient"
        return Interval(kappa, None, None, n, method, confidence, reason)
    half = z * float(np.sqrt(_variance(table.mean(axis=0), kappa) / n))
    return Interval(kappa, max(kappa - half, -1.0), min(kappa + half, 1.0), n, method, confidence)


def fleiss_kappa(
    counts: ArrayLike,
    groups: ArrayLike | None = None,
    draws: int = 2000,
    seed: int = 0,
    confidence: float = 0.95,
) -> Interval:
    """Agreement of several readers beyond chance, with a bootstrap interval over patients.

    kappa = (P - P_e) / (1 - P_e). Of smear i, r_ik readers of r_i gave class k: P is the mean over
    smears of sum_k r_ik (r_ik - 1) / (r_i (r_i - 1)), the share of agreeing pairs; P_e the sum over
    classes of (mean of r_ik / r_i)^2. Readers may differ from smear to smear, also in number.
    Fleiss' own standard error holds for no agreement at all (kappa 0) and gives no interval.

    Parameters
    ----------
    counts : array_like of int, (n, K)
        Readers who gave each class, a row a smear; at least 2 a row.
    groups : array_like, (n,), optional
        Patient of each row; None: each row is a patient.
    draws, seed, confidence
        As in `patient_bootstrap`.

    Returns
    -------
    Interval
        Value None where all answers are one class.

    Raises
    ------
    ValueError
        If a row has fewer than 2 readers, a count is negative, or there are fewer than 2 patients.

    Source: Fleiss 1971, Psychol Bull 76:378; unequal numbers of readers: Gwet 2014, Handbook of
    Inter-Rater Reliability, 4th ed., section 2.5.
    """
    votes = np.asarray(counts, dtype=np.float64)
    if votes.ndim != 2 or not len(votes) or not (votes >= 0).all():
        raise ValueError(f"counts {votes.shape} must be 0 or more: a row a smear, a column a class")
    alone = np.flatnonzero(votes.sum(axis=1) < 2)
    if len(alone):
        raise ValueError(f"row {alone[0]} has fewer than 2 readers: leave such smears out")
    names, patient = patient_numbers(groups, len(votes))
    metric = _fleiss_metric(votes)
    if np.isnan(metric(np.ones((1, len(votes))))[0]):
        method = "bootstrap of patients"
        return Interval(None, None, None, len(names), method, confidence, _NO_CHANCE)
    return patient_bootstrap(metric, patient, draws=draws, seed=seed, confidence=confidence)


def _pairs(one: Floats, other: Floats) -> Floats:
    """One-hot pair of answers of each row, (n, K, K): the first reader's class by the second's."""
    classes, numbers = np.unique(np.concatenate([one, other]), return_inverse=True)
    unit = np.eye(len(classes))[numbers]
    return np.asarray(unit[: len(one), :, None] * unit[len(one) :, None, :])


def _cohen(tables: Floats) -> Floats:
    """Kappa of D tables of counts (D, K, K); NaN where one class has all answers."""
    shares = tables / tables.sum(axis=(1, 2), keepdims=True)
    agreed = np.trace(shares, axis1=1, axis2=2)
    by_chance = (shares.sum(axis=2) * shares.sum(axis=1)).sum(axis=1)
    return _beyond_chance(agreed, by_chance)


def _variance(shares: Floats, kappa: float) -> float:
    """n times the asymptotic variance of Cohen's kappa for a table of shares (K, K)."""
    rows, columns, apart = shares.sum(axis=1), shares.sum(axis=0), 1 - kappa
    chance = float(rows @ columns)
    agreeing = np.diag(shares) @ (1 - (rows + columns) * apart) ** 2
    crossed = shares * (columns[:, None] + rows) ** 2  # p_ij (p_.i + p_j.)^2
    differing = apart**2 * (crossed.sum() - np.trace(crossed))
    return float((agreeing + differing - (kappa - chance * apart) ** 2) / (1 - chance) ** 2)


def _fleiss_metric(votes: Floats) -> Metric:
    readers = votes.sum(axis=1, keepdims=True)
    agreeing = (votes * (votes - 1)).sum(axis=1, keepdims=True) / (readers * (readers - 1))
    columns = np.hstack([agreeing, votes / readers])  # (n, 1 + K)

    def kappa(weights: Floats) -> Floats:
        means = weights @ columns / weights.sum(axis=1, keepdims=True)
        return _beyond_chance(means[:, 0], (means[:, 1:] ** 2).sum(axis=1))

    return kappa


def _beyond_chance(agreed: Floats, by_chance: Floats) -> Floats:
    # Of one class only, chance agreement is 1 but for rounding.
    room = np.where(1 - by_chance > 1e-12, 1 - by_chance, 0.0)
    return quotient(agreed - by_chance, room)
