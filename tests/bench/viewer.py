"""Whether the workbench stays fluent: a heartbeat while results stream in, and a million rows.

A part of `python -m tests.bench`. By itself:

    python -m tests.bench.viewer --folder FOLDER [--quick]

The figures are taken in a process of its own, the real napari under a display (a virtual one
where there is none). Results are written by another process, as a worker does.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import queue
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from sqlalchemy import insert, select

from marrow.catalogue import models
from marrow.catalogue.jobs import PIECE_SIZE
from marrow.catalogue.predictions import ResultFilter
from marrow.catalogue.schema import job_smear, smear
from marrow.client import Client
from marrow.records import Answer, AnswerMap, HeadAnswer, Outcome, Provenance
from marrow.schemes import AA_MDS_AML, Scheme
from marrow.settings import Settings
from marrow.study import Study
from tests.bench import catalogue
from tests.bench.figures import Figure
from worker import claims
from worker.owner import Owner

RATE = 1_000
"""Results a second."""
SLOT_GOAL_MS = 16.0
BEAT_GOAL_MS = 5.0
PAGE_GOAL_MS = 300.0
MEMORY_GOAL_MB = 200.0
BEAT_MS = 5
ROUNDS = 4
PIECE = PIECE_SIZE["overnight"]
WAIT_S = 600.0
SCREEN = "-screen 0 1600x1000x24"
MADE_BY = Provenance(code_version="0", torch_version="0", device="cpu", host="bench")


def viewer(folder: Path, is_quick: bool, million: Path | None = None) -> list[Figure]:
    """The figures of the workbench; none where there is no display and no xvfb-run.

    Parameters
    ----------
    million : Path or None
        Home of a study as `tests.bench.catalogue` fills it; None: one is made.
    """
    display = _display()
    if display is None:
        print("viewer: left out, there is no display and no xvfb-run", file=sys.stderr)
        return []
    folder.mkdir(parents=True, exist_ok=True)
    answer = folder / "figures.json"
    command = [*display, sys.executable, "-m", "tests.bench.viewer", "--folder", str(folder)]
    command += ["--answer", str(answer), *(["--quick"] if is_quick else [])]
    command += [] if million is None else ["--million", str(million)]
    subprocess.run(command, check=True, cwd=Path(__file__).parents[2])
    return [Figure(**row) for row in json.loads(answer.read_text())]


def _display() -> list[str] | None:
    if sys.platform in {"win32", "darwin"} or os.environ.get("DISPLAY"):
        return []
    xvfb = shutil.which("xvfb-run")
    return None if xvfb is None else [xvfb, "-a", "-s", SCREEN]


# The other process: a worker that need not look at images


def serve() -> None:
    """Read lines `RATE COUNT HOME`; for each, write so many results and say `done`."""
    for line in sys.stdin:
        rate, count, home = line.strip().split(" ", 2)
        write(Path(home), float(rate), int(count))
        print("done", flush=True)


def write(home: Path, rate: float, count: int) -> None:
    """Finish pieces until `count` results are stored, `rate` a second; 0: as fast as it goes."""
    study = Study.open(Settings.read(home))
    with study.database.read() as connection:
        model = models.champion(connection)
    if model is None:
        raise SystemExit(f"{home} has no model")
    owner, begun, written = Owner.of_this_process(), time.monotonic(), 0
    while written < count and (held := claims.claim_next(study, owner)) is not None:
        members = job_smear.c.job_id == held.job_id, job_smear.c.piece == held.number
        with study.database.read() as connection:
            ids = list(connection.execute(select(job_smear.c.smear_id).where(*members)).scalars())
        outcomes = [Outcome(one, *_answer(study.scheme, one), None) for one in ids]
        claims.finish_smears(study, held, model, outcomes, dict.fromkeys(ids, 0), MADE_BY)
        written += len(ids)
        if rate:
            time.sleep(max(0.0, begun + written / rate - time.monotonic()))
    study.close()


def _answer(scheme: Scheme, smear_id: int) -> tuple[Answer, AnswerMap]:
    random = np.random.default_rng([7, smear_id])
    heads, outputs = [], 0
    for head in scheme.heads:
        shares = random.dirichlet(np.ones(len(head.classes)))
        call = head.classes[int(shares.argmax())]
        heads.append(HeadAnswer(head=head.name, call=call, probabilities=tuple(shares)))
        outputs += len(head.classes)
    values = random.normal(0, 1, (outputs, 8, 8)).astype("<f2").tobytes()
    shape = (outputs, 8, 8)
    return Answer(heads=tuple(heads)), AnswerMap("activation", values, shape, (16.0, 16.0))


# This process: napari with the workbench


class Heartbeat:
    """Ticks every 5 ms on the GUI thread; each beat notes the time and what the thread spent."""

    def __init__(self) -> None:
        from qtpy.QtCore import Qt, QTimer

        self._timer = QTimer()
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.setInterval(BEAT_MS)
        self._timer.timeout.connect(self._on_timeout)
        self._beats: list[tuple[float, float]] = []

    def start(self) -> None:
        """Begin anew."""
        self._beats = []
        self._timer.start()

    def stop(self) -> tuple[np.ndarray, np.ndarray]:
        """Gaps between beats, and the processor time of the GUI thread in each, both in ms."""
        self._timer.stop()
        steps = np.diff(np.array(self._beats), axis=0) * 1000
        return steps[:, 0], steps[:, 1]

    def _on_timeout(self) -> None:
        self._beats.append((time.perf_counter(), time.thread_time()))


class Bench:
    """napari with the workbench in front, on one study after the other."""

    def __init__(self) -> None:
        import napari
        from qtpy.QtWidgets import QApplication

        from napari_marrow._qt.cases_dock import CasesDock
        from napari_marrow._qt.opening import DOCK_NAME

        self._viewer = napari.Viewer(show=True)
        self.app: Any = QApplication.instance()
        self._dock_class, self._dock_name = CasesDock, DOCK_NAME
        self.desktop: Any = None

    def open(self, home: Path) -> None:
        """Show a study's results, with the Cases dock beside the canvas."""
        if self.desktop is None:
            dock = self._dock_class(self._viewer, home, lambda study: Client(study, _no_agent))
            self._viewer.window.add_dock_widget(dock, name=self._dock_name, area="right")
            self.desktop = dock.desktop
        else:
            self.desktop.results.controller.is_read = False
            self.desktop.study.controller.open(home)
        self.until(lambda: self.desktop.is_listed)
        self.desktop.workbench.bring(self.desktop.results)
        self.desktop.workbench.open()
        self.run(1.0)

    def until(self, is_so: Callable[[], bool]) -> float:
        """Run the program until then; how long it took, in ms."""
        begun = time.perf_counter()
        while not is_so():
            if time.perf_counter() - begun > WAIT_S:
                raise SystemExit("the workbench did not come so far in ten minutes")
            self.app.processEvents()
            time.sleep(0.0005)
        return (time.perf_counter() - begun) * 1000

    def run(self, seconds: float) -> None:
        """Run the program as it runs without a bench: in Qt's own loop."""
        from qtpy.QtCore import QEventLoop, QTimer

        loop = QEventLoop()
        QTimer.singleShot(int(seconds * 1000), loop.quit)
        loop.exec()

    def run_until(self, is_so: Callable[[], bool]) -> None:
        """Run in Qt's own loop, which is left at most 50 ms after."""
        begun = time.perf_counter()
        while not is_so():
            if time.perf_counter() - begun > WAIT_S:
                raise SystemExit("the workbench did not come so far in ten minutes")
            self.run(0.05)

    def close(self) -> None:
        """End."""
        self._viewer.close()
        self.run(0.2)


