"""The arrays that figures are made from, checked once and in one sentence."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from marrow.statistics.bootstrap import Floats

Numbers = NDArray[np.int64]
Bools = NDArray[np.bool_]


def checked_answers(probabilities: ArrayLike, truth: ArrayLike) -> tuple[Floats, Numbers]:
    """Probabilities (n, K), K >= 2, between 0 and 1, and the columns of the true classes (n,).

    Raises
    ------
    ValueError
        If there is no row, the shapes do not fit, a number is no probability, or a true class
        is no column.
    """
    answers, true = np.asarray(probabilities, dtype=np.float64), np.asarray(truth)
    if answers.ndim != 2 or answers.shape[1] < 2 or true.shape != answers.shape[:1]:
        raise ValueError(
            f"probabilities {answers.shape} and truth {true.shape} do not fit; wanted are a row "
            "a patient, a column a class, and the column of each patient's true class"
        )
    if not len(true):
        raise ValueError("no patient to count")
    if not ((answers >= 0) & (answers <= 1)).all():
        raise ValueError("a probability is not between 0 and 1")
    if (
        not np.issubdtype(true.dtype, np.integer)
        or not np.isin(true, range(answers.shape[1])).all()
    ):
        raise ValueError(f"the truth must be columns between 0 and {answers.shape[1] - 1}")
    return answers, true.astype(np.int64)


def checked_calls(confidence: ArrayLike, is_right: ArrayLike) -> tuple[Floats, Bools]:
    """Confidence of each call, between 0 and 1, and whether it was right; both (n,).

    Raises
    ------
    ValueError
        If there is no row, the lengths differ, or a confidence lies outside of 0 to 1.
    """
    sure, right = np.asarray(confidence, dtype=np.float64), np.asarray(is_right)
    if sure.ndim != 1 or sure.shape != right.shape or not len(sure):
        raise ValueError(
            f"confidence {sure.shape} and is_right {right.shape} must be equal columns"
        )
    if not ((sure >= 0) & (sure <= 1)).all():
        raise ValueError("a confidence is not between 0 and 1")
    if not np.isin(right, (0, 1)).all():
        raise ValueError("is_right must be True or False, or 1 and 0")
    return sure, right.astype(bool)


def checked_weights(weights: ArrayLike | None, n: int) -> Floats:
    """Weight of each of n rows, (n,): 0 or more, not all 0; None means alike.

    Raises
    ------
    ValueError
        If they are not n such numbers.
    """
    if weights is None:
        return np.ones(n)
    found = np.asarray(weights, dtype=np.float64)
    if found.shape != (n,) or not np.isfinite(found).all() or (found < 0).any() or not found.any():
        raise ValueError(f"weights {found.shape} must be {n} numbers of 0 or more, not all 0")
    return found


def patient_numbers(groups: ArrayLike | None, n: int) -> tuple[NDArray[Any], Numbers]:
    """Names of the patients (G,) and the number, 0 to G - 1, of each of n rows' patient.

    None means that each row is a patient.

    Raises
    ------
    ValueError
        If `groups` has not n entries.
    """
    if groups is None:
        return np.arange(n), np.arange(n)
    names = np.asarray(groups)
    if names.shape != (n,):
        raise ValueError(f"groups {names.shape} must name the patient of each of {n} rows")
    found, numbers = np.unique(names, return_inverse=True)
    return found, numbers.astype(np.int64)
