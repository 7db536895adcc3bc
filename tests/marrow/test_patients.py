"""What the smears of a patient say together, and how it is exported."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from marrow.calibration import Calibration, HeadCalibration
from marrow.catalogue import labels, models, predictions, smears
from marrow.errors import BadScheme
from marrow.exporting import NOTICE, patient_columns, write_patients_csv
from marrow.patients import summarise_patients
from marrow.records import Answer, HeadAnswer, ModelRecord, Provenance
from marrow.schemes import Scheme
from marrow.study import Study

EXAMPLES = Path(__file__).parents[2] / "examples"
MADE_BY = Provenance(code_version="0", torch_version="0", device="cpu", host="here")
MakeStudy = Callable[..., Study]
AddSmears = Callable[..., list[int]]

CALIBRATION = Calibration(
    heads={
        "mds": HeadCalibration(temperature=1, conformal=(0.5, 0.5), patients=80),
        "diagnosis": HeadCalibration(temperature=1, conformal=(0.7, 0.7, 0.4), patients=80),
    },
    source="out-of-fold predictions of 80 patients in 5 folds",
)


def said(scheme: Scheme, flags: tuple[str, ...] = (), **tops: tuple[str, float]) -> Answer:
    """An answer that gives each head's named class this probability, the others equal shares."""
    heads = []
    for head in scheme.heads:
        name, top = tops.get(head.name, (head.classes[0], 0.9))
        rest = (1 - top) / (len(head.classes) - 1)
        shares = [top if one == name else rest for one in head.classes]
        called = head.classes[int(np.argmax(shares))]
        heads.append(HeadAnswer(head=head.name, call=called, probabilities=tuple(shares)))
    return Answer(heads=tuple(heads), flags=flags)


def add_model(study: Study, calibration: Calibration | None = CALIBRATION) -> ModelRecord:
    stored = None if calibration is None else calibration.model_dump(mode="json")
    with study.database.write() as connection:
        return models.register(
            connection,
            study.database.now(connection),
            sha256="a" * 64,
            path="models/a",
            preprocessing="b" * 64,
            precision="fp32",
            card={"calibration": stored},
            job_id=None,
        )


def store(study: Study, model: ModelRecord, answers: dict[int, Answer], revision: int = 0) -> None:
    with study.database.write() as connection:
        by = predictions.provenance_id(connection, MADE_BY)
        given = {smear: (answer, None) for smear, answer in answers.items()}
        revisions = dict.fromkeys(answers, revision)
        predictions.store(connection, 1.0, study.scheme, model, by, revisions, given)


def label(study: Study, smear: int, answer: str) -> None:
    with study.database.write() as connection:
        answers = {"diagnosis": answer}
        labels.give(connection, 1.0, study.scheme, smear, answers, "reader", False)


def test_a_patient_is_the_mean_of_the_smears(make_study: MakeStudy, add_smears: AddSmears) -> None:
    study = make_study()
    # Smears 0 and 1 are of P0, 2 and 3 of P1.
    ids = add_smears(study, 4)
    model = add_model(study)
    scheme = study.scheme
    answers = {
        ids[0]: said(scheme, ("unsure",), mds=("MDS", 0.9), diagnosis=("MDS", 0.8)),
        ids[1]: said(scheme, ("few-tiles", "unsure"), mds=("other", 0.6), diagnosis=("AML", 0.6)),
        ids[2]: said(scheme, diagnosis=("AA", 0.5)),
    }
    store(study, model, answers)
    for smear, answer in ((ids[0], "AML"), (ids[1], "AML"), (ids[3], "AA")):
        label(study, smear, answer)
    first, second = summarise_patients(study, model)
    assert (first.patient, first.smears) == ("P0", 2)
    assert first.flags == {"few-tiles": 1, "unsure": 2}
    diagnosis = first.heads["diagnosis"]
    assert diagnosis.call == "MDS"
    assert diagnosis.probabilities == pytest.approx((0.15, 0.5, 0.35))
    # 1 - p against the quantiles 0.7, 0.7 and 0.4: only MDS is near enough.
    assert diagnosis.possible == ("MDS",)
    assert diagnosis.truth == "AML"
    assert first.heads["mds"].probabilities == pytest.approx((0.35, 0.65))
    assert first.heads["mds"].truth == "other"
    # P1's second smear is labelled, but the model has not answered it.
    assert (second.patient, second.smears, second.flags) == ("P1", 1, {})
    assert second.heads["diagnosis"].truth is None
    assert [one.patient for one in summarise_patients(study, model, [ids[2]])] == ["P1"]
    assert summarise_patients(study, model, []) == []


