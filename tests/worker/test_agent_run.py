"""The agent as a process: one per home, asked to stop, gone when idle; children are dummies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from filelock import FileLock
from sqlalchemy.exc import OperationalError

from marrow.catalogue import jobs, stops
from marrow.errors import BadSettings, Busy, NoStudy
from marrow.records import SweepSpec, TrainingSpec
from marrow.schemes import AA_MDS_AML
from marrow.settings import Settings
from marrow.statefile import read_state, write_state
from marrow.study import Study
from worker import agent as agent_module
from worker.agent import StudyLedger, agent_status, run_agent, stop_agent
from worker.broker import broker_url
from worker.supervisor import state_file

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="signals and the broker are POSIX"),
]

WAIT_S = 60.0
ROOT = Path(agent_module.__file__).parents[1]
RUN = """
import sys
from pathlib import Path
from marrow.settings import Settings
from worker.agent import run_agent
from worker.children import Role

sleep = (sys.executable, "-c", "import signal; signal.pause()")
sleepers = [Role("worker-0", sleep, holds_leases=True), Role("scheduler", sleep)]
settings = Settings(home=Path(sys.argv[1]), agent_idle_s=float(sys.argv[2]))
sys.exit(run_agent(settings, sleepers))
"""
Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def study(tmp_path: Path) -> Iterator[Study]:
    study = Study.create(Settings(home=tmp_path / "my study"), AA_MDS_AML)
    yield study
    study.close()


@pytest.fixture
def settings(study: Study) -> Settings:
    return study.settings


@pytest.fixture
def start(settings: Settings) -> Iterator[Start]:
    started: list[subprocess.Popen[str]] = []

    def _start(idle_s: float = 600) -> subprocess.Popen[str]:
        agent = subprocess.Popen(
            [sys.executable, "-c", RUN, str(settings.home), str(idle_s)],
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        started.append(agent)
        return agent

    yield _start
    for agent in started:
        agent.kill()
        agent.wait(WAIT_S)
        assert agent.stderr is not None
        agent.stderr.close()


def wait_for_children(settings: Settings, agent: subprocess.Popen[str]) -> None:
    """Return once the agent has started its children; the file's change is polled."""
    pause = threading.Event()
    for _ in range(int(WAIT_S * 20)):
        status = agent_status(settings)
        if status is not None and status.workers:
            return
        assert agent.poll() is None, "the agent has ended"
        pause.wait(0.05)
    raise AssertionError("the agent did not start its children")


def test_is_shown_and_stopped_and_is_alone(start: Start, settings: Settings) -> None:
    assert agent_status(settings) is None
    agent = start()
    wait_for_children(settings, agent)

    status = agent_status(settings)
    assert status is not None
    assert status.pid == agent.pid
    assert status.is_broker_alive
    assert status.since == psutil.Process(agent.pid).create_time()
    below = psutil.Process(agent.pid).children()
    assert {*status.workers, status.scheduler} < {process.pid for process in below}

    second = start()
    _, said = second.communicate(timeout=WAIT_S)
    assert second.returncode == 0
    assert said == f"An agent already runs for {settings.home}\n"
    assert agent.poll() is None

    url = broker_url(settings.agent_folder)
    assert url is not None
    assert stop_agent(settings)
    assert agent.communicate(timeout=WAIT_S)[1] == ""
    assert [process for process in below if process.is_running()] == []
    assert agent_status(settings) is None
    assert not stop_agent(settings)
    password = url.split(":")[2].split("@")[0]
    logs = list(settings.agent_folder.glob("*.log*"))
    assert {path.name for path in logs} >= {"agent.log", "worker-0.log", "scheduler.log"}
    assert not [path for path in logs if password in path.read_text()]


def test_goes_by_itself_when_there_is_nothing_to_do(start: Start, settings: Settings) -> None:
    agent = start(idle_s=0.2)
    assert agent.communicate(timeout=WAIT_S)[1] == ""
    assert agent.returncode == 0
    assert agent_status(settings) is None
    assert broker_url(settings.agent_folder) is None


