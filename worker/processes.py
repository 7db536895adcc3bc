"""Children that do not outlive their parent, even when that is killed with -9.

Also a tiny program of its own: `python processes.py PARENT_PID COMMAND...` ties itself to the
parent and then becomes COMMAND, so that programs which know nothing of Python (the broker) are
tied too. It therefore imports the standard library only. A `preexec_fn` would do the same, but
runs Python between fork and exec.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time
from typing import NoReturn

_PR_SET_PDEATHSIG = 1
"""From linux/prctl.h."""
ORPHANED = 81
"""Exit code of a child whose parent is gone."""
_LOOK_EVERY_S = 1.0


def die_with_parent(parent_pid: int) -> None:
    """Make this process end as soon as its parent does; to be called once, right at the start.

    The end is abrupt on purpose: the ledger expects kills, while a worker that finishes its
    piece alone would share the graphics card with the worker of the next agent. Linux kills by
    itself (prctl); everywhere a daemon thread also looks once a second.

    Parameters
    ----------
    parent_pid : int
        Process that started this one, as it was told by that parent (`--parent`).
    """
    _ask_kernel()
    if _is_gone(parent_pid):  # it died before the kernel was asked
        os._exit(ORPHANED)
    threading.Thread(target=_watch, args=(parent_pid,), name="parent-watch", daemon=True).start()


def tied_command(parent_pid: int, command: list[str]) -> list[str]:
    """The same command, tied to the parent where the operating system offers it (Linux).

    The process keeps its pid and its start time when it becomes `command`. Linux watches the
    parent's *thread*: start such children from the main thread only.
    """
    if not sys.platform.startswith("linux"):
        return command
    return [sys.executable, "-I", "-S", __file__, str(parent_pid), *command]


def _ask_kernel() -> None:
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)


def _is_gone(parent_pid: int) -> bool:
    if sys.platform != "win32":
        return os.getppid() != parent_pid
    # Windows never changes the parent's number, and a venv's python.exe is a launcher in between.
    import psutil

    return not psutil.pid_exists(parent_pid)


def _watch(parent_pid: int) -> NoReturn:
    while not _is_gone(parent_pid):
        time.sleep(_LOOK_EVERY_S)
    os._exit(ORPHANED)


def _become(parent_pid: int, command: list[str]) -> NoReturn:
    _ask_kernel()
    if _is_gone(parent_pid):
        os._exit(ORPHANED)
    os.execv(command[0], command)  # noqa: S606 - a fixed list from our own agent, no shell


if __name__ == "__main__":
    _become(int(sys.argv[1]), sys.argv[2:])
