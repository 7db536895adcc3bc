"""The form of a backup: a zip without compression, and a manifest with each file's SHA-256.

Weights and images do not shrink, and what is not compressed cannot unfold to more than the
file's own size. The hashes tell damage, not forgery: restore only what you have backed up.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO, Self
from zipfile import ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from pydantic import Field, ValidationError

from marrow.errors import BadBackup
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
    """What a backup holds."""

    format: int
    revision: str = Field(pattern=r"^\d{4}$")
    """Of the catalogue's schema."""
    created: str
    """ISO 8601, UTC."""
    version: str
    """Of napari-marrow."""
    files: dict[str, StoredFile]
    """By name: `catalogue.sqlite`, and `store/` with the path below the store."""

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(one.size for one in self.files.values())


class ArchiveWriter:
    """Adds files to a backup that is being written, and at last the manifest."""

    def __init__(self, file: IO[bytes], total: int, on_progress: OnProgress | None) -> None:
        self._zip = ZipFile(file, "w", ZIP_STORED)
        self._files: dict[str, StoredFile] = {}
        self._done, self._total = 0, total
        self._on_progress = on_progress or (lambda *_: None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._zip.close()

    def add(self, name: str, source: IO[bytes]) -> None:
        """Add a file under this name; one that is there already is not added twice."""
        if name in self._files:
            return
        digest, size = hashlib.sha256(), 0
        with self._zip.open(name, "w", force_zip64=True) as into:
            while chunk := source.read(_CHUNK_BYTES):
                digest.update(chunk)
                into.write(chunk)
                size += len(chunk)
                self._done += len(chunk)
                self._on_progress(self._done, self._total)
        self._files[name] = StoredFile(sha256=digest.hexdigest(), size=size)

    def finish(self, revision: str) -> Manifest:
        """Write the manifest; `revision` is that of the catalogue's schema."""
        manifest = Manifest(
            format=FORMAT,
            revision=revision,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            version=version("napari-marrow"),
            files=self._files,
        )
        self._zip.writestr(_MANIFEST, manifest.model_dump_json(indent=1))
        return manifest


class ArchiveReader:
    """A backup that is being read; use `open_archive`. Its form has been checked."""

    def __init__(self, path: Path, archive: ZipFile) -> None:
        self._path, self._zip = path, archive
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
        if CATALOGUE not in wanted:
            raise self._refusal("it holds no catalogue")
        for name in sorted({*sizes, *wanted}):
            if sizes.get(name) != wanted.get(name):
                raise self._refusal(f"{name} is not as its manifest says")

    def extract(self, name: str, target: Path, on_bytes: Callable[[int], None]) -> None:
        """Write a file to `target`, which must not exist, and to the disk.

        Raises
        ------
        BadBackup
            If it is damaged; then the target holds what is not to be used.
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
        if not _is_plain(name):
            raise self._refusal(f"the name {name[:80]!r} would lead out of the study")
        if kind not in (0, stat.S_IFREG) or name.endswith("/"):
            raise self._refusal(f"{name} is a link or a folder, wanted files alone")
        if entry.compress_type != ZIP_STORED or entry.flag_bits & _ENCRYPTED:
            raise self._refusal(f"{name} is compressed or encrypted, which no backup is")

    def _read_manifest(self, size: int | None) -> Manifest:
        if size is None or size > _MAX_MANIFEST_BYTES:
            raise self._refusal(f"no backup of a study: it has no {_MANIFEST} of a likely size")
        try:
            said = json.loads(self._zip.read(_MANIFEST))
        except (BadZipFile, EOFError, ValueError) as error:
            raise self._refusal(f"{_MANIFEST} is damaged") from error
        # First of all: what a newer form has besides is no fault of the file.
        if isinstance(said, dict) and said.get("format") not in (None, FORMAT):
            raise self._refusal("a newer napari-marrow wrote it: update napari-marrow")
        try:
            return Manifest.model_validate(said)
        except ValidationError as error:
            raise self._refusal(f"{_MANIFEST}: {first_fault(error)}") from error

    def _refusal(self, reason: str) -> BadBackup:
        return BadBackup(f"{self._path}: {reason}; use another backup")


@contextmanager
def open_archive(path: Path) -> Iterator[ArchiveReader]:
    """A backup to read.

    Raises
    ------
    BadBackup
        If it cannot be read, or holds anything that no backup holds.
    """
    try:
        with ZipFile(path) as archive:
            yield ArchiveReader(path, archive)
    except (BadZipFile, NotImplementedError) as error:
        reason = "no zip, or one that was cut off"
        raise BadBackup(f"{path}: {reason}; use another backup") from error


def _is_plain(name: str) -> bool:
    """Whether it is the manifest, the catalogue, or a path that stays below the store."""
    if name in (_MANIFEST, CATALOGUE):
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
