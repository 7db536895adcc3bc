"""Rows of the Queue table, and how the workers are."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from marrow.records import FINISHED, Job, WorkerRecord
from napari_marrow.lines.column import Column

SILENT_AFTER_S = 10.0
"""A worker of which nothing was heard for so long is shown as silent."""


@dataclass(frozen=True)
class JobLine:
    """A job in the Queue table."""

    job_id: int
    cells: tuple[str, ...]
    share_done: float
    """0 to 1, failed smears included."""
    can_cancel: bool
    can_retry: bool
    is_finished: bool


@dataclass(frozen=True)
class WorkerWords:
    """The state of the workers in one sentence, and whether somebody should look."""

    text: str
    is_alarming: bool


JOB_COLUMNS = (
    Column("job"),
    Column("kind"),
    Column("state"),
    Column("progress"),
    Column("done", is_number=True),
    Column("failed", is_number=True),
    Column("queued"),
    Column("what happened"),
)


def job_line(job: Job) -> JobLine:
    """A job with its counts; local time of the person who looks."""
    ended = job.done + job.failed
    share = 1.0 if job.total == 0 else min(1.0, ended / job.total)
    cells = (
        f"{job.id}",
        job.kind,
        job.state,
        f"{ended:,} of {job.total:,}",
        f"{job.done:,}",
        f"{job.failed:,}",
        time.strftime("%d %b %H:%M", time.localtime(job.created_at)),
        job.error or "",
    )
    return JobLine(
        job_id=job.id,
        cells=cells,
        share_done=share,
        can_cancel=job.state in {"waiting", "running"},
        can_retry=job.state in FINISHED and (job.failed > 0 or job.state != "done"),
        is_finished=job.is_finished,
    )


def worker_words(workers: Sequence[WorkerRecord], now: float, unfinished: int) -> WorkerWords:
    """How many workers are up, and when one was last heard of.

    Parameters
    ----------
    now : float
        The catalogue's clock, seconds since 1970.
    unfinished : int
        Jobs that wait for a worker; only then silence is alarming.
    """
    waiting = "nothing is queued"
    if unfinished:
        waiting = f"{unfinished} {'job' if unfinished == 1 else 'jobs'} unfinished"
    if not workers:
        return WorkerWords(f"No worker is up · {waiting}", unfinished > 0)
    newest = max(worker.seen_at for worker in workers)
    silent_s = max(0.0, now - newest)
    up = [worker for worker in workers if now - worker.seen_at <= SILENT_AFTER_S]
    heard = f"last contact {_ago(silent_s)}"
    if not up:
        return WorkerWords(f"No worker is up · {heard} · {waiting}", unfinished > 0)
    devices = ", ".join(sorted({worker.device for worker in up}))
    workers_up = f"{len(up)} {'worker' if len(up) == 1 else 'workers'} up ({devices})"
    return WorkerWords(f"{workers_up} · {heard} · {waiting}", is_alarming=False)


def _ago(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s ago"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min ago"
    return f"{seconds / 3600:.0f} h ago"
