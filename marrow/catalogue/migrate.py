"""Brings a database to this version's schema, or says in one sentence that it is another."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, inspect, text

from marrow.catalogue.database import Database
from marrow.errors import NoStudy

HEAD = "0005"
"""The newest step in migrations/versions; a test compares the two."""

_LOCK_KEY = 0x6D6172726F77
"""PostgreSQL advisory lock of a migration: 'marrow' in ASCII."""


def script_config() -> Config:
    """Alembic's configuration, without a file."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config


def migrate(database: Database) -> None:
    """Create or upgrade the schema, in one transaction and under a lock.

    Raises
    ------
    NoStudy
        If a newer napari-marrow has been here.
    """
    with database.write() as connection:
        if not database.is_sqlite:
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK_KEY})
        found = revision(connection)
        _refuse_newer(found)
        if found == HEAD:
            return
        config = script_config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def require_current(database: Database) -> None:
    """Raise NoStudy unless the database has this version's schema."""
    with database.read() as connection:
        found = revision(connection)
    if found is None:
        raise NoStudy("There is no study in this home: make one with `marrow init`")
    _refuse_newer(found)
    if found < HEAD:
        raise NoStudy(f"The study has the older schema {found}: run `marrow upgrade` once")


def revision(connection: Connection) -> str | None:
    """The schema's version, None in an empty database."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return found


def _refuse_newer(found: str | None) -> None:
    if found is not None and found > HEAD:
        raise NoStudy(
            f"The study has schema {found}, this napari-marrow knows {HEAD}: update napari-marrow"
        )
