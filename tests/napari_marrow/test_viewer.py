"""The real napari: from a folder to the heatmap, and a job that outlives the viewer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("qtpy")

from qtpy.QtCore import QMimeData, QPointF, Qt, QUrl
from qtpy.QtGui import QDropEvent
from qtpy.QtWidgets import QApplication

from marrow.catalogue import labels, models, regions
from marrow.records import Label
from marrow.study import Study
from napari_marrow._qt.cases_dock import CasesDock
from napari_marrow._qt.opening import DOCK_NAME, cases_dock, open_workbench
from napari_marrow._qt.program import _below
from napari_marrow.layers import HEATMAP_LAYER, REGIONS_LAYER, SMEAR_LAYER

pytestmark = pytest.mark.viewer
WAIT_MS = 30_000


@pytest.fixture
def open_viewer(
    make_napari_viewer: Callable[..., Any], study: Study, client_without_agent: Any
) -> Callable[[], tuple[Any, CasesDock]]:
    """Opens napari with the study's Cases dock; each call is a new start of the program."""

    def start() -> tuple[Any, CasesDock]:
        viewer = make_napari_viewer(show=True)
        dock = CasesDock(viewer, study.settings.home, client_without_agent)
        viewer.window.add_dock_widget(dock, name=DOCK_NAME, area="right")
        dock.window().resize(1400, 850)
        return viewer, dock

    return start


def end(viewer: Any, qtbot: Any) -> None:
    """Close napari and let Qt delete what it deletes later."""
    viewer.close()
    qtbot.wait(50)


def is_green(picture: np.ndarray) -> np.ndarray:
    """Pixels in which green outweighs red and blue: no stain has them, the heatmap does."""
    red, green, blue = (picture[..., k].astype(int) for k in range(3))
    return (green > red + 10) & (green > blue + 10)


def test_from_a_folder_to_the_heatmap_and_a_job_that_outlives_the_viewer(
    open_viewer: Any, qtbot: Any, study: Study, worker: Any, fields: Path, tmp_path: Path
) -> None:
    viewer, dock = open_viewer()
    desktop = dock.desktop
    page, workbench = desktop.cases.page, desktop.workbench
    qtbot.waitUntil(lambda: desktop.is_listed, timeout=WAIT_MS)

    drop(dock, fields)
    qtbot.waitUntil(lambda: page.list.model.rowCount() == 20, timeout=WAIT_MS)

    page.list.table.selectAll()
    assert page.queue_selected.text() == "Queue 20 selected"
    page.queue_selected.trigger()
    qtbot.waitUntil(lambda: desktop.session.unfinished == (1,), timeout=WAIT_MS)
    assert workbench.isVisible()
    worker.start()
    qtbot.waitUntil(lambda: desktop.results.tab.model.rowCount() == 20, timeout=WAIT_MS)
    worker.stop()

    line = desktop.results.tab.model.line(0)
    desktop.results.tab.table.opened.emit(0)
    qtbot.waitUntil(lambda: desktop.session.evidence is not None, timeout=WAIT_MS)
    assert desktop.session.smear_id == line.smear_id
    assert desktop.session.evidence.class_name == line.calls["diagnosis"]
    assert line.smear_id in page.list.selected_ids()
    heat = viewer.layers[HEATMAP_LAYER]
    assert heat.visible
    assert heat.data.shape == (8, 8)
    desktop.smear.set_opacity(1.0)
    with_heat = viewer.screenshot(canvas_only=True, flash=False)
    desktop.smear.set_heatmap_shown(False)
    without = viewer.screenshot(canvas_only=True, flash=False)
    assert without.std() > 10  # the canvas is not blank
    assert is_green(with_heat).sum() > is_green(without).sum() + 500
    desktop.smear.set_heatmap_shown(True)
    save_picture(dock, tmp_path / "viewer.png")

    page.list.table.selectAll()
    second = second_model(study)
    desktop.background.tell(
        lambda: desktop.session.desk.queue._client.submit(range(1, 21), second.id),
        lambda _job: None,
    )
    qtbot.waitUntil(lambda: 2 in jobs_listed(desktop), timeout=WAIT_MS)
    worker.model = second
    worker.work_off(1)
    end(viewer, qtbot)
    assert not any(one.objectName() == "marrow-workbench" for one in visible_windows())

    viewer, dock = open_viewer()
    desktop = dock.desktop
    qtbot.waitUntil(lambda: desktop.session.unfinished == (2,), timeout=WAIT_MS)
    desktop.workbench.open()
    desktop.queue.controller.show_results(2)
    worker.start()
    qtbot.waitUntil(lambda: desktop.results.tab.model.rowCount() == 20, timeout=WAIT_MS)
    qtbot.waitUntil(lambda: desktop.session.unfinished == (), timeout=WAIT_MS)
    worker.stop()
    state = {row.job_id: row.cells[2] for row in desktop.queue.tab.model.lines()}
    assert state == {1: "done", 2: "done"}
    end(viewer, qtbot)


