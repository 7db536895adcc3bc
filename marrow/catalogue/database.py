"""One way in: `read()` sees a snapshot, `write()` is the only writer while it lasts."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, func, select
from sqlalchemy.exc import DBAPIError

from marrow.addresses import database_address

BUSY_TIMEOUT_S = 30
IN_LIMIT = 10_000
"""Values of one IN list; SQLite takes 32,766 bound values in a statement."""
_LOGGED = "journal_mode=WAL"
_PRAGMAS = ("synchronous=NORMAL", "foreign_keys=ON", "cache_size=-65536")
"""Of SQLite. 64 MB of cache hold the indexes that the pages of a million results are read from."""
_NO_DEAD_HOST_HOLDS_A_LOCK = (
    "-c idle_in_transaction_session_timeout=60s "
    "-c tcp_keepalives_idle=30 -c tcp_keepalives_interval=10 -c tcp_keepalives_count=3"
)
"""Of PostgreSQL: a host that freezes or loses power in a transaction holds its job's row for a
minute, not for the two hours after which TCP gives up."""


def first_line(error: DBAPIError) -> str:
    """The driver's own words for a person: its first line, without SQL and parameters."""
    return str(error.orig).strip().splitlines()[0] if error.orig else "no answer"


class Database:
    """The catalogue's engine.

    SQLite: WAL, a connection belongs to one thread while it is checked out and never crosses
    a fork; `read()` opens a deferred transaction, `write()` BEGIN IMMEDIATE, because a deferred
    one that turns into a writer fails at once in spite of the busy timeout. PostgreSQL:
    `read()` is REPEATABLE READ, `write()` READ COMMITTED.

    Parameters
    ----------
    url : str
        Of a SQLite file or a PostgreSQL database, see `database_address`.
    clock : callable
        Seconds since 1970. Only SQLite uses it (one host); PostgreSQL has its own clock.
    """

    def __init__(self, url: str, clock: Callable[[], float] = time.time) -> None:
        parsed = database_address(url)
        self.is_sqlite = parsed.get_backend_name() == "sqlite"
        self._clock = clock
        self.engine = _sqlite_engine(parsed) if self.is_sqlite else _postgresql_engine(parsed)
        self._readers: Engine = self.engine.execution_options(
            **({} if self.is_sqlite else {"isolation_level": "REPEATABLE READ"})
        )
        self._writers: Engine = self.engine.execution_options(begin="IMMEDIATE")
        # A forked child must not touch the parent's connections.
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=lambda: self.engine.dispose(close=False))

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that sees one moment of the catalogue; must not write."""
        with self._readers.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that may write; committed at the end, rolled back on an exception."""
        with self._writers.connect() as connection, connection.begin():
            yield connection

    def now(self, connection: Connection) -> float:
        """The time by the catalogue's clock, seconds since 1970 (UTC)."""
        if self.is_sqlite:
            return self._clock()
        stamp = select(func.extract("epoch", func.clock_timestamp()))
        return float(connection.execute(stamp).scalar_one())

    def close(self) -> None:
        """Close all connections of this process."""
        self.engine.dispose()


def _postgresql_engine(url: Any) -> Engine:
    return create_engine(
        url,
        pool_pre_ping=True,
        isolation_level="READ COMMITTED",
        hide_parameters=True,
        connect_args={
            "options": _NO_DEAD_HOST_HOLDS_A_LOCK,
            # And this end notices a server that has vanished, not after TCP's quarter of an hour.
            "connect_timeout": 10,
            "keepalives_idle": 30,
            "keepalives_interval": 10,
            "keepalives_count": 3,
            "tcp_user_timeout": 30_000,
        },
    )


def _sqlite_engine(url: Any) -> Engine:
    file = Path(url.database or "")
    is_sealed = _is_sealed(file)
    engine = create_engine(
        _sealed(url, file) if is_sealed else url,
        connect_args={"timeout": BUSY_TIMEOUT_S, "check_same_thread": False},
        hide_parameters=True,  # an error is printed without patients and paths
    )

    @event.listens_for(engine, "connect")
    def _on_connect(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # SQLAlchemy's BEGIN below, not the driver's
        for pragma in _PRAGMAS if is_sealed else (_LOGGED, *_PRAGMAS):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _on_begin(connection: Connection) -> None:
        mode = connection.get_execution_options().get("begin", "DEFERRED")
        connection.exec_driver_sql(f"BEGIN {mode}")

    return engine


def _is_sealed(file: Path) -> bool:
    """Whether nobody may write here, and no log waits: SQLite then reads the file as it is.

    Otherwise even a reader makes a log and its index beside the file, and fails where it may not.
    """
    if not file.is_file() or Path(f"{file}-wal").exists():
        return False
    return not (os.access(file, os.W_OK) and os.access(file.parent, os.W_OK))


def _sealed(url: Any, file: Path) -> Any:
    asked = {"mode": "ro", "immutable": "1", "uri": "true"}
    return url.set(database=file.resolve().as_uri(), query=asked)
