"""The ledger as its clients use it: submit, cancel, retry, and read what happened.

The workers' side (claim, lease, fence, finish) is in `worker/claims.py`. Every function works
inside the caller's transaction, so that a job, its pieces and its events appear together.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, func, insert, or_, select, update

from marrow.catalogue.database import IN_LIMIT
from marrow.catalogue.locks import lock_job
from marrow.catalogue.schema import (
    event,
    job,
    job_smear,
    piece,
    prediction,
    smear,
    stopped_run,
)
from marrow.errors import NotFound
from marrow.records import (
    FINISHED,
    ClassifySpec,
    ConclusionPayload,
    Event,
    Job,
    JobKind,
    ModelRecord,
    Night,
    SegmentPayload,
    SweepSpec,
)
from marrow.windows import opening

PIECE_SIZE = {"interactive": 16, "overnight": 64}
"""Fields of a piece. A person who waits sees answers batch by batch; a night's work is sent
in the largest pieces whose loss under kill -9 still costs little."""

_AGAIN: dict[str, Any] = {"state": "new", "sends": 0, "exceptions": 0, "lost_leases": 0}
"""A piece that is queued again keeps its attempt: the fence counts upwards only."""
_NEW_PIECE: dict[str, Any] = {**_AGAIN, "attempt": 0}


def submit_classify(
    connection: Connection,
    at: float,
    model: ModelRecord,
    smear_ids: Sequence[int],
    *,
    priority: str = "interactive",
    night: Night | None = None,
) -> Job:
    """Store a classification of these smears; what the model has answered before costs nothing.

    Raises
    ------
    NotFound
        If an id is unknown.
    """
    ids = list(dict.fromkeys(smear_ids))
    kinds = _kinds(connection, ids)
    missing = next((one for one in ids if one not in kinds), None)
    if missing is not None:
        raise NotFound(f"There is no smear S{missing:06d} in this study")
    known = known_predictions(connection, model, ids)
    spec = ClassifySpec(model_id=model.id).model_dump()
    job_id = _new_job(connection, at, "classify", spec, len(ids), priority, night)
    waiting = [one for one in ids if one not in known]
    numbers = add_pieces(connection, job_id, waiting, kinds, PIECE_SIZE[priority])
    rows = [
        {
            "job_id": job_id,
            "smear_id": one,
            "piece": numbers.get(one),
            "prediction_id": known.get(one),
        }
        for one in ids
    ]
    if rows:
        connection.execute(insert(job_smear), rows)
    connection.execute(update(job).where(job.c.id == job_id).values(done=len(known)))
    append_event(connection, at, job_id, "state", {"state": "waiting", "known": len(known)})
    close_if_over(connection, at, job_id)
    return get(connection, job_id)


def submit_sweep(
    connection: Connection, at: float, spec: SweepSpec, *, night: Night | None = None
) -> Job:
    """Store a training job: one first segment for each of its runs.

    Its priority is `overnight`: a segment yields to a person who waits for smears.
    """
    epochs = sum(run.epochs for run in spec.runs)
    stored = spec.model_dump(mode="json")
    job_id = _new_job(connection, at, "sweep", stored, epochs, "overnight", night)
    for run in range(len(spec.runs)):
        add_training(connection, job_id, SegmentPayload(run=run, segment=0))
    append_event(connection, at, job_id, "state", {"state": "waiting"})
    return get(connection, job_id)


def add_pieces(
    connection: Connection,
    job_id: int,
    smear_ids: Sequence[int],
    is_slide: dict[int, bool],
    size: int,
) -> dict[int, int]:
    """Insert pieces of `size` fields, each slide one of its own; returns piece number by smear."""
    fields = [one for one in smear_ids if not is_slide[one]]
    groups = [fields[start : start + size] for start in range(0, len(fields), size)]
    groups += [[one] for one in smear_ids if is_slide[one]]
    first = _next_number(connection, job_id)
    pieces = [{"job_id": job_id, "number": first + k, **_NEW_PIECE} for k in range(len(groups))]
    if pieces:
        connection.execute(insert(piece), pieces)
    return {one: first + k for k, group in enumerate(groups) for one in group}


def move_to_new_pieces(
    connection: Connection,
    job_id: int,
    smear_ids: Sequence[int],
    is_slide: dict[int, bool],
    size: int,
) -> None:
    """Let smears of a job that have no answer be worked on in new pieces; see `add_pieces`."""
    numbers = add_pieces(connection, job_id, smear_ids, is_slide, size)
    if numbers:
        connection.execute(
            update(job_smear)
            .where(job_smear.c.job_id == job_id, job_smear.c.smear_id == bindparam("b_smear"))
            .values(piece=bindparam("b_piece"), error=None),
            [{"b_smear": one, "b_piece": number} for one, number in numbers.items()],
        )


def add_training(
    connection: Connection, job_id: int, payload: SegmentPayload | ConclusionPayload
) -> None:
    """Insert a piece of a sweep that is ready to be claimed: a segment, or the conclusion."""
    number = _next_number(connection, job_id)
    row = {"job_id": job_id, "number": number, **_NEW_PIECE}
    connection.execute(insert(piece), row | {"payload": payload.model_dump(mode="json")})


def cancel(connection: Connection, at: float, job_id: int) -> Job:
    """Ask for a job to stop: `cancelled` at once if no worker has a piece of it, else when the
    worker confirms. A finished job stays as it is.
    """
    lock_job(connection, job_id)
    current = get(connection, job_id)
    if current.is_finished or current.state == "cancelling":
        return current
    set_state(connection, at, job_id, "cancelling")
    close_if_over(connection, at, job_id)
    return get(connection, job_id)


def retry(connection: Connection, at: float, job_id: int) -> Job:
    """Queue again what failed or was cancelled; what succeeded stays."""
    lock_job(connection, job_id)
    current = get(connection, job_id)
    if not current.is_finished:
        return current
    if current.kind == "classify":
        open_again = _retry_smears(connection, job_id, PIECE_SIZE[current.priority])
    else:
        open_again = connection.execute(
            update(piece)
            .where(piece.c.job_id == job_id, piece.c.state.in_(("failed", "cancelled")))
            .values(**_AGAIN, error=None, sent_at=None, finished_at=None, lease_until=None)
        ).rowcount
    if open_again:
        connection.execute(
            update(job).where(job.c.id == job_id).values(finished_at=None, error=None, failed=0)
        )
        set_state(connection, at, job_id, "waiting")
    return get(connection, job_id)


def _retry_smears(connection: Connection, job_id: int, size: int) -> int:
    """Put the smears without an answer into new pieces; returns how many there are.

    In whole pieces: mostly it was a folder that a host did not see. If one of the smears kills
    its worker, its piece is split again.
    """
    unanswered = job_smear.c.job_id == job_id, job_smear.c.prediction_id.is_(None)
    ids = list(connection.execute(select(job_smear.c.smear_id).where(*unanswered)).scalars())
    replaced = piece.c.job_id == job_id, piece.c.state.in_(("failed", "cancelled"))
    connection.execute(update(piece).where(*replaced).values(state="split"))
    move_to_new_pieces(connection, job_id, ids, _kinds(connection, ids), size)
    return len(ids)


def get(connection: Connection, job_id: int) -> Job:
    """The job of that id; NotFound if there is none."""
    row = connection.execute(select(job).where(job.c.id == job_id)).first()
    if row is None:
        raise NotFound(f"There is no job {job_id}: `marrow jobs` lists them")
    return _record(row)


def newest(connection: Connection, limit: int = 50) -> list[Job]:
    """The newest jobs, newest first."""
    rows = connection.execute(select(job).order_by(job.c.id.desc()).limit(limit))
    return [_record(row) for row in rows]


def unfinished(connection: Connection) -> list[Job]:
    """All jobs that are not over, oldest first; one that waits for tonight is among them."""
    rows = connection.execute(select(job).where(job.c.state.not_in(FINISHED)).order_by(job.c.id))
    return [_record(row) for row in rows]


def any_unfinished(connection: Connection) -> bool:
    """Whether any job is not over."""
    found = select(job.c.id).where(job.c.state.not_in(FINISHED)).limit(1)
    return connection.execute(found).first() is not None


def events(connection: Connection, job_id: int, after: int) -> list[Event]:
    """The job's events with a number above `after`, in order."""
    rows = connection.execute(
        select(event).where(event.c.job_id == job_id, event.c.seq > after).order_by(event.c.seq)
    )
    return [Event(**row._mapping) for row in rows]