def test_a_label_and_a_region_are_stored_and_shown_again(
    open_viewer: Any, qtbot: Any, study: Study, fields: Path
) -> None:
    viewer, dock = open_viewer()
    desktop, page = dock.desktop, dock.desktop.cases.page
    qtbot.waitUntil(lambda: desktop.is_listed, timeout=WAIT_MS)
    desktop.study.bar._reader.setText("Dr A")
    desktop.study.bar._reader.editingFinished.emit()
    desktop.cases.controller.add_smears([fields])
    qtbot.waitUntil(lambda: page.list.model.rowCount() == 20, timeout=WAIT_MS)

    page.list.table.selectRow(19)  # has no label and no pixel size
    qtbot.waitUntil(lambda: desktop.session.smear_id == 20, timeout=WAIT_MS)
    assert not viewer.scale_bar.visible
    page.labels.buttons["diagnosis", "AML"].click()
    qtbot.waitUntil(lambda: page.list.model.line(19).cells[1] == "AML", timeout=WAIT_MS)
    qtbot.waitUntil(lambda: history(study, 20) != [], timeout=WAIT_MS)
    (stored,) = history(study, 20)
    assert (stored.answer, stored.reader, stored.seen_prediction) == ("AML", "Dr A", False)

    page.regions.role.setCurrentText("exclude")
    page.regions.tools["rectangle"].click()
    layer = viewer.layers[REGIONS_LAYER]
    assert str(layer.mode) == "add_rectangle"
    layer.add([np.array([[10, 10], [10, 50], [40, 50], [40, 10]])], shape_type="rectangle")

    def stored_roles() -> list[str]:
        with study.database.read() as connection:
            return [one.role for one in regions.of(connection, 20)]

    qtbot.waitUntil(lambda: stored_roles() == ["exclude"], timeout=WAIT_MS)
    page.list.table.selectRow(0)
    qtbot.waitUntil(lambda: desktop.session.smear_id == 1, timeout=WAIT_MS)
    assert viewer.scale_bar.visible
    assert layer.nshapes == 0
    page.list.table.selectRow(19)
    qtbot.waitUntil(lambda: desktop.session.smear_id == 20, timeout=WAIT_MS)
    assert layer.nshapes == 1
    assert stored_roles() == ["exclude"]  # showing it stored nothing
    assert [one.name for one in viewer.layers] == [SMEAR_LAYER, REGIONS_LAYER]
    end(viewer, qtbot)


