"""The board of a sweep: how each cell and each run stands, from the job's events as they come."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from statistics import fmean
from typing import Any

from sqlalchemy import Connection, select

from marrow.catalogue import jobs
from marrow.catalogue.schema import piece
from marrow.curves import Curve, RunCurves, State
from marrow.errors import NotFound
from marrow.records import FINISHED, Event, Job, JobState, Record, SweepSpec
from marrow.schemes import Scheme
from marrow.sweeps import runs_of


class Metric(Record):
    """The figure that the choice rests on, from patients that were left out in folds."""

    name: str
    value: float
    low: float | None
    high: float | None
    """Ends of the 95% interval; None: not estimable."""
    n: int
    unit: str


class CellState(Record):
    """A cell of the grid: how far it is, and what came of it."""

    cell: int
    """Index of the cell in the sweep."""
    loss_weights: tuple[float, ...]
    epochs: int
    seed: int
    state: State
    """`done`: all its runs have reached its epochs; `chosen`: its model is the sweep's choice."""
    goes_on: bool = False
    """It is stopped, but other cells need its runs, which therefore go on."""
    epoch: int = 0
    """Of `epochs`, in its run on all training patients."""
    done: int = 0
    """Epochs of all its runs, of `total`."""
    total: int
    loss: float | None = None
    """Training loss of its newest epoch."""
    validation_loss: float | None = None
    """As are the two figures below, the mean over the newest epochs of its fold runs, in which
    the fold's patients were left out; None: no fold was heard of, or there are none."""
    balanced: float | None = None
    auc: float | None = None
    folds: int = 0
    """Fold runs behind these means."""
    model: str | None = None
    """m21, once it is registered."""
    metric: Metric | None = None
    """Of its model; None before, and without folds."""


class Made(Record):
    """A model that the sweep has left."""

    model: str
    is_chosen: bool
    metric: Metric | None


class Board(Record):
    """How a sweep stands after the event `seq`."""

    job_id: int
    seq: int
    state: JobState
    primary: str
    """The head whose accuracy and AUC the curves show."""
    spec: SweepSpec
    cells: tuple[CellState, ...]
    runs: tuple[RunCurves, ...]
    notes: tuple[str, ...]
    """Sentences for below the board, such as why one run serves several cells."""
    news: str = ""
    """What was last noted; empty: nothing."""
    stopped_cells: tuple[int, ...] = ()
    stopped_runs: tuple[int, ...] = ()
    failed_runs: tuple[int, ...] = ()
    at_work: tuple[int, ...] = ()
    """Runs that a worker has in hand."""
    made: dict[int, Made] = {}  # noqa: RUF012 -- pydantic copies it
    """By cell."""

    def after(self, events: Iterable[Event], at_work: Collection[int] | None = None) -> Board:
        """The board once these events have happened, which follow on `seq`.

        Parameters
        ----------
        events : iterable of Event
            Of this job, in order; those that the board has seen are passed over.
        at_work : collection of int or None
            Runs that a worker has in hand now; None: as before.
        """
        facts: dict[str, Any] = {name: getattr(self, name) for name in _FACTS}
        if at_work is not None:
            facts["at_work"] = tuple(sorted(at_work))
        epochs: dict[int, list[Mapping[str, Any]]] = {}
        for event in events:
            if event.seq <= facts["seq"]:
                continue
            facts["seq"] = event.seq
            if event.kind == "epoch":
                epochs.setdefault(event.payload["run"], []).append(event.payload)
            else:
                facts |= _told(event, facts)
        if not epochs and all(facts[name] == getattr(self, name) for name in _FACTS):
            return self
        told = self.model_copy(update=facts)
        runs = [run.after(epochs.get(run.run, ()), self.primary) for run in self.runs]
        stated = [run.model_copy(update={"state": _run_state(told, run)}) for run in runs]
        told = told.model_copy(update={"runs": tuple(stated)})
        cells = tuple(_cell(told, number) for number in range(len(self.spec.cells)))
        return told.model_copy(update={"cells": cells})


_STOPPED = ("stopped_cells", "stopped_runs")
_FACTS = ("seq", "state", "news", *_STOPPED, "failed_runs", "at_work", "made")
"""What the events change, apart from the curves."""


def board_of(
    connection: Connection, scheme: Scheme, job_id: int, before: Board | None = None
) -> Board:
    """The board of a sweep as it is now; with `before`, only what is new is read.

    Raises
    ------
    NotFound
        If there is no such job, or it is no sweep.
    """
    if before is None:
        job = jobs.get(connection, job_id)
        if job.kind != "sweep":
            raise NotFound(f"Job {job_id} classifies smears: it has no board of cells")
        before = empty_board(scheme, job)
    run = piece.c.payload["run"].as_integer()
    held = select(run).where(piece.c.job_id == job_id, piece.c.state == "running", run.is_not(None))
    at_work = list(connection.execute(held).scalars())
    return before.after(jobs.events(connection, job_id, before.seq), at_work)


