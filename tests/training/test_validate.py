"""A model on an external cohort: recorded before it is opened, counted, nothing dropped."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from typer.testing import CliRunner

from marrow.catalogue import cohorts, jobs, labels, models, smears
from marrow.catalogue.schema import job_smear
from marrow.cli import build
from marrow.client import Client
from marrow.errors import BadCohort, BadModel, CannotSplit, NotFound
from marrow.model_files import CARD, WEIGHTS
from marrow.records import (
    Answer,
    HeadAnswer,
    Job,
    ModelRecord,
    NewSmear,
    Outcome,
    Provenance,
)
from marrow.schemes import AA_MDS_AML
from marrow.study import Study
from training import validate_command
from training.dataset import LabelledSmear, data_hash
from training.validate import Validated, validate
from worker import claims
from worker.claims import Owner

TRUTH = ["AA", "MDS", "AML"] * 4
WORKER = Owner("test", 1, 1.0)
MADE_BY = Provenance(code_version="test", torch_version="none", device="cpu", host="test")


class Ward:
    """A study with a site `ext` of 12 patients, a model, and a worker that answers at once."""

    def __init__(self, study: Study) -> None:
        self.study = study
        self.client = Client(study, start_agent=lambda _home: None)
        self.unreadable: set[int] = set()
        with study.database.write() as connection:
            self.ids = [
                self.add(connection, number, "ext", f"E{number}", answer)
                for number, answer in enumerate(TRUTH)
            ]

    def add(
        self, connection: Any, number: int, site: str | None, patient: str | None, answer: str
    ) -> int:
        new = NewSmear(
            identity=f"{number:064x}",
            root="local",
            path=f"/nowhere/{number}.png",
            height_px=9,
            width_px=9,
            is_slide=False,
            patient=patient,
            site=site,
        )
        smear_id, _ = smears.register(connection, 1.0, new)
        given = {"diagnosis": answer}
        labels.give(connection, 1.0, AA_MDS_AML, smear_id, given, "r", False)
        return smear_id

    def model(self, name: str = "a", **card: Any) -> ModelRecord:
        with self.study.database.write() as connection:
            return models.register(
                connection,
                1.0,
                sha256=name * 64,
                path=f"models/{name}",
                preprocessing="b" * 64,
                precision="fp32",
                card=card,
                job_id=None,
            )

    def validate(self, model: ModelRecord, site: str | None = "ext", **how: Any) -> Validated:
        return validate(self.client, model.id, site, wait=self.work, **how)

    def work(self, job: Job) -> Job:
        """Answer every smear: the truth with 0.8, but S000001 is called AML."""
        while (held := claims.claim_next(self.study, WORKER)) is not None:
            with self.study.database.read() as connection:
                made_by = models.get(connection, job.spec["model_id"])
                mine = (job_smear.c.job_id == held.job_id, job_smear.c.piece == held.number)
                ids = connection.execute(select(job_smear.c.smear_id).where(*mine)).scalars()
                own = smears.get(connection, sorted(ids))
                truth = labels.consensus(connection, [one.id for one in own])
            outcomes = [
                Outcome(one.id, None, None, "damaged")
                if one.id in self.unreadable
                else Outcome(one.id, answer(one.id, truth[one.id].answers["diagnosis"]), None, None)
                for one in own
            ]
            revisions = {one.id: one.regions_revision for one in own}
            claims.finish_smears(self.study, held, made_by, outcomes, revisions, MADE_BY)
        with self.study.database.read() as connection:
            return jobs.get(connection, job.id)


def answer(smear_id: int, truth: str) -> Answer:
    call = "AML" if smear_id == 1 else truth
    said = {name: 0.8 if name == call else 0.1 for name in ("AA", "MDS", "AML")}
    mds = said["MDS"]
    return Answer(
        heads=(
            HeadAnswer(
                head="mds", call="MDS" if mds > 0.5 else "other", probabilities=(1 - mds, mds)
            ),
            HeadAnswer(head="diagnosis", call=call, probabilities=tuple(said.values())),
        ),
        flags=("unsure",) if smear_id == 2 else (),
    )


@pytest.fixture
def ward(make_study: Callable[..., Study]) -> Ward:
    return Ward(make_study())


def lock(ward: Ward) -> Any:
    with ward.study.database.write() as connection:
        return cohorts.lock_site(connection, 5.0, ward.study.scheme, "ext")


def test_the_hash_of_a_cohort_is_that_of_the_training_side(ward: Ward) -> None:
    with ward.study.database.read() as connection:
        own = cohorts.of_site(connection, ward.study.scheme, "ext")
    labelled = [LabelledSmear(one.smear, Path("x"), one.answers) for one in own]
    assert cohorts.hash_of(own) == data_hash(labelled)


def test_a_look_is_scored_and_everything_is_on_record(ward: Ward) -> None:
    locked = lock(ward)
    model = ward.model(calibration={"heads": {"mds": {"temperature": 2.0}}})
    done = ward.validate(model)
    assert done.look.is_unchanged is True
    assert (done.openings, done.looks, done.failed, done.all_labels) == (1, 1, {}, None)
    accuracy = done.figures["heads"]["diagnosis"]["accuracy"]
    assert (accuracy["value"], accuracy["n"], accuracy["unit"]) == (11 / 12, 12, "patients")
    assert accuracy["low"] < 11 / 12 < accuracy["high"]
    with ward.study.database.read() as connection:
        (opening,) = cohorts.openings(connection, "ext")
        (scoring,) = models.scorings(connection, model.id)
    assert (opening.lock_sha256, opening.cohort_sha256) == (locked.sha256, locked.sha256)
    assert opening.model_sha256 == "a" * 64
    assert opening.threshold == {"heads": {"mds": {"temperature": 2.0}}}
    assert scoring.side == "site:ext"
    assert scoring.figures["heads"]["diagnosis"]["accuracy"] == accuracy
    assert scoring.figures["flags"] == {"2": ["unsure"]}
    assert scoring.answers[1]["diagnosis"] == pytest.approx((0.1, 0.1, 0.8))
    assert scoring.answers.keys() == set(ward.ids)
    assert scoring.facts["opening"]["id"] == opening.id
    assert scoring.facts["lock"]["sha256"] == locked.sha256


def test_the_opening_is_on_record_before_anything_is_scored(ward: Ward) -> None:
    lock(ward)
    model = ward.model()

    def gone(job: Job) -> Job:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        validate(ward.client, model.id, "ext", wait=gone)
    with ward.study.database.read() as connection:
        assert len(cohorts.openings(connection, "ext")) == 1
        assert models.scorings(connection, model.id) == []
    done = ward.validate(model)
    assert (done.openings, done.looks) == (2, 1), "a second look is visible"


def test_a_changed_cohort_is_seen(ward: Ward) -> None:
    lock(ward)
    with ward.study.database.write() as connection:
        ward.add(connection, 50, "ext", "E50", "AA")
    done = ward.validate(ward.model())
    assert done.look.is_unchanged is False
    assert done.figures["patients"] == 13


def test_failed_smears_are_named_and_counted(ward: Ward) -> None:
    ward.unreadable = {ward.ids[3], ward.ids[4]}
    model = ward.model()
    done = ward.validate(model)
    assert done.failed == {"S000004": "damaged", "S000005": "damaged"}
    assert (done.figures["smears"], done.figures["not_scored"]) == (10, 2)
    with ward.study.database.read() as connection:
        assert models.scorings(connection, model.id)[0].facts["failed"] == done.failed
    ward.unreadable = set()
    assert ward.validate(model).failed == {}, "the next look asks again"


def test_where_no_smear_is_answered_nothing_is_scored(ward: Ward) -> None:
    ward.unreadable = set(ward.ids)
    model = ward.model()
    with pytest.raises(BadCohort, match=r"None of the 12 smears was answered \(job 1: damaged\)"):
        ward.validate(model)
    with ward.study.database.read() as connection:
        assert models.scorings(connection, model.id) == []


def test_patients_that_trained_the_model_are_left_out(ward: Ward) -> None:
    done = ward.validate(ward.model(split={"train": ["E0", "E1", "P9"]}))
    assert (done.look.left_out, done.figures["patients"]) == (2, 10)
    everybody = [f"E{number}" for number in range(12)]
    with pytest.raises(BadCohort, match="m2 was trained on every labelled patient of site:ext"):
        ward.validate(ward.model("c", split={"train": everybody}))


def test_a_site_with_test_patients_is_refused(ward: Ward) -> None:
    with ward.study.database.write() as connection:
        smears.keep_test_patients(connection, ["E3"])
    with pytest.raises(BadCohort, match=r"test patients \(E3\)"):
        ward.validate(ward.model())
    with ward.study.database.read() as connection:
        assert cohorts.openings(connection, "ext") == []


def test_blind_labels_and_all_labels_stand_apart(ward: Ward) -> None:
    with ward.study.database.write() as connection:
        for smear_id, truth in zip(ward.ids[:3], TRUTH, strict=False):
            given = {"diagnosis": truth}
            labels.give(connection, 2.0, AA_MDS_AML, smear_id, given, "r", True)
    done = ward.validate(ward.model())
    assert done.figures["heads"]["diagnosis"]["accuracy"]["value"] == 1.0
    assert done.figures["smears"] == 9
    assert done.all_labels is not None
    assert done.all_labels["heads"]["diagnosis"]["accuracy"]["value"] == 11 / 12


def test_a_cohort_without_blind_labels_has_no_blind_figures(ward: Ward) -> None:
    with ward.study.database.write() as connection:
        for smear_id, truth in zip(ward.ids, TRUTH, strict=True):
            given = {"diagnosis": truth}
            labels.give(connection, 2.0, AA_MDS_AML, smear_id, given, "r", True)
    done = ward.validate(ward.model())
    assert done.figures["smears"] == 0
    assert done.figures["heads"]["diagnosis"]["accuracy"]["value"] is None


def test_the_test_side_is_scored_with_an_imported_model(ward: Ward) -> None:
    model = ward.model()
    with pytest.raises(BadCohort, match="no test patients yet"):
        ward.validate(model, None)
    with ward.study.database.write() as connection:
        smears.keep_test_patients(connection, [f"E{number}" for number in range(6)])
    done = ward.validate(model, None)
    assert (done.look.side, done.figures["patients"]) == ("test", 6)
    assert (done.look.opening, done.openings, done.looks) == (None, 0, 1)
    assert ward.validate(ward.model("c"), None).looks == 2


def test_smears_without_a_patient_need_a_word(ward: Ward) -> None:
    with ward.study.database.write() as connection:
        ward.add(connection, 60, "ext", None, "AA")
    with pytest.raises(CannotSplit, match="has no patient"):
        ward.validate(ward.model())
    with ward.study.database.read() as connection:
        assert cohorts.openings(connection, "ext") == [], "refused before it was opened"
    assert ward.validate(ward.model(), smear_is_patient=True).figures["patients"] == 13
    trained_so = ward.model("c", training={"smear_is_patient": True})
    assert ward.validate(trained_so).figures["patients"] == 13


def test_an_unknown_model_is_refused(ward: Ward) -> None:
    with pytest.raises(NotFound, match="m9"):
        validate(ward.client, 9, "ext", wait=ward.work)


def run(tmp_path: Path, *words: str) -> Any:
    home = str(tmp_path / "home")
    return CliRunner(env={"COLUMNS": "200"}).invoke(build(), ["--home", home, *words])


def test_the_command_says_what_was_on_record(
    ward: Ward, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Client, "wake", lambda _self: None)
    monkeypatch.setattr(validate_command, "wait_for", lambda _client, job, _quiet: ward.work(job))
    ward.model(split={"train": ["E0"]})
    said = run(tmp_path, "validate", "m1", "--site", "ext")
    assert said.exit_code == 0, said.output
    lines = said.output.splitlines()
    assert lines[0] == "m1 on site:ext: 11 smears of 11 patients, labelled blind"
    assert "diagnosis accuracy 1.000 (0.741-1.000), n = 11 patients" in lines
    assert "Left out: 1 patient that m1 was trained on" in lines
    assert lines[-2] == "Site ext is not locked: `marrow lock ext` hides it from training"
    assert lines[-1] == "It was opened once and scored once in all"
    lock(ward)
    ward.unreadable = {ward.ids[5]}
    with ward.study.database.write() as connection:
        smears.describe(connection, ward.ids[:1], patient="another")
        labels.give(
            connection,
            9.0,
            AA_MDS_AML,
            ward.ids[1],
            {"diagnosis": "AA"},
            "r",
            seen_prediction=False,
        )
    said = run(tmp_path, "validate", "m1", "--site", "ext")
    assert "and has CHANGED since" in said.output
    assert said.output.splitlines()[-1] == "It was opened 2 times and scored 2 times in all"
    values = json.loads(run(tmp_path, "validate", "m1", "--site", "ext", "--json").output)
    assert (values["openings"], values["is_unchanged"], values["model"]) == (3, False, "m1")
    for wrong in ([], ["--side", "train"], ["--side", "test", "--site", "ext"]):
        assert run(tmp_path, "validate", "m1", *wrong).exit_code == 2


@pytest.mark.slow
def test_a_real_model_goes_round_and_one_that_does_not_fit_is_refused(
    make_study: Callable[..., Study], tiny_model: Callable[[Study], ModelRecord], tmp_path: Path
) -> None:
    giver = make_study(name="giver")
    made = tiny_model(giver)
    taker = make_study(name="home")
    file = tmp_path / "m1.zip"
    home = ["--home", str(tmp_path / "giver"), "models", "export", "m1", str(file)]
    assert CliRunner().invoke(build(), home).exit_code == 0
    said = run(tmp_path, "models", "import", str(file))
    assert said.exit_code == 0, said.output
    assert "m1 imported" in said.output
    assert "was here already" in run(tmp_path, "models", "import", str(file)).output
    with taker.database.read() as connection:
        (taken,) = models.all_models(connection)
    assert (taken.sha256, taken.card, taken.is_champion) == (made.sha256, made.card, False)
    promoted = run(tmp_path, "models", "import", str(file), "--promote", "--reason", "the best")
    assert "m1 is the champion" in promoted.output

    folder = giver.store / made.path
    card = json.loads((folder / CARD).read_text())
    (folder / CARD).write_text(json.dumps(card | {"backbone": "resnet34"}))
    assert (folder / WEIGHTS).is_file()
    home += ["--force"]
    assert CliRunner().invoke(build(), home).exit_code == 0
    refused = run(tmp_path, "models", "import", str(file))
    assert isinstance(refused.exception, BadModel)
    assert str(refused.exception).startswith(f"{file}/weights.safetensors: does not fit its card")
