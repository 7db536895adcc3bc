"""How long smears would take that are not queued yet, from what was measured before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from marrow.catalogue import account, jobs, models
from marrow.catalogue.database import IN_LIMIT
from marrow.catalogue.schema import smear
from marrow.outlook import EARLIER_JOBS, NEWEST_PIECES, outlooks
from marrow.records import Job, ModelRecord, Night
from marrow.study import Study
from marrow.throughput import end_of, pace_of, work_s
from marrow.times import clock_text, duration_text
from marrow.windows import opening


@dataclass(frozen=True)
class _Work:
    model: ModelRecord | None
    known: int
    """Smears that the model has answered before: they cost nothing."""
    left: int
    seconds: float | None
    """Of the smears that are left; None: none of their kind was measured."""


def prospect(study: Study, ids: Sequence[int], model_id: int | None, night: Night | None) -> str:
    """`Expected 41 min, done about 23:12`, or why that is not known; a sentence."""
    with study.database.read() as connection:
        now = study.database.now(connection)
        work = _work(connection, ids, model_id)
        open_jobs = jobs.unfinished(connection)
    if work.model is None:
        return "There is no model yet: train one in the Retrain tab."
    known = f"{work.known:,} have an answer of {work.model.name} already. " if work.known else ""
    if not work.left:
        return f"{known}Nothing is left to compute."
    if work.seconds is None:
        return f"{known}How long it takes is not known: {work.model.name} was not measured yet."
    opens_at, closes_at = (None, None) if night is None else opening(night, now)
    waits = _waits(study, open_jobs, night is not None, max(now, opens_at or now))
    duration = f"{known}Expected {duration_text(work.seconds)}"
    unknown = next((job_id for job_id, seconds in waits.items() if seconds is None), None)
    if unknown is not None:
        return f"{duration}, after job {unknown} whose end is not known."
    total = work.seconds + sum(seconds or 0.0 for seconds in waits.values())
    end = end_of(total, now, opens_at, closes_at, night)
    if end is None:
        return f"{duration}; it would take more than a year of such nights."
    nights = f" in {end.nights} nights" if end.nights > 1 else ""
    return f"{duration}{_begins(opens_at, now)}, done about {clock_text(end.at, now)}{nights}."


def _waits(
    study: Study, open_jobs: Sequence[Job], is_night: bool, begins: float
) -> dict[int, float | None]:
    """Seconds of work of each job that goes first, None: not known; by job."""
    ahead = [
        one
        for one in open_jobs
        if one.state != "cancelling"
        and (is_night or one.priority == "interactive")
        and (one.opens_at or begins) <= begins
    ]
    return {job_id: one.work_s for job_id, one in outlooks(study, ahead).items()}


def _begins(opens_at: float | None, now: float) -> str:
    if opens_at is None:
        return ""
    if opens_at <= now:
        return ", in the night that has begun"
    return f", from {clock_text(opens_at, now)}"


def _work(connection: Connection, ids: Sequence[int], model_id: int | None) -> _Work:
    model = models.champion(connection) if model_id is None else models.get(connection, model_id)
    if model is None:
        return _Work(None, 0, len(ids), None)
    known = jobs.known_predictions(connection, model, ids)
    left = [one for one in ids if one not in known]
    slides = _count_slides(connection, left)
    earlier = account.classified_with(connection, model.id, EARLIER_JOBS)
    pace = pace_of(account.piece_runs(connection, earlier, NEWEST_PIECES))
    seconds = None
    if pace is not None:
        seconds = work_s(len(left) - slides, slides, pace, max(pace.at_once, 1e-9))
    return _Work(model, len(known), len(left), seconds)


def _count_slides(connection: Connection, ids: Sequence[int]) -> int:
    counted = select(func.count()).select_from(smear).where(smear.c.is_slide)
    chunks = (ids[start : start + IN_LIMIT] for start in range(0, len(ids), IN_LIMIT))
    return sum(
        connection.execute(counted.where(smear.c.id.in_(chunk))).scalar_one() for chunk in chunks
    )
