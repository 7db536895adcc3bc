"""Cells of a sweep that a person has stopped, and the runs that wait because of it.

A cell shares its runs with others, so a run waits only while every cell that needs it is
stopped. Which cells are stopped stands in the newest event of the job that has
`stopped_cells`; the table `stopped_run` holds the runs, which a claim must not take. Both change
in one transaction. A run at work ends at its next batch with a checkpoint, and the sweep is not
concluded before all its runs are done.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, and_, delete, exists, func, insert, select, update

from marrow.catalogue import jobs
from marrow.catalogue.locks import lock_job
from marrow.catalogue.schema import event, job, piece, stopped_run
from marrow.errors import NotFound
from marrow.records import FINISHED, Job, SweepSpec
from marrow.sweeps import cell_text, runs_of, runs_to_stop

_RUN = piece.c.payload["run"].as_integer()
_OPEN = ("new", "running")

IS_STOPPED: ColumnElement[bool] = (
    exists()
    .where(stopped_run.c.job_id == piece.c.job_id, stopped_run.c.run == _RUN)
    .correlate(piece)
)
"""SQL condition: the piece is a segment of a run that waits for a person."""


class Stopped(NamedTuple):
    """What of a sweep a person has stopped."""

    cells: tuple[int, ...] = ()
    """Indices of cells, ascending; one whose runs are all needed by others is among them."""
    runs: tuple[int, ...] = ()
    """Indices of the runs that wait, ascending."""


def stop_cells(
    connection: Connection, at: float, job_id: int, cells: Collection[int] | None = None
) -> Stopped:
    """Let cells of a sweep wait until they are resumed; returns all that is stopped now.

    A cell whose runs are all done cannot wait any more, and a job that is over or being
    cancelled stays as it is.

    Parameters
    ----------
    cells : collection of int or None
        Indices of cells; None: all of them.

    Raises
    ------
    NotFound
        If the job is no sweep, or has no such cell.
    """
    current, spec = _sweep(connection, job_id)
    asked = _asked(current, spec, cells)
    before = stopped(connection, job_id)
    if current.is_finished or current.state == "cancelling":
        return before
    open_runs = set(_open_runs(connection, job_id))
    can_wait = {one for one in asked if open_runs.intersection(runs_of(spec, one))}
    return _keep(connection, at, job_id, spec, before, can_wait.union(before.cells))


def resume_cells(
    connection: Connection, at: float, job_id: int, cells: Collection[int] | None = None
) -> Stopped:
    """Let stopped cells go on where they ended; returns what is still stopped.

    Raises
    ------
    NotFound
        If the job is no sweep, or has no such cell.
    """
    current, spec = _sweep(connection, job_id)
    asked = _asked(current, spec, cells)
    before = stopped(connection, job_id)
    if current.is_finished:
        return before
    return _keep(connection, at, job_id, spec, before, set(before.cells) - asked)


def stopped(connection: Connection, job_id: int) -> Stopped:
    """What of a job is stopped; nothing of one that is over, and nothing after a retry."""
    told = (
        select(event.c.kind, event.c.payload)
        .where(event.c.job_id == job_id, event.c.kind.in_(("note", "state")))
        .order_by(event.c.seq.desc())
    )
    for row in connection.execute(told):
        if "stopped_cells" in row.payload:
            return Stopped(tuple(row.payload["stopped_cells"]), tuple(row.payload["stopped_runs"]))
        if row.kind == "state" and row.payload["state"] in FINISHED:
            break
    return Stopped()


def is_run_stopped(connection: Connection, job_id: int, run: int) -> bool:
    """Whether this run of a sweep is to wait."""
    found = select(stopped_run.c.run).where(
        stopped_run.c.job_id == job_id, stopped_run.c.run == run
    )
    return connection.execute(found).first() is not None


def forget_run(connection: Connection, job_id: int, run: int) -> None:
    """Take note that a run is done: one that was stopped in its last batch waits for nobody."""
    own = stopped_run.c.job_id == job_id, stopped_run.c.run == run
    connection.execute(delete(stopped_run).where(*own))


def runs_stopped(connection: Connection) -> dict[int, int]:
    """How many runs wait for a person, by job; jobs without any are left out."""
    counted = select(stopped_run.c.job_id, func.count()).group_by(stopped_run.c.job_id)
    return {int(row[0]): int(row[1]) for row in connection.execute(counted)}


def resting(connection: Connection) -> frozenset[int]:
    """The unfinished jobs of which nothing is left to do before a person resumes a cell."""
    return frozenset(connection.execute(select(job.c.id).where(_RESTS)).scalars())


def any_work(connection: Connection) -> bool:
    """Whether an unfinished job has anything to do, now or in a night to come."""
    found = select(job.c.id).where(job.c.state.not_in(FINISHED), ~_RESTS).limit(1)
    return connection.execute(found).first() is not None


def _open_piece(*conditions: ColumnElement[bool]) -> ColumnElement[bool]:
    own = piece.c.job_id == job.c.id
    return exists().where(own, piece.c.state.in_(_OPEN), *conditions).correlate(job)


_WAITS = and_(piece.c.state == "new", IS_STOPPED)
_RESTS = and_(
    job.c.kind == "sweep",
    job.c.state.in_(("waiting", "running")),
    _open_piece(_WAITS),
    ~_open_piece(~_WAITS),
)


def _sweep(connection: Connection, job_id: int) -> tuple[Job, SweepSpec]:
    """The job, held, and what it trains."""
    lock_job(connection, job_id)
    current = jobs.get(connection, job_id)
    if current.kind != "sweep":
        raise NotFound(
            f"Job {job_id} classifies smears and has no cells: end it with `marrow cancel {job_id}`"
        )
    return current, SweepSpec.model_validate(current.spec)


def _asked(current: Job, spec: SweepSpec, cells: Collection[int] | None) -> frozenset[int]:
    known = frozenset(range(len(spec.cells)))
    asked = known if cells is None else frozenset(cells)
    unknown = sorted(asked - known)
    if unknown:
        raise NotFound(
            f"Job {current.id} has no cell {unknown[0] + 1}: its cells are 1 to {len(known)}, and "
            f"`marrow board {current.id}` lists them"
        )
    return asked


def _keep(
    connection: Connection,
    at: float,
    job_id: int,
    spec: SweepSpec,
    before: Stopped,
    cells: Collection[int],
) -> Stopped:
    """Store which cells are stopped from now on, and tell followers if that is a change."""
    runs = runs_to_stop(spec, cells) & set(_open_runs(connection, job_id))
    after = Stopped(tuple(sorted(cells)), tuple(sorted(runs)))
    if after == before:
        return after
    connection.execute(delete(stopped_run).where(stopped_run.c.job_id == job_id))
    if runs:
        rows = [{"job_id": job_id, "run": run, "at": at} for run in after.runs]
        connection.execute(insert(stopped_run), rows)
    # A hint that was sent while the run waited found nothing to claim: send another at once.
    connection.execute(
        update(piece)
        .where(piece.c.job_id == job_id, piece.c.state == "new", _RUN.in_(set(before.runs) - runs))
        .values(sent_at=None, sends=0)
    )
    told: dict[str, Any] = {"stopped_cells": list(after.cells), "stopped_runs": list(after.runs)}
    jobs.append_event(connection, at, job_id, "note", {"text": _words(spec, before, after), **told})
    return after


def _words(spec: SweepSpec, before: Stopped, after: Stopped) -> str:
    new = set(after.cells) - set(before.cells)
    changed = sorted(new or set(before.cells) - set(after.cells))
    what = "stopped" if new else "resumed"
    which = f"{len(changed)} cells" if len(changed) > 1 else f"cell {cell_text(spec, changed[0])}"
    return f"{which} {what}; {len(after.runs)} of {len(spec.runs)} runs wait for a person"


def _open_runs(connection: Connection, job_id: int) -> list[int]:
    """Runs that are not done; what has failed is none of them."""
    rows = select(_RUN).where(piece.c.job_id == job_id, piece.c.state.in_(_OPEN), _RUN.is_not(None))
    return list(connection.execute(rows.distinct()).scalars())
