"""External cohorts: locked with their hash, refused where they are not external."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection
from typer.testing import CliRunner

from marrow.catalogue import cohorts, labels, models, smears
from marrow.cli import build
from marrow.errors import BadCohort
from marrow.records import ModelRecord, NewSmear, SiteLock
from marrow.schemes import AA_MDS_AML
from marrow.study import Study


def add_smear(
    connection: Connection, number: int, site: str | None, patient: str | None, answer: str = "AA"
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
    labels.give(connection, 1.0, AA_MDS_AML, smear_id, given, "r1", seen_prediction=False)
    return smear_id


@pytest.fixture
def study(any_study: Study) -> Study:
    """Site a: P0, P1; site b: P2, P2, P3 and a smear without a patient; no site: P4."""
    places = [("a", "P0"), ("a", "P1"), ("b", "P2"), ("b", "P2"), ("b", "P3"), ("b", None)]
    with any_study.database.write() as connection:
        for number, (site, patient) in enumerate([*places, (None, "P4")]):
            add_smear(connection, number, site, patient)
    return any_study


def lock(connection: Connection, site: str, at: float = 2.0) -> SiteLock:
    return cohorts.lock_site(connection, at, AA_MDS_AML, site)


def test_a_lock_records_what_the_site_holds(study: Study) -> None:
    with study.database.write() as connection:
        made = lock(connection, "b")
        assert (made.site, made.smears, made.patients, made.at) == ("b", 4, 3, 2.0)
        assert cohorts.locked_sites(connection) == {"b": made}
        assert lock(connection, "b", at=9.0) == made, "a lock stands"


def test_the_hash_tells_identities_and_answers_and_nothing_else(study: Study) -> None:
    with study.database.write() as connection:
        before = lock(connection, "b").sha256
        own = cohorts.of_site(connection, AA_MDS_AML, "b")
        assert cohorts.hash_of(reversed(own)) == before
        smears.describe(connection, [own[0].smear.id], patient="another", slide="new")
        assert cohorts.hash_of(cohorts.of_site(connection, AA_MDS_AML, "b")) == before
        given = {"diagnosis": "AML"}
        labels.give(connection, 3.0, AA_MDS_AML, own[0].smear.id, given, "r1", False)
        assert cohorts.hash_of(cohorts.of_site(connection, AA_MDS_AML, "b")) != before
        assert cohorts.locked_sites(connection)["b"].sha256 == before


def test_only_agreed_answers_count(study: Study) -> None:
    with study.database.write() as connection:
        ids = smears.all_ids(connection, smears.SmearFilter(site="b"))
        labels.give(connection, 3.0, AA_MDS_AML, ids[0], {"diagnosis": "AML"}, "r2", True)
        labels.give(connection, 3.0, AA_MDS_AML, ids[1], {"diagnosis": "AA"}, "r2", True)
        found = cohorts.of_site(connection, AA_MDS_AML, "b")
        assert [one.smear.id for one in found] == ids[1:]
        assert [one.is_blind for one in found] == [False, True, True]
        assert found[0].answers == {"mds": "other", "diagnosis": "AA"}


def test_an_unknown_site_is_refused_with_the_known_ones(study: Study) -> None:
    known = pytest.raises(BadCohort, match=r"no site 'c': its sites are a, b$")
    with known, study.database.write() as connection:
        lock(connection, "c")


def test_a_site_without_labels_is_refused(study: Study) -> None:
    with study.database.write() as connection:
        for smear_id in smears.all_ids(connection, smears.SmearFilter(site="a")):
            labels.give(connection, 3.0, AA_MDS_AML, smear_id, {"diagnosis": ""}, "r1", False)
        with pytest.raises(BadCohort, match="'a' has no labelled smear"):
            lock(connection, "a")


def test_a_site_with_a_test_patient_is_refused(study: Study) -> None:
    with study.database.write() as connection:
        smears.keep_test_patients(connection, ["P3", "P0"])
        with pytest.raises(BadCohort, match=r"'b' has 1 patient among .* test patients \(P3\)"):
            lock(connection, "b")
        assert cohorts.locked_sites(connection) == {}


def test_a_test_patient_of_a_smear_without_one_is_refused_too(study: Study) -> None:
    with study.database.write() as connection:
        own = smears.get(connection, smears.all_ids(connection, smears.SmearFilter(site="b")))
        smears.keep_test_patients(connection, [own[-1].own_patient])
        with pytest.raises(BadCohort, match="test patients"):
            lock(connection, "b")


@pytest.mark.parametrize("elsewhere", ["a", None])
def test_a_site_that_shares_a_patient_is_refused(study: Study, elsewhere: str | None) -> None:
    with study.database.write() as connection:
        add_smear(connection, 50, elsewhere, "P2")
        with pytest.raises(BadCohort, match=r"'b' shares 1 patient with other sites \(P2\)"):
            lock(connection, "b")


def add_model(connection: Connection, name: str = "a", **card: Any) -> ModelRecord:
    return models.register(
        connection,
        1.0,
        sha256=name * 64,
        path=f"models/{name}",
        preprocessing="b",
        precision="fp32",
        card=card,
        job_id=None,
    )


def test_an_opening_says_what_was_on_record(study: Study) -> None:
    calibration = {"heads": {"mds": {"temperature": 1.5}}, "distances": [1.0, 2.0]}
    with study.database.write() as connection:
        made_by = add_model(connection, calibration=calibration)
        before = cohorts.open_site(connection, 3.0, "b", made_by, "c" * 64)
        assert before.lock_sha256 is None, "it was not locked"
        locked = lock(connection, "b")
        cohorts.open_site(connection, 4.0, "b", made_by, "d" * 64)
        first, second = cohorts.openings(connection, "b")
        assert first == before
        assert (second.model_sha256, second.cohort_sha256) == ("a" * 64, "d" * 64)
        assert (second.lock_sha256, second.at) == (locked.sha256, 4.0)
        assert second.threshold == {"heads": {"mds": {"temperature": 1.5}}}
        assert cohorts.openings(connection, "a") == []


def test_the_lock_command_says_since_when_and_who_has_seen_it(
    tmp_path: Path, make_study: Any
) -> None:
    study = make_study()
    with study.database.write() as connection:
        add_smear(connection, 1, "b", "P1")
        add_model(connection, split={"train": ["P1"]})

    def run(*words: str) -> Any:
        return CliRunner().invoke(build(), ["--home", str(tmp_path / "home"), "lock", *words])

    first = run("b")
    assert first.exit_code == 0, first.output
    assert "Site b is locked: 1 labelled smear of 1 patient, SHA-256 " in first.output
    assert "have trained m1 already" in first.output
    assert "is locked since 20" in run("b").output
    said = json.loads(run("b", "--json").output)
    assert (said["was_locked"], said["trained"], said["smears"]) == (True, ["m1"], 1)
    refused = run("nowhere")
    assert isinstance(refused.exception, BadCohort)


def test_patients_of_every_side_but_test_and_held_out_have_trained(study: Study) -> None:
    split = {"train": ["a", "b"], "test": ["c"], "held_out": ["d"]}
    with study.database.write() as connection:
        honest = add_model(connection, "a", split=split)
        by_image = {"split": split, "training": {"protocol": "seed2022"}}
        assert cohorts.trained_on(connection, honest) == {"a", "b"}
        assert cohorts.trained_on(connection, add_model(connection, "c", **by_image)) == {
            "a",
            "b",
            "c",
        }
        assert cohorts.trained_on(connection, add_model(connection, "d")) == frozenset()


def test_a_patient_who_gets_another_name_has_trained_the_model_all_the_same(study: Study) -> None:
    said = {"diagnosis": (1.0, 0.0, 0.0)}
    with study.database.write() as connection:
        whole = add_model(connection, "a", split={"train": ["P0"]})
        by_image = add_model(connection, "c", split={"train": ["P0"]})
        by_site = {name: smears.all_ids(connection, smears.SmearFilter(site=name)) for name in "ab"}
        first, second = by_site["a"]
        models.record_scoring(connection, 2.0, whole.id, "train", {}, {first: said})
        models.record_scoring(connection, 2.0, whole.id, "test", {}, {second: said})
        models.record_scoring(
            connection, 2.0, by_image.id, "seed2022", {}, facts={"smears": [first]}
        )
        assert cohorts.seen_by(connection, AA_MDS_AML, "b") == []
        smears.describe(connection, [first], patient="P3")
        for made in (whole, by_image):
            assert cohorts.trained_on(connection, made) == {"P0", "P3"}
        assert cohorts.seen_by(connection, AA_MDS_AML, "b") == ["m1", "m2"]
