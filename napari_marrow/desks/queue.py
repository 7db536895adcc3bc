"""The queue: what may be asked for, submitting, the jobs and their workers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import Connection, case, func, select
from sqlalchemy.exc import InterfaceError, OperationalError

from marrow.catalogue import account, jobs, models
from marrow.catalogue.database import first_line
from marrow.catalogue.schema import job as job_table
from marrow.catalogue.schema import model as model_table
from marrow.catalogue.schema import piece
from marrow.catalogue.smears import SmearFilter
from marrow.client import Client, has_worker_installed
from marrow.outlook import outlook_of, outlooks
from marrow.records import Job, Night, WorkerRecord
from marrow.statefile import read_state
from marrow.study import Study
from marrow.summary import failures_of
from marrow.windows import local_zone
from napari_marrow.desks.prospect import prospect
from napari_marrow.lines.jobs import (
    UNTRIED,
    JobLine,
    Tries,
    job_line,
    model_choice_words,
    why_text,
)
from napari_marrow.lines.workers import (
    SILENT_AFTER_S,
    Waiting,
    WorkerWords,
    worker_words,
)
from napari_marrow.machine_watch import Machine, MachineWatch

JOBS_SHOWN = 50
AGENT_LOOK_EVERY_S = 3.0
"""An agent that was told to start needs a second or two to say that it runs."""


@dataclass(frozen=True)
class Chosen:
    """Which smears are to be queued: these, or all that a filter shows."""

    count: int = 0
    ids: tuple[int, ...] = ()
    listed: SmearFilter | None = None
    """Where no smear is selected."""


@dataclass(frozen=True)
class Wish:
    """When smears are to be classified, and by which model."""

    model_id: int | None = None
    """None: the champion."""
    at: str | None = None
    """HH:MM of this machine's zone; None: now."""
    until: str | None = None
    """None: once it has begun it runs to its end."""


@dataclass(frozen=True)
class ModelChoice:
    """A model that can be asked."""

    model_id: int
    words: str


@dataclass(frozen=True)
class Offer:
    """What a person can choose from."""

    models: tuple[ModelChoice, ...] = ()
    """The champion first, then the newest."""
    night: tuple[str, str | None] | None = None
    """From and until of the last job that was queued for a night, None before the first."""


@dataclass(frozen=True)
class QueueState:
    """All that the Queue tab shows, from one moment."""

    lines: tuple[JobLine, ...]
    workers: WorkerWords
    followed: tuple[int, ...]
    """Classifications that are not over, oldest first."""
    offer: Offer = field(default_factory=Offer)


@dataclass(frozen=True)
class NoContact:
    """The study's database does not answer."""

    reason: str


