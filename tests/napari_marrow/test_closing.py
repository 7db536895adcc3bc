"""napari is closed while something is under way: nothing is lost, nothing goes on without it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("qtpy")

from sqlalchemy import text

from marrow.catalogue import jobs
from marrow.records import TrainingSpec
from marrow.study import Study
from napari_marrow._qt.cases_dock import CasesDock
from worker import claims
from worker.owner import Owner

pytestmark = pytest.mark.viewer
WAIT_MS = 30_000
MORE = 60
"""Images that are being added: seconds of hashing and reading."""


class Day:
    """An open study with 20 smears, and what a person may have begun when he closes napari."""

    def __init__(self, viewer: Any, dock: CasesDock, qtbot: Any, worker: Any, tmp: Path) -> None:
        self.viewer, self.desktop, self.qtbot = viewer, dock.desktop, qtbot
        self.worker, self.tmp = worker, tmp

    def classifying(self) -> None:
        self.desktop.cases.page.queue_all.trigger()
        self.worker.start(every_s=0.2)
        self.wait(lambda: self.desktop.results.tab.model.rowCount() > 0)

    def classified(self) -> None:
        self.desktop.cases.page.queue_all.trigger()
        self.wait(lambda: self.desktop.session.unfinished == (1,))
        self.worker.work_off()
        self.wait(lambda: self.desktop.results.tab.model.rowCount() == 20)

    def training(self) -> None:
        client = self.desktop.session.desk.queue._client
        client.train(TrainingSpec(backbone="resnet18", epochs=2))
        assert claims.claim_next(self.worker.study, Owner.of_this_process()) is not None
        self.desktop.workbench.bring(self.desktop.retrain)
        self.wait(lambda: self.desktop.retrain.tab.jobs.count() == 1)

    def adding(self) -> None:
        folder = self.tmp / "more"
        folder.mkdir()
        first = (self.tmp / "fields" / "field_00.png").read_bytes()
        for number in range(MORE):
            # Whatever stands behind an image is no part of it: each file is another smear.
            (folder / f"more_{number:02d}.png").write_bytes(first + str(number).encode())
        self.desktop.cases.controller.add_smears([folder])

    def exporting(self) -> None:
        self.classified()
        self.desktop.results.exports.export("csv", self.tmp / "out.csv")

    def reporting(self) -> None:
        self.desktop.compare.controller.report(self.worker.model.id, is_anew=True)

    def drawing(self) -> None:
        self.desktop.workbench.bring(self.desktop.sheet)

    def opening(self) -> None:
        self.desktop.smear.open(1)

    def wait(self, condition: Callable[[], bool]) -> None:
        self.qtbot.waitUntil(condition, timeout=WAIT_MS)


@pytest.fixture
def day(
    make_napari_viewer: Callable[..., Any],
    qtbot: Any,
    study: Study,
    worker: Any,
    fields: Path,
    client_without_agent: Any,
    tmp_path: Path,
) -> Day:
    client_without_agent(study).import_smears([fields])
    viewer = make_napari_viewer(show=True)
    dock = CasesDock(viewer, study.settings.home, client_without_agent)
    viewer.window.add_dock_widget(dock, area="right")
    made = Day(viewer, dock, qtbot, worker, tmp_path)
    made.wait(lambda: dock.desktop.is_listed)
    dock.desktop.workbench.open()
    return made


KINDS = (
    "classifying", "training", "adding", "exporting", "reporting", "drawing", "opening",
)  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_napari_is_closed_while(
    kind: str, day: Day, qtbot: Any, study: Study, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    getattr(day, kind)()
    day.viewer.close()
    qtbot.wait(50)
    of_the_pool = [
        one for one in threading.enumerate() if one.name.startswith(("marrow", "report"))
    ]
    for thread in of_the_pool:
        thread.join(WAIT_MS / 1000)
        assert not thread.is_alive(), f"{thread.name} goes on"
    told = [one for one in caplog.records if one.name.startswith(("marrow", "napari_marrow"))]
    assert [one.getMessage() for one in told] == []

    day.worker.stop()
    day.worker.work_off()
    with study.database.read() as connection:
        assert connection.execute(text("PRAGMA integrity_check")).scalar() == "ok"
        states = [job.state for job in jobs.newest(connection)]
        registered = connection.execute(text("SELECT count(*) FROM smear")).scalar()
    assert states == {"classifying": ["done"], "exporting": ["done"], "training": ["running"]}.get(
        kind, []
    )
    assert registered in ({20, 20 + MORE} if kind == "adding" else {20})
    if kind == "exporting" and (tmp_path / "out.csv").exists():
        assert len((tmp_path / "out.csv").read_text(encoding="utf-8").splitlines()) == 21
    assert list(tmp_path.glob("*.part*")) == []
