"""How a job stands and when it is expected to be over, from throughput that was measured."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Literal, NamedTuple

from sqlalchemy import Connection, select

from marrow.catalogue import account, jobs, stops
from marrow.catalogue.schema import worker
from marrow.client import has_worker_installed
from marrow.queue import WORKER_ALIVE_S
from marrow.records import FINISHED, ClassifySpec, Job, Record, SweepSpec
from marrow.settings import Settings
from marrow.statefile import read_state
from marrow.study import Study
from marrow.throughput import PieceRun, end_of, epochs_s, pace_of, work_s
from marrow.times import clock_text

NEWEST_PIECES = 200
"""What was measured last says most about what comes next: a night's first hours may differ."""
EARLIER_JOBS = 20
ENOUGH_PIECES = 3
"""Of a job's own; the first one also loads the model."""


class Outlook(Record):
    """How a job stands just now, and when it is expected to be over."""

    words: str
    """The state as a person says it, with the reason why a job waits."""
    work_s: float | None = None
    """Seconds of work that are left, nights and other jobs left out; None: not known."""
    ends_at: float | None = None
    """Seconds since 1970, UTC; None: not known, see `reason`."""
    nights: int = 1
    """Windows that it takes, this one included."""
    measured_on: Literal["this job", "earlier jobs"] | None = None
    reason: str = ""
    """Why nothing can be said; empty where `ends_at` is known, or the job is over."""


class _Own(NamedTuple):
    """What is left of one job, apart from all others."""

    seconds: float | None
    measured_on: Literal["this job", "earlier jobs"] | None = None
    reason: str = ""


def outlooks(study: Study, wanted: Sequence[Job], *, is_waking: bool = False) -> dict[int, Outlook]:
    """The outlook of each of these jobs, by id.

    `is_waking` says that the agent was told to start a moment ago, if it was not there.
    """
    with study.database.read() as connection:
        at = study.database.now(connection)
        devices = _live_devices(connection, at)
        resting, runs_stopped = stops.resting(connection), stops.runs_stopped(connection)
        unfinished = jobs.unfinished(connection)
        open_ids = {job.id for job in wanted} & {job.id for job in unfinished}
        own = {job.id: _own(connection, job, devices) for job in unfinished} if open_ids else {}
    nobody = "" if devices else _nobody(study.settings, is_waking)
    can_work = bool(devices) or study.settings.is_single_machine  # its agent starts by itself
    found = {}
    working = [job for job in unfinished if job.id not in resting]
    for job in wanted:
        ahead = [] if job.id not in open_ids else _ahead(job, working, at)
        words = _words(job, at, ahead, nobody)
        if job.id not in open_ids or job.state == "cancelling":
            found[job.id] = Outlook(words=words)
        elif job.id in runs_stopped:
            runs = f"{runs_stopped[job.id]} of {len(job.spec['runs'])} runs wait to be resumed"
            words = f"{'stopped' if job.id in resting else words}; {runs}"
            found[job.id] = Outlook(words=words, reason="a person has stopped a part of it")
        elif not can_work and (job.opens_at is None or job.opens_at <= at):
            found[job.id] = Outlook(words=words, reason="no worker is alive")
        else:
            found[job.id] = _outlook(job, own, ahead, at, words)
    return found


def outlook_of(study: Study, job: Job, *, is_waking: bool = False) -> Outlook:
    """The outlook of one job; see `outlooks`."""
    return outlooks(study, [job], is_waking=is_waking)[job.id]


def _outlook(job: Job, own: dict[int, _Own], ahead: list[Job], at: float, words: str) -> Outlook:
    mine = own[job.id]
    if mine.seconds is None:
        return Outlook(words=words, reason=mine.reason)
    waits_s = 0.0
    for earlier in ahead:
        seconds = own[earlier.id].seconds
        if seconds is None:
            reason = f"job {earlier.id} goes first, and {own[earlier.id].reason}"
            return Outlook(words=words, work_s=mine.seconds, reason=reason)
        waits_s += seconds
    end = end_of(waits_s + mine.seconds, at, job.opens_at, job.closes_at, job.night)
    if end is None:
        reason = "it would take more than a year of such nights"
        return Outlook(words=words, work_s=mine.seconds, reason=reason)
    return Outlook(
        words=words,
        work_s=mine.seconds,
        ends_at=end.at,
        nights=end.nights,
        measured_on=mine.measured_on,
    )


def _own(connection: Connection, job: Job, devices: list[str]) -> _Own:
    return (
        _own_smears(connection, job, devices)
        if job.kind == "classify"
        else _own_epochs(connection, job, len(devices))
    )


