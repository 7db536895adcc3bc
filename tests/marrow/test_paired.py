"""Two models on the same rows, without a catalogue."""

from __future__ import annotations

import numpy as np
import pytest

from marrow.paired import PairedRows, compare_head
from marrow.schemes import Head

KIND = Head(name="kind", classes=("a", "b"), positive="b")
TRUTH = np.array([0, 1] * 12)


def said(wrong: list[int]) -> np.ndarray:
    """Probabilities (24, 2) of a model that is right but about these rows."""
    called = np.where(np.isin(np.arange(24), wrong), 1 - TRUTH, TRUTH)
    right = np.linspace(0.6, 0.9, 24)
    return np.stack(
        [np.where(called == 0, right, 1 - right), np.where(called, right, 1 - right)], 1
    )


def rows(patients: int, before: list[int], after: list[int], unit: str = "images") -> PairedRows:
    names = [f"P{number * patients // 24}" for number in range(24)]
    return PairedRows(unit, names, TRUTH, said(before), said(after))


def test_images_of_a_patient_are_not_taken_for_independent() -> None:
    found = compare_head(KIND, rows(6, before=[], after=[0, 5]))
    assert (found.n, found.unit, found.patients) == (24, "images", 6)
    assert found.right is not None
    assert (found.right.both, found.right.only_champion, found.right.p_value) == (22, 2, None)
    assert found.right.reason == "images of one patient are not independent"
    assert {one.method for one in found.differences} == {"bootstrap of patients, percentile"}
    assert found.differences[1].value == pytest.approx(-2 / 24)


def test_one_image_a_patient_has_delong_and_mcnemar() -> None:
    found = compare_head(KIND, rows(24, before=[], after=[0, 5]))
    assert found.differences[0].method == "delong, paired"
    assert found.right is not None
    assert found.right.p_value == pytest.approx(0.25)  # 2 P(X <= 0) - P(X = 0), X ~ B(2, 1/2)


def test_below_zero_means_that_the_challenger_is_worse() -> None:
    many = list(range(0, 24, 2))
    worse = compare_head(KIND, rows(24, before=[], after=many))
    better = compare_head(KIND, rows(24, before=many, after=[]))
    assert [one.is_worse for one in worse.differences] == [True, True]
    assert [one.is_worse for one in better.differences] == [False, False]
    assert worse.differences[1].value == -better.differences[1].value == pytest.approx(-0.5)


def test_one_patient_alone_has_figures_and_no_interval() -> None:
    found = compare_head(KIND, rows(1, before=[0], after=[]))
    accuracy = found.differences[1]
    assert (accuracy.low, accuracy.p_value) == (None, None)
    assert accuracy.value == pytest.approx(1 / 24)
    assert "1 patient" in str(accuracy.reason)