def test_a_label_button_labels_what_is_selected_and_no_smear_that_took_its_row(
    open_viewer: Any, qtbot: Any, study: Study, fields: Path
) -> None:
    viewer, dock = open_viewer()
    desktop, page = dock.desktop, dock.desktop.cases.page
    listed = page.list
    qtbot.waitUntil(lambda: desktop.is_listed, timeout=WAIT_MS)
    desktop.cases.controller.add_smears([fields])
    qtbot.waitUntil(lambda: listed.model.rowCount() == 20, timeout=WAIT_MS)
    desktop.study.bar._reader.setText("Dr A")  # another than the one who dropped the table
    desktop.study.bar._reader.editingFinished.emit()
    reader = desktop.session.reader
    listed.filter.setCurrentText("unlabelled by me")
    qtbot.waitUntil(lambda: desktop.cases.controller.shown.unread_by == reader, timeout=WAIT_MS)
    qtbot.waitUntil(lambda: listed.model.rowCount() == 20, timeout=WAIT_MS)  # emptied meanwhile

    def click(smear_id: int) -> None:
        row = [line.smear_id for line in listed.model.lines()].index(smear_id)
        centre = listed.table.visualRect(listed.model.index(row, 0)).center()
        qtbot.mouseClick(listed.table.viewport(), Qt.MouseButton.LeftButton, pos=centre)
        qtbot.waitUntil(lambda: desktop.session.smear_id == smear_id, timeout=WAIT_MS)
        assert listed.selected_ids() == [smear_id]

    click(1)
    page.labels.buttons["diagnosis", "MDS"].click()
    qtbot.waitUntil(lambda: listed.model.rowCount() == 19, timeout=WAIT_MS)
    assert desktop.session.smear_id == 1
    assert listed.selected_ids() == []
    assert not page.labels.isEnabled()
    page.labels.buttons["diagnosis", "AA"].click()
    click(2)  # which stands where the first stood
    page.undo.click()
    qtbot.waitUntil(lambda: listed.model.rowCount() == 20, timeout=WAIT_MS)
    assert listed.selected_ids() == [2]
    opened: list[int | None] = []
    desktop.session.events.smear_id.connect(opened.append)
    listed._search.setText("S000009")
    qtbot.waitUntil(lambda: listed.model.rowCount() == 1, timeout=WAIT_MS)
    qtbot.wait(300)
    assert opened == []
    click(9)
    assert opened == [9]
    own = [one for smear_id in range(1, 21) for one in history(study, smear_id)]
    own = [one for one in own if one.reader == reader]
    assert {(one.smear_id, one.answer) for one in own} == {(1, "MDS")}
    assert all(one.superseded_at for one in own)  # by the undo
    end(viewer, qtbot)


def test_the_dock_and_the_workbench_open_from_the_menus_once(
    make_napari_viewer: Callable[..., Any],
    qtbot: Any,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("MARROW_HOME", str(tmp_path / "none"))
    viewer = make_napari_viewer(show=True)
    open_workbench(viewer)
    dock = cases_dock(viewer)
    assert dock.desktop.workbench.isVisible()
    assert list(viewer.window.dock_widgets) == [DOCK_NAME]
    open_workbench(viewer)
    assert list(viewer.window.dock_widgets) == [DOCK_NAME]
    # without a study the page asks for one and nothing is an error
    qtbot.waitUntil(lambda: dock.desktop.study.start_page.isVisible(), timeout=WAIT_MS)
    assert "no study" in dock.desktop.study.start_page._words.text()
    dock.desktop.study.start_page.create_button.click()
    qtbot.waitUntil(lambda: dock.desktop.is_listed, timeout=WAIT_MS)
    assert (tmp_path / "none" / "catalogue.sqlite").exists()
    viewer.theme = "light"
    assert viewer.theme in {"light"}
    light = dock.desktop.workbench.grab().toImage().pixelColor(5, 5)
    assert light.lightness() > 128
    end(viewer, qtbot)


def history(study: Study, smear_id: int) -> list[Label]:
    with study.database.read() as connection:
        return labels.history(connection, smear_id)


def drop(dock: CasesDock, folder: Path) -> None:
    """Drop a folder on the dock, as a file manager does."""
    dragged = QMimeData()
    dragged.setUrls([QUrl.fromLocalFile(str(folder))])
    event = QDropEvent(
        QPointF(50, 200),
        Qt.DropAction.CopyAction,
        dragged,
        Qt.MouseButton.LeftButton,
        Qt.KeyboardModifier.NoModifier,
    )
    dock.dropEvent(event)


def save_picture(dock: CasesDock, target: Path) -> None:
    """Both windows as one PNG, and where somebody asks for it, a copy to look at."""
    dock.desktop.workbench.resize(1400, 330)
    QApplication.processEvents()
    picture = _below(dock.window(), dock.desktop.workbench)
    assert picture.save(str(target), "PNG")
    assert target.stat().st_size > 50_000


def jobs_listed(desktop: Any) -> list[int]:
    return [line.job_id for line in desktop.queue.tab.model.lines()]


def second_model(study: Study) -> Any:
    with study.database.write() as connection:
        return models.register(
            connection,
            study.database.now(connection),
            sha256="c" * 64,
            path="models/second",
            preprocessing="b" * 64,
            precision="fp32",
            card={},
            job_id=None,
        )


def visible_windows() -> list[Any]:
    return [one for one in QApplication.topLevelWidgets() if one.isVisible()]
