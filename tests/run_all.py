"""Runs the whole suite: everything without a display, and beside it each viewer file by itself.

A crash of the graphics driver ends the process that has it, so every file of viewer tests gets
a process of its own, under a virtual display where there is no real one. Without any display
they are left out with a line that says so, or fail where MARROW_TEST_VIEWER=required. Those that
start no real worker run with both Qt bindings; the slow ones follow, two at a time, with PyQt6.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from typing import Any

TESTS = Path(__file__).parent
PYTEST = [sys.executable, "-m", "pytest", "-q"]
SCREEN = "-screen 0 1600x1000x24"
FIRST_SCREEN = 99
NO_TESTS = 5
"""pytest's exit code when nothing was collected."""


def main() -> int:
    display = _display()
    with ThreadPoolExecutor(1) as beside:
        # Tests without a display mostly wait: a window beside them keeps two cores busy.
        fast = product(_viewer_files("not slow"), ("pyqt6", "pyside6"))
        windows = beside.submit(_viewer_parts, display, "not slow", fast)
        failed = _headless_part() + windows.result()
    slow = list(product(_viewer_files("slow"), ("pyqt6",)))
    with ThreadPoolExecutor(2) as lanes:
        begun = [
            lanes.submit(_viewer_parts, display, "slow", slow[lane::2], FIRST_SCREEN + 100 * lane)
            for lane in range(2)
        ]
        failed += [name for lane in begun for name in lane.result()]
    if display is None:
        print("viewer tests left out: there is no display and no xvfb-run (apt install xvfb)")
    is_short = display is None and os.environ.get("MARROW_TEST_VIEWER") == "required"
    print(f"\nfailed: {', '.join(failed)}" if failed else "\nall parts passed")
    return 1 if failed or is_short else 0


def _headless_part() -> list[str]:
    # Four at a time, for most wait; a file's tests stay together, and with them the servers that
    # they start. Files stay in the order of conftest.py, which puts the longest first.
    at_once = ["-n", "4", "--dist", "loadfile", "--no-loadscope-reorder"]
    done = _run([*PYTEST, *at_once, "-m", "not viewer", str(TESTS)])
    return [] if done.returncode == 0 else ["tests without a display"]


def _viewer_parts(
    display: list[str] | None,
    speed: str,
    parts: Iterable[tuple[Path, str]],
    first_screen: int = FIRST_SCREEN,
) -> list[str]:
    """Run files of viewer tests, each with a binding; what one says is told when it has ended.

    Two that look for a free screen at the same moment must begin at different numbers.
    """
    failed = []
    for path, binding in [] if display is None else parts:
        name = f"{path.name}, {speed}, with {binding}"
        screen = [*display, "-n", str(first_screen)] if display else []
        command = [*screen, *PYTEST, "-m", f"viewer and {speed}", str(path)]
        done = _run(command, binding, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        print(f"\n{name}, in a process of its own\n{done.stdout}", flush=True)
        if done.returncode not in {0, NO_TESTS}:
            failed.append(name)
    return failed


def _display() -> list[str] | None:
    """What gives a command a display when written before it; None where there is no way."""
    if sys.platform in {"win32", "darwin"} or os.environ.get("DISPLAY"):
        return []
    program = shutil.which("xvfb-run")
    return None if program is None else [program, "-a", "-s", SCREEN]


def _viewer_files(speed: str) -> list[Path]:
    """The files of viewer tests that have some of this speed."""
    found = []
    for path in sorted(TESTS.glob("napari_marrow/**/test_*.py")):
        text = path.read_text("utf-8")
        is_wholly_slow = re.search(r"^pytestmark = \[[^\]]*mark\.slow", text, re.MULTILINE)
        is_wanted = "mark.slow" in text if speed == "slow" else not is_wholly_slow
        if "mark.viewer" in text and is_wanted:
            found.append(path)
    return found


def _run(
    command: list[str], binding: str = "pyqt6", **streams: Any
) -> subprocess.CompletedProcess[Any]:
    # One thread each: processes that compete for cores with two each are several times slower.
    environment = {
        "OMP_NUM_THREADS": "1",
        **os.environ,
        "QT_API": binding,
        "PYTEST_QT_API": binding,
    }
    return subprocess.run(command, check=False, cwd=TESTS.parent, env=environment, **streams)


if __name__ == "__main__":
    raise SystemExit(main())
