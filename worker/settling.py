"""Writing down what came of a piece: the outcome of each smear, the job's counts, the event.

All functions work inside the caller's transaction, which holds the job (`lock_job`).
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, bindparam, select, update

from marrow.catalogue import jobs
from marrow.catalogue.schema import job, job_smear, piece


def is_piece(job_id: int, number: int) -> ColumnElement[bool]:
    """SQL condition: this piece."""
    return and_(piece.c.job_id == job_id, piece.c.number == number)


def row_of(connection: Connection, job_id: int, number: int) -> Row[Any]:
    """The piece as it is stored."""
    return connection.execute(select(piece).where(is_piece(job_id, number))).one()


def mark(connection: Connection, at: float, row: Row[Any], state: str) -> None:
    """Leave a piece that nobody holds in a state that ends it."""
    same = is_piece(row.job_id, row.number)
    connection.execute(update(piece).where(same).values(state=state, finished_at=at))


def smears_of(connection: Connection, job_id: int, number: int) -> list[int]:
    """Ids of the smears of a piece; none for a training segment."""
    rows = select(job_smear.c.smear_id).where(
        job_smear.c.job_id == job_id, job_smear.c.piece == number
    )
    return list(connection.execute(rows.order_by(job_smear.c.smear_id)).scalars())


def settle(
    connection: Connection,
    at: float,
    job_id: int,
    number: int,
    ids: dict[int, int],
    errors: dict[int, str | None],
) -> None:
    """Write the outcome of each smear of a piece, raise the job's counts and tell followers.

    Parameters
    ----------
    ids : dict
        Prediction id by smear.
    errors : dict
        Reason by smear, for those without a prediction.
    """
    settled = [
        {"b_smear": one, "b_prediction": ids.get(one), "b_error": errors.get(one)}
        for one in (*ids, *errors)
    ]
    if settled:
        connection.execute(
            update(job_smear)
            .where(job_smear.c.job_id == job_id, job_smear.c.smear_id == bindparam("b_smear"))
            .values(prediction_id=bindparam("b_prediction"), error=bindparam("b_error")),
            settled,
        )
    counts = connection.execute(
        update(job)
        .where(job.c.id == job_id)
        .values(done=job.c.done + len(ids), failed=job.c.failed + len(errors))
        .returning(job.c.done, job.c.failed, job.c.total)
    ).one()
    news = {
        "piece": number,
        "smears": sorted((*ids, *errors)),
        "done": counts.done,
        "failed": counts.failed,
        "total": counts.total,
    }
    jobs.append_event(connection, at, job_id, "piece", news)
    jobs.close_if_over(connection, at, job_id)


def fail(connection: Connection, at: float, row: Row[Any], reason: str) -> None:
    """Write down why a piece ended without a result, for each of its smears or for its run."""
    same = is_piece(row.job_id, row.number)
    connection.execute(update(piece).where(same).values(error=reason))
    smear_ids = smears_of(connection, row.job_id, row.number)
    if smear_ids:
        errors: dict[int, str | None] = dict.fromkeys(smear_ids, reason)
        settle(connection, at, row.job_id, row.number, {}, errors)
        return
    connection.execute(
        update(job).where(job.c.id == row.job_id).values(failed=job.c.failed + 1, error=reason)
    )
    failed = {"failed_run": row.payload["run"]} if "run" in (row.payload or {}) else {}
    jobs.append_event(connection, at, row.job_id, "note", {"text": reason, **failed})
    jobs.close_if_over(connection, at, row.job_id)
