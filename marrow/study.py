"""A study: one scheme, one catalogue, one store, and where its files lie on this host."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path, PurePosixPath
from time import time

import psutil
from sqlalchemy import insert, select
from sqlalchemy.exc import DBAPIError

from marrow.catalogue.database import Database, first_line
from marrow.catalogue.migrate import migrate, require_current
from marrow.catalogue.schema import study as study_table
from marrow.errors import BadSettings, NoStudy, UnreachableSmear
from marrow.records import Smear
from marrow.schemes import Scheme
from marrow.settings import LOCAL_ROOT, STORE_ROOT, Settings
from marrow.statefile import private_file, private_folder

CATALOGUE = "catalogue.sqlite"
_NETWORK_FILE_SYSTEMS = {"nfs", "nfs4", "cifs", "smb", "smb2", "smb3", "smbfs", "9p", "afpfs"}


class Study:
    """An open study; use `Study.open` or `Study.create`."""

    def __init__(self, settings: Settings, database: Database, scheme: Scheme) -> None:
        self.settings = settings
        self.database = database
        self.scheme = scheme

    @classmethod
    def create(cls, settings: Settings, scheme: Scheme, clock: Callable[[], float] = time) -> Study:
        """Make a new study in an empty home.

        Raises
        ------
        NoStudy
            If the home already holds a study.
        BadSettings
            If the home cannot hold one.
        """
        _make_private(settings)
        database = _connect(settings, clock)
        migrate(database)
        with database.write() as connection:
            if connection.execute(select(study_table.c.key)).first() is not None:
                raise NoStudy(f"{settings.home} already holds a study: choose another home")
            connection.execute(
                insert(study_table), {"key": "scheme", "value": scheme.model_dump(mode="json")}
            )
        return cls(settings, database, scheme)

    @classmethod
    def open(cls, settings: Settings, clock: Callable[[], float] = time) -> Study:
        """Open the study of this home.

        Raises
        ------
        NoStudy
            If there is none, or one of another version.
        """
        if settings.database is None and not (settings.home / CATALOGUE).exists():
            raise NoStudy(f"There is no study in {settings.home}: make one with `marrow init`")
        if settings.database is None:
            _close_to_others(settings.home)
        database = _connect(settings, clock)
        require_current(database)
        with database.read() as connection:
            stored = connection.execute(
                select(study_table.c.value).where(study_table.c.key == "scheme")
            ).scalar_one_or_none()
        if stored is None:
            raise NoStudy("There is no study in this database: make one with `marrow init`")
        return cls(settings, database, Scheme.model_validate(stored))

    @property
    def store(self) -> Path:
        """Folder of models, checkpoints and copied smears."""
        return self.settings.store_folder

    def close(self) -> None:
        """Close the database's connections of this process."""
        self.database.close()

    def place_of(self, path: Path) -> tuple[str, str]:
        """(root name, posix path below it) of a file on this host."""
        absolute = path.expanduser().resolve()
        roots = {STORE_ROOT: self.store, **self.settings.roots}
        inside = [name for name in roots if absolute.is_relative_to(roots[name].resolve())]
        if not inside:
            return LOCAL_ROOT, absolute.as_posix()
        deepest = max(inside, key=lambda name: len(roots[name].resolve().parts))
        return deepest, absolute.relative_to(roots[deepest].resolve()).as_posix()

    def file_of(self, smear: Smear) -> Path:
        """Where this host sees a smear's file.

        Raises
        ------
        UnreachableSmear
            If the host does not know the root, or there is no such file.
        """
        path = self.path_in(smear.root, smear.path)
        if path is None:
            raise UnreachableSmear(
                smear.path, f"this host does not know the root {smear.root!r}: set MARROW_ROOTS"
            )
        if not path.exists():
            raise UnreachableSmear(
                path, f"not there (root {smear.root!r}): mount it, or use `marrow import --copy`"
            )
        return path

    def members_of(self, smear: Smear) -> tuple[Path, ...]:
        """All files of a smear on this host; UnreachableSmear if it knows no such root."""
        first = self.file_of(smear)
        paths = [self.path_in(smear.root, member) for member in smear.members]
        return tuple(path for path in paths if path is not None) or (first,)

    def path_in(self, root: str, relative: str) -> Path | None:
        """The path of a stored place on this host, None if it does not know the root."""
        if root == LOCAL_ROOT:
            return Path(relative)
        folder = self.store if root == STORE_ROOT else self.settings.roots.get(root)
        inside = PurePosixPath(relative)
        # A place is a row that any client may have written: it never leads out of its root.
        if folder is None or inside.is_absolute() or ".." in inside.parts:
            return None
        return folder / inside


def _connect(settings: Settings, clock: Callable[[], float]) -> Database:
    database = Database(settings.database_url, clock)
    try:
        with database.read():
            pass
    except DBAPIError as error:
        raise NoStudy(f"The study's database does not open: {first_line(error)}") from error
    return database


def _make_private(settings: Settings) -> None:
    """Make the home (0700), and in it what others must not read, whatever the umask.

    A home that is there keeps its mode: people share folders on purpose. Our files in it do not.
    """
    home = settings.home
    try:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        if settings.database is None:
            refuse_network_file_system(home)
            private_file(home / CATALOGUE)
        if settings.store is None:
            private_folder(settings.store_folder)
    except OSError as error:
        raise BadSettings(f"{home} cannot be a home: {error.strerror}") from error


def _close_to_others(home: Path) -> None:
    """Take others' rights from a catalogue, its log and its index: a copy may have brought them."""
    for suffix in ("", "-wal", "-shm"):
        # Another user's file, or one that has just gone: SQLite tells what matters.
        with suppress(OSError):
            (home / f"{CATALOGUE}{suffix}").chmod(0o600)


def refuse_network_file_system(folder: Path) -> None:
    """Raise BadSettings where SQLite would corrupt: file locks do not hold on network mounts."""
    folder = folder.resolve()
    mounts = [m for m in psutil.disk_partitions(all=True) if folder.is_relative_to(m.mountpoint)]
    if not mounts:
        return
    nearest = max(mounts, key=lambda mount: len(mount.mountpoint))
    if nearest.fstype.lower() in _NETWORK_FILE_SYSTEMS:
        raise BadSettings(
            f"{folder} lies on a network file system ({nearest.fstype}), where SQLite corrupts: "
            "choose a local folder, or set MARROW_DATABASE to a PostgreSQL database"
        )
