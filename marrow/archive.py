"""Files that hold files: a zip without compression, and a manifest with each file's SHA-256.

Backups and exported models have this form. Weights and images do not shrink, and what is not
compressed cannot unfold to more than the file's own size. The hashes tell damage, not forgery:
take in only what you know the maker of.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO, Any, Generic, Self, TypeVar
from zipfile import ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from pydantic import Field, ValidationError

from marrow.errors import BadBackup, MarrowError
from marrow.records import Record
from marrow.schemes import first_fault

FORMAT = 1
CATALOGUE, STORE = "catalogue.sqlite", "store/"
_MANIFEST = "manifest.json"
_MAX_MANIFEST_BYTES = 512 * 1024**2
"""A file takes about 200 bytes of it: room for two million copied smears."""
_CHUNK_BYTES = 1024**2
_ENCRYPTED = 0x1

OnProgress = Callable[[int, int], None]
"""Called with the bytes done and the bytes in all."""


class StoredFile(Record):
    """A file as it must be found again."""

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    size: int = Field(ge=0)
    """Bytes."""


class Manifest(Record):
    """What an archive holds."""

    format: int
    created: str
    """ISO 8601, UTC."""
    version: str
    """Of napari-marrow."""
    files: dict[str, StoredFile]
    """By name."""

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(one.size for one in self.files.values())


class BackupManifest(Manifest):
    """Of a backup: `catalogue.sqlite`, and `store/` with the path below the store."""

    revision: str = Field(pattern=r"^\d{4}$")
    """Of the catalogue's schema."""


M = TypeVar("M", bound=Manifest)


@dataclass(frozen=True)
class Form(Generic[M]):
    """A kind of archive, and the words in which one that is none is refused."""

    name: str
    manifest: type[M]
    is_member: Callable[[str], bool]
    """Whether a file of this name may be in it."""
    stray: str
    """Of a name that may not: what is wrong with it."""
    needed: tuple[tuple[str, str], ...]
    """Name of each file that must be in it, and what that is."""
    error: type[MarrowError]
    remedy: str