def _own_smears(connection: Connection, job: Job, devices: list[str]) -> _Own:
    fields, slides = account.left(connection, job.id)
    mine = account.piece_runs(connection, [job.id], NEWEST_PIECES)
    seconds = _seconds(fields, slides, mine, None)
    if seconds is not None and len(mine) >= ENOUGH_PIECES:
        return _Own(seconds, "this job")
    model_id = ClassifySpec.model_validate(job.spec).model_id
    others = account.classified_with(connection, model_id, EARLIER_JOBS)
    earlier = account.piece_runs(connection, others, NEWEST_PIECES)
    same = [run for run in earlier if not devices or _is_one_of(run.device, devices)]
    from_earlier = _seconds(fields, slides, same, len(devices) or None)
    if from_earlier is not None:
        return _Own(from_earlier, "earlier jobs")
    if seconds is not None:
        return _Own(seconds, "this job")
    kind = "slide" if slides and not any(run.is_slide for run in same) else "smear"
    place = "" if not devices or not earlier else " on what works just now"
    return _Own(None, reason=f"no {kind} was measured with m{model_id}{place} yet")


def _seconds(
    fields: int, slides: int, runs: Sequence[PieceRun], workers: int | None
) -> float | None:
    """Seconds of work at the pace of these runs, with so many workers or as many as they had."""
    if not fields and not slides:
        return 0.0
    pace = pace_of(runs)
    if pace is None:
        return None
    # Measured with one worker, its pauses between pieces count; of several they are not known.
    at_once = pace.at_once if workers is None else workers * min(1.0, pace.at_once)
    return work_s(fields, slides, pace, at_once)


def _own_epochs(connection: Connection, job: Job, workers: int) -> _Own:
    """What is left of a sweep: its runs, which so many workers share; not its conclusion."""
    if job.done >= job.total:
        return _Own(None, reason="how long a model is tested is not known")
    spec = SweepSpec.model_validate(job.spec)
    times = account.training_times(connection, job.id)
    first: dict[int, float] = {}
    for run, told_at in times.epochs:
        first.setdefault(run, told_at)
    leads = [
        told_at - times.begun[run]
        for run, told_at in first.items()
        if run in times.begun and told_at > times.begun[run]  # a segment done again began later
    ]
    begun = set(times.begun) & set(first)
    seconds = epochs_s(times.epochs, leads, job.total - job.done, len(spec.runs) - len(begun))
    if seconds is None:
        return _Own(None, reason="a training is measured once two of its epochs are done")
    told = Counter(run for run, _ in times.epochs)
    open_runs = sum(told[number] < run.epochs for number, run in enumerate(spec.runs))
    # A run is one worker's at a time; that the last ones to end leave others idle is not counted.
    return _Own(seconds / max(1, min(workers, open_runs)), "this job")


def _live_devices(connection: Connection, at: float) -> list[str]:
    """The device of each worker that was heard of lately."""
    is_alive = worker.c.seen_at > at - WORKER_ALIVE_S
    return list(connection.execute(select(worker.c.device).where(is_alive)).scalars())


def _is_one_of(computed_on: str, devices: Sequence[str]) -> bool:
    """Whether a prediction's device, `NVIDIA A100 (cuda)`, is that of a worker, `NVIDIA A100`."""
    if not computed_on:
        return False
    is_card = computed_on.endswith(" (cuda)")
    return any(
        computed_on == f"{device} (cuda)" if is_card else device == "cpu" for device in devices
    )


def _ahead(job: Job, unfinished: Sequence[Job], at: float) -> list[Job]:
    """The jobs whose pieces are claimed before those of a job that has not begun."""
    if job.state == "running":
        return []  # what it was measured at includes what it shares the workers with
    begins = max(at, job.opens_at or at)
    return [
        one
        for one in unfinished
        if (one.priority, one.id) < (job.priority, job.id)
        and one.state != "cancelling"
        and (one.opens_at or at) <= begins
    ]


def _words(job: Job, at: float, ahead: list[Job], nobody: str) -> str:
    if job.state in FINISHED:
        return _finished_words(job)
    if job.state == "cancelling":
        return f"being cancelled; {nobody}" if nobody else "being cancelled"
    if job.opens_at is not None and job.opens_at > at:
        clock = clock_text(job.opens_at, at)
        return f"waits until {clock}" if job.started_at is None else f"paused until {clock}"
    if nobody:
        return f"waits: {nobody}" if job.state == "waiting" else f"stands still: {nobody}"
    if ahead:
        return f"waits behind job {ahead[0].id}"
    if job.state == "waiting":
        return "waits for a worker"
    if job.kind == "sweep" and job.done >= job.total:
        return "chooses and tests its models"
    return "runs" if job.closes_at is None else f"runs, until {clock_text(job.closes_at, at)}"


def _nobody(settings: Settings, is_waking: bool) -> str:
    """Why no worker is alive, and what to do."""
    if not settings.is_single_machine:
        return "no worker is alive; start `marrow worker`"
    if not has_worker_installed():
        return 'no worker is installed; pip install "napari-marrow[worker]"'
    if is_waking or read_state(settings.agent_folder / "agent.json") is not None:
        return "the worker is starting"
    return "no worker is alive; `marrow agent start`"


def _finished_words(job: Job) -> str:
    if job.state == "failed":
        return f"failed: {job.error}" if job.error else "failed"
    if job.state == "cancelled":
        return f"cancelled after {job.done} of {job.total}"
    return "done" if not job.failed else f"done, {job.failed} failed"
