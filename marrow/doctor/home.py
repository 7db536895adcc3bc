"""The home and the store: may they be written, is there room, and who may read them."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path

from marrow.doctor.finding import Finding, ill, well
from marrow.errors import BadSettings
from marrow.settings import Settings
from marrow.study import refuse_network_file_system

MIN_FREE_GB = 2.0
"""A night's checkpoints and maps need about one; below two it is time to tidy up."""
_SECRETS = ("database", "broker")


def examine(settings: Settings) -> Iterator[Finding]:
    """The folders of this home and store."""
    if not settings.home.exists():
        yield well("home", f"{settings.home} is not there yet", "`marrow init` makes it")
    else:
        yield _writable("home", settings.home)
    if settings.database is None:
        yield _file_system(settings.home)
    if settings.store is not None and settings.store.exists():
        yield _writable("store", settings.store)
    elif settings.store is not None:
        remedy = "mount it, or correct MARROW_STORE"
        yield ill("store", f"{settings.store} is not there", remedy)
    for name, folder in settings.roots.items():
        if not folder.is_dir():
            remedy = "mount it, or correct MARROW_ROOTS"
            yield ill("root", f"{name}: {folder} is not there", remedy)
    for what, folder in {
        "disk of home": settings.home,
        "disk of store": settings.store_folder,
    }.items():
        yield _room(what, folder)
    if os.name == "posix":
        yield _modes(settings)


def _writable(what: str, folder: Path) -> Finding:
    try:
        with tempfile.TemporaryFile(dir=folder):
            return well(what, str(folder))
    except OSError as error:
        found = f"{folder} cannot be written: {error.strerror}"
        return ill(what, found, "make it writable for this user, or choose another folder")


def _file_system(home: Path) -> Finding:
    try:
        refuse_network_file_system(_there(home))
    except BadSettings as error:
        return ill("file system", str(error), "move the home, or use PostgreSQL")
    return well("file system", "local, as SQLite needs it")


def _room(what: str, folder: Path) -> Finding:
    free_gb = shutil.disk_usage(_there(folder)).free / 1e9
    if free_gb >= MIN_FREE_GB:
        return well(what, f"{free_gb:.0f} GB free")
    remedy = "free some space: checkpoints and results need it"
    return ill(what, f"{free_gb:.1f} GB free of at least {MIN_FREE_GB:.0f}", remedy)


def _modes(settings: Settings) -> Finding:
    """Whether only this user may read what says where the broker is, or holds a password."""
    open_to_others = [path for path, forbidden in _private(settings) if _mode(path) & forbidden]
    if not open_to_others:
        return well("file modes", "readable by this user alone")
    names = ", ".join(path.name for path in open_to_others[:5])
    first = open_to_others[0]
    remedy = f"chmod go-rwx '{first}'" + (" and the others" if open_to_others[1:] else "")
    return ill("file modes", f"other users may read or write {names}", remedy)


def _private(settings: Settings) -> Iterator[tuple[Path, int]]:
    """Folders and files of this home, and the mode bits that they must not have."""
    # The home itself keeps its mode: people share folders on purpose.
    for path in settings.home.glob("catalogue.sqlite*"):
        yield path, stat.S_IRWXG | stat.S_IRWXO
    toml = settings.home / "marrow.toml"
    if toml.is_file() and any(name in tomllib.loads(toml.read_text("utf-8")) for name in _SECRETS):
        yield toml, stat.S_IRWXG | stat.S_IRWXO
    if settings.agent_folder.is_dir():
        yield settings.agent_folder, stat.S_IRWXG | stat.S_IRWXO
        for path in sorted(settings.agent_folder.iterdir()):
            if path.is_file():
                yield path, stat.S_IRWXG | stat.S_IRWXO


def _mode(path: Path) -> int:
    try:
        return path.stat().st_mode
    except OSError:  # it has gone meanwhile
        return 0


def _there(folder: Path) -> Path:
    """The folder, or the nearest above it that exists."""
    return next(one for one in (folder, *folder.parents) if one.exists())
