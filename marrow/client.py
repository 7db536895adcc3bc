"""What a viewer or the command line does with a study: submit, cancel, retry, follow."""

from __future__ import annotations

import itertools
import subprocess
import sys
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

from celery import Celery
from sqlalchemy import select

from marrow.board import Board, board_of
from marrow.catalogue import jobs, models, smears, stops
from marrow.catalogue.schema import worker as worker_table
from marrow.catalogue.stops import Stopped
from marrow.errors import NotFound
from marrow.importing import ImportReport, import_smears
from marrow.queue import make_app, wake
from marrow.records import Event, Job, Night, SweepSpec, TrainingSpec, WorkerRecord
from marrow.statefile import read_state
from marrow.study import Study
from marrow.sweeps import Grid, plan

LOOKS_PER_AGENT_LOOK = 60
"""A follower looks after the agent every 3 s: it may have been killed."""
LOOK_EVERY_S = 0.05
"""How often a follower looks for events: what a person takes for 'at once'."""


class Client:
    """The study's front door. Closing a client changes nothing: the work goes on.

    Parameters
    ----------
    study : Study
    start_agent : callable
        Starts the agent of a single machine; the default starts a detached process.
    """

    def __init__(self, study: Study, start_agent: Callable[[Path], None] | None = None) -> None:
        self.study = study
        self._start_agent = start_agent or _spawn_agent
        self._app: tuple[str, Celery] | None = None

    def import_smears(
        self,
        paths: Sequence[Path],
        labels_csv: Path | None = None,
        site: str | None = None,
        *,
        copy: bool = False,
        reader: str | None = None,
        is_blind: bool = False,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> ImportReport:
        """Register smears; see `marrow.importing.import_smears`."""
        return import_smears(
            self.study,
            paths,
            labels_csv,
            site,
            copy=copy,
            reader=reader,
            is_blind=is_blind,
            on_progress=on_progress,
        )

    def submit(
        self,
        smear_ids: Sequence[int],
        model_id: int | None = None,
        *,
        priority: str = "interactive",
        night: Night | None = None,
    ) -> Job:
        """Queue smears for a model (default: the champion); returns once it is stored.

        Raises
        ------
        NotFound
            If there is no such smear or model, or no model at all.
        """
        with self.study.database.write() as connection:
            at = self.study.database.now(connection)
            model = (
                models.champion(connection)
                if model_id is None
                else models.get(connection, model_id)
            )
            if model is None:
                raise NotFound("There is no model yet: train one with `marrow train`")
            job = jobs.submit_classify(
                connection, at, model, smear_ids, priority=priority, night=night
            )
        self.wake()
        return job

    def train(self, spec: TrainingSpec) -> Job:
        """Queue one training, a sweep with a cell for each epoch that it keeps; see `sweep`."""
        weights, epochs, seeds = (spec.loss_weights,), spec.kept_epochs, (spec.seed,)
        return self.sweep(plan(Grid(base=spec, loss_weights=weights, epochs=epochs, seeds=seeds)))

    def sweep(self, spec: SweepSpec, *, night: Night | None = None) -> Job:
        """Queue a sweep (`marrow.sweeps.plan` makes one of a grid); returns once it is stored."""
        with self.study.database.write() as connection:
            at = self.study.database.now(connection)
            job = jobs.submit_sweep(connection, at, spec, night=night)
        self.wake()
        return job

    def cancel(self, job_id: int) -> Job:
        """Ask for a job to stop; see `jobs.cancel`."""
        with self.study.database.write() as connection:
            job = jobs.cancel(connection, self.study.database.now(connection), job_id)
        if not job.is_finished:
            self.wake()  # somebody has to notice a worker that died with a piece
        return job

    def retry(self, job_id: int) -> Job:
        """Queue again what failed; see `jobs.retry`."""
        with self.study.database.write() as connection:
            job = jobs.retry(connection, self.study.database.now(connection), job_id)
        self.wake()
        return job

    def stop_cells(self, job_id: int, cells: Collection[int] | None = None) -> Stopped:
        """Let cells of a sweep (default: all) wait until they are resumed; see `stops`."""
        with self.study.database.write() as connection:
            at = self.study.database.now(connection)
            return stops.stop_cells(connection, at, job_id, cells)

    def resume_cells(self, job_id: int, cells: Collection[int] | None = None) -> Stopped:
        """Let stopped cells (default: all) go on where they ended; see `stops`."""
        with self.study.database.write() as connection:
            at = self.study.database.now(connection)
            left = stops.resume_cells(connection, at, job_id, cells)
        self.wake()
        return left

    def board(self, job_id: int, before: Board | None = None) -> Board:
        """How the cells and runs of a sweep stand; with `before`, only what is new is read."""
        with self.study.database.read() as connection:
            return board_of(connection, self.study.scheme, job_id, before)

    def job(self, job_id: int) -> Job:
        """A job as it is now; NotFound if there is none of that id."""
        with self.study.database.read() as connection:
            return jobs.get(connection, job_id)

    def jobs(self, limit: int = 50) -> list[Job]:
        """The newest jobs, newest first."""
        with self.study.database.read() as connection:
            return jobs.newest(connection, limit)

    def workers(self) -> list[WorkerRecord]:
        """All workers that the study has heard of, the last heard first."""
        columns = [worker_table.c[name] for name in WorkerRecord.model_fields]
        with self.study.database.read() as connection:
            rows = connection.execute(
                select(*columns).order_by(worker_table.c.seen_at.desc()).limit(100)
            )
            return [WorkerRecord(**row._mapping) for row in rows]

    def follow(
        self, job_id: int, after: int = 0, stop: threading.Event | None = None
    ) -> Iterator[Event]:
        """The job's events numbered above `after`, as they happen, each exactly once.

        Ends when the job is over or `stop` is set. Blocks; not for a GUI thread.
        """
        stopped = stop or threading.Event()
        for round_number in itertools.count(1):
            if round_number % LOOKS_PER_AGENT_LOOK == 0:
                self.keep_awake()
            with self.study.database.read() as connection:
                job = jobs.get(connection, job_id)
                news = jobs.events(connection, job_id, after)
            for event in news:
                after = event.seq
                yield event
            # The state and the events come from one snapshot: nothing can be missing.
            if job.is_finished or stopped.wait(LOOK_EVERY_S):
                return

    def smear_ids(self, shown: smears.SmearFilter | None = None) -> list[int]:
        """Ids of all smears that a filter shows."""
        with self.study.database.read() as connection:
            return smears.all_ids(connection, shown or smears.SmearFilter())

    def wake(self) -> None:
        """See to it that somebody works: start the agent of a single machine, or send hints.

        In a lab the scheduler sends them, since viewers have no access to the broker.
        """
        if not self.study.settings.is_single_machine:
            return
        if self.keep_awake():
            return
        broker = read_state(self.study.settings.agent_folder / "broker.json")
        if broker is not None:
            wake(self.study, self._app_of(broker["url"]))

    def _app_of(self, url: str) -> Celery:
        """The application for this broker, made once."""
        if self._app is None or self._app[0] != url:
            self._app = (url, make_app(url))
        return self._app[1]

    def keep_awake(self) -> bool:
        """Start the agent of a single machine if none runs and there is work for it; whether it
        had to be started. What a person has stopped is no work until he resumes it.
        """
        settings = self.study.settings
        if not (settings.is_single_machine and self.is_agent_gone() and self._is_work_left()):
            return False
        self._start_agent(settings.home)
        return True

    def _is_work_left(self) -> bool:
        with self.study.database.read() as connection:
            return stops.any_work(connection)

    def is_agent_gone(self) -> bool:
        """Whether no agent of this home runs."""
        return read_state(self.study.settings.agent_folder / "agent.json") is None

    def wake_if_waiting(self) -> bool:
        """Start the agent when work is left from an earlier day; whether there is any."""
        with self.study.database.read() as connection:
            is_waiting = stops.any_work(connection)
        if is_waiting:
            self.wake()
        return is_waiting


def has_worker_installed() -> bool:
    """Whether this machine could answer its own queue (the extra `worker`)."""
    return find_spec("torch") is not None


def _spawn_agent(home: Path) -> None:
    """Start the agent as a process of its own, which outlives this one.

    Without the extra `worker` there is nothing to start; the job waits in the catalogue.
    """
    if not has_worker_installed():
        return
    command = [sys.executable, "-P", "-m", "marrow", "--home", str(home), "agent", "run"]
    # -P: a file in the study's folder must never stand in for a module.
    # Through a launcher that ends at once: the agent is nobody's child, so that nobody has to
    # wait for its end, and a terminal's Ctrl-C does not reach it.
    subprocess.run(  # noqa: S603 -- our own interpreter and module, no shell
        [sys.executable, "-I", "-S", "-c", _LAUNCHER, *command],
        check=True,
        cwd=home,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


_LAUNCHER = """
import subprocess, sys
detached = (
    {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.DETACHED_PROCESS}
    if sys.platform == "win32"
    else {"start_new_session": True}
)
subprocess.Popen(sys.argv[1:], **detached)
"""
