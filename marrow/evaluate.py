"""Figures of a model on smears that it has not seen, in the scheme's unit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from marrow import statistics
from marrow.schemes import Scheme
from marrow.scored import Answers, ScoredRows, scored_rows
from marrow.splits import Answered, patient_of
from marrow.statistics import Interval, Metric
from marrow.statistics.calibration import calibration_error_metric

BOOTSTRAP_SEED = 0
"""The same draws of patients for every model, so that two cards can be compared."""

Figures = dict[str, Any]


class Judged(Answered, Protocol):
    """A smear whose labels are known to be blind, or not."""

    @property
    def is_blind(self) -> bool:
        """Whether no reader had seen a prediction."""
        ...


class ByLabels(NamedTuple):
    """The figures that count, and those beside them."""

    blind: Figures
    """As `evaluate` gives them, by labels that were given blind."""
    every: Figures | None
    """The same by all labels, where some were given after a prediction had been seen."""


def evaluate_blind(
    probabilities: Answers, smears: Sequence[Judged], scheme: Scheme, smear_is_patient: bool
) -> ByLabels:
    """`evaluate` by the labels that no prediction could lean on, and by all if that differs.

    Who stores the first stores the second with it, as `all_labels` (None: no difference):
    figures without that were stored by an earlier version, by all labels.
    """
    blind = [one for one in smears if one.is_blind]
    by_blind = evaluate(probabilities, blind, scheme, smear_is_patient)
    if len(blind) == len(smears):
        return ByLabels(by_blind, None)
    return ByLabels(by_blind, evaluate(probabilities, smears, scheme, smear_is_patient))


def evaluate(
    probabilities: Answers,
    smears: Sequence[Answered],
    scheme: Scheme,
    smear_is_patient: bool,
) -> Figures:
    """All figures of each head, with n, unit and 95% interval.

    Parameters
    ----------
    probabilities : dict by smear id
        Smears without are not counted, and their number is said.
    smears : sequence of Answered
        Of patients that the model was not trained on.

    Returns
    -------
    dict
        Fit for JSON: `unit`, `smears`, `patients`, `not_scored`, and by head what
        `head_figures` gives.

    Notes
    -----
    Unit patient: probabilities are averaged over the patient's smears, the diagnosis is the
    one that most of them have, and each patient counts once. Unit image: each image counts,
    and the intervals come from drawing patients, because images of one patient resemble
    each other. A head that only some smears have an answer to is judged on those.
    """
    scored = [one for one in smears if one.smear.id in probabilities]
    by_head = {
        head.name: scored_rows(head, probabilities, scored, scheme, smear_is_patient)
        for head in scheme.heads
    }
    return {
        "unit": scheme.unit,
        "smears": len(scored),
        "patients": len({patient_of(one.smear, smear_is_patient) for one in scored}),
        "not_scored": len(smears) - len(scored),
        "heads": {name: head_figures(rows) for name, rows in by_head.items()},
    }


def head_figures(rows: ScoredRows) -> Figures:
    """The figures of one head.

    Returns
    -------
    dict
        `n`, `unit`, `patients`, `classes` (n by class); `accuracy`, `balanced_accuracy`, `auc`
        (of two classes for the positive one, of more the macro one-vs-rest mean), `brier`,
        `ece`; of a two-class head `sensitivity`, `specificity`, `ppv`, `npv` of its positive
        class; `per_class` these four and the AUC of each class against the rest. Each figure
        has `value`, `low`, `high`, `n`, `unit`, `method`; what cannot be estimated has the
        value None and a `reason`.
    """
    head = rows.head
    per_class = {name: class_figures(rows, name) for name in head.classes}
    own = {} if head.positive is None else dict(per_class[head.positive])
    area = own.pop("auc") if own else macro_auc(rows)
    own.pop("n", None)
    return {
        "n": len(rows),
        "unit": rows.unit,
        "patients": rows.patient_count,
        "classes": rows.classes,
        "accuracy": accuracy(rows),
        "balanced_accuracy": balanced_accuracy(rows),
        "auc": area,
        **own,
        "brier": brier(rows),
        "ece": calibration_error(rows),
        "per_class": per_class,
    }


def class_figures(rows: ScoredRows, name: str) -> Figures:
    """`n` of a class, and sensitivity, specificity, PPV, NPV and AUC of it against the rest."""
    index = rows.head.classes.index(name)
    said, was = rows.called == index, rows.truth == index
    return {
        "n": int(was.sum()),
        "sensitivity": share_figure(rows, said, was, f"of class {name}"),
        "specificity": share_figure(rows, ~said, ~was, f"of another class than {name}"),
        "ppv": share_figure(rows, was, said, f"called {name}"),
        "npv": share_figure(rows, ~was, ~said, f"called another class than {name}"),
        "auc": _one_vs_rest(rows, index),
    }


def accuracy(rows: ScoredRows) -> Figures:
    """Share of the rows that are called rightly."""
    if not len(rows):
        return _none(rows, _empty(rows))
    return share_figure(rows, rows.is_right, np.ones(len(rows), dtype=bool))


def balanced_accuracy(rows: ScoredRows) -> Figures:
    """Mean over the classes of the share of each that is called rightly."""
    lacking = _lacking(rows)
    if lacking:
        return _none(rows, lacking)
    classes = range(len(rows.head.classes))
    metric = statistics.balanced_accuracy_metric(rows.called, rows.truth, classes)
    return _drawn(rows, metric, by_class=True)


def macro_auc(rows: ScoredRows) -> Figures:
    """Mean over the classes of the AUC of each against the rest."""
    lacking = _lacking(rows)
    if lacking:
        return _none(rows, lacking)
    metric = statistics.macro_auc_metric(rows.probabilities, rows.truth)
    return _drawn(rows, metric, by_class=True)


def brier(rows: ScoredRows) -> Figures:
    """Mean squared distance of the probabilities from what happened; 0 is best.

    Of a two-class head over the positive class alone (0 to 1), of more over all (0 to 2).
    """
    if not len(rows):
        return _none(rows, _empty(rows))
    if rows.head.positive is None:
        metric = statistics.brier_metric(rows.probabilities, rows.truth)
    else:
        index = rows.head.classes.index(rows.head.positive)
        metric = statistics.brier_metric(rows.probabilities[:, index], rows.truth == index)
    return _drawn(rows, metric)


def calibration_error(rows: ScoredRows) -> Figures:
    """Expected calibration error of the probability of the class called, in bins of equal mass."""
    if not len(rows):
        return _none(rows, _empty(rows))
    metric = calibration_error_metric(rows.probabilities.max(axis=1), rows.is_right)
    return _drawn(rows, metric)


def share_figure(
    rows: ScoredRows, hits: npt.NDArray[np.bool_], among: npt.NDArray[np.bool_], of: str = ""
) -> Figures:
    """Share of `hits` among some of the rows, both bool (n,); `of` names these for the reason."""
    n = int(among.sum())
    if not n:
        which = f"is {of}" if of else "counts here"
        return _none(rows, f"none of the {len(rows)} {rows.unit} {which}")
    if rows.are_patients:
        return figure(statistics.wilson(int((hits & among).sum()), n), rows.unit)
    return _drawn(rows, statistics.mean_metric(hits, among), n=n)


def _one_vs_rest(rows: ScoredRows, index: int) -> Figures:
    truth, scores = rows.truth == index, rows.probabilities[:, index]
    if truth.all() or not truth.any():
        name = rows.head.classes[index]
        which = "of class" if not truth.any() else "of another class than"
        why = f"none of the {len(rows)} {rows.unit} is {which} {name}"
        return _none(rows, why if len(rows) else _empty(rows))
    if rows.are_patients:
        return figure(statistics.delong_interval(scores, truth), rows.unit)
    return _drawn(rows, statistics.auc_metric(scores, truth))


def _drawn(
    rows: ScoredRows, metric: Metric, *, by_class: bool = False, n: int | None = None
) -> Figures:
    """A figure with an interval from drawing patients; without one where too few can be drawn.

    A patient of one class can be drawn among those of the class (`by_class`), so that every
    draw has a figure; not for figures that depend on how frequent the classes are.
    """
    strata = rows.truth if by_class and rows.are_patients else None
    reason = None
    if rows.patient_count < 2:
        reason = "one patient alone: no interval over patients"
    elif strata is not None and min(Counter(strata.tolist()).values()) < 2:
        reason = "a class with one patient alone"
    if reason is None:
        found = statistics.patient_bootstrap(metric, rows.patients, strata, seed=BOOTSTRAP_SEED)
    else:
        value = float(metric(np.ones((1, len(rows))))[0])
        found = Interval(value, None, None, len(rows), "none", reason=reason)
    # The bootstrap counts what it draws, patients; the figure itself rests on rows.
    return {**figure(found, rows.unit), "n": len(rows) if n is None else n}


def figure(interval: Interval, unit: str) -> Figures:
    """An interval as the cards and reports keep it."""
    return {**asdict(interval), "unit": unit}


def _none(rows: ScoredRows, reason: str) -> Figures:
    return figure(Interval(None, None, None, len(rows), "none", reason=reason), rows.unit)


def _empty(rows: ScoredRows) -> str:
    return f"none of the {rows.unit} has an answer to {rows.head.name}"


def _lacking(rows: ScoredRows) -> str | None:
    """Why a figure over all classes does not exist; None if each has a row."""
    if not len(rows):
        return _empty(rows)
    missing = [name for name, count in rows.classes.items() if not count]
    if missing:
        return f"none of the {len(rows)} {rows.unit} is of class {', '.join(missing)}"
    return None
