"""The agent of one machine: how it is run, asked to stop, and looked at."""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from logging.handlers import RotatingFileHandler
from types import FrameType

from filelock import FileLock, Timeout
from psutil import NoSuchProcess, TimeoutExpired
from sqlalchemy.exc import SQLAlchemyError

from marrow.catalogue import stops
from marrow.catalogue.database import Database
from marrow.catalogue.migrate import migrate
from marrow.errors import BadSettings, Busy, MarrowError, NoStudy
from marrow.records import Record
from marrow.settings import Settings
from marrow.statefile import private_folder, private_log, read_state, running_process
from marrow.study import Study
from worker.broker import answers, broker_url
from worker.children import Role
from worker.logs import Formatter
from worker.owner import Owner
from worker.recovery import release_leases_of
from worker.supervisor import Agent, children_in, state_file

__all__ = ["Agent", "AgentStatus", "StudyLedger", "agent_status", "run_agent", "stop_agent"]

_LOCK_FILE = "agent.lock"
_LOG_FILE = "agent.log"
_LOG_BYTES = 2_000_000
_LOCK_WAIT_S = 50.0
"""Longer than an agent takes to stop: its children get 20 s, its broker 10."""

_log = logging.getLogger(__name__)


class AgentStatus(Record):
    """The agent of a home that runs just now."""

    pid: int
    since: float
    """Seconds since 1970, UTC."""
    is_broker_alive: bool
    """Whether the embedded broker answers; without it the workers poll the catalogue."""
    workers: tuple[int, ...]
    """Pids; a worker that waits for its restart is missing."""
    scheduler: int | None


class StudyLedger:
    """What the agent asks of the catalogue; a busy or failing one never ends the agent."""

    def __init__(self, study: Study) -> None:
        self._study = study

    def is_idle(self) -> bool:
        """Whether there is nothing to do, now or in a night to come; what a person has stopped
        is none until he resumes it. False where the catalogue does not answer.
        """
        try:
            with self._study.database.read() as connection:
                return not stops.any_work(connection)
        except SQLAlchemyError as error:
            _log.warning("the catalogue does not answer: %s", type(error).__name__)
            return False

    def release(self, pid: int, started: float) -> None:
        """Free the leases of a worker of this host that has died (seconds since 1970)."""
        try:
            release_leases_of(self._study, Owner(socket.gethostname(), pid, started))
        except (SQLAlchemyError, MarrowError) as error:
            # The scheduler frees them when they expire, after 30 s.
            _log.warning("leases of worker %d not released: %s", pid, type(error).__name__)


def run_agent(settings: Settings, roles: Sequence[Role] | None = None) -> int:
    """Be the agent of this home until it is stopped or idle; the exit code.

    Parameters
    ----------
    roles : sequence of Role, optional
        Its children; None: workers per graphics card, and the scheduler.

    Raises
    ------
    BadSettings
        In a lab (MARROW_DATABASE or MARROW_BROKER set): its workers are started on their own.
    NoStudy
        If the home holds no study.
    """
    if not settings.is_single_machine:
        raise BadSettings(
            "MARROW_DATABASE or MARROW_BROKER is set, and an agent serves one machine only: "
            "run `marrow scheduler` once and `marrow worker` once per graphics card instead"
        )
    if not (settings.home / "catalogue.sqlite").exists():
        raise NoStudy(f"There is no study in {settings.home}: make one with `marrow init`")
    os.umask(0o077)  # whatever it and its children make is this user's alone
    lock = _take_lock(settings)
    if lock is None:
        sys.stderr.write(f"An agent already runs for {settings.home}\n")
        return 0
    try:
        with _logging_to(settings), _open_study(settings) as study:
            agent = Agent(settings, StudyLedger(study), roles=roles)
            with _on_signals(agent.ask_to_stop):
                agent.run()
    finally:
        lock.release()
    return 0


def stop_agent(settings: Settings, timeout_s: float = 40) -> bool:
    """Ask the agent of this home to stop and wait for its end; False if there was none.

    Raises
    ------
    Busy
        If it still runs after the timeout.
    """
    state = read_state(state_file(settings))
    process = running_process(state["pid"], state["started"]) if state else None
    if process is None:
        return False
    try:
        process.terminate()
        process.wait(timeout_s)
    except NoSuchProcess:
        pass
    except TimeoutExpired as error:
        raise Busy(
            f"The agent (pid {process.pid}) has not stopped within {timeout_s:.0f} s; "
            f"see {settings.agent_folder / _LOG_FILE}"
        ) from error
    return True


def agent_status(settings: Settings) -> AgentStatus | None:
    """The agent of this home that runs just now, or None."""
    state = read_state(state_file(settings))
    if state is None:
        return None
    children = children_in(state)
    url = broker_url(settings.agent_folder)
    return AgentStatus(
        pid=state["pid"],
        since=state["started"],
        is_broker_alive=url is not None and answers(url),
        workers=tuple(child.pid for child in children.values() if child.holds_leases),
        scheduler=children["scheduler"].pid if "scheduler" in children else None,
    )


def _take_lock(settings: Settings, wait_s: float = _LOCK_WAIT_S) -> FileLock | None:
    """The home's lock, or None if an agent holds it that will stay.

    One that has withdrawn its state file is about to go: it may have missed the newest job, so
    its successor waits for the lock.
    """
    lock = FileLock(private_folder(settings.agent_folder) / _LOCK_FILE, mode=0o600)
    until_s = time.monotonic() + wait_s
    while time.monotonic() < until_s:
        try:
            lock.acquire(timeout=0.2)
        except Timeout:
            if read_state(state_file(settings)) is not None:
                return None
        else:
            return lock
    return None


@contextmanager
def _open_study(settings: Settings) -> Iterator[Study]:
    database = Database(settings.database_url)
    migrate(database)
    database.close()
    study = Study.open(settings)
    try:
        yield study
    finally:
        study.close()


@contextmanager
def _logging_to(settings: Settings) -> Iterator[None]:
    log = settings.agent_folder / _LOG_FILE
    private_log(log)
    handler = RotatingFileHandler(log, maxBytes=_LOG_BYTES, backupCount=2, encoding="utf-8")
    handler.setFormatter(Formatter())
    logger = logging.getLogger("worker")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        handler.close()


@contextmanager
def _on_signals(call: Callable[[], None]) -> Iterator[None]:
    """Call on SIGTERM, SIGINT and SIGHUP (a closed terminal) instead of dying."""

    def _handle(_number: int, _frame: FrameType | None) -> None:
        call()

    names = [name for name in ("SIGTERM", "SIGINT", "SIGHUP") if hasattr(signal, name)]
    before = {name: signal.signal(getattr(signal, name), _handle) for name in names}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(getattr(signal, name), handler)
