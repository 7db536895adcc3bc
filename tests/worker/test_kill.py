"""kill -9 of a real worker and of the broker in the middle of a job: nothing lost or twice.

With the real agent and a real model; `tests/chaos` does worse to workers that are stubs.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from sqlalchemy import func, select

from marrow.catalogue.schema import event, job_smear, prediction
from marrow.client import Client
from marrow.records import ModelRecord
from marrow.statefile import read_state
from marrow.study import Study
from tests.chaos.freezing import live_workers

PIECES, FIELDS = 40, 16

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="no embedded broker here"),
]


@pytest.fixture
def study(make_study: Callable[..., Study]) -> Iterator[Study]:
    study = make_study()
    yield study
    home = str(study.settings.home)
    command = [sys.executable, "-m", "marrow", "--home", home, "agent", "stop"]
    subprocess.run(command, check=True, capture_output=True, timeout=60)


def kill_worker(study: Study) -> int:
    """Kill -9 the worker that holds the seat: the one that is announced; returns its pid."""
    (pid,) = live_workers(Client(study))
    os.kill(pid, signal.SIGKILL)
    return pid


def kill_broker(study: Study) -> int:
    """Kill -9 the agent's broker; returns its pid."""
    state = read_state(study.settings.agent_folder / "broker.json")
    assert state is not None
    os.kill(state["pid"], signal.SIGKILL)
    return int(state["pid"])


def test_two_kills_lose_nothing_and_repeat_nothing(
    study: Study,
    tiny_model: Callable[[Study], ModelRecord],
    small_smears: Callable[[Study, Path, int], list[int]],
    tmp_path: Path,
) -> None:
    tiny_model(study)
    ids = small_smears(study, tmp_path / "smears", PIECES * FIELDS)
    client = Client(study)
    job = client.submit(ids)
    kills = {3: kill_worker, 12: kill_broker}
    killed: list[int] = []
    seen: list[int] = []
    pieces = 0
    for news in client.follow(job.id):
        seen.append(news.seq)
        pieces += news.kind == "piece"
        if news.kind == "piece" and pieces in kills:
            killed.append(kills.pop(pieces)(study))
    assert len(killed) == 2
    assert not any(psutil.pid_exists(pid) for pid in killed)

    finished = client.job(job.id)
    assert (finished.state, finished.done, finished.failed) == ("done", len(ids), 0)
    assert seen == list(range(1, finished.last_seq + 1))
    with study.database.read() as connection:
        stored = connection.execute(select(func.count()).select_from(prediction)).scalar_one()
        told = connection.execute(select(event.c.payload).where(event.c.kind == "piece")).scalars()
        smears = [smear for payload in told for smear in payload["smears"]]
        answered = connection.execute(
            select(func.count(job_smear.c.prediction_id.distinct()))
        ).scalar_one()
    assert stored == answered == len(ids)
    assert sorted(smears) == sorted(ids)
