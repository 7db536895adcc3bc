"""Taking back what a worker has lost or given up: again, in single smears, or failed.

Exceptions and lost leases are counted apart: an exception comes from the piece, a lost lease
mostly from the machine.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    and_,
    delete,
    select,
    union,
    update,
)

from marrow.catalogue import jobs
from marrow.catalogue.locks import lock_job
from marrow.catalogue.schema import piece, worker
from marrow.statefile import START_TOLERANCE_S
from marrow.study import Study
from worker.owner import Owner
from worker.settling import fail, is_piece, mark, row_of, smears_of

MAX_EXCEPTIONS = 3
MAX_LOST_LEASES = 10


def recover_expired(study: Study) -> int:
    """Take back all pieces whose lease has run out; returns how many."""
    with study.database.read() as connection:
        at = study.database.now(connection)
        lost = select(piece.c.number).where(piece.c.state == "running", piece.c.lease_until < at)
        if connection.execute(lost.limit(1)).first() is None:
            return 0
    with study.database.write() as connection:
        at = study.database.now(connection)
        return recover(connection, at, piece.c.lease_until < at)


def release_leases_of(study: Study, dead: Owner) -> int:
    """Take back at once what a process held that is known to be dead, and forget the process.

    Returns how many pieces it held.
    """
    like = f"{dead.host}:{dead.pid}:"
    with study.database.write() as connection:
        at = study.database.now(connection)
        held = select(piece.c.owner).where(piece.c.owner.startswith(like, autoescape=True))
        known = select(worker.c.id).where(worker.c.host == dead.host, worker.c.pid == dead.pid)
        ids = connection.execute(union(held, known)).scalars()
        theirs = [one for one in ids if _is_same(Owner.from_id(one), dead)]
        connection.execute(delete(worker).where(worker.c.id.in_(theirs)))
        return recover(connection, at, piece.c.owner.in_(theirs))


def _is_same(one: Owner, other: Owner) -> bool:
    return abs(one.started - other.started) <= START_TOLERANCE_S


def recover(connection: Connection, at: float, which: ColumnElement[bool]) -> int:
    """Take running pieces back from workers that are gone; returns how many.

    After one lost lease a piece of several smears is split into single ones, so that a smear
    that kills its worker cannot fail its neighbours.
    """
    is_lost = and_(piece.c.state == "running", which)
    lost = connection.execute(select(piece).where(is_lost).order_by(piece.c.job_id)).all()
    taken = 0
    for row in lost:
        lock_job(connection, row.job_id)
        same = and_(
            is_piece(row.job_id, row.number),
            piece.c.attempt == row.attempt,
            piece.c.state == "running",
        )
        count = row.lost_leases + 1
        values = {"state": "new", "owner": None, "lease_until": None, "sent_at": None}
        if connection.execute(
            update(piece).where(same, which).values(**values, lost_leases=count)
        ).rowcount:
            taken += 1
            current = row_of(connection, row.job_id, row.number)
            reason = f"the worker died {count} times while it had this: a file may be damaged"
            again_or_fail(connection, at, current, count >= MAX_LOST_LEASES, reason)
    return taken


def again_or_fail(
    connection: Connection, at: float, row: Row[Any], is_hopeless: bool, reason: str
) -> None:
    """What becomes of a piece that is `new` again: cancelled, split, failed, or left as it is."""
    if jobs.get(connection, row.job_id).state == "cancelling":
        mark(connection, at, row, "cancelled")
        jobs.close_if_over(connection, at, row.job_id)
        return
    smear_ids = smears_of(connection, row.job_id, row.number)
    if len(smear_ids) > 1:
        mark(connection, at, row, "split")
        # A slide is a piece of its own: these are fields.
        fields = dict.fromkeys(smear_ids, False)
        jobs.move_to_new_pieces(connection, row.job_id, smear_ids, fields, 1)
    elif is_hopeless:
        mark(connection, at, row, "failed")
        fail(connection, at, row, reason)
