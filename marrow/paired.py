"""Two models on the same rows: differences with their intervals, and who calls what rightly."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from marrow.records import Record
from marrow.schemes import Head
from marrow.statistics import (
    Interval,
    Metric,
    auc_metric,
    balanced_accuracy_metric,
    delong_test,
    macro_auc_metric,
    mcnemar,
    paired_bootstrap,
)
from marrow.statistics.bootstrap import figures

Figure = Literal["auc", "balanced_accuracy"]


class Difference(Record):
    """One figure of both models on the same rows."""

    figure: Figure
    champion: float | None = None
    challenger: float | None = None
    value: float | None = None
    """Challenger minus champion: below 0 the challenger is worse."""
    low: float | None = None
    high: float | None = None
    n: int
    unit: str
    method: str = "none"
    p_value: float | None = None
    reason: str | None = None
    """Why there is no difference, or no interval."""

    @property
    def is_worse(self) -> bool:
        """Whether the challenger is worse beyond the interval; without one, worse at all."""
        end = self.value if self.high is None else self.high
        return end is not None and end < 0


class RightCalls(Record):
    """Rows that each model calls rightly, and McNemar's exact mid-p."""

    both: int
    only_champion: int
    only_challenger: int
    neither: int
    p_value: float | None
    reason: str | None = None


class HeadComparison(Record):
    """Both models on one head."""

    head: str
    n: int
    unit: str
    patients: int
    classes: dict[str, int]
    """Rows of each class."""
    differences: tuple[Difference, ...]
    right: RightCalls | None
    """None where there is no row."""


class PairedRows(NamedTuple):
    """What is counted, patients or images: n rows.

    Attributes
    ----------
    unit : str
        What a row is: `patients` or `images`.
    patients : n pseudonyms
    truth : int64 (n,)
        Index of the true class.
    before, after : float64 (n, classes)
        Probabilities of the champion and of the challenger.
    """

    unit: str
    patients: list[str]
    truth: NDArray[np.int64]
    before: NDArray[np.float64]
    after: NDArray[np.float64]

    @property
    def are_patients(self) -> bool:
        """Whether each row is a patient of its own, so that rows are independent."""
        return len(set(self.patients)) == len(self.patients)


def compare_head(head: Head, rows: PairedRows) -> HeadComparison:
    """Both models on one head: AUC, balanced accuracy, and who calls what rightly."""
    counts = np.bincount(rows.truth, minlength=len(head.classes)).tolist()
    return HeadComparison(
        head=head.name,
        n=len(rows.truth),
        unit=rows.unit,
        patients=len(set(rows.patients)),
        classes=dict(zip(head.classes, counts, strict=True)),
        differences=(_auc(head, rows), _balanced_accuracy(head, rows)),
        right=_right(rows) if len(rows.truth) else None,
    )


def _auc(head: Head, rows: PairedRows) -> Difference:
    """Of the positive class of two; of more classes, the macro mean of one against the rest."""
    lacking = _lacking(head, rows)
    if lacking is not None:
        return Difference(figure="auc", n=len(rows.truth), unit=rows.unit, reason=lacking)
    if head.positive is None:
        metrics = [macro_auc_metric(said, rows.truth) for said in (rows.after, rows.before)]
        return _bootstrapped("auc", head, rows, *metrics)
    positive = head.classes.index(head.positive)
    is_positive = rows.truth == positive
    scores = [said[:, positive] for said in (rows.after, rows.before)]
    if not rows.are_patients:
        metrics = [auc_metric(one, is_positive) for one in scores]
        return _bootstrapped("auc", head, rows, *metrics)
    test = delong_test(scores[0], scores[1], is_positive)
    return _difference("auc", test.auc_b, test.auc_a, test.difference, test.p_value, rows)


def _balanced_accuracy(head: Head, rows: PairedRows) -> Difference:
    lacking = _lacking(head, rows)
    if lacking is not None:
        return Difference(
            figure="balanced_accuracy", n=len(rows.truth), unit=rows.unit, reason=lacking
        )
    classes = range(len(head.classes))
    metrics = [
        balanced_accuracy_metric(said.argmax(axis=1), rows.truth, classes)
        for said in (rows.after, rows.before)
    ]
    return _bootstrapped("balanced_accuracy", head, rows, *metrics)


def _lacking(head: Head, rows: PairedRows) -> str | None:
    """Why there is no figure at all; None where there is one."""
    missing = [name for index, name in enumerate(head.classes) if index not in rows.truth]
    if not len(rows.truth):
        return f"none of the {rows.unit} has an answer to {head.name}"
    if missing:
        return f"none of the {len(rows.truth)} {rows.unit} is of class {', '.join(missing)}"
    return None


def _bootstrapped(
    figure: Figure, head: Head, rows: PairedRows, after: Metric, before: Metric
) -> Difference:
    # One class a patient: drawn apart, so that every draw has all classes.
    strata = np.array(head.classes)[rows.truth] if rows.are_patients else None
    try:
        test = paired_bootstrap(after, before, rows.patients, strata)
    except ValueError as error:  # too few patients, in all or in a class: figures alone
        whole = np.ones((1, len(rows.truth)))
        ours, theirs = (float(figures(one, whole)[0]) for one in (after, before))
        gap = Interval(ours - theirs, None, None, len(rows.truth), "none", reason=str(error))
        return _difference(figure, theirs, ours, gap, None, rows)
    gap = test.difference
    return _difference(figure, test.figure_b, test.figure_a, gap, test.p_value, rows)


def _difference(
    figure: Figure,
    champion: float,
    challenger: float,
    gap: Interval,
    p_value: float | None,
    rows: PairedRows,
) -> Difference:
    return Difference(
        figure=figure,
        champion=champion,
        challenger=challenger,
        value=gap.value,
        low=gap.low,
        high=gap.high,
        n=len(rows.truth),
        unit=rows.unit,
        method=gap.method,
        p_value=p_value,
        reason=gap.reason,
    )


def _right(rows: PairedRows) -> RightCalls:
    test = mcnemar(*(said.argmax(axis=1) == rows.truth for said in (rows.before, rows.after)))
    return RightCalls(
        both=test.both,
        only_champion=test.only_a,
        only_challenger=test.only_b,
        neither=test.neither,
        p_value=test.p_value if rows.are_patients else None,
        reason=None if rows.are_patients else "images of one patient are not independent",
    )
