"""The agent: what it restarts and when it goes (fake time), and that it leaves no orphan (real)."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from marrow.errors import BrokerUnavailable
from marrow.settings import Settings
from marrow.statefile import read_left_behind, read_state, write_state
from worker import supervisor as supervisor_module
from worker.children import Role, roles_of, spawn_child
from worker.gpus import cards_in_listing, workers_devices
from worker.restarts import IdleWatch, Restarts
from worker.supervisor import Agent, children_in, state_file

pytestmark = pytest.mark.slow
WAIT_S = 30.0
ROOT = Path(supervisor_module.__file__).parents[1]
WORKER = Role("worker-0", ("worker",), holds_leases=True)
SCHEDULER = Role("scheduler", ("scheduler",))


@dataclass
class FakeTime:
    now_s: float = 1000.0

    def __call__(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds


@dataclass
class FakeProcess:
    pid: int
    time: FakeTime
    code: int | None = None
    is_stubborn: bool = False
    signals: list[str] = field(default_factory=list)

    def poll(self) -> int | None:
        return self.code

    def terminate(self) -> None:
        self.signals.append("terminate")
        if not self.is_stubborn:
            self.code = -15

    def kill(self) -> None:
        self.signals.append("kill")
        self.code = -9

    def wait(self, timeout: float | None = None) -> int:
        if self.code is None:
            assert timeout is not None, "would wait for ever"
            self.time.sleep(timeout)
            raise subprocess.TimeoutExpired("fake", timeout)
        return self.code


@dataclass
class FakeBroker:
    urls: list[str | None]
    """What each start gives; None: it is unavailable."""
    is_up: bool = False
    is_stopped: bool = False
    hangs: bool = False

    def start(self) -> str:
        url = self.urls.pop(0)
        if url is None:
            raise BrokerUnavailable("no Valkey")
        self.is_up = True
        return url

    def is_alive(self) -> bool:
        return self.is_up

    def answers(self) -> bool:
        return not self.hangs

    def kill(self) -> None:
        self.is_up = False
        self.hangs = False

    def stop(self) -> None:
        self.is_up = False
        self.is_stopped = True


@dataclass
class FakeLedger:
    has_work: bool = True
    released: list[tuple[int, float]] = field(default_factory=list)

    def is_idle(self) -> bool:
        return not self.has_work

    def release(self, pid: int, started: float) -> None:
        self.released.append((pid, started))


class Machine:
    """An agent whose time, processes, broker and catalogue are fakes."""

    def __init__(
        self,
        settings: Settings,
        urls: list[str | None] | None = None,
        roles: Sequence[Role] = (WORKER, SCHEDULER),
    ) -> None:
        self.time = FakeTime()
        self.broker = FakeBroker(urls or ["redis://a"] * 9)
        self.ledger = FakeLedger()
        self.spawned: list[tuple[str, str | None, FakeProcess]] = []
        self.fails_to_spawn = False
        self.agent = Agent(
            settings,
            self.ledger,
            self.broker,
            roles,
            spawn=self._spawn,
            clock=self.time,
            start_time=lambda pid: self.time.now_s,
            sleep=self.time.sleep,
        )

    def _spawn(self, role: Role, url: str | None) -> FakeProcess:
        if self.fails_to_spawn:
            raise OSError("out of memory")
        # Numbers beyond any real pid.
        process = FakeProcess(2**30 + len(self.spawned), self.time)
        self.spawned.append((role.name, url, process))
        return process

    def process(self, name: str) -> FakeProcess:
        return [process for spawned, _, process in self.spawned if spawned == name][-1]

    def starts(self, name: str) -> int:
        return sum(spawned == name for spawned, _, _ in self.spawned)

    def look_for(self, seconds: float) -> bool:
        """Look every half second; whether the agent would have stayed all the time."""
        until_s = self.time.now_s + seconds
        stays = True
        while self.time.now_s < until_s:
            self.time.sleep(0.5)
            stays = self.agent.look() and stays
        return stays


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    home = tmp_path / "Application Süpport"
    home.mkdir()
    return Settings(home=home, agent_idle_s=600)


@pytest.fixture
def machine(settings: Settings) -> Machine:
    machine = Machine(settings)
    machine.agent._write_state()
    assert machine.agent.look()
    return machine


# Restarts and idling: pure


def test_pauses_double_up_to_thirty_seconds_and_begin_anew_after_a_minute_of_life() -> None:
    restarts, now_s = Restarts(), 50.0
    assert restarts.is_due(now_s)
    pauses = []
    for _ in range(7):
        restarts.has_started(now_s)
        now_s += 59.9
        pauses.append(restarts.has_died(now_s))
        assert not restarts.is_due(now_s + pauses[-1] - 0.01)
        now_s += pauses[-1]
        assert restarts.is_due(now_s)
    assert pauses == [0, 1, 2, 4, 8, 16, 30]
    restarts.has_started(now_s)
    assert restarts.has_died(now_s + 60) == 0


def test_a_minute_of_failing_starts_does_not_count_as_life() -> None:
    restarts = Restarts()
    restarts.has_started(0)
    pauses = [restarts.has_died(now_s) for now_s in (100, 200, 300)]
    assert pauses[0] == 0
    assert pauses[1:] == [1, 2]


def test_is_idle_only_after_the_whole_time_without_work() -> None:
    watch = IdleWatch(600, 0)
    assert not watch.is_over(True, 599)
    assert not watch.is_over(False, 600)
    assert not watch.is_over(True, 1199)
    assert watch.is_over(True, 1200)


# The supervisor, on fake time


def test_starts_the_broker_first_and_hands_its_address_over(machine: Machine) -> None:
    assert [(name, url) for name, url, _ in machine.spawned] == [
        ("worker-0", "redis://a"),
        ("scheduler", "redis://a"),
    ]


def test_restarts_a_dead_worker_and_frees_its_leases_at_once(
    machine: Machine,
) -> None:
    dead = machine.process("worker-0")
    dead.code = -9
    machine.agent.look()
    assert machine.ledger.released == [(dead.pid, 1000.0)]
    assert machine.starts("worker-0") == 2
    assert machine.starts("scheduler") == 1
    machine.look_for(5)
    assert machine.starts("worker-0") == 2
    assert machine.ledger.released == [(dead.pid, 1000.0)]


def test_a_worker_that_dies_at_once_is_not_restarted_in_a_tight_loop(machine: Machine) -> None:
    for _ in range(240):
        machine.process("worker-0").code = 1
        machine.look_for(0.5)
    # Starts at 0, then after pauses of 0, 1, 2, 4, 8, 16, 30, 30 s: not 240 in two minutes.
    assert 7 <= machine.starts("worker-0") <= 9


def test_a_dead_scheduler_holds_no_leases(machine: Machine) -> None:
    machine.process("scheduler").code = 1
    machine.look_for(2)
    assert machine.starts("scheduler") == 2
    assert machine.ledger.released == []


def test_a_restart_that_the_system_refuses_is_tried_again(machine: Machine) -> None:
    machine.process("worker-0").code = -9
    machine.fails_to_spawn = True
    machine.look_for(3)
    assert machine.starts("worker-0") == 1
    machine.fails_to_spawn = False
    machine.look_for(5)
    assert machine.starts("worker-0") == 2


def test_a_broker_back_at_its_address_leaves_the_children_alone(machine: Machine) -> None:
    machine.broker.is_up = False
    machine.look_for(2)
    assert machine.broker.is_up
    assert machine.process("worker-0").signals == []
    assert len(machine.spawned) == 2


def test_a_broker_that_hangs_is_ended_and_started_again(machine: Machine) -> None:
    machine.broker.hangs = True
    machine.look_for(9)
    assert machine.broker.hangs  # one missed answer may be a busy machine
    machine.look_for(3)
    assert machine.broker.is_up
    assert not machine.broker.hangs
    assert machine.process("worker-0").signals == []


def test_the_second_worker_of_a_seat_starts_when_the_first_is_at_work(settings: Settings) -> None:
    spare = Role("worker-0-spare", ("worker",), holds_leases=True, after_s=15.0)
    machine = Machine(settings, roles=[WORKER, spare])
    machine.agent._write_state()
    machine.look_for(14)
    assert machine.starts("worker-0-spare") == 0
    machine.look_for(2)
    assert machine.starts("worker-0-spare") == 1


def test_children_return_when_the_broker_had_to_move(settings: Settings) -> None:
    machine = Machine(settings, ["redis://a", "redis://b"])
    machine.agent._write_state()
    machine.agent.look()
    machine.broker.is_up = False
    machine.look_for(4)
    assert [url for name, url, _ in machine.spawned if name == "worker-0"] == [
        "redis://a",
        "redis://b",
    ]


def test_works_without_a_broker_and_hands_it_over_when_it_comes(settings: Settings) -> None:
    machine = Machine(settings, [None, None, "redis://late"])
    machine.agent._write_state()
    assert machine.agent.look()
    assert machine.spawned[0][1] is None
    machine.look_for(6)
    assert [url for name, url, _ in machine.spawned if name == "worker-0"] == [
        None,
        "redis://late",
    ]


def test_goes_after_ten_idle_minutes_and_not_before(machine: Machine) -> None:
    assert machine.look_for(700)
    machine.ledger.has_work = False
    assert machine.look_for(599)
    assert not machine.look_for(2)


def test_goes_when_asked_and_ends_everything(machine: Machine, settings: Settings) -> None:
    machine.agent.ask_to_stop()
    machine.agent.run()
    assert machine.process("worker-0").signals == ["terminate"]
    assert machine.process("scheduler").signals == ["terminate"]
    assert machine.broker.is_stopped
    assert not state_file(settings).exists()


def test_forces_a_stubborn_worker_after_twenty_seconds(machine: Machine) -> None:
    worker = machine.process("worker-0")
    worker.is_stubborn = True
    before_s = machine.time.now_s
    machine.agent.stop()
    assert worker.signals == ["terminate", "kill"]
    assert machine.time.now_s - before_s == 20
    assert machine.ledger.released == [(worker.pid, 1000.0)]


def test_goes_when_its_home_is_gone(machine: Machine, settings: Settings) -> None:
    settings.home.rename(settings.home.with_name("elsewhere"))
    assert not machine.agent.look()
    machine.agent.stop()
    assert machine.broker.is_stopped


def test_goes_without_touching_the_successor_in_a_new_home_of_the_same_name(
    machine: Machine, settings: Settings
) -> None:
    with subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"]) as other:
        try:
            write_state(state_file(settings), other.pid)
            assert not machine.agent.look()
            machine.agent.stop()
            assert read_state(state_file(settings)) is not None
        finally:
            other.kill()


def test_stays_for_a_job_that_was_stored_while_it_withdrew(settings: Settings) -> None:
    machine = Machine(settings)
    answers = iter([True] * 1201 + [False] * 10)
    seen: list[bool] = []

    def is_idle() -> bool:
        idle = next(answers)
        seen.append(state_file(settings).exists())
        if idle is False and len(seen) > 1205:
            machine.agent.ask_to_stop()
        return idle

    machine.ledger.is_idle = is_idle  # type: ignore[method-assign]
    machine.agent.run()
    # The look that found ten idle minutes, then the one after the withdrawal, which found a job.
    assert seen.index(False) == 1201
    assert all(seen[1202:])
    assert len(seen) > 1204


def test_says_who_runs_in_a_private_file(machine: Machine, settings: Settings) -> None:
    state = read_state(state_file(settings))
    assert state is not None
    assert state["pid"] == os.getpid()
    assert {name: child.pid for name, child in children_in(state).items()} == {
        "worker-0": machine.process("worker-0").pid,
        "scheduler": machine.process("scheduler").pid,
    }
    assert stat.S_IMODE(state_file(settings).stat().st_mode) == 0o600
    assert "redis" not in state_file(settings).read_text()


def test_frees_the_leases_of_a_killed_agents_workers_and_ends_them(settings: Settings) -> None:
    machine = Machine(settings)
    with subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"]) as left:
        started = psutil.Process(left.pid).create_time()
        child = {"pid": left.pid, "started": started, "holds_leases": True}
        write_state(state_file(settings), os.getpid(), children={"worker-0": child})
        machine.agent._release_left_behind()
        left.wait(WAIT_S)
    assert machine.ledger.released == [(left.pid, started)]


def test_an_unknown_state_of_another_version_is_no_hindrance() -> None:
    assert children_in({"children": {"worker-0": 17}}) == {}
    assert children_in({"children": None}) == {}
    assert children_in(None) == {}


# Which children there are


def test_one_worker_per_card_and_no_secret_on_a_command_line(tmp_path: Path) -> None:
    roles = roles_of(
        tmp_path,
        tmp_path / "agent",
        4711,
        {"CUDA_VISIBLE_DEVICES": "1,3", "MARROW_BROKER": "secret"},
    )
    assert [role.name for role in roles] == [
        "scheduler",
        "worker-0",
        "worker-0-spare",
        "worker-1",
        "worker-1-spare",
    ]
    workers = roles[1:]
    assert [role.environment["CUDA_VISIBLE_DEVICES"] for role in workers] == ["1", "1", "3", "3"]
    assert all(role.holds_leases for role in workers)
    assert not roles[0].holds_leases
    tied = ["--parent", "4711"]
    marrow = [sys.executable, "-P", "-m", "marrow", "--home", str(tmp_path)]
    seats = [tmp_path / "agent" / f"seat-{card}.lock" for card in (0, 0, 1, 1)]
    for role, seat in zip(workers, seats, strict=True):
        assert list(role.command) == [*marrow, "worker", *tied, "--seat", str(seat)]
    assert list(roles[0].command) == [*marrow, "scheduler", *tied]


@pytest.mark.parametrize(
    ("chosen", "devices"),
    [("", (None,)), ("-1", (None,)), ("0", ("0",)), ("0, 2", ("0", "2")), ("1,-1,0", ("1",))],
)
def test_obeys_the_cards_that_somebody_chose(chosen: str, devices: tuple[str | None, ...]) -> None:
    assert workers_devices({"CUDA_VISIBLE_DEVICES": chosen}) == devices


def test_reads_cards_and_their_slices() -> None:
    listing = (
        "GPU 0: NVIDIA H200 (UUID: GPU-aaaa)\n"
        "GPU 1: NVIDIA A100-SXM4-40GB (UUID: GPU-bbbb)\n"
        "  MIG 3g.20gb     Device  0: (UUID: MIG-cccc)\n"
        "  MIG 3g.20gb     Device  1: (UUID: MIG-dddd)\n"
        "GPU 2: NVIDIA H200 (UUID: GPU-eeee)\n"
    )
    assert cards_in_listing(listing) == ("GPU-aaaa", "MIG-cccc", "MIG-dddd", "GPU-eeee")
    assert cards_in_listing("No devices were found\n") == ()


def test_a_child_gets_the_broker_by_environment_and_logs_privately(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MARROW_BROKER", "redis://of-the-agent")
    show = "import os; print(os.environ.get('MARROW_BROKER'), os.environ['CARD'])"
    role = Role("worker-0", (sys.executable, "-c", show), {"CARD": "7"})
    for url in ("redis://given", None):
        assert spawn_child(role, url, tmp_path).wait(WAIT_S) == 0
    log = tmp_path / "worker-0.log"
    assert log.read_text().split("\n") == ["redis://given 7", "None 7", ""]
    assert stat.S_IMODE(log.stat().st_mode) == 0o600


# Real processes

SUPERVISE = """
import signal, sys
from pathlib import Path
from marrow.settings import Settings
from worker.children import Role
from worker.supervisor import Agent

