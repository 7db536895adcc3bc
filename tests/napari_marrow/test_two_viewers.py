"""Two viewers of one study: they see the same queue, and nothing that blind reading hides."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("qtpy")

from qtpy.QtCore import QAbstractItemModel, QAbstractListModel, Qt
from qtpy.QtWidgets import QAbstractItemView, QComboBox, QTabWidget, QWidget
from sqlalchemy import update

from marrow.catalogue import labels, sight
from marrow.catalogue.schema import prediction
from marrow.schemes import AA_MDS_AML
from marrow.study import Study
from napari_marrow._qt.cases_dock import CasesDock
from napari_marrow._qt.opening import DOCK_NAME

pytestmark = [pytest.mark.viewer, pytest.mark.slow]
WAIT_MS = 30_000
ROLES = (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.ToolTipRole, Qt.ItemDataRole.EditRole)
TEXTS = ("text", "toPlainText", "toolTip", "statusTip", "title", "windowTitle", "placeholderText")
CLOCK = re.compile(r"\d+:\d\d(:\d\d)?|\d+ (s|min|h)\b")
"""What differs from one look to the next."""
HIDDEN = 8
"""Smears that B has still to read; he has read the others."""


def texts_of(window: QWidget) -> set[str]:
    """All that a person could read in a window: each cell, header, tip and label, hidden or not."""
    found: set[str] = set()
    for one in (window, *window.findChildren(QWidget)):
        name = type(one).__name__
        for attribute in TEXTS:
            if callable(getattr(one, attribute, None)):
                found.add(f"{name}.{attribute}: {getattr(one, attribute)()}")
        if isinstance(one, QComboBox):
            found |= {f"{name}: {one.itemText(row)}" for row in range(one.count())}
        if isinstance(one, QTabWidget):
            found |= {f"{name}: {one.tabText(row)}" for row in range(one.count())}
        if isinstance(one, QAbstractItemView) and one.model() is not None:
            found |= {f"{name}: {text}" for text in cells_of(one.model())}
    return {CLOCK.sub("#", one) for one in found}


def cells_of(model: QAbstractItemModel) -> Iterator[str]:
    # A list's own count is private in Qt.
    columns = 1 if isinstance(model, QAbstractListModel) else model.columnCount()
    for row in range(model.rowCount()):
        for column in range(columns):
            for role in ROLES:
                yield f"{row}/{column}: {model.index(row, column).data(int(role))}"
    for orientation in (Qt.Orientation.Horizontal, Qt.Orientation.Vertical):
        for section in range(columns):
            for role in ROLES:
                yield f"header {section}: {model.headerData(section, orientation, int(role))}"


@pytest.fixture
def open_viewer(
    make_napari_viewer: Callable[..., Any], study: Study, client_without_agent: Any, qtbot: Any
) -> Callable[[], tuple[Any, CasesDock]]:
    """Opens napari with the study's Cases dock, and reads its first pages."""

    def start() -> tuple[Any, CasesDock]:
        viewer = make_napari_viewer(show=True)
        dock = CasesDock(viewer, study.settings.home, client_without_agent)
        viewer.window.add_dock_widget(dock, name=DOCK_NAME, area="right")
        qtbot.waitUntil(lambda: dock.desktop.is_listed, timeout=WAIT_MS)
        return viewer, dock

    return start


def end(viewer: Any, qtbot: Any) -> None:
    """Close napari and let Qt delete what it deletes later."""
    viewer.close()
    qtbot.wait(50)


def look(viewer: Any, dock: CasesDock, name: str, smear_id: int, qtbot: Any) -> set[str]:
    """What a reader can see who opens one smear and every tab of the workbench."""
    desktop = dock.desktop
    desktop.session.reader = name
    desktop.workbench.open()
    desktop.smear.open(smear_id)
    qtbot.waitUntil(lambda: desktop.session.smear_id == smear_id, timeout=WAIT_MS)
    desktop.smear.toggle_heatmap()  # asks for the model's answer
    found: set[str] = set()
    for tab in range(desktop.workbench.tabs.count()):
        desktop.workbench.tabs.setCurrentIndex(tab)
        qtbot.wait(600)  # its questions are asked and answered
        for view in desktop.workbench.tabs.currentWidget().findChildren(QAbstractItemView):
            if view.model() is not None and view.model().rowCount():
                view.setCurrentIndex(view.model().index(0, 0))
        qtbot.wait(400)
        found |= texts_of(desktop.workbench)
    found |= texts_of(dock)
    found.add(f"canvas: {viewer.text_overlay.text}")
    found.add(f"prediction: {desktop.session.prediction_id}")
    found |= {f"layer: {layer.name} {layer.visible}" for layer in viewer.layers}
    end(viewer, qtbot)
    return found


