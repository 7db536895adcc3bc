"""The Cases dock is closed by its X while napari goes on, and opened again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("qtpy")

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication, QDockWidget, QWidget

from marrow.catalogue import labels
from marrow.importing import import_smears
from marrow.study import Study
from napari_marrow._qt.cases_dock import CasesDock
from napari_marrow._qt.keys import canvas_widget
from napari_marrow._qt.opening import DOCK_NAME
from napari_marrow._qt.overview_inset import OverviewInset
from napari_marrow.layers import HEATMAP_LAYER, REGIONS_LAYER, SMEAR_LAYER

pytestmark = pytest.mark.viewer
WAIT_MS = 30_000


@pytest.fixture
def viewer(make_napari_viewer: Callable[..., Any]) -> Any:
    made = make_napari_viewer(show=True)
    made.window._qt_window.resize(1300, 850)
    return made


@pytest.fixture
def open_dock(
    viewer: Any, qtbot: Any, study: Study, fields: Path, client_without_agent: Any
) -> Callable[[], tuple[CasesDock, QDockWidget]]:
    """Opens a Cases dock on a study of 20 smears; gives it back with napari's own."""
    import_smears(study, [fields])

    def start() -> tuple[CasesDock, QDockWidget]:
        dock = CasesDock(viewer, study.settings.home, client_without_agent)
        outer = viewer.window.add_dock_widget(dock, name=DOCK_NAME, area="right")
        qtbot.waitUntil(lambda: dock.desktop.is_listed, timeout=WAIT_MS)
        return dock, outer

    return start


def stored(study: Study) -> dict[int, str]:
    with study.database.read() as connection:
        given = labels.of_reader(connection, study.settings.reader, range(1, 21))
    return {smear_id: answers["diagnosis"] for smear_id, answers in given.items()}


def show(dock: CasesDock, qtbot: Any, smear_id: int) -> None:
    dock.desktop.cases.page.list.table.selectRow(smear_id - 1)
    qtbot.waitUntil(lambda: dock.desktop.session.smear_id == smear_id, timeout=WAIT_MS)


def label_mode(dock: CasesDock, qtbot: Any) -> None:
    mode = dock.desktop.cases.labelling
    dock.desktop.cases.page.label_mode.click()
    qtbot.waitUntil(lambda: mode._case is not None and mode._case.is_ready, timeout=WAIT_MS)


def visible_windows() -> set[str]:
    windows = (one for one in QApplication.topLevelWidgets() if one.isVisible())
    return {one.windowTitle() for one in windows if "arrow" in one.windowTitle()}


def camera_listeners(viewer: Any) -> tuple[int, int]:
    camera = viewer.scene.camera.events
    return len(camera.zoom.callbacks), len(camera.center.callbacks)


def test_a_dock_that_is_closed_by_its_x_leaves_nothing_behind_and_a_second_one_works(
    viewer: Any, open_dock: Any, qtbot: Any, study: Study, worker: Any
) -> None:
    canvas, listeners = canvas_widget(viewer), camera_listeners(viewer)
    assert isinstance(canvas, QWidget)
    dock, outer = open_dock()
    desktop = dock.desktop
    desktop.cases.page.queue_all.trigger()
    qtbot.waitUntil(lambda: desktop.session.unfinished == (1,), timeout=WAIT_MS)
    worker.work_off()
    show(dock, qtbot, 3)
    desktop.smear.toggle_heatmap()
    qtbot.waitUntil(lambda: desktop.session.evidence is not None, timeout=WAIT_MS)
    desktop.doctor.open()
    label_mode(dock, qtbot)
    layers = list(viewer.layers)
    assert [one.name for one in layers] == [SMEAR_LAYER, HEATMAP_LAYER, REGIONS_LAYER]
    assert len(visible_windows()) == 2
    image = desktop.canvas._image

    outer.title.close_button.click()
    qtbot.wait(50)
    assert not desktop.session.is_labelling
    assert visible_windows() == set()
    assert not viewer.canvas.overlays.text.visible
    assert not viewer.canvas.overlays.scale_bar.visible
    assert canvas.findChildren(OverviewInset) == []
    assert camera_listeners(viewer) == listeners
    assert list(viewer.layers) == layers
    assert [one.visible for one in layers[:2]] == [False, False]
    viewer._layer_slicer._executor.submit(int).result(10)
    with pytest.raises(ValueError, match="closed"):
        image.read(0, 0, 0, 4, 4)
    before = stored(study)
    qtbot.keyClick(canvas, "2")

    dock, outer = open_dock()
    show(dock, qtbot, 5)
    assert list(viewer.layers) == layers
    assert layers[0].visible
    (inset,) = canvas.findChildren(OverviewInset)
    assert inset.isVisible()
    label_mode(dock, qtbot)
    qtbot.keyClick(canvas, "1")
    qtbot.waitUntil(lambda: stored(study) == before | {5: "AA"}, timeout=WAIT_MS)
    viewer.window.remove_dock_widget(dock)  # as a person's script may do
    qtbot.wait(50)
    assert camera_listeners(viewer) == listeners
    viewer.close()
    qtbot.wait(50)


def test_a_dock_that_is_hidden_floats_or_lies_behind_another_goes_on(
    viewer: Any, open_dock: Any, qtbot: Any, study: Study
) -> None:
    dock, outer = open_dock()
    show(dock, qtbot, 1)
    other = viewer.window.add_dock_widget(QWidget(), name="other", area="right", tabify=True)
    assert viewer.window._qt_window.tabifiedDockWidgets(outer) == [other]
    other.raise_()
    qtbot.wait(100)
    outer.raise_()
    outer.title.hide_button.click()
    qtbot.waitUntil(lambda: not dock.isVisible())
    outer.show()
    qtbot.waitUntil(dock.isVisible)
    outer.title.float_button.click()
    qtbot.waitUntil(outer.isFloating)
    outer.title.float_button.click()
    qtbot.waitUntil(lambda: not outer.isFloating())
    assert viewer.layers[SMEAR_LAYER].visible
    label_mode(dock, qtbot)
    qtbot.keyClick(canvas_widget(viewer), "3", Qt.KeyboardModifier.NoModifier)
    qtbot.waitUntil(lambda: stored(study).get(1) == "AML", timeout=WAIT_MS)
    viewer.close()
    qtbot.wait(50)
