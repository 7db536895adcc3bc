"""Machine rooms in which something can be done to each part: one machine's, or a lab's."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path

import redis

from marrow.client import Client
from marrow.schemes import AA_MDS_AML
from marrow.settings import Settings
from marrow.statefile import read_state
from marrow.study import Study
from tests.chaos import stub_agent
from tests.chaos.freezing import Freezer, live_workers
from tests.chaos.plan import DEEDS, KILLS, Moment, What
from tests.chaos.processes import Processes, kill
from tests.chaos.stub_options import StubOptions, module
from worker.agent import stop_agent
from worker.broker import broker_url

REDIS_SERVER = "/usr/bin/redis-server"
_BROKER_VARIABLE = "MARROW_BROKER"


class Room(ABC):
    """A study and all that works for it, apart from its viewers.

    Parameters
    ----------
    folder : Path
        Empty or not there yet; holds everything.
    """

    possible: frozenset[What]
    """What can be done here."""
    loses_with: frozenset[What]
    """What can cost the work on one piece."""

    def __init__(
        self, folder: Path, settings: Settings, options: StubOptions, broker: Mapping[str, str]
    ) -> None:
        self.folder = folder
        self.options = options
        self.study = Study.create(settings, AA_MDS_AML)
        self.client = Client(self.study, stub_agent.starter(options))
        self.freezer = Freezer(self.study, options.lease_s)
        self.processes = Processes(folder, {**self.viewer_environment(), **broker})
        self.was_second_refused = True

    @abstractmethod
    def viewer_environment(self) -> dict[str, str]:
        """Of a viewer, which never knows the broker."""

    @abstractmethod
    def pids(self, what: What) -> list[int]:
        """The processes of this kind that run just now; a frozen worker is left out."""

    @abstractmethod
    def wipe(self) -> bool:
        """Make the broker forget everything; False if it does not run just now."""

    @abstractmethod
    def logs(self) -> list[Path]:
        """Of the workers."""

    def do(self, moment: Moment) -> bool:
        """Do it; False if what is meant does not run just now."""
        if moment.what == "freeze":
            return self.freezer.freeze_one(moment.which)
        if moment.what == "holder":
            return self.freezer.kill_one(moment.which)
        if moment.what == "wipe":
            return self.wipe()
        if moment.what in {"scheduler+", "agent+"}:
            return self.start_second()
        found = self.pids(moment.what)
        return bool(found) and kill(found[moment.which % len(found)])

    @abstractmethod
    def start_second(self) -> bool:
        """Start another agent or scheduler beside the one that runs; False if none runs."""

    def workers(self) -> list[int]:
        """Pids of the workers that hold a seat and are not frozen."""
        return [pid for pid in live_workers(self.client) if pid not in self.freezer.pids]

    def fenced(self) -> int:
        """How often a worker found that its piece is no longer its own."""
        said = [path.read_text() for path in self.logs() if path.exists()]
        return sum(text.count("another worker has it") for text in said)

    def keep_up(self) -> None:
        """Restart what whoever runs this room restarts; let the frozen go on when it is time."""
        self.freezer.thaw_due()
        self.processes.keep_up()

    def close(self) -> None:
        """End all processes."""
        self.freezer.thaw_all()
        self.processes.close()
        self.study.close()


class OneMachine(Room):
    """SQLite, and the agent with its Valkey, its scheduler and two workers for one seat."""

    possible = frozenset((*KILLS, *DEEDS)) - {"scheduler+"}
    loses_with = frozenset({"worker", "agent", "holder", "freeze"})

    def __init__(self, folder: Path, options: StubOptions) -> None:
        super().__init__(folder, Settings(home=folder / "home"), options, {})
        self._agent = self.study.settings.agent_folder

    def viewer_environment(self) -> dict[str, str]:
        return {}

    def pids(self, what: What) -> list[int]:
        if what == "worker":
            return self.workers()
        state = read_state(self._agent / ("broker.json" if what == "broker" else "agent.json"))
        if state is None:
            return []
        if what == "scheduler":
            return [child["pid"] for name, child in state["children"].items() if name == what]
        return [state["pid"]]

    def wipe(self) -> bool:
        url = broker_url(self._agent)
        if url is None:
            return False
        try:
            with redis.Redis.from_url(url, socket_timeout=5) as connection:
                connection.flushall()
        except redis.RedisError:
            return False
        return True

    def start_second(self) -> bool:
        if not self.pids("agent"):
            return False
        command = stub_agent.command(self.study.settings.home, self.options)
        said = self.processes.run("agent-2", command)
        self.was_second_refused &= "already runs" in said
        return True

    def logs(self) -> list[Path]:
        return list(self._agent.glob("worker-*.log"))

    def close(self) -> None:
        self.freezer.thaw_all()
        stop_agent(self.study.settings)
        super().close()


class Lab(Room):
    """Two workers and a scheduler of their own, restarted as a container's policy would do it.

    Parameters
    ----------
    database : str
        Its URL.
    has_broker : bool
        Whether there is a redis-server; without one the workers poll.
    """

    loses_with = frozenset({"worker", "holder", "freeze"})
    WORKERS = 2

    def __init__(
        self, folder: Path, options: StubOptions, database: str, *, has_broker: bool
    ) -> None:
        self._has_broker = has_broker
        self._port, self._password = _free_port(), secrets.token_hex(16)
        self._database, self._store = database, str(folder / "store")
        home = folder / "host"
        home.mkdir(parents=True)
        self.possible = frozenset((*KILLS, *DEEDS)) - {"agent", "agent+"}
        if not has_broker:
            self.possible -= {"broker", "wipe"}
        settings = Settings(home=home, database=database, store=folder / "store")
        url = f"redis://:{self._password}@127.0.0.1:{self._port}/0"
        super().__init__(folder, settings, options, {_BROKER_VARIABLE: url} if has_broker else {})
        if has_broker:
            self._add_broker()
        self.add_scheduler("scheduler-1")
        for number in range(self.WORKERS):
            self.add_worker(f"worker-{number}")

    def add_worker(self, name: str, *more: str) -> None:
        """Start a worker that is to run from now on."""
        poll = () if self._has_broker else ("--poll",)
        home = str(self.study.settings.home)
        stub = module("stub_worker", "--home", home, *self.options.arguments(), *poll, *more)
        self.processes.add(name, [sys.executable, *stub])

    def add_scheduler(self, name: str) -> None:
        """Start a scheduler that is to run from now on."""
        home = str(self.study.settings.home)
        self.processes.add(name, [sys.executable, "-m", "marrow", "--home", home, "scheduler"])

    def start_second(self) -> bool:
        self.add_scheduler("scheduler-2")
        return True

    def viewer_environment(self) -> dict[str, str]:
        return {"MARROW_DATABASE": self._database, "MARROW_STORE": self._store}

    def pids(self, what: What) -> list[int]:
        return self.workers() if what == "worker" else self.processes.named(what)

    def wipe(self) -> bool:
        """Kill it and take its files away; it is restarted with none."""
        found = self.pids("broker")
        if not found or not kill(found[0]):
            return False
        self.processes.wait("broker")
        shutil.rmtree(self.folder / "redis" / "appendonlydir", ignore_errors=True)
        return True

    def logs(self) -> list[Path]:
        return list(self.folder.glob("worker-*.log"))

    def _add_broker(self) -> None:
        data = self.folder / "redis"
        data.mkdir()
        lines = {
            "bind": "127.0.0.1",
            "port": str(self._port),
            "requirepass": self._password,
            "dir": f'"{data}"',
            "appendonly": "yes",
            "save": '""',
            "maxmemory-policy": "noeviction",
        }
        file = data / "redis.conf"
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT, 0o600)
        with os.fdopen(descriptor, "w") as config:
            config.writelines(f"{name} {value}\n" for name, value in lines.items())
        self.processes.add("broker", [REDIS_SERVER, str(file)])


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