def errors(connection: Connection, job_id: int) -> Iterator[tuple[int, str]]:
    """(smear id, reason) of each smear of the job that has no answer but a reason."""
    rows = connection.execute(
        select(job_smear.c.smear_id, job_smear.c.error)
        .where(job_smear.c.job_id == job_id, job_smear.c.error.is_not(None))
        .order_by(job_smear.c.smear_id)
    )
    for row in rows:
        yield row.smear_id, row.error


def append_event(
    connection: Connection, at: float, job_id: int, kind: str, payload: dict[str, Any]
) -> None:
    """Number and store an event of a job; see `append_events`."""
    append_events(connection, at, job_id, kind, [payload])


def append_events(
    connection: Connection, at: float, job_id: int, kind: str, payloads: Sequence[dict[str, Any]]
) -> None:
    """Number and store events of a job, in order; the counter is raised in the same transaction."""
    if not payloads:
        return
    last = connection.execute(
        update(job)
        .where(job.c.id == job_id)
        .values(last_seq=job.c.last_seq + len(payloads))
        .returning(job.c.last_seq)
    ).scalar_one()
    first = last - len(payloads) + 1
    rows = [
        {"job_id": job_id, "seq": first + number, "kind": kind, "payload": payload, "at": at}
        for number, payload in enumerate(payloads)
    ]
    connection.execute(insert(event), rows)


