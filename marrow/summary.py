"""What came of a job, on one page: for a person at seven in the morning, and as JSON."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from pathlib import PurePosixPath, PureWindowsPath

from sqlalchemy import Connection

from marrow.catalogue import account, jobs
from marrow.outlook import Outlook, outlook_of
from marrow.records import ClassifySpec, Job, Record
from marrow.schemes import Scheme
from marrow.study import Study
from marrow.throughput import busy_s

_NUMBER = re.compile(r"\d+")
_FILE_NAME = re.compile(r"^[^/\\:]{1,255}\.\w{1,12}: ")


class Reason(Record):
    """Why some smears, or the runs of a training, failed."""

    reason: str
    """Without the file's name; where numbers differ between the smears, as of the first one."""
    count: int


class Calls(Record):
    """What the model called the smears of a job, for one head."""

    head: str
    n: int
    """Smears with an answer to which the head applies; smears, not patients."""
    counts: dict[str, int]
    """Smears per class, in the scheme's order."""


class Throughput(Record):
    """How fast the finished pieces of a job went."""

    unit: str
    """`smears` or `epochs`."""
    n: int
    """Of that unit, in finished pieces; what was known before costs nothing and is not counted."""
    busy_s: float
    """Seconds in which at least one piece was worked on."""
    per_s: float
    """Of that unit, while pieces ran, all workers together."""


class JobSummary(Record):
    """A job and what came of it so far."""

    at: float
    """When this was looked at, seconds since 1970, UTC."""
    job: Job
    outlook: Outlook
    models: tuple[str, ...]
    """The model that answers, or those that a training has made: m17."""
    known: int
    """Smears that the model had answered before."""
    failed: tuple[Reason, ...]
    """The most frequent first."""
    throughput: Throughput | None
    """None before the first piece is finished."""
    waited_s: float | None
    """From submit to the first claim."""
    duration_s: float | None
    """From the first claim to the end, or to now; nights' pauses included. None: not begun."""
    pieces: int
    pieces_done: int
    attempts: int
    """Claims of all pieces; as many as pieces when nothing went wrong."""
    exceptions: int
    lost_leases: int
    """How often a worker died or hung with a piece."""
    calls: tuple[Calls, ...]
    devices: dict[str, int]
    """What computed the answers, to smears; for a training empty."""
    hidden: int = 0
    """Smears whose calls blind reading hides; `calls` does not count them."""


def summarise(study: Study, job_id: int) -> JobSummary:
    """What came of a job so far.

    Raises
    ------
    NotFound
        If there is no job of that id.
    """
    with study.database.read() as connection:
        now = study.database.now(connection)
        job = jobs.get(connection, job_id)
        counts = account.piece_counts(connection, job_id)
        is_classify = job.kind == "classify"
        came = account.answered(connection, study.scheme, job_id)
        known = account.known(connection, job_id) if is_classify else 0
        failed = failures_of(connection, job)
        throughput = throughput_of(connection, job)
        made = () if is_classify else account.models_of(connection, job_id)
    model_ids = (ClassifySpec.model_validate(job.spec).model_id,) if is_classify else made
    begun = job.started_at
    return JobSummary(
        at=now,
        job=job,
        outlook=outlook_of(study, job),
        models=tuple(f"m{one}" for one in model_ids),
        known=known,
        failed=failed,
        throughput=throughput,
        waited_s=None if begun is None else max(0.0, begun - job.created_at),
        duration_s=None if begun is None else max(0.0, (job.finished_at or now) - begun),
        pieces=counts.pieces,
        pieces_done=counts.done,
        attempts=counts.attempts,
        exceptions=counts.exceptions,
        lost_leases=counts.lost_leases,
        calls=_calls(study.scheme, came.calls) if is_classify else (),
        devices=dict(came.devices.most_common()),
        hidden=came.hidden,
    )


def throughput_of(connection: Connection, job: Job, newest: int | None = None) -> Throughput | None:
    """How fast the pieces of a job went, all or the `newest`; None before the first is done."""
    if job.kind == "classify":
        runs = account.piece_runs(connection, [job.id], newest)
        spans = [(run.started_at, run.finished_at) for run in runs]
        unit, n = "smears", sum(run.smears for run in runs)
    else:
        spans = account.segment_spans(connection, job.id)
        told = account.training_times(connection, job.id).epochs
        unit, n = "epochs", sum(any(a <= at <= b for a, b in spans) for _, at in told)
    busy = busy_s(spans)
    if not n or busy <= 0:
        return None
    return Throughput(unit=unit, n=n, busy_s=busy, per_s=n / busy)


def failures_of(connection: Connection, job: Job) -> tuple[Reason, ...]:
    """Why smears of a classification, or a training, failed; the most frequent reason first."""
    if job.kind == "classify":
        return grouped(account.reasons(connection, job.id))
    return (Reason(reason=job.error, count=max(1, job.failed)),) if job.error else ()


def grouped(reasons: Iterable[tuple[str, str]]) -> tuple[Reason, ...]:
    """Reasons that differ only in the file's name or in numbers become one, with their count.

    Parameters
    ----------
    reasons : iterable of (str, str)
        Reason, which may begin with a file's name, and the path of the smear.
    """
    counts: Counter[str] = Counter()
    shown: dict[str, str] = {}
    for text, path in reasons:
        reason = without_name(text, path)
        key = _NUMBER.sub("#", reason)
        shown.setdefault(key, reason)
        counts[key] += 1
    return tuple(Reason(reason=shown[key], count=count) for key, count in counts.most_common())


def without_name(reason: str, path: str) -> str:
    """The reason without the name of the file that it begins with.

    A smear of several files may name another of them than the one it is known by.
    """
    for name in {PurePosixPath(path).name, PureWindowsPath(path).name}:
        if name and reason.startswith(f"{name}: "):
            return reason[len(name) + 2 :]
    return _FILE_NAME.sub("", reason)


def _calls(scheme: Scheme, counted: Counter[tuple[int, ...]]) -> tuple[Calls, ...]:
    """What was called, head by head, of the smears to which the head applies."""
    counts = {head.name: dict.fromkeys(head.classes, 0) for head in scheme.heads}
    for indices, count in counted.items():
        pairs = zip(scheme.heads, indices, strict=True)
        called = {head.name: head.classes[index] for head, index in pairs}
        for head in scheme.applying(called):
            counts[head.name][called[head.name]] += count
    return tuple(Calls(head=name, n=sum(own.values()), counts=own) for name, own in counts.items())
