"""Keeping the catalogue small: old maps go, the predictions stay, and free pages are given back."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Select, delete, func, or_, select, text

from marrow.catalogue import jobs
from marrow.catalogue.database import Database
from marrow.catalogue.schema import prediction, prediction_map, smear

BATCH = 2_000
"""Maps of one transaction: on SQLite others wait for it some 20 ms."""
DAY_S = 86_400.0
WORTH_SHARE, WORTH_BYTES = 0.05, 20_000_000
"""With fewer free bytes than either, writing the whole file anew is not worth it."""


class MapCount(NamedTuple):
    """How many maps, and how many bytes they hold."""

    maps: int
    size: int
    """Bytes."""


def count_old_maps(database: Database, older_than_days: float | None) -> MapCount:
    """The maps that `remove_old_maps` would remove."""
    with database.read() as connection:
        chosen = _old(database.now(connection), older_than_days).subquery()
        stored = prediction_map.c["values"]
        sizes = select(func.count(), func.coalesce(func.sum(func.length(stored)), 0)).select_from(
            prediction_map.join(chosen, chosen.c.prediction_id == prediction_map.c.prediction_id)
        )
        maps, size = connection.execute(sizes).one()
    return MapCount(int(maps), int(size))


def remove_old_maps(database: Database, older_than_days: float | None) -> int:
    """Remove maps, some at a time; returns how many. Their predictions stay.

    Parameters
    ----------
    older_than_days : float or None
        Maps of predictions that are older go. In any case those go whose smear has other
        regions by now: they show what the model saw then.
    """
    removed, last = 0, 0
    while True:
        with database.write() as connection:
            at = database.now(connection)
            identity = prediction_map.c.prediction_id
            batch = _old(at, older_than_days).where(identity > last).order_by(identity)
            ids = list(connection.execute(batch.limit(BATCH)).scalars())
            if not ids:
                return removed
            connection.execute(delete(prediction_map).where(identity.in_(ids)))
        removed += len(ids)
        last = ids[-1]


def give_back_space(database: Database, home: Path) -> str:
    """Let the database shrink, or say in a sentence why it does not; returns what was done.

    SQLite writes its file anew, during which nobody else can write: not while a job is
    unfinished. PostgreSQL makes the space free for its own next rows, also while jobs run.
    """
    if not database.is_sqlite:
        with database.engine.connect() as connection:
            apart = connection.execution_options(isolation_level="AUTOCOMMIT")
            apart.execute(text("VACUUM ANALYZE"))
        return "the database's free space can be used again"
    with database.read() as connection:
        size, free = _pages(connection)
        is_busy = jobs.any_unfinished(connection)
    if free < max(WORTH_SHARE * size, WORTH_BYTES):
        return f"the catalogue keeps its size: {free / 1e6:.0f} of {size / 1e6:.0f} MB are free"
    if is_busy:
        return (
            f"{free / 1e6:.0f} MB of the catalogue stay free for its next rows: a job is "
            "unfinished; run `marrow tidy` again when it is over"
        )
    if shutil.disk_usage(home).free < 2 * (size - free):
        return f"{free / 1e6:.0f} MB stay free in the catalogue: the disk has no room to rewrite it"
    raw = database.engine.raw_connection()  # VACUUM is refused within a transaction
    try:
        raw.cursor().execute("VACUUM")
        raw.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")
    except sqlite3.Error as error:
        return f"{free / 1e6:.0f} MB stay free: the catalogue cannot be rewritten now ({error})"
    finally:
        raw.close()
    return f"the catalogue has become {free / 1e6:.0f} MB smaller"


def free_bytes(database: Database) -> int | None:
    """Bytes of free pages in the file; None on PostgreSQL, which keeps its own account."""
    if not database.is_sqlite:
        return None
    with database.read() as connection:
        return _pages(connection)[1]


def _pages(connection: Any) -> tuple[int, int]:
    """Bytes of all pages of the file, and of those that are free."""
    size, pages, free = (
        int(connection.execute(text(f"PRAGMA {name}")).scalar_one())
        for name in ("page_size", "page_count", "freelist_count")
    )
    return size * pages, size * free


def _old(at: float, older_than_days: float | None) -> Select[Any]:
    terms: list[ColumnElement[bool]] = [prediction.c.regions_revision < smear.c.regions_revision]
    if older_than_days is not None:
        terms.append(prediction.c.at < at - older_than_days * DAY_S)
    return (
        select(prediction_map.c.prediction_id)
        .join(prediction, prediction.c.id == prediction_map.c.prediction_id)
        .join(smear, smear.c.id == prediction.c.smear_id)
        .where(or_(*terms))
    )
