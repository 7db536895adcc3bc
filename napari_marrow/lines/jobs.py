"""Rows of the Queue table, what a job asks for, and why it stands as it does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from marrow.outlook import Outlook
from marrow.records import FINISHED, Job, ModelRecord, SweepSpec
from marrow.summary import Reason
from marrow.times import clock_text, duration_text
from napari_marrow.lines.column import NOTHING, Column

REASONS_SHOWN = 12
"""The most frequent reasons; the Results tab lists each smear."""

JOB_COLUMNS = (
    Column("job"),
    Column("smears"),
    Column("state"),
    Column("progress"),
    Column("eta"),
    Column("tries", is_number=True),
    Column("started"),
)
PROGRESS = 3
"""Column that is drawn as a bar."""


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
    is_training: bool = False
    question: str = ""
    """What a person is asked who wants to cancel it: what stays and what is lost."""
    ending: str = ""
    """What is said when it is over; empty before."""
    is_failed: bool = False
    """Whether anything of it failed."""
    hint: str = ""
    """All of the state, where the cell is too narrow."""


@dataclass(frozen=True)
class Tries:
    """How often the pieces of a job were begun."""

    most: int
    """Of one piece; 0 before the first is begun, 1 where all went well."""
    lost: int
    """How often a worker died with a piece."""
    broken: int
    """How often a piece ended with an exception."""


UNTRIED = Tries(0, 0, 0)


def job_line(job: Job, outlook: Outlook, tries: Tries, now: float) -> JobLine:
    """A job with its counts and its outlook; clock times of the person who looks.

    Parameters
    ----------
    now : float
        The catalogue's clock, seconds since 1970.
    """
    ended = job.done + job.failed
    state = _state(outlook)
    cells = (
        f"{job.id}",
        asked_text(job),
        state,
        _progress(job),
        _eta(job, outlook, now),
        f"{tries.most}" if tries.most else NOTHING,
        NOTHING if job.started_at is None else clock_text(job.started_at, now),
    )
    return JobLine(
        job_id=job.id,
        cells=cells,
        share_done=1.0 if job.total == 0 else min(1.0, ended / job.total),
        can_cancel=job.state in {"waiting", "running"},
        can_retry=_can_retry(job),
        is_finished=job.is_finished,
        is_training=job.kind == "sweep",
        question=_question(job),
        ending=_ending(job) if job.is_finished else "",
        is_failed=job.failed > 0 or job.state == "failed",
        hint="\n".join(filter(None, (state, *_mishaps(tries)))),
    )


def _can_retry(job: Job) -> bool:
    """Whether something is left that a retry would do; a job may be cancelled when all is done."""
    is_broken_off = job.state != "done" and (job.kind == "sweep" or job.done < job.total)
    return job.state in FINISHED and (job.failed > 0 or is_broken_off)


def asked_text(job: Job) -> str:
    """`312 with m17`, `training of 9 cells`."""
    if job.kind == "classify":
        return f"{job.total:,} with m{job.spec['model_id']}"
    cells = len(SweepSpec.model_validate(job.spec).cells)
    return f"training of {cells} {'cell' if cells == 1 else 'cells'}"


def model_choice_words(model: ModelRecord) -> str:
    """`m17 champion · resnet50, 200 epochs, 1:9`; and seed2022, where that is its protocol."""
    training = model.card.get("training", {})
    weights = ":".join(f"{weight:g}" for weight in training.get("loss_weights", ()))
    epochs = f"{training['epochs']} epochs" if "epochs" in training else ""
    replicated = "seed2022" if training.get("protocol") == "seed2022" else ""
    backbone = str(model.card.get("backbone", ""))
    facts = ", ".join(filter(None, (backbone, epochs, weights, replicated)))
    name = f"{model.name} champion" if model.is_champion else model.name
    return f"{name} · {facts}" if facts else name


def why_text(
    job: Job, outlook: Outlook, failed: Sequence[Reason], known: int, tries: Tries, now: float
) -> str:
    """Why a job stands as it does: what it waits for, what failed, and what was tried again.

    Parameters
    ----------
    failed : sequence of Reason
        The most frequent first.
    known : int
        Smears that the model had answered before.
    now : float
        The catalogue's clock, seconds since 1970.
    """
    lines = [f"Job {job.id}, {asked_text(job)}: {_state(outlook)}."]
    if outlook.ends_at is not None and outlook.work_s is not None:
        lines.append(f"{_expected(outlook, now)}.")
    elif outlook.reason:
        lines.append(f"When it ends is not known: {outlook.reason}.")
    if known:
        lines.append(f"{_smears(known)} had an answer of this model before.")
    if failed:
        lines.append(f"Failed, of {_smears(job.total)}:" if job.kind == "classify" else "Failed:")
    shown, rest = failed[:REASONS_SHOWN], failed[REASONS_SHOWN:]
    lines += [f"    {one.count:,} ×  {one.reason}" for one in shown]
    if rest:
        lines.append(f"    {sum(one.count for one in rest):,} ×  {len(rest)} other reasons")
    if job.state == "done" and not failed:
        lines.append("Nothing failed.")
    return "\n".join([*lines, *_mishaps(tries)])


def _expected(outlook: Outlook, now: float) -> str:
    """`About 12 min of work, as measured on this job: done at 23:12`; where that is known."""
    nights = f" after {outlook.nights} nights" if outlook.nights > 1 else ""
    measured = f", as measured on {outlook.measured_on}" if outlook.measured_on else ""
    work, ends = duration_text(outlook.work_s or 0), clock_text(outlook.ends_at or now, now)
    return f"About {work} of work{measured}: done at {ends}{nights}"


def _state(outlook: Outlook) -> str:
    # A person looks for the word that the button has.
    return outlook.words.replace("being cancelled", "cancelling")


def _progress(job: Job) -> str:
    unit = " epochs" if job.kind == "sweep" else ""
    text = f"{job.done + job.failed:,} of {job.total:,}{unit}"
    return f"{text}, {job.failed:,} failed" if job.failed and job.kind == "classify" else text


def _eta(job: Job, outlook: Outlook, now: float) -> str:
    if job.finished_at is not None:
        return f"ended {clock_text(job.finished_at, now)}"
    if outlook.ends_at is None:
        return "not known" if outlook.reason else NOTHING
    left = max(0.0, outlook.ends_at - now)
    return f"{clock_text(outlook.ends_at, now)} (in {duration_text(left)})"


def _question(job: Job) -> str:
    if job.kind == "sweep":
        return (
            f"Cancel training job {job.id}?\n\n{job.done:,} of {job.total:,} epochs are done. "
            "No model comes of it; “Retry” goes on from its last checkpoints."
        )
    left = max(0, job.total - job.done - job.failed)
    kept = f"{_smears(job.done)} with an answer keep it" if job.done else "No smear has an answer"
    return (
        f"Cancel job {job.id}?\n\n{kept}; {_smears(left)} will not be classified. "
        "“Retry” queues them again."
    )


def _ending(job: Job) -> str:
    if job.kind == "sweep":
        reason = f": {job.error}" if job.error else ""
        return f"Training job {job.id} is over ({job.state}){reason}."
    return f"Job {job.id} is over ({job.state}): {job.done:,} classified, {job.failed:,} failed."


def _mishaps(tries: Tries) -> Sequence[str]:
    said = []
    if tries.lost:
        said.append(f"A worker died {_times(tries.lost)} with a part of it, which was done again.")
    if tries.broken:
        said.append(f"A part of it broke off {_times(tries.broken)}; the worker's log says where.")
    return said


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count:,} times"


def _smears(count: int) -> str:
    return f"{count:,} {'smear' if count == 1 else 'smears'}"
