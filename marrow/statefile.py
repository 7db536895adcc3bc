"""Small private files in which a running process says where it can be found."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

LONGEST_LOG_BYTES = 5_000_000
START_TOLERANCE_S = 2.0
"""Linux computes a start time from the boot time, which moves when the clock is set."""


def private_folder(folder: Path) -> Path:
    """The folder, made if need be, that only this user may enter (0700)."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    return folder


def private_file(path: Path) -> None:
    """Make the file, if need be, and let only this user read and write it (0600)."""
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))
    path.chmod(0o600)  # one that was there keeps its mode otherwise


def write_private(path: Path, text: str) -> None:
    """Replace a file as a whole, so that a reader sees the old or the new text (mode 0600)."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    aside.unlink(missing_ok=True)
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)


def write_state(path: Path, pid: int, **fields: Any) -> None:
    """Say in `path` that process `pid` is what the fields describe.

    The start time goes with it: a pid alone may belong to somebody else tomorrow.

    Raises
    ------
    psutil.NoSuchProcess
        If the process has ended already.
    """
    write_private(path, json.dumps({"pid": pid, "started": start_time(pid), **fields}))


def read_state(path: Path) -> Mapping[str, Any] | None:
    """What the file says, if the process that it names still runs; else None."""
    state = read_left_behind(path)
    if state is not None and is_running(state["pid"], state["started"]):
        return state
    return None


def read_left_behind(path: Path) -> Mapping[str, Any] | None:
    """What the file says, whether the process that it names still runs or not."""
    try:
        state = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(state, dict):
        return None
    named = isinstance(state.get("pid"), int) and isinstance(state.get("started"), float)
    return state if named else None


def start_time(pid: int) -> float:
    """When the process began, in seconds since 1970; the same value in every process that asks."""
    return psutil.Process(pid).create_time()


def is_running(pid: int, started: float) -> bool:
    """Whether the process that began at `started` (seconds since 1970) still runs under `pid`."""
    return running_process(pid, started) is not None


def running_process(pid: int, started: float) -> psutil.Process | None:
    """That process, or None if it has ended, is a zombie, or the pid belongs to another one."""
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        same = abs(process.create_time() - started) <= START_TOLERANCE_S
    except (psutil.NoSuchProcess, psutil.AccessDenied, ValueError):
        return None
    return process if same else None


def private_log(log: Path, longest_bytes: int = LONGEST_LOG_BYTES) -> int:
    """Put a long log aside as .1, make it private (0600), and give back its length in bytes."""
    if log.exists() and log.stat().st_size > longest_bytes:
        log.replace(log.with_name(f"{log.name}.1"))
    private_file(log)
    return log.stat().st_size


def end_process(process: psutil.Process, timeout_s: float) -> None:
    """Ask a process to end, and force it after the timeout."""
    try:
        process.terminate()
        process.wait(timeout_s)
    except psutil.TimeoutExpired:
        with suppress(psutil.NoSuchProcess):
            process.kill()
        process.wait(timeout_s)
    except psutil.NoSuchProcess:
        pass
