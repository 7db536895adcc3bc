"""Runs the whole suite: everything without a display at once, then each viewer file by itself.

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
from itertools import product
from pathlib import Path

TESTS = Path(__file__).parent
SCREEN = "-screen 0 1600x1000x24"
BINDINGS = {"pyqt6": "viewer", "pyside6": "viewer and not slow"}
"""Of each Qt binding the tests that it runs."""
NO_TESTS = 5
"""pytest's exit code when nothing was collected."""


def main() -> int:
    pytest = [sys.executable, "-m", "pytest", "-q"]
    failed = []
    # Most of the slow tests wait for processes: three at a time keep two cores busy. A file's
    # tests stay together, and with them the servers that they start.
    at_once = ["-n", "3", "--dist", "loadfile"]
    if _run([*pytest, *at_once, "-m", "not viewer", str(TESTS)]) != 0:
        failed.append("tests without a display")
    display = _display()
    if display is None:
        print("viewer tests left out: there is no display and no xvfb-run (apt install xvfb)")
        return 1 if failed or os.environ.get("MARROW_TEST_VIEWER") == "required" else 0
    for path, (binding, chosen) in product(_viewer_files(), BINDINGS.items()):
        print(f"\n{path.name} with {binding}, in a process of its own", flush=True)
        if _run([*display, *pytest, "-m", chosen, str(path)], binding) not in {0, NO_TESTS}:
            failed.append(f"{path.name} with {binding}")
    print(f"\nfailed: {', '.join(failed)}" if failed else "\nall parts passed")
    return 1 if failed else 0


def _display() -> list[str] | None:
    """What to put before a command so that it has a display; None if there is no way."""
    if sys.platform in {"win32", "darwin"} or os.environ.get("DISPLAY"):
        return []
    xvfb = shutil.which("xvfb-run")
    return None if xvfb is None else [xvfb, "-a", "-s", SCREEN]


def _viewer_files() -> list[Path]:
    files = sorted(TESTS.glob("napari_marrow/**/test_*.py"))
    return [path for path in files if "mark.viewer" in path.read_text(encoding="utf-8")]


def _run(command: list[str], binding: str = "pyqt6") -> int:
    # One thread each: processes that compete for cores with two each are several times slower.
    environment = {
        "OMP_NUM_THREADS": "1",
        **os.environ,
        "QT_API": binding,
        "PYTEST_QT_API": binding,
    }
    return subprocess.run(command, check=False, cwd=TESTS.parent, env=environment).returncode


if __name__ == "__main__":
    raise SystemExit(main())
