"""Rows of the tables as ready-made strings: all formatting is done before the GUI thread."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from marrow.catalogue.predictions import ResultRow
from marrow.catalogue.smears import SmearRow
from marrow.records import FINISHED, Job, Prediction, Smear, WorkerRecord
from marrow.schemes import Scheme

SILENT_AFTER_S = 10.0
"""A worker of which nothing was heard for so long is shown as silent."""

NOTHING = "–"
"""What a table shows where there is no answer."""


@dataclass(frozen=True)
class Column:
    """One column of a table: its header and what the catalogue calls it when it sorts by it."""

    title: str
    sort_key: str | None = None
    is_number: bool = False


@dataclass(frozen=True)
class CaseLine:
    """A smear in the Cases list."""

    smear_id: int
    cells: tuple[str, ...]
    hint: str = ""
    """Where its file lies."""


@dataclass(frozen=True)
class ResultLine:
    """A smear in the Results table, with what is needed to open it."""

    smear_id: int
    prediction_id: int | None
    cells: tuple[str, ...]
    calls: Mapping[str, str]
    """The called class of each head; empty where there is an error."""
    error: str | None = None


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


def case_columns(scheme: Scheme) -> tuple[Column, ...]:
    """Smear, patient, site, then one column per head that is asked."""
    asked = scheme.asked
    titles = ["label"] if len(asked) == 1 else [head.name for head in asked]
    return (Column("smear"), Column("patient"), Column("site"), *map(Column, titles))


def case_line(scheme: Scheme, row: SmearRow) -> CaseLine:
    """A smear with its description and its standing answers."""
    smear = row.smear
    answers = [row.answers.get(head.name, "") for head in scheme.asked]
    cells = (smear.name, smear.patient or "", smear.site or "", *answers)
    return CaseLine(smear.id, cells, f"{smear.root}: {smear.path}")


def result_columns(scheme: Scheme) -> tuple[Column, ...]:
    """Smear, patient; per head the call and the probability of each class; flags, label, model."""
    columns = [Column("smear", "smear"), Column("patient", "patient")]
    for head in scheme.heads:
        columns.append(Column(head.name, f"call:{head.name}"))
        columns += [
            Column(f"p {name}", f"p:{head.name}:{name}", is_number=True) for name in head.classes
        ]
    return (*columns, Column("flags"), Column("label"), Column("model"))


def result_line(scheme: Scheme, row: ResultRow) -> ResultLine:
    """One finished smear; an error stands where the first call would be."""
    answers = [] if row.prediction is None else list(row.prediction.answer.heads)
    by_head = {answer.head: answer for answer in answers}
    cells = [row.smear.name, row.smear.patient or NOTHING]
    for head in scheme.heads:
        answer = by_head.get(head.name)
        if answer is None:
            cells += [NOTHING] * (1 + len(head.classes))
        else:
            cells += [answer.call, *(f"{p:.3f}" for p in answer.probabilities)]
    if row.error is not None:
        cells[2] = f"error: {row.error}"
    flags = "" if row.prediction is None else ", ".join(row.prediction.answer.flags)
    label = ", ".join(row.label[head.name] for head in scheme.asked if head.name in row.label)
    return ResultLine(
        smear_id=row.smear.id,
        prediction_id=None if row.prediction is None else row.prediction.id,
        cells=(*cells, flags, label or NOTHING, row.model_name),
        calls={} if row.prediction is None else row.prediction.answer.calls,
        error=row.error,
    )


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


def smear_words(smear: Smear, prediction: Prediction | None) -> str:
    """What stands on the canvas: the smear, its size, and a line per answer of the model."""
    size = f"{smear.width_px:,} x {smear.height_px:,} px"
    if smear.pixel_size_um is None:
        size += ", pixel size unknown"
    lines = [f"{smear.name} · {smear.patient or 'no patient'}", size]
    if prediction is not None:
        lines += [
            f"{answer.head}: {answer.call} {max(answer.probabilities):.2f}"
            for answer in prediction.answer.heads
        ]
    return "\n".join(lines)
