"""A lab on one machine: PostgreSQL, a broker, a scheduler, workers, and a client without broker."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from sqlalchemy import func, select

from marrow.catalogue.schema import piece, prediction
from marrow.client import Client
from marrow.records import ModelRecord
from marrow.schemes import AA_MDS_AML
from marrow.settings import Settings
from marrow.study import Study
from worker.broker import Broker

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="no embedded broker here"),
]


@contextmanager
def running(home: Path, *arguments: str, **settings: str) -> Iterator[subprocess.Popen[bytes]]:
    """A `marrow` process with these MARROW_* settings; ended in order at the end."""
    command = [sys.executable, "-m", "marrow", "--home", str(home), *arguments]
    log = home.parent / f"{arguments[0]}.log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            command, env={**os.environ, **settings}, stdout=output, stderr=output
        )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)


def lab_study(tmp_path: Path, environment: Mapping[str, str], monkeypatch: object) -> Study:
    assert isinstance(monkeypatch, pytest.MonkeyPatch)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    settings = Settings.read(tmp_path / "viewer")
    for name in environment:
        monkeypatch.delenv(name)
    return Study.create(settings, AA_MDS_AML)


def no_agent(_: Path) -> None:
    raise AssertionError("a lab's viewer starts no agent")


def assert_done(study: Study, client: Client, job_id: int, smears: int) -> None:
    for _ in client.follow(job_id):
        pass
    assert (client.job(job_id).state, client.job(job_id).done) == ("done", smears)
    with study.database.read() as connection:
        stored = connection.execute(select(func.count()).select_from(prediction)).scalar_one()
        twice = connection.execute(
            select(func.count()).select_from(piece).where(piece.c.attempt > 1)
        ).scalar_one()
    assert stored == smears
    assert twice == 0


def test_viewers_without_a_broker_and_two_workers_meet_in_postgresql(
    postgres_url: str,
    tiny_model: Callable[[Study], ModelRecord],
    small_smears: Callable[[Study, Path, int], list[int]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shared = {
        "MARROW_DATABASE": postgres_url,
        "MARROW_STORE": str(tmp_path / "store"),
        "MARROW_ROOTS": f'{{"smears": "{tmp_path / "smears"}"}}',
    }
    study = lab_study(tmp_path, shared, monkeypatch)
    client = Client(study, start_agent=no_agent)
    tiny_model(study)
    ids = small_smears(study, tmp_path / "smears", 160)
    broker = Broker(tmp_path / "broker")
    machine_room = shared | {"MARROW_BROKER": broker.start()}
    with ExitStack() as stack:
        stack.callback(broker.stop)
        home = tmp_path / "host"
        stack.enter_context(running(home, "scheduler", **machine_room))
        for _ in range(2):
            stack.enter_context(running(home, "worker", **machine_room))
        job = client.submit(ids)
        assert_done(study, client, job.id, len(ids))
    assert client.workers() == []  # both took their leave
    study.close()


def test_a_worker_without_any_broker_polls(
    tiny_model: Callable[[Study], ModelRecord],
    small_smears: Callable[[Study, Path, int], list[int]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "host").mkdir()
    shared = {
        "MARROW_DATABASE": f"sqlite:///{tmp_path / 'catalogue.sqlite'}",
        "MARROW_STORE": str(tmp_path / "store"),
    }
    study = lab_study(tmp_path, shared, monkeypatch)
    client = Client(study, start_agent=no_agent)
    tiny_model(study)
    ids = small_smears(study, tmp_path / "smears", 40)
    job = client.submit(ids)
    with running(tmp_path / "host", "worker", "--poll", **shared):
        assert_done(study, client, job.id, len(ids))
    study.close()
