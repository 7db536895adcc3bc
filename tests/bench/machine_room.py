"""Real processes for the bench: a single machine with its agent, and a lab's workers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Self

from marrow.client import Client
from marrow.queue import make_app, wake
from marrow.settings import Settings
from marrow.study import Study
from worker.broker import Broker

START_S = 120.0
"""Until a worker is there: it imports torch, perhaps on a busy machine."""


@contextmanager
def agent_of(study: Study) -> Iterator[Client]:
    """A client of a single machine, whose agent is stopped at the end."""
    try:
        yield Client(study)
    finally:
        home = str(study.settings.home)
        command = [sys.executable, "-m", "marrow", "--home", home, "agent", "stop"]
        subprocess.run(command, check=True, capture_output=True, timeout=START_S)


class Lab:
    """A study whose workers, of one thread each, are told of work by a broker.

    Parameters
    ----------
    study : Study
        Its home gets the broker's folder and the workers' logs.
    workers : int
    """

    def __init__(self, study: Study, workers: int) -> None:
        self.client = Client(study)
        self._study = study
        self._workers = workers
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._stack.close()
            raise
        return self

    def _start(self) -> None:
        home = self._study.settings.home
        broker = Broker(home / "broker")
        url = broker.start()
        self._stack.callback(broker.stop)
        self._app = make_app(url)
        for number in range(self._workers):
            self._stack.enter_context(_worker(home, number, url))
        deadline = time.monotonic() + START_S
        while len(self.client.workers()) < self._workers:
            if time.monotonic() > deadline:
                raise TimeoutError(f"no {self._workers} workers within {START_S:.0f} s: {home}")
            time.sleep(0.1)

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def submit(self, smear_ids: Sequence[int]) -> int:
        """Queue these smears, and publish the hints as a scheduler would; the job's id."""
        job = self.client.submit(smear_ids)
        wake(self._study, self._app)
        return job.id


@contextmanager
def _worker(home: Path, number: int, broker_url: str) -> Iterator[None]:
    # A home of its own with the study's database, as on another host; one thread for all that
    # torch and its libraries do.
    settings = {
        "MARROW_DATABASE": Settings(home=home).database_url,
        "MARROW_STORE": str(home / "store"),
        "MARROW_BROKER": broker_url,
        "MARROW_THREADS": "1",
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-m", "marrow", "--home", str(home / f"host{number}"), "worker"]
    with (home / f"worker{number}.log").open("wb") as log:
        process = subprocess.Popen(
            command, env={**os.environ, **settings}, stdout=log, stderr=log, cwd=home
        )
        try:
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=START_S)


def wait_for(client: Client, job_id: int, smears: int) -> None:
    """Wait for the end of a job; all its smears must have got an answer."""
    for _ in client.follow(job_id):
        pass
    job = client.job(job_id)
    if (job.state, job.done, job.failed) != ("done", smears, 0):
        raise RuntimeError(f"the job ended as {job}")
