"""ResNet50 from random weights, the whole of it trained, and killed -9 twice on the way."""

from __future__ import annotations

import os
import signal
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from marrow.synthetic import cohort as patients
from marrow.synthetic import write_cohort
from tests.science.command import cohort, marrow

PATIENTS = {"AA": 10, "MDS": 10, "AML": 10}
OPTIONS = (
    "--tune", "full", "--backbone", "resnet50", "--weights", "none", "--epochs", "1,2",
    "--loss-weights", "1:9", "--folds", "0", "--augment", "none", "--batch-size", "4",
)  # fmt: skip
PATIENCE_S = 1800
RUNNING = (
    "SELECT worker.pid FROM piece JOIN worker ON worker.id = piece.owner WHERE state = 'running'"
)
EPOCHS = "SELECT 1 FROM event WHERE kind = 'epoch'"


def killed(folder: Path) -> None:
    """Train two cells twice, once undisturbed and once killed, and compare the weights."""
    smears = folder / "smears"
    if not (smears / "labels.csv").exists():
        write_cohort(smears, patients(PATIENTS, "easy", 0))
    calm = _trained(folder / "calm", smears, lambda _home: None)
    other = _trained(folder / "killed", smears, _disturb)
    print(f"undisturbed: {', '.join(calm)}\nkilled twice: {', '.join(other)}")
    print("equal, bit for bit" if calm == other else "DIFFERENT")
    if calm != other:
        raise SystemExit(1)


def _trained(home: Path, smears: Path, disturb: Callable[[Path], None]) -> list[str]:
    """Hashes of both cells' weights."""
    cohort(home, smears)
    try:
        job = marrow(home, "sweep", *OPTIONS)["id"]
        disturb(home)
        marrow(home, "follow", job)
        return sorted(one["sha256"] for one in marrow(home, "models", "list"))
    finally:
        marrow(home, "agent", "stop")


def _disturb(home: Path) -> None:
    """Kill within the first epoch, stop in good order, and kill within the second one."""
    _kill(_found(home, RUNNING), home)
    _found(home, RUNNING)
    marrow(home, "agent", "stop")  # leaves a checkpoint at the next batch
    marrow(home, "agent", "start")
    _found(home, EPOCHS)
    _kill(_found(home, RUNNING), home)


def _kill(pid: int, home: Path) -> None:
    """Let it work for a while, then kill it, and say where the run stood."""
    time.sleep(10)
    os.kill(pid, signal.SIGKILL)
    told = len(_rows(home, EPOCHS))
    print(f"killed -9 the worker after {told} epochs; checkpoints: {_checkpoints(home)}")


def _checkpoints(home: Path) -> list[str]:
    return sorted(path.name for path in (home / "store" / "runs").rglob("segment-*"))


def _found(home: Path, query: str) -> int:
    """The first number that a query finds; waits for it."""
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        rows = _rows(home, query)
        if rows:
            return int(rows[0][0])
        time.sleep(0.2)
    raise SystemExit(f"nothing found in {PATIENCE_S} s: {query}")


def _rows(home: Path, query: str) -> list[tuple[int, ...]]:
    with closing(sqlite3.connect(f"file:{home / 'catalogue.sqlite'}?mode=ro", uri=True)) as base:
        return base.execute(query).fetchall()
