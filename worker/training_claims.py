"""Finishing the pieces of a sweep: a segment, the last one of a run, and the conclusion.

As in `worker/claims.py` each is one transaction behind the fence. The conclusion is a piece of
its own, which whoever ends the last run adds in the same transaction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pydantic import TypeAdapter
from sqlalchemy import Connection, select, update

from marrow.catalogue import jobs, models, stops
from marrow.catalogue.locks import lock_job, lock_study
from marrow.catalogue.models import Answers
from marrow.catalogue.schema import event, job, piece
from marrow.errors import Cancelled, LeaseLost
from marrow.records import (
    CheckpointRef,
    Claim,
    ConclusionPayload,
    HarvestRef,
    Precision,
    SegmentPayload,
    SweepSpec,
)
from marrow.study import Study
from worker.claims import close_piece, fence
from worker.settling import is_piece

_PAYLOAD: TypeAdapter[SegmentPayload | ConclusionPayload] = TypeAdapter(
    SegmentPayload | ConclusionPayload
)


class NewModel(NamedTuple):
    """A model that a sweep leaves, and the looks that were taken with it."""

    sha256: str
    path: str
    """Posix path of the model's folder below the store."""
    preprocessing: str
    precision: Precision
    card: dict[str, Any]
    scorings: Mapping[str, tuple[dict[str, Any], Answers, dict[str, Any]]] = {}
    """Figures, answers and facts by side."""
    cells: tuple[int, ...] = ()
    """Indices of the sweep's cells that it is the model of."""


def payload_of(held: Claim) -> SegmentPayload | ConclusionPayload:
    """What a piece of a sweep asks for."""
    return _PAYLOAD.validate_python(held.payload)


def finish_segment(
    study: Study, held: Claim, payload: SegmentPayload, checkpoint: CheckpointRef
) -> None:
    """Store the end of a segment that leaves a checkpoint, and add the one that goes on from it.

    Raises
    ------
    LeaseLost
        If the piece belongs to another worker by now; its checkpoint does not count.
    """
    following = SegmentPayload(run=payload.run, segment=payload.segment + 1, checkpoint=checkpoint)
    with study.database.write() as connection:
        at = study.database.now(connection)
        close_piece(connection, at, held, "done")
        jobs.add_training(connection, held.job_id, following)
        jobs.close_if_over(connection, at, held.job_id)


def finish_run(
    study: Study, held: Claim, payload: SegmentPayload, harvests: Sequence[HarvestRef]
) -> None:
    """Store what a finished run leaves; the last run of a sweep adds its conclusion.

    Raises
    ------
    LeaseLost
        If the piece belongs to another worker by now; its harvests do not count.
    """
    done = payload.model_copy(update={"harvests": tuple(harvests)})
    with study.database.write() as connection:
        at = study.database.now(connection)
        close_piece(connection, at, held, "done")  # this holds the job: runs end one by one
        connection.execute(
            update(piece)
            .where(is_piece(held.job_id, held.number))
            .values(payload=done.model_dump(mode="json"))
        )
        stops.forget_run(connection, held.job_id, payload.run)
        spec = SweepSpec.model_validate(jobs.get(connection, held.job_id).spec)
        left = _harvests(connection, held.job_id)
        if left.keys() == set(range(len(spec.runs))):
            conclusion = ConclusionPayload(harvests=tuple(left[run] for run in sorted(left)))
            jobs.add_training(connection, held.job_id, conclusion)
            news = {"text": "all epochs are done; the model is chosen and tested"}
            jobs.append_event(connection, at, held.job_id, "note", news)
        jobs.close_if_over(connection, at, held.job_id)


def finish_conclusion(study: Study, held: Claim, made: Sequence[NewModel]) -> None:
    """Register the models of a sweep, the chosen one first, and each look at their sides, once.

    Raises
    ------
    LeaseLost
        If the piece belongs to another worker by now; nothing is registered.
    Cancelled
        If somebody asked for the job to stop meanwhile: a cancelled sweep leaves no models.
    """
    with study.database.write() as connection:
        lock_study(connection)
        at = study.database.now(connection)
        close_piece(connection, at, held, "done")
        if jobs.get(connection, held.job_id).state == "cancelling":
            raise Cancelled(f"Job {held.job_id} is being cancelled")
        news = []
        for number, one in enumerate(made):
            registered = models.register(
                connection,
                at,
                sha256=one.sha256,
                path=one.path,
                preprocessing=one.preprocessing,
                precision=one.precision,
                card=one.card,
                job_id=held.job_id,
            )
            for side, look in one.scorings.items():
                models.record_scoring(connection, at, registered.id, side, *look)
            told = {"model": registered.name, "cells": list(one.cells), "chosen": number == 0}
            told["metric"] = one.card.get("selection", {}).get("metric")
            news.append({**told, "looks_at_test": models.looks(connection, "test")})
        jobs.append_events(connection, at, held.job_id, "model", news)
        jobs.close_if_over(connection, at, held.job_id)


def report_epochs(study: Study, held: Claim, figures: Sequence[Mapping[str, Any]]) -> None:
    """Tell the job's followers of epochs of one run, in order; what was told before (by a
    segment that is done again after a kill) is not told twice.

    Parameters
    ----------
    figures : sequence of mapping
        Each with `run` and `epoch`, the latter ascending from one past an epoch that was told.

    Raises
    ------
    LeaseLost
        If the piece belongs to another worker by now.
    """
    with study.database.write() as connection:
        lock_job(connection, held.job_id)
        at = study.database.now(connection)
        if connection.execute(select(piece.c.number).where(fence(held))).first() is None:
            raise LeaseLost(f"Piece {held.number} of job {held.job_id} has another owner")
        told = _newest_epoch(connection, held.job_id, figures[0]["run"])
        news = [dict(one) for one in figures if one["epoch"] > told]
        if not news:
            return
        done = connection.execute(
            update(job)
            .where(job.c.id == held.job_id)
            .values(done=job.c.done + len(news))
            .returning(job.c.done)
        ).scalar_one()
        for number, one in enumerate(news):
            one["done"] = done - len(news) + 1 + number
        jobs.append_events(connection, at, held.job_id, "epoch", news)


def _newest_epoch(connection: Connection, job_id: int, run: int) -> int:
    """The last epoch of a run that was told, 0 before the first.

    The newest events are looked at first: among the epochs of all runs that go on at the same
    time this one's last is never far back.
    """
    told = (
        select(event.c.payload)
        .where(
            event.c.job_id == job_id,
            event.c.kind == "epoch",
            event.c.payload["run"].as_integer() == run,
        )
        .order_by(event.c.seq.desc())
    )
    newest = connection.execute(told.limit(1)).scalar()
    return 0 if newest is None else int(newest["epoch"])


def _harvests(connection: Connection, job_id: int) -> dict[int, tuple[HarvestRef, ...]]:
    """What each finished run has left, by run."""
    rows = connection.execute(
        select(piece.c.payload).where(piece.c.job_id == job_id, piece.c.state == "done")
    ).scalars()
    ended = [SegmentPayload.model_validate(row) for row in rows]
    return {one.run: one.harvests for one in ended if one.harvests}
