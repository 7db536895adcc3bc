"""What a job has done so far, added up in the database: pieces, epochs, answers and reasons."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from sqlalchemy import Connection, case, func, select

from marrow.catalogue.database import IN_LIMIT
from marrow.catalogue.schema import (
    CALLS,
    event,
    job,
    job_smear,
    piece,
    prediction,
    provenance,
    smear,
)
from marrow.catalogue.sight import Sight
from marrow.records import Provenance
from marrow.schemes import Scheme
from marrow.throughput import PieceRun


class PieceCounts(NamedTuple):
    """How the pieces of a job went, all attempts together."""

    pieces: int
    """Without those that were split into smaller ones."""
    done: int
    attempts: int
    exceptions: int
    lost_leases: int


class Answered(NamedTuple):
    """What came of the smears of a job that have an answer."""

    calls: Counter[tuple[int, ...]]
    """Indices of the called classes, one per head, to number of smears."""
    devices: Counter[str]
    """What computed the answers, to number of smears."""
    hidden: int
    """Smears whose calls are not among these, because blind reading hides them."""


class Left(NamedTuple):
    """Smears of a job that have neither an answer nor a reason."""

    fields: int
    slides: int


class TrainingTimes(NamedTuple):
    """When the epochs of a training were told, and when its runs began."""

    epochs: tuple[tuple[int, float], ...]
    """Run and time (seconds since 1970) of each, in order."""
    begun: dict[int, float]
    """Start of the first segment, by run."""


def piece_runs(
    connection: Connection, job_ids: Sequence[int], newest: int | None = None
) -> list[PieceRun]:
    """The finished pieces of these classifications, the last finished first; at most `newest`."""
    ended = connection.execute(
        select(piece.c.job_id, piece.c.number, piece.c.started_at, piece.c.finished_at)
        .where(
            piece.c.job_id.in_(job_ids), piece.c.state == "done", piece.c.started_at.is_not(None)
        )
        .order_by(piece.c.finished_at.desc())
        .limit(newest)
    ).all()
    # Step by step, each through an index: of one join of all, SQLite makes a look through the
    # whole job for each piece.
    runs: dict[tuple[int, int], PieceRun] = {}
    for job_id in {row.job_id for row in ended}:
        mine = {row.number: row for row in ended if row.job_id == job_id}
        held = _held(connection, job_id, None if newest is None else list(mine))
        first = _made_by(connection, job_id, [smear_id for _, smear_id in held.values()])
        devices = _devices(connection, {made_by for _, made_by in first.values()})
        for number, (count, smear_id) in held.items():
            if number in mine:
                is_slide, made_by = first[smear_id]
                times = mine[number].started_at, mine[number].finished_at
                device = devices.get(made_by, "")
                runs[job_id, number] = PieceRun(*times, count, is_slide, device)
    return [runs[row.job_id, row.number] for row in ended if (row.job_id, row.number) in runs]


def _held(
    connection: Connection, job_id: int, numbers: Sequence[int] | None
) -> dict[int, tuple[int, int]]:
    """How many smears each piece holds, and the first of them; None: of all pieces."""
    asked = (
        select(job_smear.c.piece, func.count(), func.min(job_smear.c.smear_id))
        .where(job_smear.c.job_id == job_id, job_smear.c.piece.is_not(None))
        .group_by(job_smear.c.piece)
    )
    if numbers is not None:
        asked = asked.where(job_smear.c.piece.in_(numbers))
    return {number: (count, first) for number, count, first in connection.execute(asked)}


def _made_by(
    connection: Connection, job_id: int, smear_ids: Sequence[int]
) -> dict[int, tuple[bool, int | None]]:
    """Whether each of these smears of the job is a slide, and the provenance of its answer."""
    found: dict[int, tuple[bool, int | None]] = {}
    for start in range(0, len(smear_ids), IN_LIMIT):
        rows = connection.execute(
            select(job_smear.c.smear_id, smear.c.is_slide, prediction.c.provenance_id)
            .join(smear, smear.c.id == job_smear.c.smear_id)
            .outerjoin(prediction, prediction.c.id == job_smear.c.prediction_id)
            .where(
                job_smear.c.job_id == job_id,
                job_smear.c.smear_id.in_(smear_ids[start : start + IN_LIMIT]),
            )
        )
        found |= {one: (bool(is_slide), made_by) for one, is_slide, made_by in rows}
    return found


def classified_with(connection: Connection, model_id: int, newest: int) -> list[int]:
    """Ids of the `newest` classifications with this model of which anything was worked on."""
    rows = connection.execute(
        select(job.c.id)
        .where(
            job.c.kind == "classify",
            job.c.started_at.is_not(None),
            job.c.spec["model_id"].as_integer() == model_id,
        )
        .order_by(job.c.id.desc())
        .limit(newest)
    )
    return list(rows.scalars())


def piece_counts(connection: Connection, job_id: int) -> PieceCounts:
    """How the pieces of the job went."""
    is_whole, is_done = piece.c.state != "split", piece.c.state == "done"
    row = connection.execute(
        select(
            func.coalesce(func.sum(case((is_whole, 1), else_=0)), 0),
            func.coalesce(func.sum(case((is_done, 1), else_=0)), 0),
            func.coalesce(func.sum(piece.c.attempt), 0),
            func.coalesce(func.sum(piece.c.exceptions), 0),
            func.coalesce(func.sum(piece.c.lost_leases), 0),
        ).where(piece.c.job_id == job_id)
    ).one()
    return PieceCounts(*map(int, row))


def answered(connection: Connection, scheme: Scheme, job_id: int) -> Answered:
    """Calls and devices of the job's answers, known ones included; see `Answered`."""
    is_open = Sight.of(connection, "").is_open(scheme, prediction.c.smear_id)
    calls_of = [prediction.c[name] for name in CALLS[: len(scheme.heads)]]
    each = (
        select(prediction.c.provenance_id, is_open.label("is_open"), *calls_of)
        .join(job_smear, job_smear.c.prediction_id == prediction.c.id)
        .where(job_smear.c.job_id == job_id)
        .subquery()
    )
    rows = connection.execute(select(func.count(), *each.c).group_by(*each.c)).all()
    devices = _devices(connection, {row.provenance_id for row in rows})
    calls: Counter[tuple[int, ...]] = Counter()
    computed_on: Counter[str] = Counter()
    hidden = 0
    for count, provenance_id, may_be_seen, *called in rows:
        computed_on[devices[provenance_id]] += count
        if may_be_seen:
            calls[tuple(called)] += count
        else:
            hidden += count
    return Answered(calls, computed_on, hidden)