class Ledger:
    def is_idle(self): return False
    def release(self, pid, started): print("released", pid, started, flush=True)

sleeper = (sys.executable, "-c", "import signal; signal.pause()")
roles = [Role("worker-0", sleeper, holds_leases=True), Role("scheduler", sleeper)]
agent = Agent(Settings(home=Path(sys.argv[1])), Ledger(), roles=roles)
signal.signal(signal.SIGTERM, lambda *_: agent.ask_to_stop())
look = agent.look
def say(first=[True]):
    stays = look()
    if first: print("up", flush=True); first.clear()
    return stays
agent.look = say
agent.run()
"""


@pytest.fixture
def real_agent(settings: Settings) -> Iterator[subprocess.Popen[str]]:
    if sys.platform == "win32":
        pytest.skip("signals and the broker are POSIX")
    with subprocess.Popen(
        [sys.executable, "-c", SUPERVISE, str(settings.home)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        yield process
        process.kill()


def family(settings: Settings, agent: subprocess.Popen[str]) -> list[psutil.Process]:
    """The agent's broker and children, that is: all processes below it."""
    below = psutil.Process(agent.pid).children(recursive=True)
    assert len(below) == 3
    named = {child.pid for child in children_in(read_left_behind(state_file(settings))).values()}
    assert named < {process.pid for process in below}
    return below


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the kernel ends them on Linux")
def test_leaves_no_orphan_when_it_is_killed(
    real_agent: subprocess.Popen[str], settings: Settings
) -> None:
    below = family(settings, real_agent)
    real_agent.kill()
    _, alive = psutil.wait_procs(below, WAIT_S)
    assert alive == []
    assert read_state(state_file(settings)) is None