def test_the_newest_answer_to_a_smear_counts(make_study: MakeStudy, add_smears: AddSmears) -> None:
    study = make_study()
    (smear,) = add_smears(study, 1)
    model = add_model(study, None)
    store(study, model, {smear: said(study.scheme, diagnosis=("AA", 0.9))})
    store(study, model, {smear: said(study.scheme, diagnosis=("AML", 0.9))}, revision=1)
    (one,) = summarise_patients(study, model)
    assert (one.smears, one.heads["diagnosis"].call) == (1, "AML")
    assert one.heads["diagnosis"].possible is None


def test_a_smear_without_patient_is_its_own(make_study: MakeStudy, add_smears: AddSmears) -> None:
    study = make_study()
    own, other = add_smears(study, 2)
    with study.database.write() as connection:
        smears.describe(connection, [own], patient=None)
        (found,) = smears.get(connection, [own])
    model = add_model(study)
    store(study, model, {one: said(study.scheme) for one in (own, other)})
    names = [one.patient for one in summarise_patients(study, model)]
    assert names == ["P0", found.own_patient]


def test_subtypes_are_told_only_of_patients_they_apply_to(
    make_study: MakeStudy, add_smears: AddSmears
) -> None:
    study = make_study(Scheme.from_toml(EXAMPLES / "subtypes.toml"))
    ids = add_smears(study, 4)
    model = add_model(study, None)
    scheme = study.scheme
    answers = {
        ids[0]: said(scheme, diagnosis=("MDS", 0.9), mds_subtype=("MDS-IB1", 0.6)),
        ids[1]: said(scheme, diagnosis=("AML", 0.6), mds_subtype=("MDS-LB", 0.9)),
        ids[2]: said(scheme, diagnosis=("AA", 0.9), mds_subtype=("MDS-LB", 0.9)),
    }
    store(study, model, answers)
    first, second = summarise_patients(study, model)
    assert list(first.heads) == ["mds", "diagnosis", "mds_subtype"]
    # Of the smear that is called MDS alone.
    assert first.heads["mds_subtype"].call == "MDS-IB1"
    assert max(first.heads["mds_subtype"].probabilities) == pytest.approx(0.6)
    assert list(second.heads) == ["mds", "diagnosis"]


def test_images_of_a_patient_have_no_common_answer(make_study: MakeStudy) -> None:
    study = make_study(Scheme.from_toml(EXAMPLES / "cells.toml"))
    with pytest.raises(BadScheme, match=r"images have no common answer.*without --by patient"):
        summarise_patients(study, add_model(study, None))


def test_patients_are_exported_with_their_labels(
    make_study: MakeStudy, add_smears: AddSmears, tmp_path: Path
) -> None:
    study = make_study()
    ids = add_smears(study, 4)
    with study.database.write() as connection:
        smears.describe(connection, ids[2:], patient="=cmd")
    model = add_model(study)
    answers = {one: said(study.scheme, ("unsure",), diagnosis=("AML", 0.5)) for one in ids}
    store(study, model, answers)
    label(study, ids[0], "AML")
    target = tmp_path / "patients.csv"
    assert write_patients_csv(study, model, target) == 2
    with target.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == patient_columns(study.scheme)
    by_patient = {row["patient"]: row for row in rows}
    assert by_patient.keys() == {"P0", "'=cmd"}
    row = by_patient["P0"]
    assert (row["model"], row["smears"], row["flags"]) == (model.name, "2", "unsure:2")
    assert (row["diagnosis"], row["diagnosis_label"]) == ("AML", "AML")
    # 1 - 0.25 is above 0.7, 1 - 0.5 above 0.4: no class is left.
    assert row["diagnosis_set"] == "(none)"
    assert row["mds_set"] == "other"
    assert by_patient["'=cmd"]["diagnosis_label"] == ""
    assert {row["notice"] for row in rows} == {NOTICE}