class ArchiveWriter:
    """Adds files to an archive that is being written, and at last the manifest."""

    def __init__(self, file: IO[bytes], total: int, on_progress: OnProgress | None) -> None:
        self._zip = ZipFile(file, "w", ZIP_STORED)
        self._files: dict[str, StoredFile] = {}
        self._done, self._total = 0, total
        self._on_progress = on_progress or (lambda *_: None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._zip.close()

    def add(self, name: str, source: IO[bytes]) -> StoredFile:
        """Add a file under this name; one that is there already is not added twice."""
        if name in self._files:
            return self._files[name]
        digest, size = hashlib.sha256(), 0
        with self._zip.open(name, "w", force_zip64=True) as into:
            while chunk := source.read(_CHUNK_BYTES):
                digest.update(chunk)
                into.write(chunk)
                size += len(chunk)
                self._done += len(chunk)
                self._on_progress(self._done, self._total)
        self._files[name] = StoredFile(sha256=digest.hexdigest(), size=size)
        return self._files[name]

    def finish(self, revision: str) -> BackupManifest:
        """Write a backup's manifest; `revision` is that of the catalogue's schema."""
        return self.seal(BackupManifest, revision=revision)

    def seal(self, kind: type[M], **facts: Any) -> M:
        """Write the manifest, with the facts that this kind has besides the files."""
        manifest = kind(
            format=FORMAT,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            version=version("napari-marrow"),
            files=self._files,
            **facts,
        )
        self._zip.writestr(_MANIFEST, manifest.model_dump_json(indent=1))
        return manifest


class ArchiveReader(Generic[M]):
    """An archive that is being read; use `open_archive`. Its form has been checked."""

    def __init__(self, path: Path, archive: ZipFile, form: Form[M]) -> None:
        self._path, self._zip, self._form = path, archive, form
        entries = archive.infolist()
        for entry in entries:
            self._check_entry(entry)
        sizes = {entry.filename: entry.file_size for entry in entries}
        if len(sizes) != len(entries):
            raise self._refusal("two files in it have one name")
        if sum(sizes.values()) > path.stat().st_size:
            raise self._refusal("its files would be larger than itself")
        self.manifest = self._read_manifest(sizes.pop(_MANIFEST, None))
        wanted = {name: one.size for name, one in self.manifest.files.items()}
        for name, what in form.needed:
            if name not in wanted:
                raise self._refusal(f"it holds no {what}")
        for name in sorted({*sizes, *wanted}):
            if sizes.get(name) != wanted.get(name):
                raise self._refusal(f"{name} is not as its manifest says")

    def extract(self, name: str, target: Path, on_bytes: Callable[[int], None]) -> None:
        """Write a file to `target`, which must not exist, and to the disk.

        Raises
        ------
        MarrowError
            The form's own, if it is damaged; then the target holds what is not to be used.
        """
        digest = hashlib.sha256()
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with target.open("xb") as into, self._zip.open(name) as source:
                while chunk := source.read(_CHUNK_BYTES):
                    digest.update(chunk)
                    into.write(chunk)
                    on_bytes(len(chunk))
                into.flush()
                os.fsync(into.fileno())
        except (BadZipFile, EOFError) as error:
            raise self._refusal(f"{name} is damaged") from error
        if digest.hexdigest() != self.manifest.files[name].sha256:
            raise self._refusal(f"{name} is damaged (another SHA-256)")

    def _check_entry(self, entry: ZipInfo) -> None:
        """Refuse what could be written elsewhere, or unfold to more than it is."""
        name = entry.filename
        kind = stat.S_IFMT(entry.external_attr >> 16)
        if name != _MANIFEST and not self._form.is_member(name):
            raise self._refusal(f"the name {name[:80]!r} {self._form.stray}")
        if kind not in (0, stat.S_IFREG) or name.endswith("/"):
            raise self._refusal(f"{name} is a link or a folder, wanted files alone")
        if entry.compress_type != ZIP_STORED or entry.flag_bits & _ENCRYPTED:
            raise self._refusal(f"{name} is compressed or encrypted, which no {self._form.name} is")

    def _read_manifest(self, size: int | None) -> M:
        if size is None or size > _MAX_MANIFEST_BYTES:
            raise self._refusal(f"no {self._form.name}: it has no {_MANIFEST} of a likely size")
        try:
            said = json.loads(self._zip.read(_MANIFEST))
        except (BadZipFile, EOFError, ValueError) as error:
            raise self._refusal(f"{_MANIFEST} is damaged") from error
        # First of all: what a newer form has besides is no fault of the file.
        if isinstance(said, dict) and said.get("format") not in (None, FORMAT):
            raise self._refusal("a newer napari-marrow wrote it: update napari-marrow")
        try:
            return self._form.manifest.model_validate(said)
        except ValidationError as error:
            raise self._refusal(f"{_MANIFEST}: {first_fault(error)}") from error

    def _refusal(self, reason: str) -> MarrowError:
        return self._form.error(f"{self._path}: {reason}; {self._form.remedy}")


@contextmanager
def open_archive(path: Path, form: Form[M]) -> Iterator[ArchiveReader[M]]:
    """An archive to read.

    Raises
    ------
    MarrowError
        The form's own, if it cannot be read, or holds anything that none of its kind holds.
    """
    try:
        with ZipFile(path) as archive:
            yield ArchiveReader(path, archive, form)
    except (BadZipFile, NotImplementedError) as error:
        reason = "no zip, or one that was cut off"
        raise form.error(f"{path}: {reason}; {form.remedy}") from error


def _is_in_backup(name: str) -> bool:
    """Whether it is the catalogue, or a path that stays below the store."""
    if name == CATALOGUE:
        return True
    inside = PurePosixPath(name)
    return (
        name.startswith(STORE)
        and inside.as_posix() == name.removesuffix("/")
        and len(inside.parts) > 1
        and ".." not in inside.parts
        and not any(sign in name for sign in "\\\0")
        and not any(PureWindowsPath(part).drive for part in inside.parts)
    )


BACKUP = Form(
    name="backup of a study",
    manifest=BackupManifest,
    is_member=_is_in_backup,
    stray="would lead out of the study",
    needed=((CATALOGUE, "catalogue"),),
    error=BadBackup,
    remedy="use another backup",
)
"""The form of `marrow backup`."""