def test_leaves_nothing_when_it_is_asked_to_stop(
    real_agent: subprocess.Popen[str], settings: Settings
) -> None:
    below = family(settings, real_agent)
    real_agent.send_signal(signal.SIGTERM)
    assert real_agent.wait(WAIT_S) == 0
    assert [process for process in below if process.is_running()] == []
    assert not state_file(settings).exists()


def test_replaces_a_killed_worker(real_agent: subprocess.Popen[str], settings: Settings) -> None:
    old = children_in(read_left_behind(state_file(settings)))["worker-0"]
    # As the worker itself computes it for its name in the ledger.
    started = psutil.Process(old.pid).create_time()
    psutil.Process(old.pid).kill()
    assert real_agent.stdout is not None
    assert real_agent.stdout.readline() == f"released {old.pid} {started}\n"


@pytest.mark.skipif(sys.platform == "win32", reason="os.getppid never changes there")
@pytest.mark.parametrize("is_kernel_asked", [True, False])
def test_a_child_ends_with_its_parent(tmp_path: Path, is_kernel_asked: bool) -> None:
    child = (
        "import os, signal, sys; from worker import processes\n"
        f"if not {is_kernel_asked}: processes._ask_kernel = lambda: None\n"
        "processes.die_with_parent(int(sys.argv[1])); print(os.getpid(), flush=True)\n"
        "signal.pause()"
    )
    parent = (
        "import os, subprocess, sys\n"
        "subprocess.Popen([sys.executable, '-c', sys.argv[1], str(os.getpid())]).wait()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", parent, child], stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        assert process.stdout is not None
        orphan = psutil.Process(int(process.stdout.readline()))
        process.kill()
    _, alive = psutil.wait_procs([orphan], WAIT_S)
    assert alive == []


def test_a_child_whose_parent_is_gone_does_not_begin(tmp_path: Path) -> None:
    code = "from worker.processes import die_with_parent; die_with_parent(1 << 30); print('on')"
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, timeout=WAIT_S, check=False
    )
    assert ended.returncode == 81
    assert ended.stdout == b""
