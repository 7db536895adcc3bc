"""Labels and regions on their way to the catalogue: on disk first, then sent in order.

One journal per viewer, a file of JSON lines that only grows until everything in it was sent.
A journal whose viewer was killed is adopted by the next one of the same user and study.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
import uuid
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from filelock import FileLock, Timeout
from platformdirs import user_state_path
from pydantic import Field, ValidationError
from sqlalchemy import make_url

from marrow.catalogue.regions import Redrawn
from marrow.errors import MarrowError
from marrow.records import Record
from marrow.settings import Settings
from marrow.statefile import private_folder

REFUSED = "refused.jsonl"
"""What the catalogue refused for good, each with the reason."""
PLACE = "study.txt"
"""Says for a person which study a folder belongs to."""


class Entry(Record):
    """What a reader said of one smear, or drew on it, at one moment."""

    smear_id: int
    reader: str
    at: float
    """The moment of labelling, seconds since 1970 (UTC)."""
    answers: dict[str, str] = Field(default_factory=dict)
    """Answer by head; "" takes an earlier one back."""
    seen_prediction: bool = False
    undoes: float | None = None
    """The `at` of the entry that is undone: what stood before it stands again."""
    said_at: float | None = None
    """Of an undo: when the viewer that undoes had last said something of this smear. What was
    said later came from elsewhere and is not touched."""
    is_flagged: bool | None = None
    """True sets a flag, False clears it, None: no word on that."""
    redrawn: Redrawn | None = None
    """What was changed of the smear's regions."""


class Contents(NamedTuple):
    """What stands in a journal."""

    waiting: tuple[Entry, ...]
    """Not sent yet, in order."""
    damaged: int
    """Lines that cannot be read: the last one, cut off by a kill."""


def outbox_root() -> Path:
    """The folder of all outboxes of this user."""
    return user_state_path("napari-marrow") / "outbox"


def place_of(settings: Settings) -> str:
    """Where a study lies: its home, or its database without the password."""
    if settings.database is None:
        return str(settings.home)
    url = make_url(settings.database_url)
    return url.set(password=None).render_as_string()


def folder_of(settings: Settings, root: Path | None = None) -> Path:
    """The folder of this study's outbox; the same for every viewer of this user."""
    key = hashlib.sha256(place_of(settings).encode()).hexdigest()[:16]
    return (root or outbox_root()) / key


def read_journal(path: Path) -> Contents:
    """What a journal holds, whatever happened to the viewer that wrote it."""
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:  # its viewer has sent all of it, or another one adopted it
        return Contents((), 0)
    torn = lines.pop()  # what follows the last line end: nothing, unless a kill cut a line off
    entries: list[Entry | None] = []  # None: a line that cannot be read
    sent, damaged = 0, int(bool(torn))
    for line in lines:
        try:
            fields = json.loads(line)
            if "sent" in fields:
                sent += int(fields["sent"])
            else:
                entries.append(Entry.model_validate(fields))
        except (ValueError, TypeError, ValidationError):
            damaged += 1
            entries.append(None)  # it may have been one of those that were sent
    waiting = (entry for entry in entries[sent:] if entry is not None)
    return Contents(tuple(waiting), damaged)


def waiting_in(folder: Path) -> int:
    """Labels and flags that wait in this outbox, over all its journals."""
    return sum(len(read_journal(path).waiting) for path in _journals(folder))


def refused_in(folder: Path) -> int:
    """Labels and flags that the catalogue refused."""
    path = folder / REFUSED
    return len(path.read_bytes().splitlines()) if path.exists() else 0


