"""The widgets of the Compare tab, and the tab on two models of a catalogue."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import numpy as np
import pytest

pytest.importorskip("qtpy")

from qtpy.QtCore import Qt, QUrl
from qtpy.QtGui import QDesktopServices

from marrow.catalogue import models
from marrow.study import Study
from napari_marrow._qt.background import QtBackground
from napari_marrow._qt.compare import tab as tab_module
from napari_marrow._qt.compare.confusion_view import ConfusionView
from napari_marrow._qt.compare.panel import ComparePanel
from napari_marrow._qt.compare.promote_bar import PromoteBar
from napari_marrow._qt.compare.roc_view import RocView
from napari_marrow._qt.compare.tab import CompareTab
from napari_marrow._qt.compare.tables_view import TablesView
from napari_marrow.controllers.models import NO_MODEL
from napari_marrow.desk import Desk
from napari_marrow.lines.column import Column
from napari_marrow.lines.models import (
    ChangeLine,
    ClassRoc,
    ComparisonLines,
    ConfusionPanel,
    FigureTable,
    HistoryLine,
    ModelLine,
    Offer,
    RocLine,
    RocPanel,
    TableRow,
)
from napari_marrow.session import Session

pytestmark = pytest.mark.viewer

X = np.linspace(0, 1, 101)
KNOWN = (ModelLine(3, "m3", False), ModelLine(2, "m2", False), ModelLine(1, "m1 champion", True))


def roc(name: str, *, has_band: bool = True) -> RocLine:
    return RocLine(name, X, np.sqrt(X), (X, np.ones(101)) if has_band else None)


def comparison(**changes: Any) -> ComparisonLines:
    change = ChangeLine(7, ("S000007", "P7", "diagnosis", "AA", "MDS", "MDS", "better"))
    shown = ComparisonLines(1, 3, "m3 against m1", "<p>words</p>", "", (change,), "1 smear")
    return replace(shown, **changes)


@pytest.fixture
def tab(qtbot: Any) -> CompareTab:
    made = CompareTab()
    qtbot.addWidget(made)
    made.set_models(KNOWN, 1, 3)
    return made


def test_the_pair_is_marked_and_chosen_anew(tab: CompareTab, qtbot: Any) -> None:
    assert (tab.champion.currentData(), tab.challenger.currentData()) == (1, 3)
    with qtbot.waitSignal(tab.pair_chosen) as told:
        tab.challenger.setCurrentIndex(1)
        tab.challenger.activated.emit(1)
    assert told.args == [1, 2]


def test_an_empty_tab_says_what_to_do(tab: CompareTab) -> None:
    tab.set_models((), None, None)
    tab.set_comparison(None, NO_MODEL)
    assert tab.body.currentWidget() is tab.empty
    assert tab.empty.text() == NO_MODEL
    assert tab.roc.empty.isHidden()  # what a curve takes is said of two that were compared
    assert not tab.report.isEnabled()
    tab.set_comparison(comparison(), "")
    assert tab.body.currentWidget() is not tab.empty
    assert not tab.roc.empty.isHidden()


def test_the_way_back_stays_where_two_models_cannot_be_compared(
    tab: CompareTab, qtbot: Any
) -> None:
    line = HistoryLine(("22:00", "m1", "–", "", "why"), "")
    tab.set_history((line, line))
    tab.set_comparison(comparison(roc=(RocPanel("mds", (ClassRoc("MDS", (roc("m1"),)),)),)), "")
    tab.show()
    tab.set_comparison(None, "The two could not be compared.")
    tab.figures.setCurrentWidget(tab.history_table)
    assert tab.history_table.isVisible()
    tab.promote.reason.setText("calls of Monday were odd")
    assert tab.promote.promote.isVisible()
    with qtbot.waitSignal(tab.promote.rollback_wanted):
        qtbot.mouseClick(tab.promote.rollback, Qt.MouseButton.LeftButton)
    assert tab.empty.isVisible()
    assert tab.roc.heads[0].isHidden()  # no curve of another pair


def test_enter_opens_a_smear_whose_call_changes(tab: CompareTab, qtbot: Any) -> None:
    tab.set_comparison(comparison(), "")
    tab.changes_table.selectRow(0)
    with qtbot.waitSignal(tab.smear_opened) as told:
        qtbot.keyClick(tab.changes_table, Qt.Key.Key_Return)
    assert told.args == [7]


def test_a_plot_a_head_and_a_class_at_a_time(qtbot: Any) -> None:
    view = RocView()
    qtbot.addWidget(view)
    assert not view.empty.isHidden()
    both = (roc("m1 AUC 0.9"), roc("m3 AUC 0.8", has_band=False))
    mds = RocPanel("mds, n = 30", (ClassRoc("MDS against the rest", both),))
    diagnosis = RocPanel(
        "diagnosis, n = 30", (ClassRoc("AA", both), ClassRoc("AML", (roc("x"), roc("y"))))
    )
    view.setValue((mds, diagnosis))
    assert view.empty.isHidden()
    left, right = view.heads
    assert [label.text for _, label in left.plot.legend.items] == ["m1 AUC 0.9", "m3 AUC 0.8"]
    right.choice.setCurrentIndex(1)
    assert [label.text for _, label in right.plot.legend.items] == ["x", "y"]
    curve = right.plot.getPlotItem().listDataItems()[-1].getData()
    assert (curve[0][0], curve[1][0]) == (0, 0)  # from the corner
    view.setValue((mds,))
    assert view.heads == [left, right]
    assert right.isHidden()


def test_matrices_tell_their_counts_and_are_painted(qtbot: Any) -> None:
    view = ConfusionView()
    qtbot.addWidget(view)
    view.resize(500, 300)
    counts = np.array([[9, 1], [0, 10]])
    view.setValue([ConfusionPanel(f"m{n}: mds, n = 20", ("other", "MDS"), counts) for n in (1, 3)])
    first, second = view.matrices
    assert "other: 9 other, 1 MDS" in first.toolTip()
    assert second.value().title == "m3: mds, n = 20"
    view.show()
    image = first.grab().toImage()
    colours = {image.pixelColor(x, image.height() // 2).name() for x in range(0, image.width(), 3)}
    assert len(colours) > 2
    view.setValue([])
    assert first.isHidden()


def test_tables_are_chosen_and_keep_their_place(qtbot: Any) -> None:
    view = TablesView()
    qtbot.addWidget(view)
    tables = [
        FigureTable(f"table {n}", f"caption {n}", (Column("Model"),), (TableRow((f"m{n}",)),))
        for n in (1, 2)
    ]
    view.setValue(tables)
    view.choice.setCurrentIndex(1)
    assert view.model.line(0).cells == ("m2",)
    assert view.caption.text() == "caption 2"
    view.setValue([])
    assert view.model.rowCount() == 0
    view.setValue(tables)
    assert view.model.line(0).cells == ("m2",)


@pytest.fixture
def bar(qtbot: Any) -> PromoteBar:
    made = PromoteBar()
    qtbot.addWidget(made)
    made.setValue(Offer(3, 1))
    made.set_can_roll_back(True)
    return made


def test_nothing_changes_without_a_reason(bar: PromoteBar, qtbot: Any) -> None:
    assert not bar.promote.isEnabled()
    assert not bar.rollback.isEnabled()
    bar.reason.setText("  fewer AML missed ")
    with qtbot.waitSignal(bar.promote_wanted) as told:
        bar.promote.click()
    assert told.args == [3, "fewer AML missed", False]
    with qtbot.waitSignal(bar.rollback_wanted) as told:
        bar.rollback.click()
    assert told.args == ["fewer AML missed"]
    bar.setValue(Offer(None, 3))  # it is the champion
    assert not bar.promote.isEnabled()


def test_forcing_is_a_second_click_under_the_objection(bar: PromoteBar, qtbot: Any) -> None:
    bar.reason.setText("I like it")
    assert bar.force.isHidden()
    bar.set_objection("m3 is worse than m1")
    assert not bar.force.isHidden()
    assert bar.objection.text() == "m3 is worse than m1"
    assert not bar.promote.isEnabled()
    with qtbot.waitSignal(bar.promote_wanted) as told:
        bar.force.click()
    assert told.args == [3, "I like it", True]
    bar.setValue(Offer(3, 1))
    assert not bar.force.isHidden()
    for other in (Offer(2, 1), Offer(2, 3)):  # the objection was to another model or champion
        bar.setValue(other)
        assert bar.force.isHidden()
        assert bar.promote.isEnabled()
        bar.set_objection("m2 is worse")


def test_a_click_is_answered_before_the_next_one(bar: PromoteBar, qtbot: Any) -> None:
    bar.reason.setText("calls of Monday were odd")
    bar.rollback_wanted.connect(lambda _reason: bar.set_changing(True))
    told: list[str] = []
    bar.rollback_wanted.connect(told.append)
    qtbot.mouseDClick(bar.rollback, Qt.MouseButton.LeftButton)
    qtbot.mouseClick(bar.rollback, Qt.MouseButton.LeftButton)
    assert len(told) == 1
    bar.set_objection("m3 is worse than m1")
    assert not bar.force.isEnabled()
    bar.set_changing(False)
    assert bar.force.isEnabled()
    assert bar.rollback.isEnabled()


def test_only_in_the_champions_place_a_model_is_promoted(tab: CompareTab) -> None:
    assert not tab.is_deciding()
    tab.promote.reason.setText("better")
    assert tab.is_deciding()
    assert tab.promote.promote.isEnabled()
    tab.set_models(KNOWN, 2, 3)
    assert not tab.promote.promote.isEnabled()
    assert "against the champion m1" in tab.promote.promote.toolTip()


def test_reports_of_both_models_are_offered(tab: CompareTab, qtbot: Any) -> None:
    texts = [action.text() for action in tab.report.menu().actions()]
    assert texts == [
        "Open the report of m3",
        "Make anew the report of m3",
        "Open the report of m1",
        "Make anew the report of m1",
    ]
    with qtbot.waitSignal(tab.report_wanted) as told:
        tab.report.menu().actions()[3].trigger()
    assert told.args == [1, True]
    tab.set_reporting("m1: Making: ROC curves", is_busy=True)
    assert not tab.report.isEnabled()
    assert "ROC" in tab.reporting.text()
    tab.set_reporting("", is_busy=False)
    assert tab.report.isEnabled()


def test_a_report_opens_in_the_browser_of_the_system(
    tab: CompareTab, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[QUrl] = []
    told: list[str] = []

    def fail(url: QUrl) -> bool:
        opened.append(url)
        return False

    monkeypatch.setattr(QDesktopServices, "openUrl", fail)
    monkeypatch.setattr(tab_module, "tell", lambda words, is_warning: told.append(words))
    tab.open_page(Path("/reports/m1/report.html"))
    assert opened == [QUrl("file:///reports/m1/report.html")]
    assert "/reports/m1/report.html" in told[0]  # without a browser a person can find it


def test_the_history_says_who_was_champion_and_why(tab: CompareTab) -> None:
    line = HistoryLine(("22:00", "m1", "–", "", "the study's first model"), "")
    tab.set_history((line,))
    tab.promote.reason.setText("why")
    assert not tab.promote.rollback.isEnabled()  # there was nobody before
    tab.set_history((line, line))
    assert tab.promote.rollback.isEnabled()
    assert tab.history.line(1).cells[4] == "the study's first model"


@pytest.fixture
def open_panel(
    qtbot: Any, study: Study, client_without_agent: Any
) -> Iterator[tuple[ComparePanel, MagicMock, list[str]]]:
    """The panel on two models of a sweep, with a real background."""
    pytest.importorskip("torch")
    from tests.training.reported_study import reported_study

    reported_study(study)
    told: list[str] = []
    background, smear = QtBackground(told.append), MagicMock()
    session = Session(reader="A")
    panel = ComparePanel(session, background, smear)
    qtbot.addWidget(panel.tab)
    panel.tab.show()
    session.desk = Desk(study, client_without_agent(study))
    panel.tick()
    qtbot.waitUntil(lambda: bool(panel.tab.changes.rowCount()), timeout=30_000)
    yield panel, smear, told
    panel.close()
    background.close()


@pytest.mark.slow
def test_a_person_compares_promotes_and_rolls_back(
    open_panel: Any, study: Study, qtbot: Any
) -> None:
    panel, smear, told = open_panel
    tab = panel.tab
    assert "m2 against m1 on 39 patients" in tab.headline.text()
    assert "n = 39 patients" in tab.verdict.text()
    assert len(tab.roc.heads) == 2
    assert len(tab.confusion.matrices) == 4
    titles = [tab.tables.choice.itemText(row) for row in range(tab.tables.choice.count())]
    assert titles[0] == "mds, both models on the same patients"
    assert any("by loss weights" in title for title in titles)
    row = tab.tables.model.line(0).cells
    assert row[0] == "m1, champion"
    assert any("n=" in cell and "(" in cell for cell in row)
    smear_id = tab.changes.line(0).smear_id
    tab.changes_table.opened.emit(0)
    smear.open.assert_called_once_with(smear_id)

    tab.promote.reason.setText("for the test")
    qtbot.mouseClick(tab.promote.promote, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not tab.promote.force.isHidden(), timeout=30_000)
    assert "m2 is worse than m1" in tab.promote.objection.text()
    qtbot.mouseClick(tab.promote.force, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: tab.history.rowCount() == 2, timeout=30_000)
    assert tab.history.line(0).cells[3] == "forced"
    tab.promote.reason.setText("back")
    qtbot.mouseClick(tab.promote.rollback, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: tab.history.rowCount() == 3, timeout=30_000)
    with study.database.read() as connection:
        assert models.champion(connection).id == 1
    assert told == []
