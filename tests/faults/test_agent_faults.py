"""The agent and what it owns under kill -9, SIGSTOP and SIGTERM; real processes throughout."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import psutil
import pytest

from marrow.client import Client
from marrow.records import Night
from marrow.statefile import read_state
from marrow.study import Study
from tests.faults.wards import Ward, marrow, processes_of, wait_for
from worker.agent import agent_status, stop_agent
from worker.broker import broker_url

MakeWard = Callable[..., Ward]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="no embedded broker here"),
]


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def at_work(ward: Ward, job_id: int) -> bool:
    """Whether some of the job is done and some is not."""
    current = ward.job(job_id)
    assert not current.is_finished, "it was too fast for this test"
    return current.done > 0


def is_over(ward: Ward, job_id: int) -> bool:
    return ward.job(job_id).is_finished


def test_killed_it_leaves_no_orphan_and_the_next_start_resumes(
    ward: Ward, agents: list[Study]
) -> None:
    agents.append(ward.study)
    ward.model()
    ids = ward.smears(640)
    client = Client(ward.study)
    job = client.submit(ids)
    wait_for(lambda: at_work(ward, job.id))
    family = wait_for(
        lambda: (
            (found := processes_of(ward.study)) and {"broker", "scheduler"} < set(found) and found
        )
    )
    os.kill(family["agent"].pid, signal.SIGKILL)
    _, alive = psutil.wait_procs(list(family.values()), timeout=10)
    assert alive == []
    assert agent_status(ward.study.settings) is None

    assert marrow(ward.study, "agent", "start").returncode == 0
    pid = wait_for(lambda: agent_status(ward.study.settings)).pid
    again = marrow(ward.study, "agent", "start")
    assert again.returncode == 0
    assert agent_status(ward.study.settings).pid == pid  # the second one changes nothing
    wait_for(lambda: is_over(ward, job.id), timeout_s=180)
    ward.assert_whole(job.id)
    assert ward.job(job.id).failed == 0


def test_two_homes_on_one_machine_do_not_meet(make_ward: MakeWard, agents: list[Study]) -> None:
    wards = [make_ward("one"), make_ward("two")]
    begun = []
    for ward in wards:
        agents.append(ward.study)
        ward.model()
        begun.append(Client(ward.study).submit(ward.smears(64)).id)
    urls = wait_for(
        lambda: (
            (found := [broker_url(w.study.settings.agent_folder) for w in wards])
            and all(found)
            and found
        )
    )
    passwords = {url.split("@")[0] for url in urls}
    ports = {url.split("@")[1] for url in urls}
    assert (len(passwords), len(ports)) == (2, 2)
    for ward, job_id in zip(wards, begun, strict=True):
        wait_for(lambda ward=ward, job_id=job_id: is_over(ward, job_id), timeout_s=180)
        ward.assert_whole(job_id)
        assert ward.job(job_id).failed == 0
        assert ward.uncounted(job_id)
    families = [{p.pid for p in processes_of(ward.study).values()} for ward in wards]
    assert not families[0] & families[1]
    assert stop_agent(wards[0].study.settings)
    assert agent_status(wards[1].study.settings) is not None


def test_it_waits_for_tonights_job_and_goes_when_that_is_gone(
    ward: Ward, agents: list[Study], monkeypatch: pytest.MonkeyPatch
) -> None:
    agents.append(ward.study)
    monkeypatch.setenv("MARROW_AGENT_IDLE_S", "1")
    ward.model()
    now = datetime.now(ZoneInfo("Etc/UTC"))
    clocks = [(now + timedelta(hours=h)).strftime("%H:%M") for h in (6, 7)]
    tonight = Night(at=clocks[0], until=clocks[1], zone="Etc/UTC")
    client = Client(ward.study)
    job = client.submit(ward.smears(2), priority="overnight", night=tonight)
    family = wait_for(
        lambda: (found := processes_of(ward.study)) and "scheduler" in found and found
    )
    with pytest.raises(psutil.TimeoutExpired):
        family["agent"].wait(5)
    assert ward.job(job.id).state == "waiting"
    assert client.cancel(job.id).state == "cancelled"
    wait_for(lambda: agent_status(ward.study.settings) is None)
    _, alive = psutil.wait_procs(list(family.values()), timeout=40)
    assert alive == []


def test_a_broker_that_hangs_is_replaced_and_the_job_goes_on(
    ward: Ward, agents: list[Study]
) -> None:
    agents.append(ward.study)
    ward.model()
    job = Client(ward.study).submit(ward.smears(640))
    wait_for(lambda: at_work(ward, job.id))
    broker = processes_of(ward.study)["broker"]
    os.kill(broker.pid, signal.SIGSTOP)

    def successor() -> Any:
        state = read_state(ward.study.settings.agent_folder / "broker.json")
        return state is not None and state["pid"] != broker.pid

    wait_for(successor, timeout_s=25)  # two missed questions, 5 s apart, of 2 s each
    assert not psutil.pid_exists(broker.pid)
    wait_for(lambda: is_over(ward, job.id), timeout_s=180)
    ward.assert_whole(job.id)
    assert ward.job(job.id).failed == 0


def test_a_stopped_worker_puts_its_smears_back_uncounted(ward: Ward, agents: list[Study]) -> None:
    agents.append(ward.study)
    ward.model()
    job = Client(ward.study).submit(ward.smears(1280), priority="overnight")
    wait_for(lambda: at_work(ward, job.id))
    assert stop_agent(ward.study.settings)
    assert not ward.job(job.id).is_finished
    rows = ward.pieces(job.id)
    assert {row.state for row in rows} == {"new", "done"}
    assert ward.uncounted(job.id)
    Client(ward.study).wake()
    wait_for(lambda: is_over(ward, job.id), timeout_s=180)
    ward.assert_whole(job.id)


def test_a_stopped_training_leaves_a_checkpoint(ward: Ward, agents: list[Study]) -> None:
    agents.append(ward.study)
    ward.labelled()
    client = Client(ward.study)
    job = client.train(ward.spec(tune="full", epochs=200))
    wait_for(lambda: at_work(ward, job.id))
    assert stop_agent(ward.study.settings)
    first, second = ward.pieces(job.id)
    assert (first.state, second.state) == ("done", "new")
    assert ward.uncounted(job.id)
    checkpoint = second.payload["checkpoint"]
    assert checkpoint["epoch"] >= 1
    assert (ward.study.store / checkpoint["path"]).is_file()
    client.cancel(job.id)
