"""`marrow restore`: a backup becomes the study of a home, or of a lab's empty database.

Everything is unpacked aside and checked first; the catalogue is put in place last, so that
what fails before leaves no study behind.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from sqlalchemy import Connection, delete, make_url, select, text, update
from sqlalchemy.exc import DBAPIError

from marrow.archive import (
    BACKUP,
    CATALOGUE,
    STORE,
    ArchiveReader,
    BackupManifest,
    OnProgress,
    open_archive,
)
from marrow.catalogue import jobs
from marrow.catalogue.database import Database, first_line
from marrow.catalogue.migrate import HEAD, migrate, require_current, revision
from marrow.catalogue.schema import piece, study, worker
from marrow.catalogue.transfer import copy_rows, sqlite_at
from marrow.errors import BadBackup, NoStudy
from marrow.settings import Settings
from marrow.study import refuse_network_file_system


class RestoreReport(NamedTuple):
    """What was restored."""

    revision: str
    """Of the catalogue's schema in the backup, before it was brought to this version's."""
    files: int
    size: int
    """Bytes."""
    requeued: int
    """Pieces that a worker had when the backup was taken."""
    unfinished: int
    """Jobs that go on."""


def restore_backup(
    settings: Settings, file: Path, on_progress: OnProgress | None = None
) -> RestoreReport:
    """Make a backup the study of this home and its database, whole or not at all.

    A catalogue of an older schema is brought to this version's. Nobody works on the pieces that
    were running: they are ready again, and nothing is counted against them. A file that the
    store has already, with the same content, stays.

    Raises
    ------
    NoStudy
        If home or database hold a study already.
    BadBackup
        If the backup is damaged, of a newer version, or differs from what the store has.
    """
    _require_room(settings)
    store = settings.store_folder
    try:
        with (
            open_archive(file, BACKUP) as archive,
            _made(settings.home, 0o700),
            _made(store, 0o700 if settings.store is None else 0o777),
            TemporaryDirectory(prefix=".restore-", suffix=".part", dir=settings.home) as home_aside,
            TemporaryDirectory(prefix=".restore-", suffix=".part", dir=store) as store_aside,
        ):
            found = archive.manifest.revision
            if found > HEAD:
                raise BadBackup(
                    f"{file}: it has schema {found}, this napari-marrow knows {HEAD}: "
                    "update napari-marrow"
                )
            catalogue = Path(home_aside) / CATALOGUE
            _unpack(archive, catalogue, Path(store_aside), on_progress)
            missing = _missing_files(archive, file, Path(store_aside), store)
            counts = _begin_anew(file, catalogue)
            with _placed(missing, Path(store_aside), store):
                _place_catalogue(settings, catalogue)
    except OSError as error:
        raise BadBackup(f"{file}: it cannot be restored ({error.strerror})") from error
    return RestoreReport(found, len(archive.manifest.files), archive.manifest.size, *counts)


def _require_room(settings: Settings) -> None:
    """Raise NoStudy where a study is, BadSettings where none can be."""
    file = _sqlite_file(settings)
    if file is None:
        _require_empty(settings)
        return
    refuse_network_file_system(file.parent)
    # A journal without its database would be played into the new one.
    for path in (file, *(file.with_name(f"{file.name}-{end}") for end in ("wal", "journal"))):
        if path.exists():
            raise NoStudy(f"{path} is there already: choose another home, or move it away")


def _require_empty(settings: Settings) -> None:
    database = Database(settings.database_url)
    try:
        with database.read() as connection:
            is_new = revision(connection) is None
        if not is_new:
            require_current(database)
            with database.read() as connection:
                _require_no_study(connection)
    finally:
        database.close()


def _require_no_study(connection: Connection) -> None:
    if connection.execute(select(study.c.key).limit(1)).first() is not None:
        raise NoStudy("The database already holds a study: choose an empty database")


def _sqlite_file(settings: Settings) -> Path | None:
    """The study's SQLite file; None where its database is PostgreSQL."""
    url = make_url(settings.database_url)
    return Path(url.database or "") if url.get_backend_name() == "sqlite" else None