def empty_board(scheme: Scheme, job: Job) -> Board:
    """The board of a sweep before its first event."""
    spec = SweepSpec.model_validate(job.spec)
    runs = tuple(
        RunCurves(
            run=number,
            fold=run.fold,
            total=run.epochs,
            validation=None if run.fold is None else Curve(),
        )
        for number, run in enumerate(spec.runs)
    )
    board = Board(
        job_id=job.id,
        seq=0,
        state="waiting",
        primary=scheme.primary,
        spec=spec,
        cells=(),
        runs=runs,
        notes=spec.notes,
    )
    cells = tuple(_cell(board, number) for number in range(len(spec.cells)))
    return board.model_copy(update={"cells": cells})


def _told(event: Event, facts: Mapping[str, Any]) -> dict[str, Any]:
    """What an event other than an epoch changes."""
    payload = event.payload
    if event.kind == "model":
        metric = _metric(payload.get("metric") or {})
        one = Made(model=payload["model"], is_chosen=payload["chosen"], metric=metric)
        return {"made": {**facts["made"], **dict.fromkeys(payload["cells"], one)}}
    if event.kind == "note":
        changed: dict[str, Any] = {"news": payload["text"]}
        changed |= {name: tuple(payload[name]) for name in _STOPPED if name in payload}
        if "failed_run" in payload:
            changed["failed_runs"] = (*facts["failed_runs"], payload["failed_run"])
        return changed
    if event.kind == "state":
        state = payload["state"]
        was_over = facts["state"] in FINISHED
        # Over, it waits for nobody; and a retry begins with a clean slate.
        clean: dict[str, Any] = dict.fromkeys(_STOPPED, ()) if state in FINISHED else {}
        return {"state": state, **clean, **({"failed_runs": ()} if was_over else {})}
    return {}


def _metric(known: Mapping[str, Any]) -> Metric | None:
    return Metric(**{name: known[name] for name in Metric.model_fields}) if known else None


def _run_state(board: Board, run: RunCurves) -> State:
    if run.epoch >= run.total:
        return "done"
    if board.state == "cancelled":
        return "cancelled"
    if run.run in board.failed_runs:
        return "failed"
    if run.run in board.at_work:
        return "running"  # also to the next batch after it was stopped
    return "stopped" if run.run in board.stopped_runs else "waiting"


def _goes_on(board: Board, run: RunCurves) -> bool:
    # A stopped run is at work up to its next batch, and goes no further.
    return run.state in ("waiting", "running") and run.run not in board.stopped_runs


def _cell(board: Board, number: int) -> CellState:
    cell = board.spec.cells[number]
    numbers = runs_of(board.spec, number)
    own = [board.runs[run] for run in numbers]
    made = board.made.get(number)
    left_out = [run.validated(cell.epochs) for run in own[1:] if run.epoch]
    at = min(own[0].epoch, cell.epochs)
    is_stopped = number in board.stopped_cells
    return CellState(
        cell=number,
        loss_weights=cell.loss_weights,
        epochs=cell.epochs,
        seed=cell.seed,
        state=_cell_state(board, number, own, made),
        goes_on=is_stopped and any(_goes_on(board, run) for run in own),
        epoch=at,
        done=sum(min(run.epoch, cell.epochs) for run in own),
        total=cell.epochs * len(own),
        loss=own[0].train.loss[at - 1] if at else None,
        validation_loss=_mean([one.loss for one in left_out]),
        balanced=_mean([one.balanced for one in left_out]),
        auc=_mean([one.auc for one in left_out]),
        folds=len(left_out),
        model=None if made is None else made.model,
        metric=None if made is None else made.metric,
    )


def _cell_state(board: Board, number: int, own: Sequence[RunCurves], made: Made | None) -> State:
    epochs = board.spec.cells[number].epochs
    if made is not None:
        return "chosen" if made.is_chosen else "done"
    if board.state == "cancelled":
        return "cancelled"
    if board.state == "failed" or any(run.state == "failed" for run in own):
        return "failed"
    if all(run.epoch >= epochs for run in own):
        return "done"
    if number in board.stopped_cells:
        return "stopped"
    is_at_work = any(run.state == "running" and run.epoch < epochs for run in own)
    return "running" if is_at_work else "waiting"


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None