def _no_agent(_home: Path) -> None:
    """The bench writes the results itself."""


class Writer:
    """The other process."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "tests.bench.viewer", "--serve"]
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self._process = subprocess.Popen(command, cwd=Path(__file__).parents[2], **pipes)
        self._done: queue.SimpleQueue[str] = queue.SimpleQueue()
        threading.Thread(target=self._listen, daemon=True).start()

    def write(self, home: Path, rate: float, count: int) -> None:
        """Let it write so many results of what is queued in this study."""
        self._process.stdin.write(f"{rate} {count} {home}\n")
        self._process.stdin.flush()

    def is_done(self) -> bool:
        """Whether it has finished since the last `write`; True once."""
        if self._process.poll() is not None:
            raise SystemExit("the process that writes results has ended")
        return not self._done.empty() and bool(self._done.get())

    def close(self) -> None:
        """End it."""
        self._process.stdin.close()
        self._process.wait(30)

    def _listen(self) -> None:
        for line in self._process.stdout:
            self._done.put(line)


def stream(bench: Bench, folder: Path, at_rate: int, in_all: int) -> list[Figure]:
    """The heartbeat while `at_rate` results come at 1,000 a second; memory over `in_all`.

    Idle is measured in turn with it, while the same results are written into another study: a
    neighbour on the same machine takes part in both.
    """
    homes = {"idle": folder / "elsewhere", "stream": folder / "streaming"}
    studies = {name: _make_study(home, in_all) for name, home in homes.items()}
    clients = {name: Client(study, _no_agent) for name, study in studies.items()}
    bench.open(homes["stream"])
    writer, beat = Writer(), Heartbeat()
    pages = bench.desktop.results.controller.pages
    gc.collect()
    gc.freeze()  # what napari has made: a collection would walk over it at any time
    beats: dict[str, list[Any]] = {"idle": [], "stream": []}
    for client in clients.values():
        # One job, so that none ends meanwhile: what napari tells of it is drawn over the canvas.
        client.submit(range(1, in_all + 1), priority="overnight")
    bench.run(3.0)
    part, before = -(-at_rate // ROUNDS // PIECE) * PIECE, _memory_mb()
    for number in range(ROUNDS):
        for name in ("idle", "stream") if number % 2 == 0 else ("stream", "idle"):
            bench.run(1.0)
            beat.start()
            writer.write(homes[name], RATE, part)
            bench.run_until(writer.is_done)
            if name == "stream":
                bench.run_until(lambda n=number: len(pages) >= part * (n + 1))
            beats[name].append(beat.stop())
    writer.write(homes["stream"], 0, in_all)
    bench.run_until(writer.is_done)
    bench.run_until(lambda: len(pages) >= in_all)
    writer.close()
    for study in studies.values():
        study.close()
    bench.run(3.0)
    gc.unfreeze()
    grown = _memory_mb() - before
    gaps, spent = (np.concatenate([one[k] for one in beats["stream"]]) for k in (0, 1))
    idle = np.concatenate([one[0] for one in beats["idle"]])
    p99, idle_p99 = np.percentile(gaps, 99), np.percentile(idle, 99)
    return [
        Figure(
            "longest slot while results stream in", float(spent.max()), SLOT_GOAL_MS, "ms", False,
            f"{at_rate} results at {RATE} a second, {len(gaps)} beats; "
            f"p99 {np.percentile(spent, 99):.1f} ms of the GUI thread's processor time",
        ),
        Figure(
            "heartbeat beyond idle, p99", float(p99 - idle_p99), BEAT_GOAL_MS, "ms", False,
            f"{p99:.1f} / {idle_p99:.1f} ms idle, median {np.median(gaps):.1f} / "
            f"{np.median(idle):.1f}, longest {gaps.max():.0f} / {idle.max():.0f}",
        ),
        Figure(
            f"memory of {in_all} streamed rows", grown, MEMORY_GOAL_MB, "MB", False,
            f"{before:.0f} MB before; {len(pages)} rows listed",
        ),
    ]  # fmt: skip


def first_pages(bench: Bench, home: Path) -> list[Figure]:
    """From a click to the rows on the screen, with as many stored rows as there are."""
    took: dict[str, float] = {}
    bench.desktop.results.controller.is_read = False
    bench.desktop.study.controller.open(home)
    took["open"] = bench.until(lambda: bench.desktop.results.controller.is_read)
    results = bench.desktop.results
    bench.run(2.0)
    rows = len(results.controller.pages)
    header = results.tab.table.horizontalHeader()
    from qtpy.QtCore import Qt

    down, up = Qt.SortOrder.DescendingOrder, Qt.SortOrder.AscendingOrder
    for place, column in enumerate(results.tab.model.columns()):
        for order, words in ((up, "rising"), (down, "falling")):
            if column.sort_key is not None:
                took[f"{column.sort_key} {words}"] = _shown_after(
                    bench, lambda p=place, o=order: header.setSortIndicator(p, o)
                )
    for name, values in catalogue.FILTERS.items():
        shown = ResultFilter(**values)
        took[name] = _shown_after(bench, lambda s=shown: results.controller.set_filter(s))
        _shown_after(bench, lambda: results.controller.set_filter(ResultFilter()))
    jump = _jump(bench)
    sorts = [value for name, value in took.items() if name.endswith((" rising", " falling"))]
    filters = [took[name] for name in catalogue.FILTERS]
    slowest = max(took, key=lambda name: took[name])
    return [
        Figure(
            f"open the results, {rows} rows", took["open"], PAGE_GOAL_MS, "ms", False,
            "from the study's opening to its first rows",
        ),
        Figure(
            f"sort by a column, {rows} rows", max(sorts), PAGE_GOAL_MS, "ms", False,
            f"slowest of {len(sorts)}, median {np.median(sorts):.0f}, click to rows on the screen",
        ),
        Figure(
            f"filter, {rows} rows", max(filters), PAGE_GOAL_MS, "ms", False,
            f"slowest of {len(filters)} ({slowest}), median {np.median(filters):.0f}",
        ),
        Figure(
            f"jump to the middle, {rows} rows", jump[1], SLOT_GOAL_MS, "ms", False,
            f"longest slot of the GUI thread; the rows were there after {jump[0]:.0f} ms",
        ),
    ]  # fmt: skip


def _shown_after(bench: Bench, click: Callable[[], object]) -> float:
    """From a click until the first rows were painted, in ms."""
    controller = bench.desktop.results.controller
    begun = time.perf_counter()
    click()
    bench.until(lambda: controller.reading is None)
    bench.app.processEvents()  # paints
    return (time.perf_counter() - begun) * 1000


def _jump(bench: Bench) -> tuple[float, float]:
    """Drag the scroll bar to the middle: until the rows are there, and the longest slot."""
    results = bench.desktop.results
    bar = results.tab.table.verticalScrollBar()
    results.controller.set_worklist(False)  # the newest first, as a table begins
    bench.run(3.0)  # until all rows are counted
    beat = Heartbeat()
    beat.start()
    bar.setValue(bar.maximum() // 2)
    wanted = results.tab.table.shown_rows()
    took = bench.until(lambda: results.tab.model.line(wanted.start + 5) is not None)
    _gaps, spent = beat.stop()
    return took, float(spent.max())


def _make_study(home: Path, count: int) -> Study:
    study = Study.create(Settings.read(home), AA_MDS_AML)
    with study.database.write() as connection:
        models.register(
            connection, catalogue.FIRST_AT, sha256="a" * 64, path="models/a",
            preprocessing="b" * 64, precision="fp32", card={}, job_id=None,
        )  # fmt: skip
        for start in range(1, count + 1, catalogue.CHUNK):
            rows = range(start, min(count + 1, start + catalogue.CHUNK))
            connection.execute(
                insert(smear), [catalogue._smear_row(one, 0, catalogue.FIRST_AT) for one in rows]
            )
    return study


def _memory_mb() -> float:
    """What this process has to itself."""
    gc.collect()
    return float(psutil.Process().memory_full_info().uss) / 1e6


def main() -> None:
    """Measure, or be the other process."""
    parser = argparse.ArgumentParser(description=__doc__)
    place = parser.add_mutually_exclusive_group(required=True)
    place.add_argument("--folder", type=Path, help="where the studies that are measured are made")
    place.add_argument("--serve", action="store_true", help="be the process that writes")
    parser.add_argument("--million", type=Path)
    parser.add_argument("--answer", type=Path)
    parser.add_argument("--quick", action="store_true")
    chosen = parser.parse_args()
    if chosen.serve:
        serve()
        return
    if chosen.answer is None:
        figures = viewer(chosen.folder, chosen.quick, chosen.million)
        from tests.bench.figures import table

        print(table(figures))
        return
    million = chosen.million
    if million is None:
        million = chosen.folder / "million"
        study = Study.create(Settings.read(million), AA_MDS_AML)
        catalogue.fill(study, 100_000 if chosen.quick else 1_000_000)
        study.close()
    bench = Bench()
    in_all = 11_000 if chosen.quick else 100_000
    figures = stream(bench, chosen.folder, 10_000, in_all)
    figures += first_pages(bench, million)
    bench.close()
    rows = [{k: v for k, v in one.as_json().items() if k != "is_met"} for one in figures]
    chosen.answer.write_text(json.dumps(rows))


if __name__ == "__main__":
    main()
