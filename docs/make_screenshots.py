"""`make screenshots`: the pictures of docs/tour.md, from synthetic smears and a real worker.

    python docs/make_screenshots.py FOLDER

Draws a sample study, trains a small model and a sweep, classifies, lets two readers read, then
opens the viewer and saves one PNG per screen. Needs a display; about five minutes.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import napari
from qtpy.QtCore import QEventLoop, QTimer
from qtpy.QtWidgets import QApplication, QWidget

from marrow.catalogue import labels, sight, smears
from marrow.catalogue.smears import SmearFilter
from marrow.client import Client
from marrow.sample_study import make_sample_study
from marrow.settings import Settings
from napari_marrow._qt.desktop import Desktop
from napari_marrow._qt.opening import cases_dock

WINDOW_PX = (1360, 820)
WORKBENCH_PX = (1200, 640)
PATIENCE_S = 120
SETTLE_MS = 2500
SMALL = ("--backbone", "resnet18", "--weights", "none", "--tune", "heads", "--augment", "none")
READERS = ("Dr A", "Dr B")


def main() -> int:
    """Make all pictures in the folder."""
    target = Path(sys.argv[1])
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="marrow-screens-") as name:
        home = Path(name) / "sample"
        try:
            _prepare(home)
            _shoot(home, target)
        finally:
            _marrow(home, "agent", "stop")
    return 0


def _prepare(home: Path) -> None:
    study, _client = make_sample_study(
        Settings.read(home), lambda study: Client(study, start_agent=_nobody), _no_progress
    )
    _marrow(home, "train", *SMALL, "--epochs", "20", "--wait")
    _marrow(home, "sweep", *SMALL, "--epochs", "5,10,20", "--folds", "3", "--wait")
    _marrow(home, "classify", "--wait")
    with study.database.write() as connection:
        at = study.database.now(connection)
        ids = smears.all_ids(connection, SmearFilter())
        known = smears.standing_answers(connection, ids)
        for smear_id in ids:
            answer = known.get(smear_id, {}).get("diagnosis", "unsure")
            other = "MDS" if smear_id % 7 == 0 else answer
            for reader, said in zip(READERS, (answer, other), strict=True):
                given = {"diagnosis": said}
                labels.give(connection, at, study.scheme, smear_id, given, reader, False)
        sight.set_blind_readers(connection, READERS)
    study.close()


def _shoot(home: Path, target: Path) -> None:
    os.environ["MARROW_READER"] = READERS[0]
    viewer = napari.Viewer(title="napari · Marrow")
    desktop = cases_dock(viewer, home.with_name("marrow")).desktop
    window = desktop.cases.page.window()
    window.resize(*WINDOW_PX)
    desktop.workbench.resize(*WORKBENCH_PX)
    _save(window, target / "first-start.png")
    desktop.study.controller.open(home)
    _wait(lambda: desktop.session.desk is not None and desktop.is_listed)
    desktop.cases.page.list.table.selectRow(3)
    _wait(lambda: desktop.session.smear_id is not None)
    _save(window, target / "cases.png")
    desktop.cases.labelling.enter()
    _save(window, target / "label-mode.png")
    desktop.cases.labelling.leave()
    desktop.workbench.open()
    for panel, name in (
        (desktop.sheet, "contact-sheet"),
        (desktop.queue, "queue"),
        (desktop.reading, "consensus"),
        (desktop.retrain, "retrain"),
        (desktop.compare, "compare"),
    ):
        desktop.workbench.bring(panel)
        _settle()
        _save(desktop.workbench, target / f"{name}.png")
    _results(desktop, window, target)
    desktop.doctor.open()
    _wait(lambda: desktop.doctor.page.model.rowCount() > 0)
    _save(desktop.doctor.page, target / "doctor.png")
    viewer.close()
    QApplication.processEvents()


def _results(desktop: Desktop, window: QWidget, target: Path) -> None:
    desktop.workbench.bring(desktop.results)
    desktop.results.controller.set_worklist(True)
    _settle()
    desktop.results.tab.move_to(0)
    desktop.results.worklist.open(0)
    _wait(lambda: desktop.session.evidence is not None)
    _save(desktop.workbench, target / "results.png")
    _save(window, target / "evidence.png")


def _save(widget: QWidget, path: Path) -> None:
    _settle()
    if not widget.grab().save(str(path), "PNG"):
        raise SystemExit(f"{path} cannot be written")


def _settle() -> None:
    loop = QEventLoop()
    QTimer.singleShot(SETTLE_MS, loop.quit)
    loop.exec()


def _wait(condition: Callable[[], bool]) -> None:
    for _look in range(PATIENCE_S * 1000 // SETTLE_MS):
        if condition():
            return
        _settle()
    raise SystemExit("the viewer did not show what was asked for")


def _marrow(home: Path, *words: str) -> None:
    command = [sys.executable, "-P", "-m", "marrow", "--home", str(home), *words]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)  # noqa: S603


def _nobody(_home: Path) -> None:
    """No agent yet: the first command starts it."""


def _no_progress(_done: int, _total: int) -> None:
    """Nobody watches."""


if __name__ == "__main__":
    raise SystemExit(main())
