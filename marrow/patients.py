"""What a model says of each patient, over all smears that it has answered."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence

import numpy as np
from sqlalchemy import Connection

from marrow.calibration import Calibration, calibration_of
from marrow.catalogue import labels, predictions, smears
from marrow.catalogue.predictions import ResultFilter, ResultRow
from marrow.catalogue.sight import Sight
from marrow.catalogue.smears import SmearFilter
from marrow.errors import BadScheme
from marrow.records import Answer, ModelRecord, Probability, Record
from marrow.schemes import Head, Scheme
from marrow.study import Study


class PatientAnswer(Record):
    """What the smears of a patient say together to one head."""

    call: str
    probabilities: tuple[Probability, ...]
    """Mean over the smears to which the head applies, in the order of its classes."""
    possible: tuple[str, ...] | None
    """The classes that cannot be ruled out; None: no conformal quantile is known."""
    truth: str | None
    """The class that most of the labelled smears have, the first of equals; None: no label."""


class PatientSummary(Record):
    """A patient in the eyes of one model."""

    patient: str
    """Pseudonym."""
    smears: int
    """That the model has answered."""
    heads: dict[str, PatientAnswer]
    """Of the heads that apply under the patient's own calls, in the scheme's order."""
    flags: dict[str, int]
    """Smears that carry each flag."""


def summarise_patients(
    study: Study,
    model: ModelRecord,
    smear_ids: Collection[int] | None = None,
    sight: Sight | None = None,
) -> list[PatientSummary]:
    """One summary for each patient with an answered smear, in the order of their pseudonyms.

    A smear without a patient is its own. Of a smear that was answered twice (its regions have
    changed) the newest answer counts.

    Parameters
    ----------
    smear_ids : collection of int or None
        Only these smears; None: all that the model has answered.
    sight : Sight or None
        Who looks: a patient with a smear that is not open, answered or not, is left out. None: no
        person.

    Raises
    ------
    BadScheme
        If the scheme's unit is the image: a patient's cells have no common answer.
    """
    scheme = study.scheme
    if scheme.unit != "patient":
        raise BadScheme(
            f"the unit of {scheme.name} is the {scheme.unit}, and a patient's {scheme.unit}s "
            "have no common answer; export them without --by patient"
        )
    calibration = calibration_of(model.card)
    with study.database.read() as connection:
        shown = ResultFilter(model_id=model.id)
        newest = {row.smear.id: row for row in predictions.every(connection, scheme, shown)}
        agreed = labels.consensus(connection, list(newest))
        hidden = set() if sight is None else hidden_patients(connection, scheme, sight)
    by_patient: dict[str, list[ResultRow]] = {}
    for smear_id, row in newest.items():
        if smear_ids is None or smear_id in smear_ids:
            patient = row.smear.patient or row.smear.own_patient
            if patient not in hidden:
                by_patient.setdefault(patient, []).append(row)
    truths = {
        smear_id: scheme.complete(agreed.get(smear_id, labels.NOTHING_GIVEN).answers)
        for smear_id in newest
    }
    return [
        summary_of(scheme, calibration, patient, rows, [truths[row.smear.id] for row in rows])
        for patient, rows in sorted(by_patient.items())
    ]


def hidden_patients(connection: Connection, scheme: Scheme, sight: Sight) -> set[str]:
    """Patients with a smear that is not open."""
    ids = smears.all_ids(connection, SmearFilter())
    closed = sorted(sight.hidden(connection, scheme, ids))
    return {one.patient or one.own_patient for one in smears.get(connection, closed)}


def summary_of(
    scheme: Scheme,
    calibration: Calibration | None,
    patient: str,
    rows: Sequence[ResultRow],
    truths: Sequence[Mapping[str, str | None]],
) -> PatientSummary:
    """A patient in the eyes of one model, from these rows, one per smear.

    Parameters
    ----------
    truths : sequence
        Of each row, the answer to each head that is known, as `Scheme.complete` gives it.
    """
    answers = [row.prediction.answer for row in rows if row.prediction is not None]
    heads: dict[str, PatientAnswer] = {}
    for head in scheme.heads:
        found = _patient_answer(head, answers, calibration, [one[head.name] for one in truths])
        if found is not None:
            heads[head.name] = found
    applying = scheme.applying({name: one.call for name, one in heads.items()})
    return PatientSummary(
        patient=patient,
        smears=len(answers),
        heads={head.name: heads[head.name] for head in applying if head.name in heads},
        flags=dict(sorted(Counter(flag for one in answers for flag in one.flags).items())),
    )


def _patient_answer(
    head: Head,
    answers: Sequence[Answer],
    calibration: Calibration | None,
    truths: Sequence[str | None],
) -> PatientAnswer | None:
    """None where the head applies to none of the smears."""
    own = [one.probabilities for answer in answers for one in answer.heads if one.head == head.name]
    if not own:
        return None
    mean = np.mean(own, axis=0)
    known = Counter(truth for truth in truths if truth is not None)
    return PatientAnswer(
        call=head.classes[int(mean.argmax())],
        probabilities=tuple(np.clip(mean, 0, 1).tolist()),
        possible=None if calibration is None else calibration.possible(head, mean.tolist()),
        truth=max(head.classes, key=lambda name: known[name]) if known else None,
    )
