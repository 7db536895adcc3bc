"""What a person would check first when something does not work."""

from __future__ import annotations

import shutil
import sqlite3
import sys
from collections.abc import Iterator
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import text

from marrow.errors import MarrowError
from marrow.settings import Settings
from marrow.statefile import read_state
from marrow.study import Study

PACKAGES = ("marrow", "training", "worker", "napari_marrow")
_MIN_FREE_GB = 2.0
"""A night's checkpoints and maps need about one; below two it is time to tidy up."""


class Finding(NamedTuple):
    """One thing that was looked at; `remedy` is empty when all is well."""

    is_well: bool
    what: str
    found: str
    remedy: str = ""


def examine(settings: Settings) -> list[Finding]:
    """Look at the installation, then at the study if there is one."""
    return [*_installation(), *_study(settings)]


def _installation() -> Iterator[Finding]:
    yield Finding(True, "python", sys.version.split()[0])
    home = Path(__file__).resolve().parent.parent
    for name in PACKAGES:
        spec = find_spec(name)
        origin = Path(spec.origin).resolve() if spec is not None and spec.origin else None
        is_ours = origin is not None and origin.parent.parent == home
        remedy = "" if is_ours else f"another package named {name} shadows ours: rename it"
        yield Finding(is_ours, f"package {name}", str(origin or "missing"), remedy)
    for name in ("napari", "celery", "sqlalchemy"):
        yield Finding(True, name, metadata.version(name))
    for name, extra in (("torch", "worker"), ("safetensors", "worker"), ("openslide", "slides")):
        # An extra that is missing is a choice, not a fault: the remedy says what it would give.
        has = find_spec(name) is not None
        remedy = "" if has else f'optional: pip install "napari-marrow[{extra}]"'
        yield Finding(True, name, "installed" if has else "not installed", remedy)
    is_new = sqlite3.sqlite_version_info >= (3, 35)
    remedy = "" if is_new else "SQLite 3.35 or newer is needed: use a newer Python"
    yield Finding(is_new, "SQLite", sqlite3.sqlite_version, remedy)


def _study(settings: Settings) -> Iterator[Finding]:
    try:
        study = Study.open(settings)
    except MarrowError as error:
        is_new = settings.database is None and not (settings.home / "catalogue.sqlite").exists()
        remedy = "" if is_new else "do what the sentence says, or restore a backup of the home"
        yield Finding(is_new, "study", str(error), remedy)
        return
    yield Finding(True, "study", f"{study.scheme.name} in {settings.home}")
    yield _database(study)
    free_gb = shutil.disk_usage(settings.home).free / 1e9
    is_enough = free_gb >= _MIN_FREE_GB
    remedy = "" if is_enough else "free some space: checkpoints and results need it"
    yield Finding(is_enough, "disk", f"{free_gb:.0f} GB free", remedy)
    if settings.is_single_machine:
        agent = read_state(settings.agent_folder / "agent.json")
        found = "not running (starts with the next job)" if agent is None else f"pid {agent['pid']}"
        yield Finding(True, "agent", found)
    study.close()


def _database(study: Study) -> Finding:
    with study.database.read() as connection:
        if not study.database.is_sqlite:
            version = connection.execute(text("SHOW server_version")).scalar_one()
            return Finding(True, "database", f"PostgreSQL {version}")
        verdict = str(connection.execute(text("PRAGMA quick_check")).scalar_one())
        mode = str(connection.execute(text("PRAGMA journal_mode")).scalar_one())
    is_well = verdict == "ok" and mode == "wal"
    remedy = "" if is_well else "restore a backup, or move the home to a local disk"
    return Finding(is_well, "database", f"SQLite, {verdict}, journal {mode}", remedy)