class Outbox:
    """The journal of this viewer; all methods may be called from any thread.

    Parameters
    ----------
    folder : Path
        See `folder_of`.
    place : str
        The study, for a person who finds the folder.

    Raises
    ------
    MarrowError
        If the folder cannot be written.
    """

    def __init__(self, folder: Path, place: str = "") -> None:
        self._folder = folder
        self._waiting: deque[Entry] = deque()
        self._guard = threading.Lock()
        self.damaged = 0
        """Lines of adopted journals that a kill had cut off."""
        try:
            private_folder(folder)
            (folder / PLACE).write_text(place, encoding="utf-8")
            self._path = folder / f"{os.getpid()}-{uuid.uuid4().hex[:8]}.jsonl"
            # Opened on one thread and closed on another.
            self._lock = FileLock(_lock_of(self._path), mode=0o600, thread_local=False)
            self._lock.acquire(timeout=0)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND
            self._descriptor: int | None = os.open(self._path, flags, 0o600)
            _sync_folder(folder)
            self._adopt()
        except OSError as error:
            raise _not_written(folder, error) from error

    def __len__(self) -> int:
        """Entries that were not sent yet."""
        return len(self._waiting)

    def add(self, entries: Sequence[Entry]) -> None:
        """Put entries on the disk; when this returns they survive a crash of the machine.

        Raises
        ------
        MarrowError
            If they are not on the disk; then none of them is.
        """
        lines = "".join(f"{entry.model_dump_json(exclude_defaults=True)}\n" for entry in entries)
        with self._guard:
            self._append(lines.encode(), is_synced=True)
            self._waiting.extend(entries)

    def waiting(self, most: int | None = None) -> tuple[Entry, ...]:
        """The oldest entries that were not sent yet."""
        with self._guard:
            return tuple(self._waiting)[:most]

    def mark_sent(self, count: int) -> None:
        """The `count` oldest entries are in the catalogue, or refused."""
        with self._guard:
            for _ in range(count):
                self._waiting.popleft()
            if self._descriptor is None:
                return
            if self._waiting:
                # An entry that is sent twice is stored once: no need to be sure of the mark.
                with suppress(MarrowError):
                    self._append(f'{{"sent": {count}}}\n'.encode(), is_synced=False)
            else:
                os.ftruncate(self._descriptor, 0)

    def keep_aside(self, entry: Entry, reason: str) -> Path:
        """Write an entry that the catalogue refused to a file of its own; returns the file."""
        path = self._folder / REFUSED
        line = json.dumps({"reason": reason, **entry.model_dump(exclude_defaults=True)})
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(descriptor, "a", encoding="utf-8") as file:
            file.write(f"{line}\n")
            file.flush()
            os.fsync(file.fileno())
        return path

    def close(self) -> None:
        """Leave the journal to the next viewer, or take it away where nothing waits."""
        with self._guard:
            if self._descriptor is None:
                return
            os.close(self._descriptor)
            self._descriptor = None
            if not self._waiting:
                self._path.unlink(missing_ok=True)
                _lock_of(self._path).unlink(missing_ok=True)
            self._lock.release()

    def _append(self, lines: bytes, *, is_synced: bool) -> None:
        if self._descriptor is None:
            raise MarrowError("The study was closed: open it again to label and to draw")
        length = os.fstat(self._descriptor).st_size
        try:
            written = 0
            while written < len(lines):
                written += os.write(self._descriptor, lines[written:])
            if is_synced:
                os.fsync(self._descriptor)
        except OSError as error:
            with suppress(OSError):  # half a line would spoil the next one
                os.ftruncate(self._descriptor, length)
            raise _not_written(self._folder, error) from error

    def _adopt(self) -> None:
        """Take over the journals of viewers that are no more, the oldest entry first."""
        found: list[Entry] = []
        orphans = list(_orphans(self._folder, self._path))
        for path, _lock in orphans:
            contents = read_journal(path)
            found += contents.waiting
            self.damaged += contents.damaged
        if found:
            self.add(sorted(found, key=lambda entry: entry.at))
        for path, lock in orphans:
            path.unlink()
            _lock_of(path).unlink(missing_ok=True)
            lock.release()


def _orphans(folder: Path, own: Path) -> Iterator[tuple[Path, FileLock]]:
    for path in _journals(folder):
        lock = FileLock(_lock_of(path), mode=0o600)
        if path == own:
            continue
        try:
            lock.acquire(timeout=0)
        except Timeout:  # its viewer lives
            continue
        if path.exists():
            yield path, lock
        else:  # another viewer has adopted it meanwhile
            lock.release()


def _journals(folder: Path) -> Iterable[Path]:
    return (path for path in sorted(folder.glob("*.jsonl")) if path.name != REFUSED)


def _lock_of(path: Path) -> Path:
    return path.with_suffix(".lock")


def _sync_folder(folder: Path) -> None:
    """A new file survives a crash of the machine once its folder is on the disk too."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _not_written(folder: Path, error: OSError) -> MarrowError:
    return MarrowError(
        f"Labels and regions cannot be stored: {folder} cannot be written "
        f"({error.strerror or error}); make room there, or make it writable"
    )
