"""What lies in the store though nothing will ask for it: checkpoints, caches, broken-off files.

Models and copied smears are never among it. A store may be shared by several hosts: what is
younger than a day may be somebody's work in progress.
"""

from __future__ import annotations

import re
import secrets
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import Connection, delete, select, update

from marrow.catalogue import jobs
from marrow.catalogue.locks import lock_job
from marrow.catalogue.schema import piece
from marrow.catalogue.upkeep import DAY_S
from marrow.errors import NotFound
from marrow.records import SegmentPayload
from marrow.study import Study

RUNS, FEATURES = "runs", "features"
_RUN = re.compile(r"j(\d{1,9})-r(\d{1,6})")
_CACHES = {".safetensors", ".maps", ".json"}
"""Pooled features; maps of a frozen part of the trunk, and what they are of."""
_PART_DAYS = 1.0
"""Nobody writes a file for so long."""


class Leftover(NamedTuple):
    """A file or folder that can go."""

    path: Path
    size: int
    """Bytes."""
    why: str
    job_id: int | None = None
    """Whose checkpoints these are."""
    run: int = 0
    """Of that job."""


def find(study: Study, older_than_days: float, now: float) -> list[Leftover]:
    """Leftovers in the store.

    Parameters
    ----------
    older_than_days : float
        Feature caches that are older go, and checkpoints of trainings that failed or were
        cancelled so long ago: until then `marrow retry` goes on from them.
    now : float
        Seconds since 1970, by the clock that stamps the store's files.
    """
    return [
        *_runs(study, older_than_days),
        *_features(study.store, now - older_than_days * DAY_S),
        *_parts(study.store.rglob(".*.part"), now - _PART_DAYS * DAY_S),
        *_parts(study.settings.home.glob(".*.part"), now - _PART_DAYS * DAY_S),
    ]


def remove(study: Study, found: Leftover, older_than_days: float) -> bool:
    """Remove it, unless somebody needs it again by now; returns whether it is gone."""
    if found.job_id is None:
        return _delete(found.path)
    aside = found.path.with_name(f".{found.path.name}.{secrets.token_hex(6)}.part")
    with study.database.write() as connection:
        # Who retries the job waits for this, and finds either all of its files or none.
        lock_job(connection, found.job_id)
        if _why_over(study, connection, found.job_id, older_than_days) is None:
            return False
        try:
            found.path.rename(aside)
        except OSError:
            return False
        _begin_anew(connection, found.job_id, found.run)
    return _delete(aside)


def _begin_anew(connection: Connection, job_id: int, run: int) -> None:
    """Let the ledger forget what the run has left: a retry of it begins at its beginning.

    So does a run of a sweep without a conclusion that was done: its harvests are gone. With
    them goes a conclusion that waits for a retry; the last run to end adds another.
    """
    if jobs.get(connection, job_id).state == "done":
        return
    mine = select(piece.c.number, piece.c.state, piece.c.payload).where(piece.c.job_id == job_id)
    first = SegmentPayload(run=run, segment=0).model_dump(mode="json")
    for row in connection.execute(mine).all():
        same = piece.c.job_id == job_id, piece.c.number == row.number
        if "run" not in row.payload:
            connection.execute(delete(piece).where(*same))
        elif row.payload["run"] == run and (
            row.state in {"failed", "cancelled"} or row.payload.get("harvests")
        ):
            again = {"payload": first, "state": "cancelled"}
            connection.execute(update(piece).where(*same).values(**again))


def _runs(study: Study, older_than_days: float) -> Iterator[Leftover]:
    for folder in _entries(study.store / RUNS):
        match = _RUN.fullmatch(folder.name)
        if match is None or not folder.is_dir():
            continue
        job_id = int(match.group(1))
        with study.database.read() as connection:
            why = _why_over(study, connection, job_id, older_than_days)
        if why is not None:
            yield Leftover(folder, _size(folder), why, job_id, int(match.group(2)))


def _why_over(study: Study, connection: Connection, job_id: int, days: float) -> str | None:
    """Why a job's checkpoints can go; None if they cannot, or the job is not of this study."""
    try:
        job = jobs.get(connection, job_id)
    except NotFound:
        return None
    if job.kind != "sweep":  # another study's folder: the store is shared
        return None
    if job.state == "done":
        return f"checkpoints of job {job_id}, whose models are stored"
    ended = job.finished_at if job.is_finished else None
    if ended is None or ended > study.database.now(connection) - days * DAY_S:
        return None
    return f"checkpoints of job {job_id}, {job.state} {days:g} days ago or earlier"


def _features(store: Path, before: float) -> Iterator[Leftover]:
    for path in _entries(store / FEATURES):
        if path.suffix in _CACHES and _changed(path) < before:
            yield Leftover(path, _size(path), "features, computed again when asked for")


def _parts(found: Iterable[Path], before: float) -> Iterator[Leftover]:
    for path in sorted(found):
        is_inside_another = any(parent.suffix == ".part" for parent in path.parents)
        if not is_inside_another and not path.is_symlink() and _changed(path) < before:
            yield Leftover(path, _size(path), "broken off while it was written")


def _entries(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if not path.is_symlink())


def _changed(path: Path) -> float:
    """When it was last written, seconds since 1970; of a folder, its newest file."""
    try:
        return max(one.lstat().st_mtime for one in (path, *path.rglob("*")))
    except FileNotFoundError:  # finished, or removed by its writer meanwhile
        return float("inf")


def _size(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else (path,)
    try:
        return sum(one.lstat().st_size for one in files if not one.is_dir())
    except FileNotFoundError:
        return 0


def _delete(path: Path) -> bool:
    try:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    except OSError:
        return False
    return True
