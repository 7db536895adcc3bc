"""`marrow backup`: a study in one file, taken at one moment, also while jobs run.

The file holds the catalogue, as SQLite whatever database the study has, and the files of the
store that it names: models, copied smears, and the checkpoints from which a training goes on.
Feature caches are left out, because they are computed again.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, NamedTuple

from sqlalchemy import Connection, select

from marrow.archive import CATALOGUE, STORE, ArchiveWriter, OnProgress
from marrow.catalogue.migrate import HEAD, migrate
from marrow.catalogue.schema import model, piece, smear
from marrow.catalogue.transfer import copy_rows, sqlite_at
from marrow.errors import BadBackup
from marrow.settings import STORE_ROOT
from marrow.study import Study

_MOMENTS_TRIED = 5
"""A training that goes on removes its checkpoint before last; then another moment is taken."""


class BackupReport(NamedTuple):
    """What was written, and what was not to be had."""

    file: Path
    revision: str
    """Of the catalogue's schema."""
    files: int
    size: int
    """Bytes."""
    missing: tuple[str, ...]
    """Posix paths below the store that the catalogue names and nobody can read."""


class _Moment(NamedTuple):
    """The catalogue at one moment, and the checkpoints that it names: open, or None if gone."""

    catalogue: Path
    checkpoints: dict[str, IO[bytes] | None]


def write_backup(
    study: Study, target: Path, *, force: bool = False, on_progress: OnProgress | None = None
) -> BackupReport:
    """Write a study into one file (mode 0600), whole or not at all; the jobs run on.

    Needs room for a second catalogue in the home while it runs. A file of the store that is
    missing is reported and does not stop the backup of the others.

    Raises
    ------
    BadBackup
        If the target exists (unless `force`) or cannot be written.
    """
    if target.exists() and not force:
        raise BadBackup(f"{target} is there already: choose another name, or --force")
    aside = target.with_name(f".{target.name}.{os.getpid()}.part")
    home = study.settings.home
    try:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        with ExitStack() as stack:
            folder = stack.enter_context(
                TemporaryDirectory(prefix=".backup-", suffix=".part", dir=home)
            )
            moment = _take_moment(study, Path(folder), stack)
            descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                report = _write(study, moment, file, target, on_progress)
                file.flush()
                os.fsync(file.fileno())
        aside.replace(target)
    except OSError as error:
        raise BadBackup(f"{target}: the backup cannot be written ({error.strerror})") from error
    except sqlite3.Error as error:
        raise BadBackup(f"{target}: the catalogue cannot be copied ({error})") from error
    finally:
        aside.unlink(missing_ok=True)
    return report


def _write(
    study: Study,
    moment: _Moment,
    file: IO[bytes],
    target: Path,
    on_progress: OnProgress | None,
) -> BackupReport:
    database = sqlite_at(moment.catalogue)
    with database.read() as connection:
        named = sorted({*_model_files(study, connection), *_copied_smears(connection)})
    database.close()
    files = [path for name in named if (path := study.path_in(STORE_ROOT, name)) is not None]
    total = sum(path.stat().st_size for path in (moment.catalogue, *files) if path.is_file())
    total += sum(os.fstat(one.fileno()).st_size for one in moment.checkpoints.values() if one)
    missing = []
    with ArchiveWriter(file, total, on_progress) as writer:
        with moment.catalogue.open("rb") as catalogue:
            writer.add(CATALOGUE, catalogue)
        for name, checkpoint in moment.checkpoints.items():
            if checkpoint is None:
                missing.append(name)
            else:
                writer.add(STORE + name, checkpoint)
        for name in named:
            source = _open(study, name)
            if source is None:
                missing.append(name)
                continue
            with source:
                writer.add(STORE + name, source)
        manifest = writer.finish(HEAD)
    return BackupReport(target, HEAD, len(manifest.files), manifest.size, tuple(missing))


def _take_moment(study: Study, folder: Path, stack: ExitStack) -> _Moment:
    """A copy of the catalogue, and the checkpoints that fit it.

    What is open can still be read when the training that goes on removes it.
    """
    for number in range(_MOMENTS_TRIED):
        catalogue = folder / f"{number}.sqlite"
        _copy_catalogue(study, catalogue)
        database = sqlite_at(catalogue)
        with database.read() as connection:
            names = sorted(set(_checkpoints(connection)))
        database.close()
        moment = _Moment(catalogue, {name: _open(study, name) for name in names})
        for opened in moment.checkpoints.values():
            if opened is not None:
                stack.enter_context(opened)
        if None not in moment.checkpoints.values():
            break
        if number < _MOMENTS_TRIED - 1:
            catalogue.unlink()
    return moment


def _copy_catalogue(study: Study, file: Path) -> None:
    if study.database.is_sqlite:
        pooled = study.database.engine.raw_connection()  # VACUUM works outside transactions alone
        try:
            pooled.cursor().execute("VACUUM INTO ?", (str(file),))
        finally:
            pooled.close()
        return
    copy = sqlite_at(file)
    migrate(copy)
    with study.database.read() as source, copy.write() as target:
        copy_rows(source, target)
    copy.close()


def _open(study: Study, name: str) -> IO[bytes] | None:
    """A file of the store, None if there is none that can be read."""
    path = study.path_in(STORE_ROOT, name)
    try:
        return path.open("rb") if path is not None and path.is_file() else None
    except OSError:
        return None


def _model_files(study: Study, connection: Connection) -> Iterator[str]:
    """Posix paths below the store of all models' files."""
    for name in connection.execute(select(model.c.path)).scalars():
        folder = study.path_in(STORE_ROOT, name)
        # A file that is being written has a name with a dot before it.
        found = [] if folder is None else sorted(folder.glob("[!.]*"))
        yield from (f"{name}/{path.name}" for path in found if path.is_file())
        if not found:
            yield name


def _copied_smears(connection: Connection) -> Iterator[str]:
    rows = select(smear.c.path, smear.c.members).where(smear.c.root == STORE_ROOT)
    for row in connection.execute(rows):
        yield from row.members or (row.path,)


def _checkpoints(connection: Connection) -> Iterator[str]:
    """Of the segments that go on, or that `marrow retry` would let go on."""
    over = ("done", "split")
    payloads = select(piece.c.payload).where(
        piece.c.payload.is_not(None), piece.c.state.not_in(over)
    )
    for payload in connection.execute(payloads).scalars():
        if payload.get("checkpoint"):
            yield payload["checkpoint"]["path"]
