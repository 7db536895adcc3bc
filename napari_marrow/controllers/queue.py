"""The queue: submitting smears, the jobs and their workers, cancel and retry."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from marrow.catalogue.smears import SmearFilter
from marrow.records import Job
from napari_marrow.background import Background
from napari_marrow.desk import Desk
from napari_marrow.desks.queue import QueueState
from napari_marrow.lines.jobs import JobLine, WorkerWords
from napari_marrow.session import Session

TICKS_PER_LOOK = 5
"""The queue is read once a second: `tick` comes five times a second."""
TICKS_PER_IDLE_LOOK = 50
"""While nothing is unfinished and nobody looks, every ten seconds: another viewer may submit."""


class QueueView(Protocol):
    """The table of jobs and the line about the workers."""

    def set_jobs(self, lines: Sequence[JobLine]) -> None:
        """Show these jobs; the selection stays."""

    def set_workers(self, words: WorkerWords) -> None:
        """Show how the workers are."""

    def is_looked_at(self) -> bool:
        """Whether the table is on the screen."""

    def tell(self, words: str, is_warning: bool) -> None:
        """Tell a person what came of something, in a sentence."""


class QueueController:
    """Submits and watches jobs.

    Parameters
    ----------
    session : Session
    background : Background
    view : QueueView
    """

    def __init__(self, session: Session, background: Background, view: QueueView) -> None:
        self._session = session
        self._background = background
        self._view = view
        self._ticks = 0
        self._open_jobs: frozenset[int] = frozenset()
        session.events.desk.connect(self._on_desk)

    def submit(self, ids: Sequence[int]) -> None:
        """Queue these smears for the champion."""
        if ids:
            self._change(lambda desk: desk.queue.submit(ids), self._on_submitted)

    def submit_filtered(self, shown: SmearFilter) -> None:
        """Queue all smears that a filter shows, read or not."""
        self._change(lambda desk: _submit_all(desk, shown), self._on_submitted)

    def cancel(self, job_id: int) -> None:
        """Ask for a job to stop."""
        self._change(lambda desk: desk.queue.cancel(job_id), self._on_changed)

    def retry(self, job_id: int) -> None:
        """Queue again what failed or was cancelled."""
        self._change(lambda desk: desk.queue.retry(job_id), self._on_changed)

    def show_results(self, job_id: int | None) -> None:
        """List the results of this job, None: all predictions."""
        self._session.result_job = job_id

    def tick(self) -> None:
        """Look at the queue now and then; called five times a second on the main thread."""
        self._ticks += 1
        is_busy = bool(self._open_jobs) or self._view.is_looked_at()
        if self._ticks % (TICKS_PER_LOOK if is_busy else TICKS_PER_IDLE_LOOK) == 0:
            self.look()

    def look(self) -> None:
        """Read the queue."""
        desk = self._session.desk
        if desk is not None:
            self._background.ask("queue", desk.queue.state, self._on_state)

    def _change(self, change: Callable[[Desk], Job | None], then: Callable[..., None]) -> None:
        desk = self._session.desk
        if desk is not None:
            self._background.tell(lambda: change(desk), then)

    def _on_desk(self, desk: Desk | None) -> None:
        self._open_jobs = frozenset()
        if desk is not None:
            self.look()

    def _on_submitted(self, job: Job | None) -> None:
        if job is None:
            self._view.tell("The list shows no smear: nothing was queued.", is_warning=True)
            return
        self._view.tell(f"Job {job.id}: {job.total:,} smears are queued.", is_warning=False)
        self._session.result_job = job.id
        self._on_changed(job)

    def _on_changed(self, job: Job) -> None:
        if not job.is_finished and job.kind == "classify":
            known = self._session.unfinished
            self._session.unfinished = (*known, *({job.id} - set(known)))
        self.look()

    def _on_state(self, state: QueueState) -> None:
        open_jobs = frozenset(line.job_id for line in state.lines if not line.is_finished)
        for line in state.lines:
            if line.is_finished and line.job_id in self._open_jobs:
                self._view.tell(*_ending(line))
        self._open_jobs = open_jobs
        self._view.set_jobs(state.lines)
        self._view.set_workers(state.workers)
        self._session.unfinished = state.followed


def _submit_all(desk: Desk, shown: SmearFilter) -> Job | None:
    ids = desk.cases.ids(shown)
    return desk.queue.submit(ids) if ids else None


def _ending(line: JobLine) -> tuple[str, bool]:
    _job, kind, state, _progress, done, failed, *_rest = line.cells
    if kind == "sweep":
        return f"Training job {line.job_id} is over: {state}.", state == "failed"
    words = f"Job {line.job_id} is over ({state}): {done} classified, {failed} failed."
    return words, failed != "0"
