"""The first start: no study, the doctor, sample smears, preferences, both themes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("qtpy")

from napari.settings import get_plugin_settings
from npe2 import PluginManifest
from qtpy.QtGui import QGuiApplication
from qtpy.QtWidgets import QApplication

import napari_marrow
from marrow.catalogue import smears
from marrow.catalogue.smears import SmearFilter
from napari_marrow._qt.cases_dock import CasesDock
from napari_marrow._qt.opening import DOCK_NAME
from napari_marrow.preferences import Preferences, read_preferences

pytestmark = pytest.mark.viewer
WAIT_MS = 60_000
MANIFEST = Path(napari_marrow.__file__).parent / "napari.yaml"


def test_a_newcomer_is_offered_sample_smears_and_a_doctor(
    make_napari_viewer: Callable[..., Any],
    qtbot: Any,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    client_without_agent: Any,
) -> None:
    monkeypatch.setenv("MARROW_HOME", str(tmp_path / "new"))
    viewer = make_napari_viewer(show=True)
    dock = CasesDock(viewer, None, client_without_agent)
    viewer.window.add_dock_widget(dock, name=DOCK_NAME, area="right")
    desktop, page = dock.desktop, dock.desktop.study.start_page
    qtbot.waitUntil(page.isVisible, timeout=WAIT_MS)

    page.doctor_button.click()
    doctor = desktop.doctor.page
    qtbot.waitUntil(lambda: doctor.model.rowCount() > 5, timeout=WAIT_MS)
    rows = {line.cells[1]: line.cells for line in doctor.model.lines()}
    assert rows["study"][3] == "`marrow init` makes one"
    doctor.copy.click()
    assert "`marrow init` makes one" in QGuiApplication.clipboard().text()

    page.sample_button.click()
    qtbot.waitUntil(lambda: desktop.session.desk is not None, timeout=WAIT_MS)
    qtbot.waitUntil(lambda: desktop.cases.page.list.model.rowCount() == 48, timeout=WAIT_MS)
    study = desktop.session.desk._study
    with study.database.read() as connection:
        assert smears.count(connection, SmearFilter(labelled=True)) == 36
        (first,) = smears.get(connection, [1])
    assert "synthetic" in first.path
    assert not page.progress.isVisible()

    viewer.theme = "dark"
    assert doctor.grab().toImage().pixelColor(3, 3).lightness() < 128
    viewer.theme = "light"
    assert doctor.grab().toImage().pixelColor(3, 3).lightness() > 128
    viewer.close()
    qtbot.wait(50)
    assert not any(one.windowTitle() == "Marrow doctor" for one in QApplication.topLevelWidgets())


def test_preferences_are_napari_s_own(
    plugin_settings: None, npe2pm: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert read_preferences() == Preferences()  # a viewer without its plugins
    npe2pm.register(PluginManifest.from_file(MANIFEST))
    monkeypatch.delenv("MARROW_HOME", raising=False)
    assert read_preferences() == Preferences()
    stored = get_plugin_settings("napari-marrow")
    stored.study.home, stored.study.reader = str(tmp_path), " Dr A "
    stored.heatmap.opacity, stored.night.begin = 0.4, "20:30"
    assert read_preferences() == Preferences(tmp_path, "Dr A", 0.4, "20:30", "06:00")
    stored.night.begin = "8 pm"  # napari checks no pattern
    assert read_preferences().night_from == "22:00"
    monkeypatch.setenv("MARROW_HOME", "elsewhere")
    assert read_preferences().home is None
