"""The database: whole, of this version's schema, and with a clock that can be believed."""

from __future__ import annotations

import time
from collections.abc import Iterator

from sqlalchemy import func, select, text

from marrow.catalogue.migrate import HEAD
from marrow.catalogue.schema import job, worker
from marrow.doctor.finding import Finding, ill, well
from marrow.study import Study

LONGEST_WAL_BYTES = 256_000_000
"""SQLite empties its log at 4 MB; a much longer one means that a reader never ends."""
CLOCK_TOLERANCE_S = 5.0
OLDEST_POSTGRESQL = 12
_RESTORE = "stop all work and restore a backup: `marrow restore FILE`"


def examine(study: Study) -> Iterator[Finding]:
    """Integrity, schema and clock."""
    yield from _sqlite(study) if study.database.is_sqlite else _postgresql(study)
    yield well("schema", f"{HEAD}, as this version knows it")  # Study.open refuses another one
    yield _clock(study)


def _sqlite(study: Study) -> Iterator[Finding]:
    with study.database.read() as connection:
        verdict = str(connection.execute(text("PRAGMA quick_check(1)")).scalar_one())
        mode = str(connection.execute(text("PRAGMA journal_mode")).scalar_one())
        broken = connection.execute(text("PRAGMA foreign_key_check")).fetchmany(1000)
    if verdict != "ok":
        yield ill("database", f"SQLite is damaged: {verdict}", _RESTORE)
    elif broken:
        tables = ", ".join(sorted({str(row[0]) for row in broken}))
        yield ill("database", f"SQLite: rows of {tables} point to rows that are gone", _RESTORE)
    else:
        yield well("database", "SQLite, ok: pages and references are whole")
    if mode != "wal":
        remedy = "move the home to a local disk that this user can write"
        yield ill("journal", f"{mode}, not WAL: readers and writers block each other", remedy)
        return
    log = study.settings.home / "catalogue.sqlite-wal"
    size = log.stat().st_size if log.exists() else 0
    if size > LONGEST_WAL_BYTES:
        remedy = "close viewers and scripts that have been reading for long"
        yield ill("journal", f"WAL of {size / 1e6:.0f} MB: a reader keeps it from ending", remedy)
    else:
        yield well("journal", f"WAL, {size / 1e6:.1f} MB")


def _postgresql(study: Study) -> Iterator[Finding]:
    with study.database.read() as connection:
        version = str(connection.execute(text("SHOW server_version")).scalar_one())
        number = int(connection.execute(text("SHOW server_version_num")).scalar_one())
    if number // 10_000 < OLDEST_POSTGRESQL:
        remedy = f"update the server to PostgreSQL {OLDEST_POSTGRESQL} or newer"
        yield ill("database", f"PostgreSQL {version}", remedy)
    else:
        yield well("database", f"PostgreSQL {version}")


def _clock(study: Study) -> Finding:
    """PostgreSQL: host against server. SQLite: host against the newest time that was stored."""
    host = time.time()
    with study.database.read() as connection:
        if not study.database.is_sqlite:
            apart = host - study.database.now(connection)
            whose = "the database's"
        else:
            stored = [
                connection.execute(select(func.max(column))).scalar()
                for column in (worker.c.seen_at, job.c.created_at, job.c.finished_at)
            ]
            apart = min(0.0, time.time() - max((at for at in stored if at), default=0.0))
            whose = "what was stored last"
    if abs(apart) <= CLOCK_TOLERANCE_S:
        return well("clock", f"agrees with {whose}")
    way = "behind" if apart < 0 else "ahead of"
    remedy = "set this host's clock (NTP); leases and nights go by it"
    return ill("clock", f"this host is {abs(apart):.0f} s {way} {whose}", remedy)
