"""A catalogue of schema 0001 becomes one of this version in place, with all that it holds."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from sqlalchemy import Connection, text

from marrow.catalogue import predictions, smears
from marrow.catalogue.database import Database
from marrow.catalogue.migrate import HEAD, migrate, require_current, revision, script_config
from marrow.catalogue.predictions import ResultFilter, Sort
from marrow.catalogue.smears import SmearFilter
from marrow.schemes import AA_MDS_AML

VALUES = struct.pack("<30e", *range(30))


@pytest.fixture(params=["sqlite", "postgresql"])
def old(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A database of schema 0001 with two smears, one of them answered."""
    if request.param == "sqlite":
        database = Database(f"sqlite:///{tmp_path / 'catalogue.sqlite'}")
    else:
        database = Database(request.getfixturevalue("postgres_url"))
    config = script_config()
    with database.write() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        _fill(connection)
    yield database
    database.close()


def _fill(connection: Connection) -> None:
    def put(table: str, **values: Any) -> None:
        names = ", ".join(f'"{name}"' for name in values)
        marks = ", ".join(f":{name}" for name in values)
        statement = f"INSERT INTO {table} ({names}) VALUES ({marks})"  # noqa: S608 -- ours
        connection.execute(text(statement), values)

    put("study", key="scheme", value=json.dumps(AA_MDS_AML.model_dump(mode="json")))
    for number in (1, 2):
        place = {"root": "local", "path": f"/night/Field_{number}.png", "patient": f"P{number}"}
        size = {"members": "[]", "height_px": 5, "width_px": 6, "is_slide": False}
        put("smear", id=number, identity=f"{number:064x}", **place, **size,
            regions_revision=0, added_at=1.0)  # fmt: skip
    put("model", id=1, sha256="a" * 64, path="m", preprocessing="b" * 64, precision="fp32",
        is_champion=True, created_at=1.0, card="{}")  # fmt: skip
    put("provenance", id=1, text="{}")
    put("prediction", id=1, smear_id=2, model_id=1, preprocessing="b" * 64, precision="fp32",
        regions_revision=0, provenance_id=1, at=2.0, flags="heads-disagree", top_p=0.7,
        call_0=1, call_1=1, p_00=0.2, p_01=0.8, p_02=0.2, p_03=0.7, p_04=0.1)  # fmt: skip
    put("prediction_map", prediction_id=1, kind="tiles", shape="[5, 2, 3]",
        cell_px="[256.0, 170.5]", values=VALUES)  # fmt: skip
    counts = {"last_seq": 0, "total": 2, "done": 1, "failed": 1}
    put("job", id=1, kind="classify", state="done", priority="overnight", spec='{"model_id": 1}',
        **counts, created_at=1.0)  # fmt: skip
    put("piece", job_id=1, number=0, state="done", attempt=1, sends=1, exceptions=0, lost_leases=0)
    put("job_smear", job_id=1, smear_id=1, piece=0, error="dark")
    put("job_smear", job_id=1, smear_id=2, piece=0, prediction_id=1)


def test_an_old_catalogue_keeps_its_answers(old: Database) -> None:
    migrate(old)
    require_current(old)
    with old.read() as connection:
        assert revision(connection) == HEAD
        shown = ResultFilter(job_id=1)
        rows = predictions.page(connection, AA_MDS_AML, shown, Sort(column="top_p"), 0, 9)
        assert [(row.smear.id, row.error) for row in rows] == [(2, None), (1, "dark")]
        answer = rows[0].prediction.answer if rows[0].prediction is not None else None
        assert answer is not None
        assert answer.calls == {"mds": "MDS", "diagnosis": "MDS"}
        assert answer.heads[1].probabilities == (0.2, 0.7, 0.1)
        assert answer.flags == ("heads-disagree",)
        stored = predictions.map_of(connection, 1)
        assert stored is not None
        assert (stored.kind, stored.shape, stored.cell_px) == ("tiles", (5, 2, 3), (256.0, 170.5))
        assert stored.values == VALUES


def test_smears_of_an_old_catalogue_are_found_by_their_text(old: Database) -> None:
    migrate(old)
    with old.write() as connection:
        assert _found(connection, "field_1") == [1]
        smears.describe(connection, [1], patient="Anna")
        assert _found(connection, "NNA") == [1]
        assert _found(connection, "field") == [1, 2]
        connection.execute(text("DELETE FROM job_smear WHERE smear_id = 1"))
        connection.execute(text("DELETE FROM smear WHERE id = 1"))
        assert _found(connection, "field") == [2]


def test_no_foreign_key_is_left_without_its_row(old: Database) -> None:
    migrate(old)
    with old.write() as connection:
        if old.is_sqlite:
            assert connection.execute(text("PRAGMA foreign_key_check")).all() == []
        query = "SELECT count(*) FROM prediction_map JOIN prediction ON id = prediction_id"
        assert connection.execute(text(query)).scalar_one() == 1


def test_migrating_twice_changes_nothing(old: Database) -> None:
    migrate(old)
    migrate(old)
    with old.read() as connection:
        assert predictions.count(connection, AA_MDS_AML, ResultFilter()) == 1


def _found(connection: Connection, asked: str) -> list[int]:
    return smears.all_ids(connection, SmearFilter(text=asked))
