from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from marrow.catalogue import jobs, labels, models, regions, smears
from marrow.catalogue.migrate import HEAD, require_current, script_config
from marrow.catalogue.regions import NewRegion, Redrawn
from marrow.catalogue.schema import metadata
from marrow.errors import BadLabels, BadSettings, NoStudy, NotFound
from marrow.records import ModelRecord
from marrow.settings import Settings
from marrow.study import Study

MakeStudy = Callable[..., Study]


def test_migrations_make_the_tables_of_the_schema(any_study: Study) -> None:
    assert ScriptDirectory.from_config(script_config()).get_current_head() == HEAD
    with any_study.database.read() as connection:
        # What SQLite keeps of the smears' text is no table of the schema.
        options = {"include_name": lambda name, *_: not (name or "").startswith("smear_text")}
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, metadata) == []


@pytest.mark.parametrize(("found", "advice"), [("0000", "marrow upgrade"), ("9999", "update")])
def test_another_schema_is_refused_in_a_sentence(
    make_study: MakeStudy, found: str, advice: str
) -> None:
    study = make_study()
    with study.database.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = :v"), {"v": found})
    with pytest.raises(NoStudy, match=advice):
        require_current(study.database)


def test_a_home_holds_one_study(make_study: MakeStudy) -> None:
    study = make_study()
    with pytest.raises(NoStudy, match="already holds a study"):
        Study.create(study.settings, study.scheme)
    assert Study.open(study.settings).scheme == study.scheme


def test_an_empty_home_says_what_to_do(make_study: MakeStudy) -> None:
    home = make_study().settings.home.parent / "empty"
    with pytest.raises(NoStudy, match="marrow init"):
        Study.open(Settings.read(home))
    assert not home.exists()


def test_a_foreign_database_url_is_refused_without_its_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MARROW_DATABASE", "mysql://me:secret@x/y")
    with pytest.raises(BadSettings) as caught:
        Settings.read(tmp_path)
    assert "secret" not in str(caught.value)


def test_a_read_sees_one_moment_while_another_writes(
    any_study: Study, add_smears: Callable[..., list[int]]
) -> None:
    add_smears(any_study, 1)
    with any_study.database.read() as connection:
        before = smears.count(connection, smears.SmearFilter())
        writer = threading.Thread(target=add_smears, args=(any_study, 5))
        writer.start()
        writer.join(timeout=20)
        assert not writer.is_alive()
        assert smears.count(connection, smears.SmearFilter()) == before
    with any_study.database.read() as connection:
        assert smears.count(connection, smears.SmearFilter()) == 6


def test_a_failed_transaction_leaves_nothing(
    any_study: Study, add_model: Callable[..., ModelRecord]
) -> None:
    model = add_model(any_study)
    with pytest.raises(NotFound), any_study.database.write() as connection:
        at = any_study.database.now(connection)
        labels.give(connection, at, any_study.scheme, 1, {}, "A", False)
        jobs.submit_classify(connection, at, model, [99])
    with any_study.database.read() as connection:
        assert jobs.newest(connection) == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_child_leaves_the_connection_alone(
    any_study: Study, add_smears: Callable[..., list[int]]
) -> None:
    add_smears(any_study, 1)
    pid = os.fork()
    if pid == 0:
        with any_study.database.read() as connection:
            found = smears.count(connection, smears.SmearFilter())
        os._exit(0 if found == 1 else 1)
    assert os.waitpid(pid, 0)[1] == 0
    add_smears(any_study, 1)


def test_a_label_is_superseded_never_overwritten(
    any_study: Study, add_smears: Callable[..., list[int]]
) -> None:
    (one,) = add_smears(any_study, 1)
    with any_study.database.write() as connection:
        at = any_study.database.now(connection)
        for answer, seen in (("AA", False), ("MDS", True)):
            given = {"diagnosis": answer}
            labels.give(connection, at, any_study.scheme, one, given, "anna", seen)
        assert [old.answer for old in labels.history(connection, one)] == ["AA", "MDS"]
        agreed = labels.consensus(connection)[one]
        assert (agreed.answers, agreed.is_blind) == ({"diagnosis": "MDS"}, False)
        labels.give(connection, at, any_study.scheme, one, {"diagnosis": ""}, "anna", False)
        assert labels.consensus(connection) == {}


def test_readers_who_differ_exclude_the_smear_with_a_reason(
    any_study: Study, add_smears: Callable[..., list[int]]
) -> None:
    one, two = add_smears(any_study, 2)
    given = [(one, "anna", "AA"), (one, "bert", "MDS"), (two, "anna", "unsure")]
    with any_study.database.write() as connection:
        at = any_study.database.now(connection)
        for smear_id, reader, answer in given:
            diagnosis = {"diagnosis": answer}
            labels.give(connection, at, any_study.scheme, smear_id, diagnosis, reader, False)
        agreed = labels.consensus(connection)
    assert agreed[one].excluded == {"diagnosis": "conflict"}
    assert agreed[two].excluded == {"diagnosis": "unsure"}


def test_an_answer_must_be_one_of_the_scheme(
    any_study: Study, add_smears: Callable[..., list[int]]
) -> None:
    (one,) = add_smears(any_study, 1)
    with (
        pytest.raises(BadLabels, match="use AA, MDS, AML"),
        any_study.database.write() as connection,
    ):
        labels.give(connection, 0.0, any_study.scheme, one, {"diagnosis": "CML"}, "anna", False)