def test_a_killed_agent_is_followed_by_a_new_one(start: Start, settings: Settings) -> None:
    first = start()
    wait_for_children(settings, first)
    first.kill()
    first.wait(WAIT_S)
    assert agent_status(settings) is None
    second = start()
    wait_for_children(settings, second)
    assert stop_agent(settings)
    assert second.communicate(timeout=WAIT_S)[1] == ""


def test_refuses_a_lab_and_a_home_without_a_study(tmp_path: Path) -> None:
    with pytest.raises(BadSettings, match="marrow worker"):
        run_agent(Settings(home=tmp_path, broker="redis://lab"))
    with pytest.raises(NoStudy, match="marrow init"):
        run_agent(Settings(home=tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_says_that_an_agent_did_not_stop_in_time(settings: Settings) -> None:
    deaf = "import signal; signal.signal(15, signal.SIG_IGN); print(flush=True); signal.pause()"
    with subprocess.Popen([sys.executable, "-c", deaf], stdout=subprocess.PIPE) as agent:
        try:
            assert agent.stdout is not None
            agent.stdout.readline()
            settings.agent_folder.mkdir()
            write_state(state_file(settings), agent.pid)
            with pytest.raises(Busy, match=r"has not stopped within 0 s; see .*agent\.log"):
                stop_agent(settings, timeout_s=0.1)
        finally:
            agent.kill()


def test_never_signals_a_stranger_with_the_agents_old_pid(settings: Settings) -> None:
    with subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"]) as stranger:
        try:
            settings.agent_folder.mkdir()
            write_state(state_file(settings), stranger.pid)
            text = state_file(settings).read_text()
            started = str(psutil.Process(stranger.pid).create_time())
            state_file(settings).write_text(text.replace(started, "1000.5"))
            assert not stop_agent(settings)
            assert stranger.poll() is None
        finally:
            stranger.kill()


def test_a_successor_waits_for_an_agent_that_is_about_to_go(settings: Settings) -> None:
    settings.agent_folder.mkdir()
    leaving = FileLock(settings.agent_folder / "agent.lock", thread_local=False)
    leaving.acquire()
    timer = threading.Timer(0.3, leaving.release)
    timer.start()
    lock = agent_module._take_lock(settings, wait_s=WAIT_S)
    timer.join()
    assert lock is not None
    lock.release()


def test_a_second_agent_does_not_wait_for_one_that_stays(settings: Settings) -> None:
    settings.agent_folder.mkdir()
    write_state(state_file(settings), os.getpid())
    with FileLock(settings.agent_folder / "agent.lock"):
        assert agent_module._take_lock(settings, wait_s=1e9) is None


def test_a_job_that_waits_is_work_and_a_silent_catalogue_is_not_idleness(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = StudyLedger(study)
    assert ledger.is_idle()
    with study.database.write() as connection:
        at = study.database.now(connection)
        jobs.submit_sweep(connection, at, SweepSpec(runs=(TrainingSpec(),)))
    assert not ledger.is_idle()

    def fails(connection: object) -> bool:
        raise OperationalError("SELECT", {}, Exception("database is locked"))

    monkeypatch.setattr(stops, "any_work", fails)
    assert not ledger.is_idle()


def test_signals_ask_and_the_old_handlers_come_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    asked: list[bool] = []
    with agent_module._on_signals(lambda: asked.append(True)):
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGHUP)
    assert asked == [True, True]
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_state_file_names_a_living_process_only(settings: Settings) -> None:
    settings.agent_folder.mkdir()
    with subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"]) as process:
        write_state(state_file(settings), process.pid)
        assert read_state(state_file(settings)) is not None
        process.kill()
        psutil.wait_procs([psutil.Process(process.pid)], WAIT_S)
    assert read_state(state_file(settings)) is None