def _unpack(
    archive: ArchiveReader[BackupManifest],
    catalogue: Path,
    store_aside: Path,
    on_progress: OnProgress | None,
) -> None:
    done, total = 0, archive.manifest.size

    def on_bytes(count: int) -> None:
        nonlocal done
        done += count
        if on_progress is not None:
            on_progress(done, total)

    for name in archive.manifest.files:
        target = catalogue if name == CATALOGUE else store_aside / name.removeprefix(STORE)
        archive.extract(name, target, on_bytes)


def _missing_files(
    archive: ArchiveReader[BackupManifest], file: Path, store_aside: Path, store: Path
) -> list[str]:
    """Posix paths of the files that the store does not have yet.

    Raises
    ------
    BadBackup
        If the store has a file of that name with another content.
    """
    missing = []
    for name, wanted in archive.manifest.files.items():
        path = name.removeprefix(STORE)
        if name == CATALOGUE:
            continue
        if not (store / path).exists():
            missing.append(path)
        elif _sha256(store / path) != wanted.sha256:
            raise BadBackup(
                f"{file}: {store} has another {path}: move it away, or set MARROW_STORE"
            )
    return missing


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _begin_anew(file: Path, catalogue: Path) -> tuple[int, int]:
    """(pieces put back, unfinished jobs) of an unpacked catalogue, at this version's schema."""
    database = sqlite_at(catalogue)
    try:
        with database.read() as connection:
            if (revision(connection) or "none") > HEAD:
                raise BadBackup(f"{file}: its catalogue is none of this napari-marrow")
            verdict = connection.execute(text("PRAGMA quick_check")).scalar_one()
            if verdict != "ok":
                raise BadBackup(f"{file}: its catalogue is damaged ({verdict})")
        migrate(database)
        with database.write() as connection:
            if connection.execute(select(study.c.key)).first() is None:
                raise BadBackup(f"{file}: no study is in its catalogue")
            return _put_back(connection, database.now(connection)), len(jobs.unfinished(connection))
    except DBAPIError as error:
        raise BadBackup(f"{file}: its catalogue is damaged ({first_line(error)})") from error
    finally:
        database.close()


def _put_back(connection: Connection, at: float) -> int:
    """Pieces become ready again that nobody holds in this life; returns how many.

    The attempt stays: a worker of the former life, should it write here, is told off by it.
    """
    connection.execute(delete(worker))
    nobody = {"state": "new", "owner": None, "lease_until": None}
    is_running = piece.c.state == "running"
    count = connection.execute(update(piece).where(is_running).values(nobody)).rowcount
    unsent = update(piece).where(piece.c.state == "new").values(sent_at=None, sends=0)
    connection.execute(unsent)  # the former life's broker has the hints
    for one in jobs.unfinished(connection):
        if one.state == "cancelling":
            jobs.close_if_over(connection, at, one.id)
    return count


def _place_catalogue(settings: Settings, catalogue: Path) -> None:
    file = _sqlite_file(settings)
    if file is not None:
        if file.exists():
            raise NoStudy(f"{file} is there already: choose another home, or move it away")
        catalogue.replace(file)
        return
    database, unpacked = Database(settings.database_url), sqlite_at(catalogue)
    migrate(database)
    with unpacked.read() as source, database.write() as target:
        target.execute(text("LOCK TABLE study IN EXCLUSIVE MODE"))  # of two restores, one
        _require_no_study(target)
        copy_rows(source, target)
    unpacked.close()
    database.close()


@contextmanager
def _made(folder: Path, mode: int) -> Iterator[None]:
    """The folder; one that had to be made is removed again if what follows fails."""
    is_new = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True, mode=mode)
    try:
        yield
    except BaseException:
        if is_new:
            with suppress(OSError):
                folder.rmdir()
        raise


@contextmanager
def _placed(names: list[str], source: Path, store: Path) -> Iterator[None]:
    """Files moved into the store; moved away again if what follows fails."""
    moved: list[Path] = []
    try:
        for name in names:
            (store / name).parent.mkdir(parents=True, exist_ok=True)
            moved.append((source / name).replace(store / name))
        yield
    except BaseException:
        for path in moved:
            path.unlink(missing_ok=True)
            with suppress(OSError):  # a folder that is not empty is not ours alone
                for folder in path.relative_to(store).parents:
                    (store / folder).rmdir()
        raise