def left(connection: Connection, job_id: int) -> Left:
    """How many smears of a classification are still to be worked on."""
    rows = connection.execute(
        select(smear.c.is_slide, func.count())
        .join(job_smear, job_smear.c.smear_id == smear.c.id)
        .where(
            job_smear.c.job_id == job_id,
            job_smear.c.prediction_id.is_(None),
            job_smear.c.error.is_(None),
        )
        .group_by(smear.c.is_slide)
    )
    counts = {bool(is_slide): int(count) for is_slide, count in rows}
    return Left(counts.get(False, 0), counts.get(True, 0))


def known(connection: Connection, job_id: int) -> int:
    """Smears that the model had answered before the job was submitted."""
    rows = select(func.count()).where(
        job_smear.c.job_id == job_id,
        job_smear.c.piece.is_(None),
        job_smear.c.prediction_id.is_not(None),
    )
    return int(connection.execute(rows).scalar_one())


def reasons(connection: Connection, job_id: int) -> Iterator[tuple[str, str]]:
    """(reason, path of the smear below its root) of each smear that failed."""
    rows = connection.execute(
        select(job_smear.c.error, smear.c.path)
        .join(smear, smear.c.id == job_smear.c.smear_id)
        .where(job_smear.c.job_id == job_id, job_smear.c.error.is_not(None))
        .order_by(job_smear.c.smear_id)
    )
    for row in rows:
        yield row.error, row.path


def training_times(connection: Connection, job_id: int) -> TrainingTimes:
    """When the epochs of a training were told, and when its runs began."""
    told = connection.execute(
        select(event.c.payload, event.c.at)
        .where(event.c.job_id == job_id, event.c.kind == "epoch")
        .order_by(event.c.seq)
    )
    segments = connection.execute(
        select(piece.c.payload, piece.c.started_at)
        .where(piece.c.job_id == job_id, piece.c.started_at.is_not(None))
        .order_by(piece.c.number.desc())
    )
    begun = {
        int(row.payload["run"]): float(row.started_at) for row in segments if "run" in row.payload
    }
    return TrainingTimes(tuple((row.payload["run"], row.at) for row in told), begun)


def segment_spans(connection: Connection, job_id: int) -> list[tuple[float, float]]:
    """Start and end of each finished segment of a training; its conclusion is none."""
    rows = connection.execute(
        select(piece.c.started_at, piece.c.finished_at, piece.c.payload).where(
            piece.c.job_id == job_id, piece.c.state == "done", piece.c.started_at.is_not(None)
        )
    )
    return [(row.started_at, row.finished_at) for row in rows if "run" in row.payload]


def models_of(connection: Connection, job_id: int) -> list[int]:
    """Ids of the models that a training has made, the chosen one first.

    One that is bit for bit that of an earlier training is among them, though it is not new.
    """
    told = (
        select(event.c.payload)
        .where(event.c.job_id == job_id, event.c.kind == "model")
        .order_by(event.c.seq)
    )
    names = [row["model"] for row in connection.execute(told).scalars()]
    return [int(name.removeprefix("m")) for name in names]


def _devices(connection: Connection, ids: set[int | None]) -> dict[int | None, str]:
    made_by = select(provenance.c.id, provenance.c.text)
    rows = connection.execute(made_by.where(provenance.c.id.in_(ids - {None})))
    return {row.id: Provenance.model_validate_json(row.text).device for row in rows}
