"""The queue: what is chosen and when it is to run, the jobs and their workers, cancel and retry."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Protocol

from marrow.catalogue.smears import SmearFilter
from marrow.records import Job
from napari_marrow.background import Background
from napari_marrow.desk import Desk
from napari_marrow.desks.queue import Chosen, NoContact, Offer, QueueState, Wish
from napari_marrow.lines.jobs import JobLine
from napari_marrow.lines.workers import WorkerWords, stopwatch
from napari_marrow.session import Session

TICKS_PER_LOOK = 5
"""The queue is read once a second: `tick` comes five times a second."""
TICKS_PER_IDLE_LOOK = 50
"""While nothing is unfinished and nobody looks, every ten seconds: another viewer may submit."""
NO_ANSWER_S = 5.0
"""A look takes milliseconds; a database that vanished is noticed by TCP after half a minute."""


class QueueView(Protocol):
    """What is to be queued, the table of jobs and the line about the workers."""

    def set_chosen(self, chosen: Chosen) -> None:
        """Show what would be queued."""

    def set_submitting(self, is_submitting: bool) -> None:
        """Show that smears are being queued: another click would queue them twice."""

    def set_offer(self, offer: Offer) -> None:
        """Show which models can be asked, and the last night; what is chosen stays."""

    def set_expected(self, words: str) -> None:
        """Show how long what is chosen is expected to take; empty: not asked yet."""

    def set_jobs(self, lines: Sequence[JobLine]) -> None:
        """Show these jobs; the selection stays."""

    def select_job(self, job_id: int) -> None:
        """Select a job as soon as it is listed."""

    def set_workers(self, words: WorkerWords) -> None:
        """Show how the workers are."""

    def set_why(self, job_id: int, words: str) -> None:
        """Show why a job stands as it does."""

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
    clock : callable
        Seconds, monotonic.
    """

    def __init__(
        self,
        session: Session,
        background: Background,
        view: QueueView,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._session = session
        self._background = background
        self._view = view
        self._clock = clock
        self._ticks = 0
        self._open_jobs: frozenset[int] = frozenset()
        self._chosen = Chosen()
        self._wish = Wish()
        self._is_prospect_old = self._is_submitting = False
        self._why: int | None = None
        self._asked_s: float | None = None
        """When the look was asked for that has no answer yet."""
        self._answered_at = time.time()
        self._is_in_contact = True
        session.events.desk.connect(self._on_desk)

    def set_chosen(self, chosen: Chosen) -> None:
        """What the Cases dock has selected, or lists."""
        if chosen != self._chosen:
            self._chosen, self._is_prospect_old = chosen, True
            self._view.set_chosen(chosen)

    def set_wish(self, wish: Wish) -> None:
        """When it is to run, and with which model."""
        if wish != self._wish:
            self._wish, self._is_prospect_old = wish, True

    def submit_chosen(self) -> None:
        """Queue what is chosen as it is wished."""
        chosen, wish = self._chosen, self._wish
        self._submit(lambda desk: desk.queue.submit_chosen(chosen, wish))

    def submit(self, ids: Sequence[int]) -> None:
        """Queue these smears for the champion, now."""
        if ids:
            self._submit(lambda desk: desk.queue.submit(ids))

    def submit_filtered(self, shown: SmearFilter) -> None:
        """Queue all smears that a filter shows, read or not, for the champion, now."""
        chosen = Chosen(listed=shown)
        self._submit(lambda desk: desk.queue.submit_chosen(chosen, Wish()))

    def cancel(self, job_id: int) -> None:
        """Ask for a job to stop."""
        self._change(lambda desk: desk.queue.cancel(job_id), self._on_changed)

    def retry(self, job_id: int) -> None:
        """Queue again what failed or was cancelled."""
        self._change(lambda desk: desk.queue.retry(job_id), self._on_changed)

    def explain(self, job_id: int | None) -> None:
        """Say why this job stands as it does, and go on saying it; None: no more."""
        self._why = job_id
        self._ask_why()

    def show_results(self, job_id: int | None) -> None:
        """List the results of this job, None: all predictions."""
        self._session.result_job = job_id

    def tick(self) -> None:
        """Look at the queue now and then; called five times a second on the main thread."""
        self._ticks += 1
        is_looked_at = self._view.is_looked_at()
        is_busy = bool(self._open_jobs) or is_looked_at
        if self._ticks % (TICKS_PER_LOOK if is_busy else TICKS_PER_IDLE_LOOK) == 0:
            self._say_if_late()
            if self._asked_s is None:
                self.look()
        if self._is_prospect_old and is_looked_at and self._is_in_contact:
            self._ask_prospect()

    def look(self) -> None:
        """Read the queue."""
        desk = self._session.desk
        if desk is not None:
            self._asked_s = self._clock()
            self._background.ask("queue", desk.queue.look, self._on_look, failed=self._on_failed)

    def _submit(self, submit: Callable[[Desk], Job | None]) -> None:
        """Queue once, however often a person clicks while a long list is being stored."""
        desk = self._session.desk
        if desk is None or self._is_submitting:
            return
        self._set_submitting(True)
        self._background.tell(
            lambda: submit(desk),
            lambda job: self._on_submitted(desk, job),
            failed=lambda: self._set_submitting(False),
        )

    def _set_submitting(self, is_submitting: bool) -> None:
        self._is_submitting = is_submitting
        self._view.set_submitting(is_submitting)

    def _change(self, change: Callable[[Desk], Job], then: Callable[[Job], None]) -> None:
        desk = self._session.desk
        if desk is not None:
            self._background.tell(lambda: change(desk), then)

    def _ask_prospect(self) -> None:
        desk, chosen, wish = self._session.desk, self._chosen, self._wish
        self._is_prospect_old = False
        if desk is None or not chosen.count:
            self._view.set_expected("")
            return
        self._background.ask(
            "queue-prospect",
            lambda: desk.queue.prospect(chosen, wish),
            self._view.set_expected,
            lane="counts",
        )

    def _ask_why(self) -> None:
        desk, job_id = self._session.desk, self._why
        if desk is not None and job_id is not None:
            self._background.ask(
                "queue-why",
                lambda: desk.queue.why(job_id),
                lambda words: self._on_why(job_id, words),
            )

    def _on_desk(self, desk: Desk | None) -> None:
        self._open_jobs, self._why, self._asked_s = frozenset(), None, None
        self._is_in_contact, self._is_prospect_old = True, True
        if desk is not None:
            self.look()

    def _on_submitted(self, desk: Desk, job: Job | None) -> None:
        self._set_submitting(False)
        if desk is not self._session.desk:
            return
        if job is None:
            self._view.tell("The list shows no smear: nothing was queued.", is_warning=True)
            return
        self._view.tell(f"Job {job.id}: {job.total:,} smears are queued.", is_warning=False)
        self._view.select_job(job.id)
        self._session.result_job = job.id
        self._on_changed(job)

    def _on_changed(self, job: Job) -> None:
        self._is_prospect_old = True
        if not job.is_finished and job.kind == "classify":
            known = self._session.unfinished
            self._session.unfinished = (*known, *({job.id} - set(known)))
        self.look()

    def _on_look(self, found: QueueState | NoContact) -> None:
        self._asked_s = None
        if isinstance(found, NoContact):
            self._say_no_contact(found.reason)
            return
        if not self._is_in_contact:
            self._is_in_contact, self._is_prospect_old = True, True
            self._view.tell("The study's database answers again.", is_warning=False)
        self._answered_at = time.time()
        self._on_state(found)

    def _on_failed(self) -> None:
        self._asked_s = None

    def _on_state(self, state: QueueState) -> None:
        open_jobs = frozenset(line.job_id for line in state.lines if not line.is_finished)
        for line in state.lines:
            if line.is_finished and line.job_id in self._open_jobs:
                self._view.tell(line.ending, line.is_failed)
        if open_jobs != self._open_jobs:
            self._is_prospect_old = True
        self._open_jobs = open_jobs
        self._view.set_offer(state.offer)
        self._view.set_jobs(state.lines)
        self._view.set_workers(state.workers)
        self._session.unfinished = state.followed
        self._ask_why()

    def _on_why(self, job_id: int, words: str) -> None:
        if job_id == self._why:
            self._view.set_why(job_id, words)

    def _say_if_late(self) -> None:
        waited_s = 0.0 if self._asked_s is None else self._clock() - self._asked_s
        if waited_s >= NO_ANSWER_S:
            self._say_no_contact(f"no answer for {stopwatch(waited_s)}")

    def _say_no_contact(self, reason: str) -> None:
        self._is_in_contact = False
        since = time.strftime("%H:%M:%S", time.localtime(self._answered_at))
        words = (
            f"The study's database does not answer since {since} ({reason}). The table is as of "
            "then; what was queued is not lost, and this goes on by itself."
        )
        self._view.set_workers(WorkerWords(words, is_alarming=True))
