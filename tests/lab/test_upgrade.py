"""A study of the first schema, kept as SQL text, is brought to this version's: nothing is lost."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from sqlalchemy import Connection, MetaData, func, insert, inspect, null, select, text, update
from typer.testing import CliRunner

from marrow.catalogue import cohorts, jobs, labels, models, predictions, smears
from marrow.catalogue.database import Database
from marrow.catalogue.migrate import HEAD, migrate, revision, script_config
from marrow.catalogue.schema import job, piece
from marrow.catalogue.transfer import sqlite_at
from marrow.cli import build
from marrow.errors import NoStudy
from marrow.records import AnswerMap
from marrow.settings import Settings
from marrow.study import Study
from worker import scheduler

AFTERWARDS = 1_700_000_200.0
"""Seconds since 1970: the leases in the old catalogue have run out, its first night is open."""
SECOND_NIGHT = 1_700_090_000.0

REWRITTEN = {
    "prediction.preprocessing",  # the model's row has it
    "prediction_map.kind",  # compared as the program reads them
    "prediction_map.shape",
    "prediction_map.cell_px",
}
"""Columns of schema 0001 that a later one keeps elsewhere or in another form."""

Rows = dict[str, list[dict[str, Any]]]


class Clock:
    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def all_rows(connection: Connection, names: Iterable[str] | None = None) -> Rows:
    """Every row of these tables, or of all but Alembic's own, as the database has them."""
    found = MetaData()
    found.reflect(connection, only=None if names is None else list(names))
    return {
        table.name: [dict(row._mapping) for row in connection.execute(select(table))]
        for table in found.sorted_tables
        if table.name != "alembic_version"
    }


def upgraded(home: Path, clock: Clock) -> Study:
    done = CliRunner().invoke(build(), ["--home", str(home), "upgrade"])
    assert done.exit_code == 0, done.output
    return Study.open(Settings.read(home), clock=clock)


@pytest.fixture
def home(tmp_path: Path, load_0001: Callable[[Path], Path]) -> Path:
    return load_0001(tmp_path / "home" / "catalogue.sqlite").parent


@pytest.fixture
def old_rows(tmp_path: Path, load_0001: Callable[[Path], Path]) -> Rows:
    database = sqlite_at(load_0001(tmp_path / "untouched" / "catalogue.sqlite"))
    with database.read() as connection:
        rows = all_rows(connection)
    database.close()
    return rows


def put_into_postgresql(url: str, rows: Rows) -> None:
    """The rows, into a database of schema 0001 as Alembic makes it."""
    database = Database(url)
    with database.write() as connection:
        config = script_config()
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        made = MetaData()
        made.reflect(connection)
        for table in made.sorted_tables:
            for row in rows.get(table.name, []):
                values = {name: null() if cell is None else cell for name, cell in row.items()}
                connection.execute(insert(table).values(values))
            if "id" in table.c and table.c["id"].server_default is not None:
                counter = func.pg_get_serial_sequence(table.name, "id")
                connection.execute(
                    select(func.setval(counter, select(func.max(table.c.id)).scalar_subquery()))
                )
    database.close()


def assert_still_there(connection: Connection, old: Rows) -> None:
    """Every old row, in its old columns; the maps as the program reads them."""
    new = all_rows(connection, old)
    for name, rows in old.items():
        kept = {column for column in rows[0] if f"{name}.{column}" not in REWRITTEN}
        assert kept <= set(new[name][0]), name
        assert in_order(new[name], kept) == in_order(rows, kept), name
    for row in old["prediction_map"]:
        drawn = predictions.map_of(connection, row["prediction_id"])
        assert drawn == AnswerMap(
            row["kind"], row["values"], tuple(row["shape"]), tuple(row["cell_px"])
        )


def in_order(rows: list[dict[str, Any]], columns: set[str]) -> list[str]:
    return sorted(repr([(name, row[name]) for name in sorted(columns)]) for row in rows)


@pytest.mark.skipif(HEAD == "0001", reason="the old schema is this version's")
def test_an_older_schema_is_refused_in_one_sentence(home: Path) -> None:
    with pytest.raises(
        NoStudy, match=r"^The study has the older schema 0001: run `marrow upgrade` once$"
    ):
        Study.open(Settings.read(home))


def test_upgrading_keeps_every_row(home: Path, old_rows: Rows) -> None:
    counts = {name: len(old_rows[name]) for name in ("smear", "prediction", "event", "job")}
    assert counts == {"smear": 10, "prediction": 5, "event": 25, "job": 8}
    study = upgraded(home, Clock(AFTERWARDS))
    with study.database.read() as connection:
        assert revision(connection) == HEAD
        assert_still_there(connection, old_rows)
        # And as the program reads them.
        assert {one.id: one.state for one in jobs.newest(connection)} == {
            1: "done",
            2: "done",
            3: "running",
            4: "waiting",
            5: "waiting",
            6: "cancelled",
            7: "cancelling",
            8: "running",
        }
        assert [text for _, text in jobs.errors(connection, 2)] == [
            "field3.png: not there (root 'smears'): mount it, or use `marrow import --copy`"
        ]
        assert smears.test_patients(connection) == {"P-001", "P-003"}
        assert labels.consensus(connection)[2].answers == {"diagnosis": "AA"}
        shown = predictions.ResultFilter(model_id=1)
        assert predictions.count(connection, study.scheme, shown) == 5
    study.close()