def set_state(connection: Connection, at: float, job_id: int, state: str) -> None:
    """Move a job to a state and tell its followers."""
    values: dict[str, Any] = {"state": state}
    if state in FINISHED:
        values["finished_at"] = at
        connection.execute(delete(stopped_run).where(stopped_run.c.job_id == job_id))
    if state == "running":
        values["started_at"] = func.coalesce(job.c.started_at, at)
    connection.execute(update(job).where(job.c.id == job_id).values(**values))
    append_event(connection, at, job_id, "state", {"state": state})


def close_if_over(connection: Connection, at: float, job_id: int) -> None:
    """End a job that has no open piece left; one that is being cancelled gives up the rest."""
    current = get(connection, job_id)
    if current.is_finished:
        return
    if current.state == "cancelling":
        connection.execute(
            update(piece)
            .where(piece.c.job_id == job_id, piece.c.state == "new")
            .values(state="cancelled", finished_at=at)
        )
    is_open = select(piece.c.number).where(
        piece.c.job_id == job_id, piece.c.state.in_(("new", "running"))
    )
    if connection.execute(is_open.limit(1)).first() is not None:
        return
    if current.state == "cancelling":
        set_state(connection, at, job_id, "cancelled")
    elif current.kind == "sweep" and current.failed:
        set_state(connection, at, job_id, "failed")
    else:
        set_state(connection, at, job_id, "done")


def known_predictions(
    connection: Connection, model: ModelRecord, ids: Sequence[int]
) -> dict[int, int]:
    """Prediction id by smear, where this model has answered for the smear as it is now."""
    found: dict[int, int] = {}
    for start in range(0, len(ids), IN_LIMIT):
        rows = connection.execute(
            select(prediction.c.smear_id, prediction.c.id)
            .join(smear, smear.c.id == prediction.c.smear_id)
            .where(
                prediction.c.smear_id.in_(ids[start : start + IN_LIMIT]),
                prediction.c.model_id == model.id,
                prediction.c.precision == model.precision,
                prediction.c.regions_revision == smear.c.regions_revision,
            )
        )
        found.update((row.smear_id, row.id) for row in rows)
    return found


def is_open_now(at: float) -> Any:
    """SQL condition: the job's window, if it has one, is open at `at`."""
    return or_(job.c.opens_at.is_(None), job.c.opens_at <= at) & or_(
        job.c.closes_at.is_(None), job.c.closes_at > at
    )


MISHAPS = piece.c.lost_leases + piece.c.exceptions
MOST_URGENT = (job.c.priority, MISHAPS, piece.c.job_id, piece.c.number)
"""Order of the work: a person's first, and last what a worker has died of, so that a poison
smear, which costs a restart each time, does not hold up its neighbours."""


def newest_note(connection: Connection, job_id: int) -> str | None:
    """Text of the job's newest note, None if it has none."""
    notes = select(event.c.payload).where(event.c.job_id == job_id, event.c.kind == "note")
    found = connection.execute(notes.order_by(event.c.seq.desc()).limit(1)).scalar()
    return None if found is None else str(found["text"])


def _new_job(
    connection: Connection,
    at: float,
    kind: JobKind,
    spec: dict[str, Any],
    total: int,
    priority: str,
    night: Night | None,
) -> int:
    opens_at, closes_at = (None, None) if night is None else opening(night, at)
    values = {
        "kind": kind,
        "state": "waiting",
        "priority": priority,
        "spec": spec,
        "last_seq": 0,
        "total": total,
        "done": 0,
        "failed": 0,
        "night": None if night is None else night.model_dump(),
        "opens_at": opens_at,
        "closes_at": closes_at,
        "created_at": at,
    }
    return int(connection.execute(insert(job).values(**values).returning(job.c.id)).scalar_one())


def _next_number(connection: Connection, job_id: int) -> int:
    last = select(func.max(piece.c.number)).where(piece.c.job_id == job_id)
    found: int | None = connection.execute(last).scalar_one()
    return 0 if found is None else found + 1


def _kinds(connection: Connection, ids: Sequence[int]) -> dict[int, bool]:
    """Whether each of these smears is a slide; unknown ids are left out."""
    found: dict[int, bool] = {}
    for start in range(0, len(ids), IN_LIMIT):
        chunk = ids[start : start + IN_LIMIT]
        rows = connection.execute(select(smear.c.id, smear.c.is_slide).where(smear.c.id.in_(chunk)))
        found.update((row.id, row.is_slide) for row in rows)
    return found


def _record(row: Row[Any]) -> Job:
    return Job(**row._mapping)
