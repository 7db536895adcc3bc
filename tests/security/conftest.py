"""A worker room to attack: a study with a tiny model, an embedded broker, and real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from marrow.client import Client
from marrow.records import Job, ModelRecord
from marrow.study import Study
from worker.broker import Broker

WAIT_S = 90.0
_STEP_S = 0.05


def _wait_until(is_true: Callable[[], object], what: str, timeout_s: float = WAIT_S) -> None:
    """Return once the condition holds; fail with its name when it does not in time."""
    pause = threading.Event()
    for _ in range(int(timeout_s / _STEP_S)):
        if is_true():
            return
        pause.wait(_STEP_S)
    raise AssertionError(f"not within {timeout_s:.0f} s: {what}")


@pytest.fixture
def wait_until() -> Callable[..., None]:
    return _wait_until


@dataclass
class Room:
    """A machine room on this machine, as a lab starts it: broker, and `marrow` processes."""

    study: Study
    client: Client
    broker: Broker
    url: str
    ids: list[int]
    logs: Path
    _stack: ExitStack = field(default_factory=ExitStack)

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """A `marrow` process that finds the broker; ended in order with the room."""
        home = str(self.study.settings.home)
        command = [sys.executable, "-m", "marrow", "--home", home, *arguments]
        with self.log(arguments[0]).open("ab") as output:
            process = subprocess.Popen(
                command,
                env={**os.environ, "MARROW_BROKER": self.url},
                stdout=output,
                stderr=output,
            )
        self._stack.callback(_end, process)
        return process

    def log(self, name: str) -> Path:
        """Where a process writes."""
        return self.logs / f"{name}.log"

    def said(self, name: str = "worker") -> str:
        """What a process has written so far."""
        log = self.log(name)
        return log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""

    def workers(self) -> int:
        """Workers that the catalogue knows to live."""
        return len(self.client.workers())

    def work_is_done(self) -> Job:
        """Let the room answer all its smears; the finished job."""
        job = self.client.submit(self.ids)
        for _ in self.client.follow(job.id):
            pass
        return self.client.job(job.id)

    def close(self) -> None:
        """End all processes."""
        self._stack.close()
        self.broker.stop()


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(timeout=30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _no_agent(_: Path) -> None:
    """A lab's client starts no agent."""


@pytest.fixture
def room(
    make_study: Callable[..., Study],
    tiny_model: Callable[[Study], ModelRecord],
    small_smears: Callable[[Study, Path, int], list[int]],
    tmp_path: Path,
) -> Iterator[Room]:
    """A study with a model and eight smears, a running broker, and no process yet."""
    study = make_study()
    tiny_model(study)
    ids = small_smears(study, tmp_path / "smears", 8)
    (tmp_path / "logs").mkdir()
    broker = Broker(tmp_path / "broker")
    client = Client(study, start_agent=_no_agent)
    made = Room(study, client, broker, broker.start(), ids, tmp_path / "logs")
    yield made
    made.close()