def test_unfinished_jobs_of_the_old_schema_are_finished_by_the_new_one(
    home: Path,
    work_off: Callable[..., int],
    assert_ledger_holds: Callable[[Study], None],
) -> None:
    clock = Clock(AFTERWARDS)
    study = upgraded(home, clock)
    assert_ledger_holds(study)
    for now in (AFTERWARDS, SECOND_NIGHT):
        clock.now = now
        scheduler.tick(study)
        assert work_off(study) > 0
    assert_ledger_holds(study)
    with study.database.read() as connection:
        assert {one.id: one.state for one in jobs.newest(connection)} == {
            **dict.fromkeys((1, 2, 3, 4, 5, 8), "done"),
            **dict.fromkeys((6, 7), "cancelled"),
        }
        attempt = select(piece.c.attempt).where(piece.c.job_id == 3, piece.c.number == 1)
        assert connection.execute(attempt).scalar_one() == 1  # the fence counts on, never back
    study.close()


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_study_of_the_second_schema_keeps_every_row(
    kind: str, home: Path, old_rows: Rows, request: pytest.FixtureRequest
) -> None:
    if kind == "sqlite":
        database = sqlite_at(home / "catalogue.sqlite")
    else:
        url = request.getfixturevalue("postgres_url")
        put_into_postgresql(url, old_rows)
        database = Database(url)
    config = script_config()
    with database.write() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0002")
        before = all_rows(connection, old_rows)
    migrate(database)
    with database.write() as connection:
        after = all_rows(connection, old_rows)
        for name, rows in before.items():
            assert in_order(after[name], set(rows[0])) == in_order(rows, set(rows[0])), name
        # A look of the old study counts, though nobody kept what the model had said.
        (scoring,) = models.scorings(connection, 1)
        assert (scoring.side, scoring.answers, scoring.facts) == ("test", {}, {})
        assert models.record_scoring(connection, 0.0, 1, "test", {}, {3: {"mds": (0.5, 0.5)}}) == 2
        assert models.scorings(connection, 1)[1].answers == {3: {"mds": (0.5, 0.5)}}
        assert cohorts.locked_sites(connection) == {}
        assert models.promotions(connection) == []
    database.close()


def schema_of(connection: Connection) -> dict[str, Any]:
    """Each table as the inspector sees it, and the words of indexes and triggers."""
    found = inspect(connection)
    columns = ("name", "type", "nullable", "default", "primary_key")
    seen: dict[str, Any] = {
        name: (
            [[str(column[key]) for key in columns] for column in found.get_columns(name)],
            sorted(map(str, found.get_foreign_keys(name))),
            sorted(map(str, found.get_unique_constraints(name))),
            sorted(map(str, found.get_check_constraints(name))),
        )
        for name in found.get_table_names()
    }
    words = text("SELECT name, sql FROM sqlite_master WHERE type IN ('index', 'trigger')")
    for row in connection.execute(words):
        seen[row.name] = " ".join((row.sql or "").replace('"', "").split())
    return seen


def test_an_upgraded_schema_equals_a_new_one(home: Path, tmp_path: Path) -> None:
    study = upgraded(home, Clock(AFTERWARDS))
    new = sqlite_at(tmp_path / "new.sqlite")
    migrate(new)
    with study.database.read() as left, new.read() as right:
        assert schema_of(left) == schema_of(right)
    study.close()
    new.close()


def test_postgresql_is_upgraded_like_sqlite(
    postgres_url: str,
    old_rows: Rows,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    work_off: Callable[..., int],
    assert_ledger_holds: Callable[[Study], None],
) -> None:
    put_into_postgresql(postgres_url, old_rows)
    monkeypatch.setenv("MARROW_DATABASE", postgres_url)
    done = CliRunner().invoke(build(), ["--home", str(tmp_path / "viewer"), "upgrade"])
    assert done.exit_code == 0, done.output
    study = Study.open(Settings.read(tmp_path / "viewer"))
    with study.database.read() as connection:
        assert_still_there(connection, old_rows)
        at = study.database.now(connection)
    scheduler.tick(study)
    with study.database.write() as connection:
        night = connection.execute(select(job.c.closes_at).where(job.c.id == 4)).scalar_one()
        assert night > at, "the old night is over: the job waits for the next one"
        connection.execute(update(job).where(job.c.id == 4).values(opens_at=at))
    assert work_off(study) > 0
    assert_ledger_holds(study)
    with study.database.read() as connection:
        assert jobs.unfinished(connection) == []
    study.close()
