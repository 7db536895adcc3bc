"""Smears in folders: which files make one image, and what tells two images apart."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from marrow.errors import NotASmear, UnreachableSmear, UnreadableSmear
from marrow.images.dicom_header import series_uid

Refusal = NotASmear | UnreadableSmear | UnreachableSmear

# Reading is bound by the disk or the network; hashing releases the interpreter lock.
_HASH_THREADS = 4
_IGNORED_SUFFIXES = frozenset(
    {".cfg", ".csv", ".db", ".doc", ".docx", ".htm", ".html", ".ini", ".json", ".log", ".md"}
    | {".ods", ".pdf", ".py", ".rst", ".tmp", ".toml", ".tsv", ".txt", ".xls", ".xlsx", ".xml"}
    | {".yaml", ".yml"}
)
_IGNORED_STEMS = ("license", "licence", "readme", "copying", "notice", "changelog", "checksums")
_IGNORED_NAMES = frozenset({"thumbs.db", "desktop.ini", "dicomdir"})


@dataclass(frozen=True)
class Asset:
    """One smear: one image, of one file or of several.

    Attributes
    ----------
    path : Path
        The file to open, absolute; of a DICOM series the first of its sorted members.
    members : tuple of Path
        All its files, sorted; `(path,)` for a plain file.
    identity : str
        SHA-256 in hexadecimal: of the bytes for one file, over the sorted hashes of the members
        (joined by newlines) for several.
    copies : tuple of Path
        Other files that hold the same image; they make no smear of their own.
    """

    path: Path
    members: tuple[Path, ...]
    identity: str
    copies: tuple[Path, ...] = ()


def find_assets(
    paths: Iterable[Path], on_progress: Callable[[int, int], None] | None = None
) -> tuple[list[Asset], list[Refusal]]:
    """Return the smears in files and folders, and what could not be reached or made one.

    Folders are walked to the bottom, in order of names; tables, texts and hidden files in them
    are passed over in silence, a file given by itself never is. No pixel is decoded: whether an
    asset is a smear is told by `open_smear`. Images of the same content are listed once.

    Parameters
    ----------
    paths : iterable of Path
        Files and folders.
    on_progress : callable, optional
        Called as (files hashed, files in all) from the calling thread.
    """
    refusals: list[Refusal] = []
    groups = _grouped(_walk(paths, refusals), refusals)
    files = [member for members in groups.values() for member in members]
    digests: dict[Path, str] = {}
    with ThreadPoolExecutor(_HASH_THREADS, thread_name_prefix="marrow-hash") as pool:
        for done, (file, digest) in enumerate(zip(files, pool.map(_digest, files), strict=True), 1):
            if isinstance(digest, UnreachableSmear):
                refusals.append(digest)
            else:
                digests[file] = digest
            if on_progress is not None:
                on_progress(done, len(files))
    assets: dict[str, Asset] = {}
    for path, members in sorted(groups.items()):
        if all(member in digests for member in members):
            identity = _identity([digests[member] for member in members])
            first = assets.setdefault(identity, Asset(path, members, identity))
            if first.path != path:
                assets[identity] = replace(first, copies=(*first.copies, path))
    return list(assets.values()), refusals


def require_unchanged(path: Path, members: Sequence[Path], identity: str) -> None:
    """Raise UnreachableSmear unless these files still hold the image of that identity.

    An answer is stored under the identity of a smear: never may it come from other pixels that
    somebody has put in the same place.
    """
    digests = []
    for digest in map(_digest, members):
        if isinstance(digest, UnreachableSmear):
            raise digest
        digests.append(digest)
    if _identity(digests) != identity:
        raise UnreachableSmear(path, "was replaced by another image; import it again")


def _digest(file: Path) -> str | UnreachableSmear:
    try:
        with file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        return UnreachableSmear(file, f"cannot be read: {error.strerror or error}")


def _identity(digests: list[str]) -> str:
    if len(digests) == 1:
        return digests[0]
    return hashlib.sha256("\n".join(sorted(digests)).encode("ascii")).hexdigest()


def _walk(paths: Iterable[Path], refusals: list[Refusal]) -> Iterator[Path]:
    """Yield candidate files, absolute; each may come more than once."""
    for given in paths:
        path = Path(os.path.abspath(given))
        if path.is_dir():
            if is_zarr(path):
                refusals.append(_zarr(path))
            else:
                yield from _walk_folder(path, refusals)
        elif path.exists():
            yield path
            yield from _siblings(path)
        else:
            refusals.append(UnreachableSmear(path, "there is no such file or folder"))


def _walk_folder(top: Path, refusals: list[Refusal]) -> Iterator[Path]:
    def on_error(error: OSError) -> None:
        folder = Path(str(error.filename or top))
        refusals.append(UnreachableSmear(folder, f"cannot be listed: {error.strerror or error}"))

    for name, folders, files in os.walk(top, onerror=on_error):
        here = Path(name)
        slides = {Path(file).stem for file in files if file.lower().endswith(".mrxs")}
        zarrs = {folder for folder in folders if is_zarr(here / folder)}
        refusals.extend(_zarr(here / folder) for folder in sorted(zarrs))
        folders[:] = sorted(
            folder
            for folder in folders
            if not folder.startswith(".") and folder not in slides | zarrs
        )
        for file in sorted(files):
            if not is_ignored(file) and (here / file).is_file():
                yield here / file


def is_ignored(name: str) -> bool:
    """Is a file of this name in a folder surely no image? Hidden files, tables, texts."""
    low = name.lower()
    return (
        low.startswith((".", "~", *_IGNORED_STEMS))
        or low in _IGNORED_NAMES
        or os.path.splitext(low)[1] in _IGNORED_SUFFIXES
    )


def is_zarr(folder: Path) -> bool:
    """Is this folder one Zarr image, whose thousands of files are no images?"""
    marks = ("zarr.json", ".zgroup", ".zattrs", ".zarray")
    return folder.suffix.lower() == ".zarr" or any((folder / mark).is_file() for mark in marks)


def _zarr(folder: Path) -> UnreadableSmear:
    return UnreadableSmear(folder, "is a Zarr image, which is not read; export it as OME-TIFF")


def _siblings(path: Path) -> Iterator[Path]:
    """Yield the other files of the slide that a single DICOM file belongs to."""
    uid = _series(path)
    if uid is not None:
        for other in sorted(path.parent.iterdir()):
            if other != path and other.is_file() and _series(other) == uid:
                yield other


def _series(path: Path) -> str | None:
    """Return the DICOM series of a file; None where there is none (hashing tells of errors)."""
    try:
        return series_uid(path) if path.is_file() else None
    except OSError:
        return None


def _grouped(candidates: Iterable[Path], refusals: list[Refusal]) -> dict[Path, tuple[Path, ...]]:
    """Return the members of each image by the path to open."""
    series: dict[tuple[Path, str], list[Path]] = {}
    groups: dict[Path, tuple[Path, ...]] = {}
    for file in dict.fromkeys(candidates):
        if not file.is_file():
            refusals.append(UnreadableSmear(file, "is no regular file"))
        elif (uid := _series(file)) is not None:
            # openslide looks for the other levels in the same folder only
            series.setdefault((file.parent, uid), []).append(file)
        elif file.suffix.lower() == ".mrxs":
            parts = (part for part in file.with_suffix("").rglob("*") if part.is_file())
            groups[file] = (file, *sorted(parts))
        else:
            groups[file] = (file,)
    for members in series.values():
        members.sort()
        groups[members[0]] = tuple(members)
    return groups
