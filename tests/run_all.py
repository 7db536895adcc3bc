"""Runs the whole suite: everything without a display, and beside it each viewer file by itself.

A crash of the graphics driver ends the process that has it, so every file of viewer tests gets
a process of its own, under a virtual display where there is no real one. Without any display
they are left out with a line that says so, or fail where MARROW_TEST_VIEWER=required. They run
with PyQt6; with PySide6 those that start no real worker run once more.
"""

from __future__ import annotations

import os
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
BINDINGS = {"pyqt6": "viewer", "pyside6": "viewer and not slow"}
"""Of each Qt binding the tests that it runs."""
NO_TESTS = 5
"""pytest's exit code when nothing was collected."""


def main() -> int:
    display = _display()
    with ThreadPoolExecutor(1) as beside:
        # Tests without a display mostly wait: a window beside them keeps two cores busy.
        windows = beside.submit(_viewer_parts, display)
        failed = _headless_part() + windows.result()
    is_short = display is None and os.environ.get("MARROW_TEST_VIEWER") == "required"
    print(f"\nfailed: {', '.join(failed)}" if failed else "\nall parts passed")
    return 1 if failed or is_short else 0


def _headless_part() -> list[str]:
    # Three at a time; a file's tests stay together, and with them the servers that they start.
    at_once = ["-n", "3", "--dist", "loadfile"]
    done = _run([*PYTEST, *at_once, "-m", "not viewer", str(TESTS)])
    return [] if done.returncode == 0 else ["tests without a display"]


def _viewer_parts(display: list[str] | None) -> list[str]:
    """Run each file of viewer tests with each binding; what each says is told when it has ended."""
    if display is None:
        print("viewer tests left out: there is no display and no xvfb-run (apt install xvfb)")
        return []
    failed = []
    for path, (binding, chosen) in product(_viewer_files(), BINDINGS.items()):
        name = f"{path.name} with {binding}"
        command = [*display, *PYTEST, "-m", chosen, str(path)]
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


def _viewer_files() -> list[Path]:
    files = sorted(TESTS.glob("napari_marrow/**/test_*.py"))
    return [path for path in files if "mark.viewer" in path.read_text(encoding="utf-8")]


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
