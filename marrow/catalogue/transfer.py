"""All rows of a catalogue from one database into another, SQLite or PostgreSQL."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import URL, Connection, func, insert, select

from marrow.catalogue.database import Database
from marrow.catalogue.schema import metadata

_ROWS_AT_ONCE = 1000
"""Rows held in memory: a prediction with its map takes about 2 kB."""


def sqlite_at(file: Path, clock: Callable[[], float] = time.time) -> Database:
    """A catalogue in this file; made, still without tables, where there is none."""
    # Not an f-string: a ? in the folder's name would end the path there.
    url = URL.create("sqlite", database=str(file))
    return Database(url.render_as_string(hide_password=False), clock)


def copy_rows(source: Connection, target: Connection) -> None:
    """Copy every row of one catalogue into an empty one of the same schema.

    Both are inside the caller's transactions, so that the copy is one moment of the source and
    appears in the target whole. PostgreSQL's counters go on after the highest id.
    """
    for table in metadata.sorted_tables:
        rows = source.execute(select(table), execution_options={"yield_per": _ROWS_AT_ONCE})
        for chunk in rows.partitions():
            target.execute(insert(table), [dict(row._mapping) for row in chunk])
        counted = table.autoincrement_column
        if counted is not None and target.dialect.name == "postgresql":
            counter = func.pg_get_serial_sequence(table.name, counted.name)
            newest = select(func.max(counted)).scalar_subquery()
            # Of an empty table: the next id is 1, not 2.
            last = func.setval(counter, func.coalesce(newest, 1), newest.is_not(None))
            target.execute(select(last))
