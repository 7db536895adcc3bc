"""From out-of-fold predictions to temperatures, thresholds and conformal quantiles; and serving
them: the one place where probabilities become calibrated and flags are raised."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from marrow.calibration import Calibration, HeadCalibration
from marrow.schemes import Head, Scheme
from marrow.statistics.abstention import threshold_for_false_alarms
from marrow.statistics.conformal import class_quantiles
from marrow.statistics.temperature import apply_temperature, fit_temperature, log_probabilities

__all__ = [
    "Calibration",
    "HeadCalibration",
    "OutOfFold",
    "calibrated",
    "fit_calibration",
    "flags_of",
    "is_unlike",
    "is_unsure",
    "served",
]

CONFIDENCE = 0.9
"""Of the conformal sets."""
RIGHT_WITHHELD = 0.1
"""Share of the right calls that may be flagged unsure."""
MAX_DISTANCES = 2_000
"""On the card: 20 kB. More smears are summed up by quantiles."""
MIN_RIGHT = 10
"""Right calls, in the scheme's unit, under which a tenth of them is not even one."""
UNLIKE_BELOW = 0.05
"""Share of smears like the training patients' that may be flagged unlike them. Of fewer than
19 patients no smear is so rare: then what lies farther than all of theirs is flagged, in up to
one of (patients + 1) such smears."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class OutOfFold:
    """What models say to training patients that they have not seen; n smears.

    Attributes
    ----------
    patients : list of str
        Of each smear.
    truth : dict of int64 (n,)
        By head, the index of the class; -1 where it is not known.
    probabilities : dict of float64 (n, classes)
        By head, uncalibrated, the mean over the smear's views.
    distances : float64 (n,)
        To the training patients of the fold's own run.
    """

    patients: list[str]
    truth: dict[str, npt.NDArray[np.int64]]
    probabilities: dict[str, Floats]
    distances: Floats


def calibrated(probabilities: npt.NDArray[np.floating[Any]], temperature: float) -> Floats:
    """Probabilities as they are served, evaluated and reported: softmax(log p / T).

    Parameters
    ----------
    probabilities : (..., classes)
        Of one head, mean over the views of a smear.
    temperature : float
        1 changes nothing; the call is the same at any.
    """
    return apply_temperature(probabilities, temperature)


def fit_calibration(oof: OutOfFold, scheme: Scheme, folds: int) -> Calibration:
    """Everything that a model's answers are judged by, from predictions out of fold.

    Each patient weighs alike in the temperature, the threshold and the distances, however many
    smears are known. The conformal quantiles are in the scheme's unit: of unit `patient`, one
    score a patient, its mean over smears; of unit `image`, the images weighted by patient.

    Parameters
    ----------
    folds : int
        For the record.

    Notes
    -----
    Several networks made these predictions and another one is served (cross-conformal): a set
    of confidence 1 - alpha is sure to hold the truth at about 1 - 2 alpha only, and near
    1 - alpha as a rule (`marrow.statistics.conformal`).
    """
    patients = np.array(oof.patients, dtype=object)
    heads = {}
    for head in scheme.heads:
        known = oof.truth[head.name] >= 0
        rows = _Rows(
            patients[known].tolist(),
            oof.truth[head.name][known],
            oof.probabilities[head.name][known],
        )
        heads[head.name] = _head_calibration(head, rows, scheme.unit == "patient")
    measured = np.isfinite(oof.distances)
    distances = _equal_shares(oof.distances[measured], patients[measured].tolist())
    distant = len(set(patients[measured]))
    return Calibration(
        heads=heads,
        confidence=CONFIDENCE,
        right_withheld=RIGHT_WITHHELD,
        distances=tuple(distances.tolist()),
        distance_patients=distant,
        unlike_below=max(UNLIKE_BELOW, 1 / (distant + 1)) if distant > 1 else UNLIKE_BELOW,
        source=f"out-of-fold predictions of {len(set(patients))} patients in {folds} folds",
    )


def served(
    said: Mapping[str, npt.NDArray[np.floating[Any]]], calibration: Calibration | None
) -> dict[str, Floats]:
    """What is shown of a smear: float64 (..., classes) by head, of what the network says.

    Without a calibration that is the same.
    """
    return {
        name: np.asarray(own, dtype=np.float64)
        if calibration is None
        else calibrated(own, calibration.heads[name].temperature)
        for name, own in said.items()
    }


def flags_of(
    shown: Mapping[str, Floats],
    is_unlike_training: bool,
    scheme: Scheme,
    calibration: Calibration | None,
) -> tuple[str, ...]:
    """The flags that one smear's answer raises: `heads-disagree`, `unsure`, `unlike-training`.

    Parameters
    ----------
    shown : float64 (classes,) by head
        As `served` gives it.
    is_unlike_training : bool
        As `is_unlike` says of its features.
    """
    calls = {head.name: head.classes[int(shown[head.name].argmax())] for head in scheme.heads}
    unsure = calibration is not None and is_unsure(calibration, scheme, shown[scheme.primary])
    raised = {
        "heads-disagree": scheme.is_contradicted_by(calls),
        "unsure": unsure,
        "unlike-training": is_unlike_training,
    }
    return tuple(flag for flag, is_raised in raised.items() if is_raised)


def is_unsure(calibration: Calibration, scheme: Scheme, probabilities: Floats) -> bool:
    """Whether the primary head's highest calibrated probability is below its threshold.

    Parameters
    ----------
    probabilities : (classes,)
        Calibrated, of the primary head.
    """
    threshold = calibration.heads[scheme.primary].unsure_below
    return threshold is not None and bool(probabilities.max() < threshold)


def is_unlike(calibration: Calibration, distances: Floats) -> npt.NDArray[np.bool_]:
    """Which smears lie farther from the training patients than is usual for such smears.

    Parameters
    ----------
    distances : float64 (m,)

    Returns
    -------
    bool (m,)
        p <= `unlike_below`, where p = (1 + P s) / (P + 1) with P patients and s the share of
        calibration distances that are as large: with one smear a patient, the rank p-value.

    Source: as `marrow.statistics.novelty.rank_p_value`; patients weighted as in
    `marrow.statistics.conformal.conformal_quantile`.
    """
    patients, known = calibration.distance_patients, np.array(calibration.distances)
    if not known.size:
        return np.zeros(len(distances), dtype=bool)
    share = 1 - np.searchsorted(known, distances, side="left") / known.size
    # Rounding must not ask for one patient more than suffice.
    p_values = (1 + patients * share) / (patients + 1) - 1e-12
    return np.asarray(p_values <= calibration.unlike_below)


@dataclass(frozen=True)
class _Rows:
    """Smears, images or patients whose answer to a head is known."""

    patients: list[str]
    truth: npt.NDArray[np.int64]
    probabilities: Floats


def _head_calibration(head: Head, rows: _Rows, by_patient: bool) -> HeadCalibration:
    if not rows.patients:
        nothing = f"no patient has a known answer to {head.name}: no class can be ruled out"
        none = (None,) * len(head.classes)
        return HeadCalibration(temperature=1, conformal=none, conformal_note=nothing, patients=0)
    shares = _patient_shares(rows.patients)
    temperature = fit_temperature(log_probabilities(rows.probabilities), rows.truth, shares)
    served = _Rows(rows.patients, rows.truth, calibrated(rows.probabilities, temperature))
    units = _patient_means(served) if by_patient else served
    quantiles = class_quantiles(units.probabilities, units.truth, units.patients, CONFIDENCE)
    too_few = {
        name: one.patients
        for name, one in zip(head.classes, quantiles, strict=True)
        if one.quantile is None
    }
    return HeadCalibration(
        temperature=temperature,
        unsure_below=_unsure_below(served, shares, by_patient),
        conformal=tuple(one.quantile for one in quantiles),
        conformal_note=_note(too_few),
        patients=len(set(rows.patients)),
    )


def _unsure_below(served: _Rows, shares: Floats, by_patient: bool) -> float | None:
    """The highest probability under which at most `RIGHT_WITHHELD` of the right calls lie."""
    is_right = served.probabilities.argmax(axis=1) == served.truth
    patients = {name for name, right in zip(served.patients, is_right, strict=True) if right}
    if (len(patients) if by_patient else int(is_right.sum())) < MIN_RIGHT:
        return None
    sure = served.probabilities.max(axis=1)
    return threshold_for_false_alarms(sure, is_right, shares, RIGHT_WITHHELD)


def _patient_shares(patients: Sequence[str]) -> Floats:
    """1 / rows of its patient, for each row."""
    counts = Counter(patients)
    return np.array([1 / counts[name] for name in patients])


def _patient_means(rows: _Rows) -> _Rows:
    """One row a patient: mean probability, and the class that most of the rows have."""
    names = sorted(set(rows.patients))
    own = [np.array([patient == name for patient in rows.patients]) for name in names]
    truth = [np.bincount(rows.truth[one]).argmax() for one in own]
    means = [rows.probabilities[one].mean(axis=0) for one in own]
    return _Rows(names, np.array(truth, dtype=np.int64), np.array(means))


def _equal_shares(distances: Floats, patients: Sequence[str]) -> Floats:
    """Ascending distances in which each patient has an equal share.

    As they are where that holds already; otherwise `MAX_DISTANCES` quantiles of the distances,
    each weighted by 1 / smears of its patient.
    """
    if len(set(Counter(patients).values())) <= 1 and len(patients) <= MAX_DISTANCES:
        return np.sort(distances)
    shares, order = _patient_shares(patients), np.argsort(distances, kind="stable")
    reached = np.cumsum(shares[order]) / shares.sum()
    levels = (np.arange(MAX_DISTANCES) + 0.5) / MAX_DISTANCES
    return np.asarray(distances[order][np.searchsorted(reached, levels)])


def _note(too_few: dict[str, int]) -> str:
    if not too_few:
        return ""
    needed = int(np.ceil(CONFIDENCE / (1 - CONFIDENCE) - 1e-9))
    counts = ", ".join(f"{name} ({n})" for name, n in too_few.items())
    return (
        f"fewer than the {needed} calibration patients that a set of {CONFIDENCE:.0%} takes: "
        f"{counts}; these classes cannot be ruled out of any set"
    )