def test_new_regions_make_an_old_answer_stale(
    any_study: Study,
    add_smears: Callable[..., list[int]],
) -> None:
    (one,) = add_smears(any_study, 1)
    square = ((0.0, 0.0), (0.0, 9.0), (9.0, 9.0))
    drawn = [NewRegion(role="use", polygon=square)]
    with any_study.database.write() as connection:
        at = any_study.database.now(connection)
        assert regions.replace(connection, at, one, drawn, "anna") == 1
        assert [found.polygon for found in regions.of(connection, one)] == [square]
        assert regions.replace(connection, at, one, [], "anna") == 2
        assert regions.of(connection, one) == []
        assert smears.get(connection, [one])[0].regions_revision == 2


def test_what_two_people_draw_on_one_smear_stands_together(
    any_study: Study, add_smears: Callable[..., list[int]]
) -> None:
    (one,) = add_smears(any_study, 1)
    first, second, third = (
        NewRegion(role="use", polygon=((edge, 0.1), (edge, 9.3), (9.0, 9.0))) for edge in (0, 1, 2)
    )

    def standing() -> list[tuple[NewRegion, str]]:
        return [(regions.plain(found), found.reader) for found in regions.of(connection, one)]

    with any_study.database.write() as connection:
        at = any_study.database.now(connection)
        regions.change(connection, at, one, Redrawn(drawn=[first, second]), "anna")
        # Ben's canvas knew nothing of hers, and then only of her first one.
        assert regions.change(connection, at + 1, one, Redrawn(drawn=[third]), "ben") == 2
        assert standing() == [(first, "anna"), (second, "anna"), (third, "ben")]
        regions.change(connection, at + 2, one, Redrawn(erased=[first]), "ben")
        assert standing() == [(second, "anna"), (third, "ben")]
        assert regions.is_stored(connection, at + 2, one, "ben")
        assert not regions.is_stored(connection, at + 1, one, "anna")
        # She erases the same one, which is gone: nothing is drawn otherwise.
        assert regions.change(connection, at + 3, one, Redrawn(erased=[first]), "anna") == 3
        assert regions.replace(connection, at + 4, one, [second], "ben") == 4
        assert standing() == [(second, "anna")]


def test_several_smears_are_described_at_once(
    any_study: Study, add_smears: Callable[..., list[int]]
) -> None:
    ids = add_smears(any_study, 3)
    with any_study.database.write() as connection:
        smears.describe(connection, ids[:2], patient=" P77 ", site=None)
        found = smears.get(connection, ids)
    assert [one.patient for one in found] == ["P77", "P77", "P1"]


def test_test_patients_never_move(any_study: Study) -> None:
    with any_study.database.write() as connection:
        smears.keep_test_patients(connection, ["P2", "P1"])
    with any_study.database.write() as connection:
        assert smears.keep_test_patients(connection, ["P3"]) == {"P1", "P2"}
        assert smears.test_patients(connection) == {"P1", "P2"}


def test_a_test_patient_who_is_renamed_stays_one(
    any_study: Study, add_smears: Callable[..., list[int]]
) -> None:
    ids = add_smears(any_study, 4)  # of P0, P0, P1, P1
    with any_study.database.write() as connection:
        smears.keep_test_patients(connection, ["P1"])
        smears.describe(connection, ids[:2], patient="P8")
        smears.describe(connection, ids[2:3], patient="P9")
        assert smears.test_patients(connection) == {"P1", "P9"}


def test_the_first_model_is_champion_until_another_is_promoted(
    any_study: Study, add_model: Callable[..., ModelRecord]
) -> None:
    first, second = add_model(any_study), add_model(any_study, "c" * 64)
    assert add_model(any_study) == first
    with any_study.database.write() as connection:
        assert models.champion(connection) == first
        models.promote(connection, 0.0, second.id, "better")
        assert models.champion(connection) == models.get(connection, second.id)
        assert models.record_scoring(connection, 0.0, first.id, "test", {}) == 1
        assert models.record_scoring(connection, 0.0, second.id, "test", {}) == 2
        with pytest.raises(NotFound, match="m99"):
            models.get(connection, 99)


def test_of_two_draws_at_once_the_first_counts(any_study: Study) -> None:
    drawn: list[frozenset[str]] = []

    def draw_second() -> None:
        with any_study.database.write() as connection:
            drawn.append(smears.keep_test_patients(connection, ["P2"]))

    second = threading.Thread(target=draw_second)
    with any_study.database.write() as connection:
        smears.keep_test_patients(connection, ["P1"])
        second.start()
        second.join(0.3)
        assert second.is_alive()  # it waits for the first one's commit
    second.join(20)
    assert drawn == [{"P1"}]


def test_a_closed_study_that_nobody_may_write_to_opens_for_reading(
    make_study: MakeStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = make_study()
    if not study.database.is_sqlite:
        pytest.skip("a folder is read-only, a server is not")
    study.close()
    assert not Path(f"{study.settings.home}/catalogue.sqlite-wal").exists()
    before = sorted(one.name for one in study.settings.home.iterdir())

    def readable(_path: object, mode: int) -> bool:
        return mode != os.W_OK  # root may write everywhere: as another user is told

    monkeypatch.setattr(os, "access", readable)
    sealed = Study.open(study.settings)
    assert sealed.scheme == study.scheme
    with pytest.raises(OperationalError, match="readonly"), sealed.database.write() as connection:
        connection.execute(text("DELETE FROM study"))
    assert sorted(one.name for one in study.settings.home.iterdir()) == before
    sealed.close()
