"""What a stock Celery installation and Flower see of a worker, with no code of ours."""

from __future__ import annotations

import base64
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from marrow.client import Client
from marrow.queue import TASK, make_app
from marrow.records import Job, ModelRecord
from marrow.schemes import AA_MDS_AML
from marrow.settings import Settings
from marrow.study import Study
from worker.broker import Broker

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="no embedded broker here"),
]

TIMEOUT_S = 120
FLOWER_LOGIN = "marrow:for-this-test"


@contextmanager
def running(command: list[str], log: Path, **settings: str) -> Iterator[None]:
    with log.open("ab") as output:
        process = subprocess.Popen(
            command, env={**os.environ, **settings}, stdout=output, stderr=output, cwd=log.parent
        )
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[str]:
    broker = Broker(tmp_path / "broker")
    yield broker.start()
    broker.stop()


@pytest.fixture
def client(
    broker: str,
    tmp_path: Path,
    tiny_model: Callable[[Study], ModelRecord],
    small_smears: Callable[[Study, Path, int], list[int]],
) -> Iterator[Client]:
    """A study with a model and smears, and a real worker and scheduler at that broker."""
    database = f"sqlite:///{tmp_path / 'catalogue.sqlite'}"
    settings = Settings.read(tmp_path / "home").model_copy(
        update={"database": database, "store": tmp_path / "store"}
    )
    study = Study.create(Settings.model_validate(settings.model_dump()), AA_MDS_AML)
    tiny_model(study)
    small_smears(study, tmp_path / "smears", 20)
    marrow = [sys.executable, "-P", "-m", "marrow", "--home", str(tmp_path / "home")]
    lab = {"MARROW_DATABASE": database, "MARROW_BROKER": broker}
    lab["MARROW_STORE"] = str(tmp_path / "store")
    with (
        running([*marrow, "scheduler"], tmp_path / "scheduler.log", **lab),
        running([*marrow, "worker"], tmp_path / "worker.log", **lab),
    ):
        client = Client(study, start_agent=lambda _: None)
        wait_for(client.workers, "the worker")
        yield client
    study.close()


def wait_for(look: Callable[[], Any], what: str) -> Any:
    """The first answer that is not empty."""
    until = time.monotonic() + TIMEOUT_S
    while time.monotonic() < until:
        if found := look():
            return found
        time.sleep(0.1)
    raise AssertionError(f"{what} did not come within {TIMEOUT_S} s")


def inspect(broker: str, folder: Path, question: str) -> dict[str, Any]:
    """The answers to `celery inspect`, of a process that has none of our code on its path."""
    command = [sys.executable, "-P", "-m", "celery", "-b", broker, "inspect", "--json", question]
    done = subprocess.run(
        [*command, "--timeout", "5"], capture_output=True, text=True, cwd=folder, timeout=60
    )
    return dict(json.loads(done.stdout)) if done.returncode == 0 else {}


def test_a_stock_celery_may_inspect_the_worker(broker: str, client: Client, tmp_path: Path) -> None:
    pong = wait_for(lambda: inspect(broker, tmp_path, "ping"), "an answer to ping")
    (name,) = pong
    assert pong[name] == {"ok": "pong"}
    job = client.submit(client.smear_ids())
    for _ in client.follow(job.id):
        pass
    assert inspect(broker, tmp_path, "active") == {name: []}
    assert inspect(broker, tmp_path, "registered") == {name: [TASK]}
    stats = wait_for(
        lambda: inspect(broker, tmp_path, "stats")[name]["total"].get(TASK), "a counted task"
    )
    assert stats >= 2  # twenty smears are two pieces


def test_flower_lists_the_worker_and_its_tasks(broker: str, client: Client, tmp_path: Path) -> None:
    pytest.importorskip("flower")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    flower = [sys.executable, "-P", "-m", "celery", "flower"]
    options = ["--address=127.0.0.1", f"--port={port}"]
    # The broker's password stays off the command line, which every user of a machine can read.
    secrets = {"CELERY_BROKER_URL": broker, "FLOWER_BASIC_AUTH": FLOWER_LOGIN}
    with running([*flower, *options], tmp_path / "flower.log", **secrets):
        ask = asker(port)
        first, *others = client.smear_ids()
        known = finished(client, [first])
        hint = make_app(broker)

        def is_watching() -> bool:
            # Flower asks the workers for their events every 5 s. A repeated hint finds nothing
            # to claim; that it was answered is an event.
            hint.send_task(TASK, (known.id, 0), queue="interactive")
            return bool(done_tasks(ask("/api/tasks"), known))

        wait_for(is_watching, "the first event")
        job = finished(client, others)
        tasks = wait_for(lambda: done_tasks(ask("/api/tasks"), job), "the tasks in Flower")
        (worker,) = wait_for(lambda: ask("/api/workers?refresh=1"), "Flower's list of workers")
        assert {task["name"] for task in tasks} == {TASK}
        assert {task["worker"] for task in tasks} == {worker}
        # What others see of a task is two numbers: no smear, no patient, no path.
        assert {task["args"] for task in tasks} <= {str((job.id, piece)) for piece in (0, 1)}


def finished(client: Client, smear_ids: list[int]) -> Job:
    """A job of these smears, once the worker has answered them."""
    job = client.submit(smear_ids)
    for _ in client.follow(job.id):
        pass
    return job


def asker(port: int) -> Callable[[str], Any]:
    """Asks Flower's API; None while it does not answer."""
    credentials = base64.b64encode(FLOWER_LOGIN.encode()).decode()

    def ask(path: str) -> Any:
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}{path}", headers={"Authorization": f"Basic {credentials}"}
        )
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
                return json.load(answer)
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return None

    return ask


def done_tasks(tasks: dict[str, Any] | None, job: Job) -> list[dict[str, Any]]:
    """The tasks of a job that were worked on, as Flower lists them."""
    done = [one for one in (tasks or {}).values() if one["state"] == "SUCCESS"]
    return [one for one in done if one["args"].startswith(f"({job.id}, ")]
