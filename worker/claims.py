"""Claim, lease, fence and finish: who works on a piece, each step one transaction.

A piece belongs to whoever holds its newest attempt. Every later step names owner and attempt
(the fence); a worker that was thought dead finds its row changed and drops its work.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, select, update

from marrow.catalogue import jobs, predictions, stops
from marrow.catalogue.jobs import MOST_URGENT, is_open_now
from marrow.catalogue.locks import lock_job
from marrow.catalogue.schema import job, piece
from marrow.errors import LeaseLost
from marrow.records import (
    Answer,
    AnswerMap,
    Claim,
    ModelRecord,
    Outcome,
    Provenance,
)
from marrow.study import Study
from worker.owner import Owner
from worker.recovery import MAX_EXCEPTIONS, again_or_fail, recover
from worker.settling import fail, is_piece, row_of, settle

LEASE_S = 30.0
"""A lease that is not renewed for so long is lost; it is renewed every HEARTBEAT_S."""
HEARTBEAT_S = 10.0


def claim(study: Study, owner: Owner, job_id: int, number: int) -> Claim | None:
    """Take this piece; None if it is not ready: somebody else has it, or nobody should."""
    wanted = is_piece(job_id, number)
    with study.database.read() as connection:
        at = study.database.now(connection)
        if connection.execute(_claimable(at).where(wanted)).first() is None:
            return None  # most repeated hints end here, without a write lock
    with study.database.write() as connection:
        at = study.database.now(connection)
        recover(connection, at, and_(wanted, piece.c.lease_until < at))
        return _take(connection, at, owner, job_id, number)


def claim_next(study: Study, owner: Owner) -> Claim | None:
    """Take the most urgent piece that is ready; None if there is none."""
    with study.database.read() as connection:
        at = study.database.now(connection)
        ordered = _claimable(at).order_by(*MOST_URGENT)
        found = connection.execute(ordered.limit(8)).all()
    for row in found:
        taken = claim(study, owner, row.job_id, row.number)
        if taken is not None:
            return taken
    return None


def has_interactive_work(study: Study) -> bool:
    """Whether a person waits for a piece that nobody has taken yet."""
    with study.database.read() as connection:
        at = study.database.now(connection)
        waiting = _claimable(at).where(job.c.priority == "interactive", piece.c.state == "new")
        return connection.execute(waiting.limit(1)).first() is not None


def renew(study: Study, held: Claim) -> bool:
    """Prolong a lease; False if the piece is no longer ours."""
    with study.database.write() as connection:
        at = study.database.now(connection)
        renewed = connection.execute(
            update(piece).where(fence(held)).values(lease_until=at + LEASE_S)
        )
        return renewed.rowcount == 1


def is_run_stopped(study: Study, held: Claim, run: int) -> bool:
    """Whether a person has stopped all cells that need this run of the sweep."""
    with study.database.read() as connection:
        return stops.is_run_stopped(connection, held.job_id, run)


def is_cancelled(study: Study, held: Claim) -> bool:
    """Whether somebody asked for the job to stop."""
    with study.database.read() as connection:
        state = select(job.c.state).where(job.c.id == held.job_id)
        return bool(connection.execute(state).scalar_one() == "cancelling")


def finish_smears(
    study: Study,
    held: Claim,
    made_by: ModelRecord,
    outcomes: Sequence[Outcome],
    revisions: dict[int, int],
    provenance: Provenance,
) -> None:
    """Store what came of a classification piece, once.

    Raises
    ------
    LeaseLost
        If the piece belongs to another worker by now; nothing is stored.
    """
    answers: dict[int, tuple[Answer, AnswerMap | None]] = {
        one.smear_id: (one.answer, one.map) for one in outcomes if one.answer is not None
    }
    errors = {one.smear_id: one.error for one in outcomes if one.answer is None}
    with study.database.write() as connection:
        at = study.database.now(connection)
        close_piece(connection, at, held, "done")
        ids = predictions.store(
            connection,
            at,
            study.scheme,
            made_by,
            predictions.provenance_id(connection, provenance),
            revisions,
            answers,
        )
        settle(connection, at, held.job_id, held.number, ids, errors)


def fence(held: Claim) -> ColumnElement[bool]:
    """SQL condition: the piece, as long as this claim is its newest."""
    return and_(
        is_piece(held.job_id, held.number),
        piece.c.owner == held.owner,
        piece.c.attempt == held.attempt,
        piece.c.state == "running",
    )


def close_piece(connection: Connection, at: float, held: Claim, state: str) -> None:
    """Pass the fence and leave the piece in this state, or raise LeaseLost."""
    lock_job(connection, held.job_id)
    values: dict[str, Any] = {"state": state, "owner": None, "lease_until": None, "sent_at": None}
    if state != "new":
        values["finished_at"] = at
    if connection.execute(update(piece).where(fence(held)).values(**values)).rowcount != 1:
        raise LeaseLost(f"Piece {held.number} of job {held.job_id} has another owner")


def confirm_cancel(study: Study, held: Claim) -> None:
    """Give up a piece because its job is being cancelled."""
    with study.database.write() as connection:
        at = study.database.now(connection)
        close_piece(connection, at, held, "cancelled")
        jobs.close_if_over(connection, at, held.job_id)


def refuse(study: Study, held: Claim, reason: str) -> None:
    """End a piece that can never succeed, with a reason that a person can read."""
    with study.database.write() as connection:
        at = study.database.now(connection)
        close_piece(connection, at, held, "failed")
        fail(connection, at, row_of(connection, held.job_id, held.number), reason)


def put_back(study: Study, held: Claim, note: str | None = None) -> None:
    """Put back a piece that is not to blame: its worker stops, or its machine is in trouble.

    Nothing is counted; the `note`, if it is not the job's newest already, is told to followers.
    """
    with study.database.write() as connection:
        at = study.database.now(connection)
        close_piece(connection, at, held, "new")
        row = row_of(connection, held.job_id, held.number)
        if jobs.get(connection, held.job_id).state == "cancelling":
            again_or_fail(connection, at, row, False, "")
        elif note is not None and jobs.newest_note(connection, held.job_id) != note:
            jobs.append_event(connection, at, held.job_id, "note", {"text": note})


def give_back(study: Study, held: Claim, reason: str) -> None:
    """Put back a piece that raised an exception; after the third it fails with the reason."""
    with study.database.write() as connection:
        at = study.database.now(connection)
        close_piece(connection, at, held, "new")
        connection.execute(
            update(piece)
            .where(is_piece(held.job_id, held.number))
            .values(exceptions=piece.c.exceptions + 1)
        )
        row = row_of(connection, held.job_id, held.number)
        again_or_fail(connection, at, row, row.exceptions >= MAX_EXCEPTIONS, reason)


def _claimable(at: float) -> Any:
    is_lost = and_(piece.c.state == "running", piece.c.lease_until < at)
    return (
        select(piece.c.job_id, piece.c.number)
        .join(job, job.c.id == piece.c.job_id)
        .where((piece.c.state == "new") | is_lost, ~stops.IS_STOPPED)
        .where(job.c.state.in_(("waiting", "running")), is_open_now(at))
    )


def _take(
    connection: Connection, at: float, owner: Owner, job_id: int, number: int
) -> Claim | None:
    lock_job(connection, job_id)
    is_ready = (
        select(job.c.id)
        .where(job.c.id == job_id, job.c.state.in_(("waiting", "running")), is_open_now(at))
        .exists()
    )
    row = connection.execute(
        update(piece)
        .where(is_piece(job_id, number), piece.c.state == "new", is_ready, ~stops.IS_STOPPED)
        .values(
            state="running",
            owner=owner.id,
            attempt=piece.c.attempt + 1,
            lease_until=at + LEASE_S,
            started_at=at,
        )
        .returning(piece.c.attempt, piece.c.payload)
    ).first()
    if row is None:
        return None
    current = jobs.get(connection, job_id)
    if current.state == "waiting":
        jobs.set_state(connection, at, job_id, "running")
    return Claim(
        job_id=job_id,
        number=number,
        kind=current.kind,
        attempt=row.attempt,
        owner=owner.id,
        payload=row.payload,
    )
