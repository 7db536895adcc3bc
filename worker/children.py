"""The children of the agent: which there are, and how one is started."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from marrow.statefile import private_log
from worker.gpus import VISIBLE, workers_devices
from worker.processes import tied_command

BROKER_VARIABLE = "MARROW_BROKER"
SPARE_AFTER_S = 15.0
"""The first worker has the machine for itself until it works."""


@dataclass(frozen=True)
class Role:
    """A child that is always to run; its name is also that of its log."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    """Beyond that of the agent."""
    holds_leases: bool = False
    after_s: float = 0.0
    """Started so long after the agent."""


class ChildProcess(Protocol):
    """What the agent needs of a `subprocess.Popen`."""

    @property
    def pid(self) -> int: ...
    def poll(self) -> int | None: ...
    def terminate(self) -> None: ...
    def kill(self) -> None: ...
    def wait(self, timeout: float | None = None) -> int: ...


Spawn = Callable[[Role, str | None], ChildProcess]
"""Starts a child of this role, which finds the broker at that URL; None: there is none."""


def roles_of(
    home: Path, folder: Path, parent_pid: int, environment: Mapping[str, str]
) -> list[Role]:
    """Two workers, one at a time, per graphics card (or for the CPU), and the scheduler.

    Parameters
    ----------
    folder : Path
        The agent's, for the seats of the workers (`worker.seat`).
    """
    marrow = (sys.executable, "-P", "-m", "marrow", "--home", str(home))
    tied = ("--parent", str(parent_pid))
    roles = [Role("scheduler", (*marrow, "scheduler", *tied))]
    for number, device in enumerate(workers_devices(environment)):
        seat = ("--seat", str(folder / f"seat-{number}.lock"))
        command = (*marrow, "worker", *tied, *seat)
        visible = {} if device is None else {VISIBLE: device}
        roles.append(Role(f"worker-{number}", command, visible, holds_leases=True))
        spare = f"worker-{number}-spare"
        roles.append(Role(spare, command, visible, holds_leases=True, after_s=SPARE_AFTER_S))
    return roles


def spawn_child(role: Role, broker_url: str | None, folder: Path) -> subprocess.Popen[bytes]:
    """Start a child that ends with this process; its output goes to <folder>/<name>.log.

    The URL travels in the environment: a command line can be read by every user of the machine.
    A session of its own keeps Ctrl-C in a terminal for the agent, which ends its children in order.
    """
    environment = {**os.environ, **role.environment}
    environment.pop(BROKER_VARIABLE, None)
    if broker_url is not None:
        environment[BROKER_VARIABLE] = broker_url
    log = folder / f"{role.name}.log"
    private_log(log)
    with log.open("ab") as output:
        return subprocess.Popen(  # noqa: S603 - a fixed command of our own
            tied_command(os.getpid(), list(role.command)),
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
