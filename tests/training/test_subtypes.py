"""A scheme with subtypes, most of which nobody has named, trains, is judged and serves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from marrow.catalogue import models, predictions
from marrow.catalogue.predictions import ResultFilter, Sort
from marrow.errors import BadLabels
from marrow.evaluate import evaluate
from marrow.exporting import write_all_csv
from marrow.importing import import_smears
from marrow.records import (
    Cell,
    ConclusionPayload,
    Provenance,
    SegmentPayload,
    SweepSpec,
    TrainingSpec,
)
from marrow.schemes import Scheme
from marrow.splits import draw_test_patients, split
from marrow.study import Study
from training.calibrate import flags_of
from training.checkpoints import load_model, load_reference
from training.conclude import Concluded, conclude
from training.dataset import LabelledSmear
from training.fit import run_segment
from training.labelled import labelled_smears
from training.losses import balance_by_patient, class_indices, head_losses
from training.splits import Sides
from worker.classify import Classifier, Request

SUBTYPES = Path(__file__).parents[2] / "examples" / "subtypes.toml"
COLOURS = {"AA": (220, 170, 190), "MDS": (120, 60, 140), "AML": (60, 90, 170)}
SPEC = TrainingSpec(
    backbone="shufflenet_v2_x0_5",
    epochs=40,
    batch_size=8,
    input_px=32,
    head_learning_rate=1e-2,
    folds=2,
)


@pytest.fixture
def study(make_study, tmp_path: Path) -> Study:
    """36 patients, 12 of each diagnosis; of 8 with MDS the subtype is known, of AML none is."""
    study = make_study(Scheme.from_toml(SUBTYPES))
    folder = tmp_path / "smears"
    folder.mkdir()
    rng = np.random.default_rng(0)
    lines = ["file,patient,diagnosis,mds_subtype,aml_subtype"]
    for number in range(36):
        diagnosis = ("AA", "MDS", "AML")[number % 3]
        subtype = ("MDS-LB", "MDS-IB2")[number % 2] if diagnosis == "MDS" else ""
        colour = np.array(COLOURS[diagnosis]) + (60 if subtype == "MDS-IB2" else 0)
        pixels = np.clip(rng.normal(colour, 15, (36, 40, 3)), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
        lines.append(f"{number}.png,p{number},{diagnosis},{subtype if number < 24 else ''},")
    (folder / "labels.csv").write_text("\n".join(lines))
    report = import_smears(study, [folder], folder / "labels.csv")
    assert (report.added, report.refused) == (36, ())
    return study


@pytest.fixture
def labelled(study: Study) -> list[LabelledSmear]:
    return labelled_smears(study, smear_is_patient=False).smears


def test_missing_answers_are_imported_as_missing(
    labelled: list[LabelledSmear], study: Study
) -> None:
    known = [one.answers for one in labelled if one.answers["mds_subtype"] is not None]
    assert len(known) == 8
    assert all(answers["diagnosis"] == answers["mds"] == "MDS" for answers in known)
    assert all(one.answers["aml_subtype"] is None for one in labelled)
    indices = class_indices(labelled, study.scheme)
    assert (indices >= 0).sum(dim=0).tolist() == [36, 36, 8, 0]


def test_a_row_that_contradicts_itself_is_refused(study: Study, tmp_path: Path) -> None:
    folder = tmp_path / "smears"
    table = folder / "more.csv"
    table.write_text("file,diagnosis,mds_subtype\n0.png,AML,MDS-LB\n")
    with pytest.raises(BadLabels, match=r"line 2: mds_subtype is 'MDS-LB'.*diagnosis is MDS"):
        import_smears(study, [folder], table)
    table.write_text("file,diagnosis,mds_subtype\n0.png,unsure,MDS-LB\n2.png,AML,unsure\n")
    assert import_smears(study, [folder], table).known == 36


def test_a_head_without_answers_neither_pulls_nor_counts(
    labelled: list[LabelledSmear], study: Study
) -> None:
    classes = class_indices(labelled, study.scheme)
    patients = [one.smear.patient or "" for one in labelled]
    balance = balance_by_patient(classes, patients)
    logits = {
        head.name: torch.zeros(36, len(head.classes), requires_grad=True)
        for head in study.scheme.heads
    }
    losses = head_losses(logits, classes, balance)
    assert list(losses) == ["mds", "diagnosis", "mds_subtype"]
    torch.stack(list(losses.values())).sum().backward()
    pulled = {name: values.grad is not None for name, values in logits.items()}
    assert pulled["aml_subtype"] is False
    known = classes[:, 2] >= 0
    rows = logits["mds_subtype"].grad.abs().sum(dim=1) > 0
    assert torch.equal(rows, known)


def test_a_subtype_is_judged_by_the_patients_who_have_one(
    labelled: list[LabelledSmear], study: Study
) -> None:
    rng = np.random.default_rng(0)
    said = {
        one.smear.id: {
            head.name: rng.dirichlet(np.ones(len(head.classes))) for head in study.scheme.heads
        }
        for one in labelled
    }
    heads = evaluate(said, labelled, study.scheme, False)["heads"]
    assert [heads[name]["n"] for name in heads] == [36, 36, 8, 0]
    assert heads["mds_subtype"]["classes"]["MDS-LB"] == 4
    assert heads["aml_subtype"]["accuracy"]["value"] is None


def trained(study: Study, labelled: list[LabelledSmear]) -> Concluded:
    """One cell with two folds, from the first segment to the stored model."""
    test = draw_test_patients(labelled, study.scheme, 0.3, 0, False)
    sides = Sides(*split(labelled, test, False), held_out=[])
    specs = [SPEC.model_copy(update={"fold": fold}) for fold in (None, 0, 1)]
    harvests = []
    for run, spec in enumerate(specs):
        end = run_segment(
            spec,
            study.scheme,
            sides,
            store=study.store,
            run_folder=f"runs/j1-r{run}",
            payload=SegmentPayload(run=run, segment=0),
            attempt=1,
            check=lambda: None,
            should_yield=lambda: False,
            on_epoch=lambda _: None,
        )
        harvests.append(end.harvests)
    cell = Cell(loss_weights=(1, 1, 1, 1), epochs=SPEC.epochs, seed=0, run=0, fold_runs=(1, 2))
    sweep = SweepSpec(runs=tuple(specs), cells=(cell,))
    payload = ConclusionPayload(harvests=tuple(harvests))
    (model,) = conclude(sweep, study.scheme, sides, payload, store=study.store, check=lambda: None)
    return model


@pytest.mark.slow
def test_from_labels_to_flags_and_exports(
    study: Study, labelled: list[LabelledSmear], tmp_path: Path
) -> None:
    made = trained(study, labelled)
    network, card = load_model(made.folder)
    assert card.calibration is not None
    subtype = card.calibration.heads["mds_subtype"]
    assert 0 < subtype.patients <= 8
    assert "cannot be ruled out" in subtype.conformal_note
    assert card.calibration.heads["aml_subtype"].patients == 0
    classifier = Classifier(network, card, "cpu", reference=load_reference(made.folder, card))
    outcomes = list(classifier.classify([Request(one.smear.id, one.path) for one in labelled]))
    answers = {one.smear_id: one.answer for one in outcomes}
    right = [
        answers[one.smear.id].calls["diagnosis"] == one.answers["diagnosis"] for one in labelled
    ]
    assert np.mean(right) > 0.7  # a random trunk; chance is a third
    taught = [one for one in labelled if one.answers["mds_subtype"] and one.smear.patient in
              card.split["train"]]  # fmt: skip
    called = [answers[one.smear.id].calls["mds_subtype"] for one in taught]
    assert called == [one.answers["mds_subtype"] for one in taught]
    # Every head answers every smear, and where the subtype does not apply that is no conflict.
    flagged = [one for one in answers.values() if "heads-disagree" in one.flags]
    assert len(flagged) < 6
    assert all(len(one.heads) == 4 for one in answers.values())
    _check_shown(study, card, answers, tmp_path)


def _check_shown(study: Study, card, answers, tmp_path: Path) -> None:
    """Stored, filtered, sorted and exported: a subtype is there for the smears it applies to."""
    with study.database.write() as connection:
        model = models.register(
            connection, 0.0, sha256=card.weights_sha256, path="m",
            preprocessing=card.preprocessing_hash, precision="fp32",
            card=card.model_dump(mode="json"), job_id=None,
        )  # fmt: skip
        made_by = Provenance(code_version="0", torch_version="0", device="cpu", host="here")
        by = predictions.provenance_id(connection, made_by)
        given = {smear: (answer, None) for smear, answer in answers.items()}
        revisions = dict.fromkeys(answers, 0)
        predictions.store(connection, 1.0, study.scheme, model, by, revisions, given)
    applies = {smear for smear, one in answers.items() if one.calls["diagnosis"] == "MDS"}
    called = {smear: answers[smear].calls["mds_subtype"] for smear in answers}
    wanted = {smear for smear in applies if called[smear] == "MDS-LB"}
    assert 0 < len(wanted) < sum(call == "MDS-LB" for call in called.values())
    shown = ResultFilter(head="mds_subtype", call="MDS-LB")
    column = "p:aml_subtype:PML::RARA"
    with study.database.read() as connection:
        for filtered in (shown, shown.model_copy(update={"min_p": 0.0})):
            assert predictions.count(connection, study.scheme, filtered) >= len(wanted)
            for sort in (Sort(), Sort(column=column), Sort(column="patient")):
                rows = predictions.page(connection, study.scheme, filtered, sort, 0, 50)
                found = {row.smear.id for row in rows}
                assert found == (wanted if filtered.min_p is None else applies)
        for row in predictions.every(connection, study.scheme, ResultFilter()):
            assert row.prediction is not None
            assert ("mds_subtype" in row.prediction.answer.calls) == (row.smear.id in applies)
    assert write_all_csv(study, tmp_path / "all.csv") == len(answers)


def test_flags_do_not_mind_what_a_subtype_head_says_where_it_is_not_asked(study: Study) -> None:
    def one_hot(head: str, name: str) -> np.ndarray:
        return np.array([float(one == name) for one in study.scheme.head(head).classes])

    calls = {"mds": "other", "diagnosis": "AA", "mds_subtype": "MDS-LB", "aml_subtype": "NPM1"}
    shown = {head: one_hot(head, name) for head, name in calls.items()}
    assert flags_of(shown, False, study.scheme, None) == ()
    shown["mds"] = one_hot("mds", "MDS")
    assert flags_of(shown, True, study.scheme, None) == ("heads-disagree", "unlike-training")
