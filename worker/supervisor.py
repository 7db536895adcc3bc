"""Keeps the broker, the workers and the scheduler of one machine running."""

from __future__ import annotations

import logging
import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from pydantic import TypeAdapter, ValidationError

from marrow.errors import BrokerUnavailable
from marrow.records import Record
from marrow.settings import Settings
from marrow.statefile import (
    end_process,
    private_folder,
    read_left_behind,
    running_process,
    start_time,
    write_state,
)
from worker.broker import Broker
from worker.children import ChildProcess, Role, Spawn, roles_of, spawn_child
from worker.restarts import IdleWatch, Restarts

_STATE_FILE = "agent.json"
_LOOK_EVERY_S = 0.5
_STOP_TIMEOUT_S = 20.0
"""A training segment ends at its next batch, with a checkpoint: seconds on a CPU."""
_PING_EVERY_S = 5.0
_PINGS_MISSED = 2

_log = logging.getLogger(__name__)


def state_file(settings: Settings) -> Path:
    """Where the agent says that it runs: pid, start time and its children."""
    return settings.agent_folder / _STATE_FILE


class ChildState(Record):
    """A child as the agent's state file names it."""

    pid: int
    started: float
    """Seconds since 1970."""
    holds_leases: bool


_CHILDREN = TypeAdapter(dict[str, ChildState])


def children_in(state: Mapping[str, Any] | None) -> dict[str, ChildState]:
    """The children by name in an agent's state; none where another version wrote it otherwise."""
    try:
        return _CHILDREN.validate_python({} if state is None else state.get("children"))
    except ValidationError:
        return {}


class RunningBroker(Protocol):
    """What the agent needs of a `worker.broker.Broker`."""

    def start(self) -> str: ...
    def is_alive(self) -> bool: ...
    def answers(self) -> bool: ...
    def kill(self) -> None: ...
    def stop(self) -> None: ...


class Ledger(Protocol):
    """What the agent needs of the catalogue."""

    def is_idle(self) -> bool:
        """Whether there is nothing to do; a job that waits for tonight is something to do."""

    def release(self, pid: int, started: float) -> None:
        """Free the leases of a worker of this host that has died (seconds since 1970)."""


@dataclass
class _Child:
    role: Role
    restarts: Restarts = field(default_factory=Restarts)
    process: ChildProcess | None = None
    started: float = 0.0