def read(study: Study, reader: str, answers: dict[int, str]) -> None:
    with study.database.write() as connection:
        for smear_id, answer in answers.items():
            given = {"diagnosis": answer}
            labels.give(connection, 1e9, AA_MDS_AML, smear_id, given, reader, False)


def test_nothing_of_the_others_words_nor_of_a_model_shows_before_both_have_read(
    open_viewer: Any, study: Study, desk: Any, fields: Path, worker: Any, qtbot: Any
) -> None:
    (fields / "labels.csv").unlink()
    desk.cases.add([fields], lambda _done, _total: None)
    ids = list(range(1, 21))
    desk.queue.submit(ids)
    worker.work_off()
    with study.database.write() as connection:
        sight.set_blind_readers(connection, ["A", "B"])
    read(study, "A", dict.fromkeys(ids, "AA"))
    read(study, "B", dict.fromkeys(ids[HIDDEN:], "AA"))
    hidden = ids[:HIDDEN]

    first = look(*open_viewer(), "B", hidden[0], qtbot)
    # Another world, in which A and the model say something else of what B has still to read.
    probabilities = {"p_00": 0.111, "p_01": 0.889, "p_02": 0.222, "p_03": 0.333, "p_04": 0.445}
    with study.database.write() as connection:
        connection.execute(
            update(labels.label)
            .where(labels.label.c.smear_id.in_(hidden), labels.label.c.reader == "A")
            .values(answer="AML")
        )
        connection.execute(
            update(prediction)
            .where(prediction.c.smear_id.in_(hidden))
            .values(call_0=0, call_1=2, top_p=0.889, worklist=0.5, **probabilities)
        )
    second = look(*open_viewer(), "B", hidden[0], qtbot)
    assert second - first == set()
    assert first - second == set()
    assert any("B has 8 to read" in text for text in first)

    read(study, "B", dict.fromkeys(hidden, "MDS"))
    both = look(
        *open_viewer(), "B", hidden[0], qtbot
    )  # and the same look finds it once it may be seen
    assert any("0.889" in text or ".89" in text for text in both - second)
    assert any("AML" in text for text in both - second)
    assert {text for text in both if "8 smears are answered differently" in text}


def test_both_see_the_same_queue_whoever_asks(
    open_viewer: Any, study: Study, desk: Any, fields: Path, worker: Any, qtbot: Any
) -> None:
    desk.cases.add([fields], lambda _done, _total: None)
    viewers, docks = zip(*(open_viewer() for _ in range(2)), strict=True)
    first, second = (dock.desktop for dock in docks)
    for desktop in (first, second):
        desktop.workbench.open()
        desktop.workbench.bring(desktop.queue)

    def both() -> list[tuple[str, ...]]:
        """What both show, but for the eta, which counts down; [] while they differ."""
        shown = [desktop.queue.tab.model.lines() for desktop in (first, second)]
        rows = [[line.cells[:4] + line.cells[5:] for line in lines] for lines in shown]
        return rows[0] if rows[0] == rows[1] else []

    def state() -> str:
        return both()[0][2] if both() else ""

    bar = first.queue.tab.bar
    assert bar.button.text() == "Queue all 20"
    first.cases.page.list.table.selectAll()
    assert bar.button.text() == "Queue 20 selected"
    qtbot.waitUntil(lambda: "m1 was not measured yet" in bar.expected.text(), timeout=WAIT_MS)
    bar.button.click()
    qtbot.waitUntil(lambda: state() == "waits: the worker is starting", timeout=WAIT_MS)
    worker.work_off(1)
    qtbot.waitUntil(lambda: bool(both()) and both()[0][3] == "16 of 20", timeout=WAIT_MS)
    second.queue.tab.cancel.click()
    question = second.queue.tab.question
    assert question is not None
    next(one for one in question.buttons() if one.text() == "Cancel job 1").click()
    qtbot.waitUntil(lambda: state() == "cancelled after 16 of 20", timeout=WAIT_MS)
    first.queue.tab.retry.click()
    qtbot.waitUntil(lambda: state().startswith("waits"), timeout=WAIT_MS)
    worker.work_off()
    qtbot.waitUntil(lambda: state() == "done", timeout=WAIT_MS)
    first.cases.page.queue_wanted.emit([1, 2])  # from the dock: at once
    qtbot.waitUntil(lambda: len(both()) == 2, timeout=WAIT_MS)
    assert first.workbench.tabs.currentWidget() is first.queue.tab
    for viewer in viewers:
        end(viewer, qtbot)
