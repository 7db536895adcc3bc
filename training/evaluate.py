"""Figures of a model on smears that it has not seen, in the scheme's unit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from marrow import statistics
from marrow.schemes import Head, Scheme
from training.dataset import LabelledSmear, patient_of
from training.features import Features
from training.network import MultiHeadNetwork

Probabilities = Mapping[str, npt.NDArray[np.float64]]
"""By head, float64 (classes,), sum 1."""

BOOTSTRAP_SEED = 0
"""The same draws of patients for every model, so that two cards can be compared."""


@torch.no_grad()
def smear_probabilities(
    network: MultiHeadNetwork, features: Features, smears: Sequence[int]
) -> dict[int, dict[str, npt.NDArray[np.float64]]]:
    """What the model says to each smear: the mean over its views.

    Parameters
    ----------
    network : MultiHeadNetwork
        Put into eval mode.
    features : Features
        n views.
    smears : n ints
        To which smear each view belongs.

    Returns
    -------
    dict
        By smear and head; smears of which no view could be read are missing.
    """
    network.eval()
    device = next(network.parameters()).device
    rows: dict[int, list[int]] = {}
    for row, (smear, read) in enumerate(zip(smears, features.is_read.tolist(), strict=True)):
        if read:
            rows.setdefault(smear, []).append(row)
    logits = network.answer(torch.nan_to_num(features.pooled).to(device))
    views = {name: values.double().softmax(dim=1).cpu().numpy() for name, values in logits.items()}
    return {
        smear: {name: values[own].mean(axis=0) for name, values in views.items()}
        for smear, own in rows.items()
    }


def evaluate(
    probabilities: Mapping[int, Probabilities],
    smears: Sequence[LabelledSmear],
    scheme: Scheme,
    smear_is_patient: bool,
) -> dict[str, Any]:
    """Accuracy, balanced accuracy and AUC of each head, with n, unit and 95% interval.

    Parameters
    ----------
    probabilities : dict by smear id
        Smears without are not counted, and their number is said.
    smears : sequence of LabelledSmear
        Of patients that the model was not trained on.

    Returns
    -------
    dict
        Fit for JSON. `heads` has for each head `n`, `unit`, `patients`, `classes` (n by
        class) and the figures, each with `value`, `low`, `high`, `n`, `unit`, `method`;
        what cannot be estimated has the value None and a `reason`.

    Notes
    -----
    Unit patient: probabilities are averaged over the patient's smears, the diagnosis is the
    one that most of them have, and each patient counts once. Unit image: each image counts,
    and the intervals come from drawing patients, because images of one patient resemble
    each other. AUC: of two classes for the positive one, of more the macro one-vs-rest mean.
    """
    scored = [labelled for labelled in smears if labelled.smear.id in probabilities]
    patients = [patient_of(labelled.smear, smear_is_patient) for labelled in scored]
    heads = {}
    for head in scheme.heads:
        rows = _image_rows(head, scored, patients, probabilities)
        rows = _patient_rows(rows) if scheme.unit == "patient" else rows
        heads[head.name] = _head_figures(head, rows, f"{scheme.unit}s")
    return {
        "unit": scheme.unit,
        "smears": len(scored),
        "patients": len(set(patients)),
        "not_scored": len(smears) - len(scored),
        "heads": heads,
    }


@dataclass(frozen=True)
class _Rows:
    """What is counted: images, or patients.

    Attributes
    ----------
    patients : n pseudonyms
    truth : int64 (n,)
        Index of the class.
    probabilities : float64 (n, classes)
    """

    patients: list[str]
    truth: npt.NDArray[np.int64]
    probabilities: npt.NDArray[np.float64]

    def drawn(self, rows: npt.NDArray[np.int64]) -> _Rows:
        """These rows, one drawn twice twice; their patients are not needed any more."""
        return _Rows([], self.truth[rows], self.probabilities[rows])

    @property
    def called(self) -> npt.NDArray[np.int64]:
        """Index of the most probable class, the first of equals, int64 (n,)."""
        called: npt.NDArray[np.int64] = self.probabilities.argmax(axis=1)
        return called


_Metric = Callable[[_Rows, Head], float]


def _image_rows(
    head: Head,
    smears: Sequence[LabelledSmear],
    patients: Sequence[str],
    probabilities: Mapping[int, Probabilities],
) -> _Rows:
    known = [
        (patient, head.classes.index(answer), probabilities[labelled.smear.id][head.name])
        for labelled, patient in zip(smears, patients, strict=True)
        if (answer := labelled.answers[head.name]) is not None
    ]
    return _Rows(
        [patient for patient, _, _ in known],
        np.array([truth for _, truth, _ in known], dtype=np.int64),
        np.array([row for _, _, row in known], dtype=np.float64).reshape(-1, len(head.classes)),
    )


def _patient_rows(images: _Rows) -> _Rows:
    """One row a patient: mean probability, and the class that most of the smears have."""
    names = sorted(set(images.patients))
    own = [np.array([p == name for p in images.patients]) for name in names]
    classes = images.probabilities.shape[1]
    truth = [np.bincount(images.truth[rows], minlength=classes).argmax() for rows in own]
    means = [images.probabilities[rows].mean(axis=0) for rows in own]
    return _Rows(names, np.array(truth, dtype=np.int64), np.array(means).reshape(-1, classes))


def _head_figures(head: Head, rows: _Rows, unit: str) -> dict[str, Any]:
    counts = Counter(rows.truth.tolist())
    return {
        "n": len(rows.truth),
        "unit": unit,
        "patients": len(set(rows.patients)),
        "classes": {name: counts[index] for index, name in enumerate(head.classes)},
        "accuracy": _figure(_accuracy, rows, head, unit),
        "balanced_accuracy": _figure(_balanced_accuracy, rows, head, unit),
        "auc": _figure(_auc, rows, head, unit),
    }


def _figure(metric: _Metric, rows: _Rows, head: Head, unit: str) -> dict[str, Any]:
    """One figure for the card; None, with the reason, where it does not exist."""
    lacking = _lacking(metric, rows, head, unit)
    interval = statistics.Interval(None, None, None, len(rows.truth), "none", reason=lacking)
    if lacking is None:
        interval = _interval(metric, rows, head, unit)
    figure = asdict(interval)
    # The bootstrap counts what it draws, patients; the figure itself rests on all rows.
    return {**figure, "n": len(rows.truth), "unit": unit}


def _lacking(metric: _Metric, rows: _Rows, head: Head, unit: str) -> str | None:
    if not len(rows.truth):
        return f"none of the {unit} has an answer to {head.name}"
    missing = [name for i, name in enumerate(head.classes) if i not in rows.truth]
    if metric is not _accuracy and missing:
        return f"none of the {len(rows.truth)} {unit} is of class {', '.join(missing)}"
    return None


def _interval(metric: _Metric, rows: _Rows, head: Head, unit: str) -> statistics.Interval:
    if unit == "patients" and metric is _accuracy:
        return statistics.wilson(int((rows.called == rows.truth).sum()), len(rows.truth))
    if unit == "patients" and metric is _auc and head.positive is not None:
        positive = head.classes.index(head.positive)
        return statistics.delong_interval(rows.probabilities[:, positive], rows.truth == positive)
    if len(set(rows.patients)) < 2:
        return _without_interval(metric, rows, head, "one patient alone: no interval over patients")
    # A patient of one class can be drawn among those of the class, so that every draw has a
    # figure; not for accuracy, which depends on how frequent the classes are.
    strata = rows.truth if unit == "patients" and metric is not _accuracy else None
    if strata is not None and min(Counter(strata.tolist()).values()) < 2:
        return _without_interval(metric, rows, head, "a class with one patient alone")
    return statistics.patient_bootstrap(
        lambda drawn: metric(rows.drawn(drawn), head), rows.patients, strata, seed=BOOTSTRAP_SEED
    )


def _without_interval(metric: _Metric, rows: _Rows, head: Head, reason: str) -> statistics.Interval:
    value = metric(rows, head)
    return statistics.Interval(value, None, None, len(rows.truth), "none", reason=reason)


def _accuracy(rows: _Rows, _head: Head) -> float:
    return float((rows.called == rows.truth).mean())


def _balanced_accuracy(rows: _Rows, head: Head) -> float:
    if len(np.unique(rows.truth)) < len(head.classes):
        return float("nan")  # a draw without a class: no mean over the others instead
    return statistics.balanced_accuracy(rows.called, rows.truth, range(len(head.classes)))


def _auc(rows: _Rows, head: Head) -> float:
    if head.positive is None:
        return statistics.macro_auc(rows.probabilities, rows.truth)
    positive = head.classes.index(head.positive)
    return statistics.auc(rows.probabilities[:, positive], rows.truth == positive)