class QueueDesk:
    """The jobs of a study.

    No method may run on the GUI thread.

    Parameters
    ----------
    study : Study
    client : Client
    """

    def __init__(self, study: Study, client: Client) -> None:
        self._study = study
        self._client = client
        self._watch = MachineWatch()
        self._looked_after_agent_s = float("-inf")
        self._final: dict[int, Tries] = {}
        self._open: frozenset[int] = frozenset()
        """Jobs that were not over at the last look."""
        self._offer: tuple[tuple[object, ...], Offer] = ((), Offer())

    def submit(self, ids: Sequence[int], wish: Wish | None = None) -> Job:
        """Queue smears; NotFound if the study has no model yet."""
        asked = wish or Wish()
        night = self._night(asked)
        priority = "interactive" if night is None else "overnight"
        return self._client.submit(ids, asked.model_id, priority=priority, night=night)

    def submit_chosen(self, chosen: Chosen, wish: Wish) -> Job | None:
        """Queue what is chosen; None if that is no smear."""
        ids = self._ids(chosen)
        return self.submit(ids, wish) if ids else None

    def prospect(self, chosen: Chosen, wish: Wish) -> str:
        """How long what is chosen is expected to take, in a sentence."""
        return prospect(self._study, self._ids(chosen), wish.model_id, self._night(wish))

    def cancel(self, job_id: int) -> Job:
        """Ask for a job to stop."""
        return self._client.cancel(job_id)

    def retry(self, job_id: int) -> Job:
        """Queue again what failed."""
        return self._client.retry(job_id)

    def why(self, job_id: int) -> str:
        """Why a job stands as it does, in a few lines."""
        with self._study.database.read() as connection:
            now = self._study.database.now(connection)
            job = jobs.get(connection, job_id)
            failed = failures_of(connection, job)
            known = account.known(connection, job_id) if job.kind == "classify" else 0
            tries = _count_tries(connection, [job_id]).get(job_id, UNTRIED)
        outlook = outlook_of(self._study, job, is_waking=True)
        return why_text(job, outlook, failed, known, tries, now)

    def look(self) -> QueueState | NoContact:
        """`state`, or that there is none because the database does not answer."""
        try:
            return self.state()
        except (OperationalError, InterfaceError) as error:
            return NoContact(first_line(error))

    def state(self) -> QueueState:
        """The newest jobs, the workers, what is to be followed and what may be asked for.

        Starts the agent of a single machine again where it was killed with work left to do.
        """
        with self._study.database.read() as connection:
            open_jobs = jobs.unfinished(connection)
            now = self._study.database.now(connection)
            newest = jobs.newest(connection, JOBS_SHOWN)
            oldest = newest[-1].id if newest else 0
            older = [one for one in open_jobs if one.id < oldest]
            over = self._open - {one.id for one in open_jobs}
            # Once more, so that its end is told.
            older += [jobs.get(connection, one) for one in sorted(over) if one < oldest]
            self._open = frozenset(one.id for one in open_jobs)
            shown = [*newest, *older]
            tries = self._tries_of(connection, shown)
            offer = self._offered(connection)
        due = [one for one in open_jobs if one.opens_at is None or one.opens_at <= now]
        stands = outlooks(self._study, shown, is_waking=True)  # see keep_awake below
        lines = tuple(
            job_line(one, stands[one.id], tries.get(one.id, UNTRIED), now) for one in shown
        )
        workers = self._workers(self._client.workers(), due, tries, now)
        if open_jobs and now - self._looked_after_agent_s >= AGENT_LOOK_EVERY_S:
            self._looked_after_agent_s = now
            self._client.keep_awake()
        followed = tuple(one.id for one in open_jobs if one.kind == "classify")
        return QueueState(lines, workers, followed, offer)

    def _night(self, wish: Wish) -> Night | None:
        if wish.at is None:
            return None
        return Night(at=wish.at, until=wish.until, zone=local_zone())

    def _ids(self, chosen: Chosen) -> Sequence[int]:
        return chosen.ids if chosen.listed is None else self._client.smear_ids(chosen.listed)

    def _workers(
        self, known: Sequence[WorkerRecord], due: Sequence[Job], tries: dict[int, Tries], now: float
    ) -> WorkerWords:
        settings = self._study.settings
        if due and settings.is_single_machine and not has_worker_installed():
            lacks = 'This installation has no worker: pip install "napari-marrow[worker]"'
            return WorkerWords(lacks, is_alarming=True)
        words = worker_words(known, now, _waiting(due))
        if not settings.is_single_machine:
            return words
        machine = Machine(
            agent=_pid(settings.agent_folder / "agent.json"),
            broker=_pid(settings.agent_folder / "broker.json"),
            workers=frozenset(one.id for one in known if now - one.seen_at <= SILENT_AFTER_S),
            is_due=bool(due),
            lost={job_id: one.lost for job_id, one in tries.items()},
        )
        return WorkerWords(words.text, words.is_alarming, self._watch.look(machine, now))

    def _tries_of(self, connection: Connection, shown: Sequence[Job]) -> dict[int, Tries]:
        """By job; those of a job that is over are counted once."""
        over = {one.id for one in shown if one.is_finished}
        wanted = [one.id for one in shown if one.id not in over or one.id not in self._final]
        counted = _count_tries(connection, wanted)
        tries = {one.id: counted.get(one.id) or self._final.get(one.id, UNTRIED) for one in shown}
        self._final = {job_id: tries[job_id] for job_id in over}
        return tries

    def _offered(self, connection: Connection) -> Offer:
        """The models with their words; their long cards are read only when there is a new one."""
        known = select(model_table.c.id, model_table.c.is_champion).order_by(model_table.c.id)
        night = connection.execute(
            select(job_table.c.night)
            .where(job_table.c.night.is_not(None))
            .order_by(job_table.c.id.desc())
            .limit(1)
        ).scalar()
        seen = (*map(tuple, connection.execute(known)), str(night))
        if seen != self._offer[0]:
            found = sorted(models.all_models(connection), key=lambda one: not one.is_champion)
            choices = tuple(ModelChoice(one.id, model_choice_words(one)) for one in found)
            last = None if night is None else Night.model_validate(night)
            times = None if last is None else (last.at, last.until)
            self._offer = (seen, Offer(choices, times))
        return self._offer[1]


def _count_tries(connection: Connection, job_ids: Sequence[int]) -> dict[int, Tries]:
    """By job, as far as it has pieces; one that was split counts with what it was split for."""
    begun = case((piece.c.attempt > 0, 1 + piece.c.lost_leases + piece.c.exceptions), else_=0)
    counts = func.max(begun), func.sum(piece.c.lost_leases), func.sum(piece.c.exceptions)
    rows = connection.execute(
        select(piece.c.job_id, *counts).where(piece.c.job_id.in_(job_ids)).group_by(piece.c.job_id)
    )
    return {job_id: Tries(*map(int, counted)) for job_id, *counted in rows}


def _waiting(due: Sequence[Job]) -> Waiting:
    classified = [one for one in due if one.kind == "classify"]
    return Waiting(
        smears=sum(max(0, one.total - one.done - one.failed) for one in classified),
        trainings=len(due) - len(classified),
        since=min((max(one.created_at, one.opens_at or 0.0) for one in due), default=None),
    )


def _pid(state_file: Path) -> int | None:
    """Of the process that the file names, None when it does not run."""
    state = read_state(state_file)
    return None if state is None else int(state["pid"])
