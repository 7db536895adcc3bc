"""Processes of the suite's own, by name; those that ended are started again."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path

import psutil

from tests.chaos.stub_agent import ROOT

STOP_S = 60.0


class Processes:
    """What is to run in a room, apart from an agent and its children.

    Parameters
    ----------
    folder : Path
        Gets <name>.log of each.
    environment : mapping
        Beyond that of this process.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._folder = folder
        self._environment = {**os.environ, **environment}
        self._commands: dict[str, list[str]] = {}
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def add(self, name: str, command: list[str]) -> None:
        """Start a process that is to run from now on."""
        self._commands[name] = command
        self._running[name] = self._start(name, command)

    def keep_up(self) -> None:
        """As a restart policy does: what has ended is started again, at once."""
        for name, process in self._running.items():
            if process.poll() is not None:
                self._running[name] = self._start(name, self._commands[name])

    def named(self, prefix: str) -> list[int]:
        """Pids of those that run and whose name begins so."""
        found = sorted(name for name in self._running if name.startswith(prefix))
        return [self._running[name].pid for name in found if self._running[name].poll() is None]

    def wait(self, name: str) -> None:
        """Return when the process has ended."""
        self._running[name].wait(STOP_S)

    def forget(self, name: str) -> None:
        """Kill a process that is not to run any longer."""
        process = self._running.pop(name)
        process.kill()
        process.wait(STOP_S)

    def run(self, name: str, command: list[str]) -> str:
        """Run a process that ends by itself; what it says."""
        ended = self._start(name, command)
        ended.wait(STOP_S)
        return (self._folder / f"{name}.log").read_text()

    def close(self) -> None:
        """Ask all to end, and wait for it; after 60 s by force."""
        for process in self._running.values():
            process.terminate()
        for process in self._running.values():
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _start(self, name: str, command: list[str]) -> subprocess.Popen[bytes]:
        with (self._folder / f"{name}.log").open("ab") as log:
            return subprocess.Popen(
                command,
                env=self._environment,
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )


def kill(pid: int) -> bool:
    """Kill -9; whether there was such a process."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def left_behind(folder: Path) -> list[psutil.Process]:
    """Processes that name this folder, or something in it, on their command line."""
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        words = process.info["cmdline"] or ()
        is_dead = process.info["status"] == psutil.STATUS_ZOMBIE
        if not is_dead and any(word.startswith(f"{folder}/") for word in words):
            found.append(process)
    return found
