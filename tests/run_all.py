"""Runs the whole suite: everything without a display, and beside it each viewer file by itself.

A crash of the graphics driver ends the process that has it, so every file of viewer tests gets
a process of its own, under a virtual display where there is no real one. Without any display
they are left out with a line that says so, or fail where MARROW_TEST_VIEWER=required. Those that
start no real worker run with both Qt bindings; the slow ones follow by themselves, with PyQt6.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from typing import Any

TESTS = Path(__file__).parent
PYTEST = [sys.executable, "-m", "pytest", "-q"]
SCREEN = "-screen 0 1600x1000x24"
NO_TESTS = 5
"""pytest's exit code when nothing was collected."""


def main() -> int:
    display = _display()
    with ThreadPoolExecutor(1) as beside:
        # Tests without a display mostly wait: a window beside them keeps two cores busy.
        windows = beside.submit(_viewer_parts, display, "not slow", ("pyqt6", "pyside6"))
        failed = _headless_part() + windows.result()
    failed += _viewer_parts(display, "slow", ("pyqt6",))
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


def _viewer_parts(display: list[str] | None, speed: str, bindings: tuple[str, ...]) -> list[str]:
    """Run each file of viewer tests with each binding; what each says is told when it has ended."""
    failed = []
    for path, binding in product([] if display is None else _viewer_files(speed), bindings):
        name = f"{path.name}, {speed}, with {binding}"
        command = [*(display or []), *PYTEST, "-m", f"viewer and {speed}", str(path)]
        done = _run(command, binding, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        print(f"\n{name}, in a process of its own\n{done.stdout}", flush=True)
        if done.returncode not in {0, NO_TESTS}:
            failed.append(name)
    return failed


def _display() -> list[str] | None:
    """What to put before a command so that it has a display; None if there is no way."""
    if sys.platform in {"win32", "darwin"} or os.environ.get("DISPLAY"):
        return []
    xvfb = shutil.which("xvfb-run")
    return None if xvfb is None else [xvfb, "-a", "-s", SCREEN]


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