class Agent:
    """Starts what is missing, restarts what died, and goes when there is nothing to do.

    Use from the main thread: Linux ends the children with the thread that started them.

    Parameters
    ----------
    settings : Settings
    ledger : Ledger
    broker : RunningBroker, optional
        None: a `Broker` in the agent's folder.
    roles : sequence of Role, optional
        Children that are always to run. None: a worker per graphics card, and the scheduler.
    spawn, start_time, clock, sleep : callables, optional
        Seams for tests; `clock` is monotonic, in seconds.
    """

    def __init__(
        self,
        settings: Settings,
        ledger: Ledger,
        broker: RunningBroker | None = None,
        roles: Sequence[Role] | None = None,
        *,
        spawn: Spawn | None = None,
        start_time: Callable[[int], float] = start_time,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._folder = private_folder(settings.agent_folder)
        self._state_file = state_file(settings)
        self._ledger = ledger
        self._broker = broker or Broker(self._folder)
        self._spawn = spawn or (lambda role, url: spawn_child(role, url, self._folder))
        self._start_time, self._clock, self._sleep = start_time, clock, sleep
        if roles is None:
            roles = roles_of(settings.home, self._folder, os.getpid(), os.environ)
        self._began_s = clock()
        self._children = [_Child(role) for role in roles]
        self._broker_restarts = Restarts()
        self._is_broker_up = False
        self._next_ping_s, self._missed_pings = clock() + _PING_EVERY_S, 0
        self._broker_fault = ""
        self._url: str | None = None
        self._idle = IdleWatch(settings.agent_idle_s, clock())
        self._is_asked_to_stop = False

    def ask_to_stop(self) -> None:
        """Stop at the next look. Safe in a signal handler: it sets one flag."""
        self._is_asked_to_stop = True

    def run(self) -> None:
        """Supervise until asked to stop, idle for long enough, or the home is gone."""
        self._release_left_behind()
        self._write_state()
        try:
            while self.look() or not self._may_leave():
                self._sleep(_LOOK_EVERY_S)
        finally:
            self.stop()

    def look(self) -> bool:
        """Look once after everything; False when it is time to go."""
        now_s = self._clock()
        if self._is_asked_to_stop or not self._is_ours():
            return False
        self._look_after_broker(now_s)
        changed = [self._look_after(child, now_s) for child in self._children]
        if any(changed):
            self._write_state()
        return not self._idle.is_over(self._ledger.is_idle(), now_s)

    def stop(self) -> None:
        """End the children (after 20 s by force), then the broker."""
        self._withdraw()
        try:
            self._stop_children()
        finally:
            self._broker.stop()
        _log.info("the agent has stopped")

    def _stop_children(self) -> None:
        running = [(child, child.process) for child in self._children if child.process is not None]
        for _, process in running:
            process.terminate()
        until_s = self._clock() + _STOP_TIMEOUT_S
        for _, process in running:
            try:
                process.wait(max(0.0, until_s - self._clock()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for child, process in running:
            self._bury(child, process)

    def _look_after_broker(self, now_s: float) -> None:
        if self._broker.is_alive():
            self._end_hanging_broker(now_s)
            return
        if self._is_broker_up:
            self._is_broker_up = False
            pause_s = self._broker_restarts.has_died(now_s)
            _log.warning("the broker ended; next start in %.0f s", pause_s)
        if not self._broker_restarts.is_due(now_s):
            return
        try:
            url = self._broker.start()
        except (BrokerUnavailable, OSError) as error:
            self._broker_restarts.has_died(now_s)
            if str(error) != self._broker_fault:
                _log.warning("no broker, so the workers poll the catalogue: %s", error)
            self._broker_fault = str(error)
            if self._url is not None:  # restarted without its address, the workers poll
                self._url = None
                self._ask_children_to_return()
            return
        self._is_broker_up = True
        self._broker_restarts.has_started(now_s)
        _log.info("the broker runs")
        if url != self._url:
            self._url = url
            self._ask_children_to_return()

    def _end_hanging_broker(self, now_s: float) -> None:
        if now_s < self._next_ping_s:
            return
        self._next_ping_s = now_s + _PING_EVERY_S
        self._missed_pings = 0 if self._broker.answers() else self._missed_pings + 1
        if self._missed_pings >= _PINGS_MISSED:
            _log.warning("the broker runs but does not answer: it is ended")
            self._broker.kill()
            self._missed_pings = 0

    def _ask_children_to_return(self) -> None:
        """End children that have the address of another broker, or of none; they are restarted."""
        for child in self._children:
            if child.process is not None:
                child.process.terminate()

    def _look_after(self, child: _Child, now_s: float) -> bool:
        """Notice the end of a child, and start it if it is due; True if anything changed."""
        changed = False
        if child.process is not None:
            code = child.process.poll()
            if code is None:
                return False
            changed = True
            pause_s = child.restarts.has_died(now_s)
            _log.warning("%s ended (%s); next start in %.0f s", child.role.name, code, pause_s)
            self._bury(child, child.process)
        is_early = now_s - self._began_s < child.role.after_s
        if child.restarts.is_due(now_s) and not is_early:
            changed = self._start(child, now_s) or changed
        return changed

    def _start(self, child: _Child, now_s: float) -> bool:
        try:
            child.process = self._spawn(child.role, self._url)
        except OSError as error:
            pause_s = child.restarts.has_died(now_s)
            _log.error("%s: %s; next try in %.0f s", child.role.name, error, pause_s)
            return False
        child.started = self._start_time(child.process.pid)
        child.restarts.has_started(now_s)
        _log.info("%s started (pid %d)", child.role.name, child.process.pid)
        return True

    def _bury(self, child: _Child, process: ChildProcess) -> None:
        child.process = None
        if child.role.holds_leases:
            self._ledger.release(process.pid, child.started)

    def _may_leave(self) -> bool:
        """False if work came in while the agent was about to go.

        A client first stores its job and then looks for an agent. So the agent first withdraws
        its state file and then looks for a job: one of the two sees the other.
        """
        if self._is_asked_to_stop or not self._is_ours():
            return True
        self._withdraw()
        if self._ledger.is_idle():
            return True
        self._write_state()
        return False

    def _is_ours(self) -> bool:
        """Whether the home is there and still names this agent."""
        state = read_left_behind(self._state_file)
        return state is not None and state["pid"] == os.getpid()

    def _withdraw(self) -> None:
        if self._is_ours():
            self._state_file.unlink(missing_ok=True)

    def _write_state(self) -> None:
        children = {
            child.role.name: ChildState(
                pid=child.process.pid,
                started=child.started,
                holds_leases=child.role.holds_leases,
            ).model_dump()
            for child in self._children
            if child.process is not None
        }
        try:
            write_state(self._state_file, os.getpid(), children=children)
        except OSError as error:  # a full disk does not end the agent; a home that is gone does
            _log.warning("%s cannot be written: %s", self._state_file.name, error)

    def _release_left_behind(self) -> None:
        """End what an agent that was killed has left, and free the leases of its workers."""
        state = read_left_behind(self._state_file)
        for name, child in children_in(state).items():
            process = running_process(child.pid, child.started)
            if process is not None:
                _log.warning("ending %s (pid %d) of an agent that was killed", name, process.pid)
                end_process(process, _STOP_TIMEOUT_S)
            if child.holds_leases:
                self._ledger.release(child.pid, child.started)
