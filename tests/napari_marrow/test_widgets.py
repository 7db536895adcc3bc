"""The widgets without napari: both ways through their values and signals."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("qtpy")

from qtpy.QtCore import QAbstractItemModel, QModelIndex, Qt
from qtpy.QtWidgets import QComboBox

from marrow.errors import NotFound
from marrow.schemes import AA_MDS_AML, Scheme
from napari_marrow._qt.background import QtBackground
from napari_marrow._qt.cases.case_list import CaseList
from napari_marrow._qt.cases.describe_bar import DescribeBar
from napari_marrow._qt.cases.label_bar import LabelBar
from napari_marrow._qt.cases.region_bar import RegionBar
from napari_marrow._qt.evidence_bar import EvidenceBar
from napari_marrow._qt.lines_model import LinesModel
from napari_marrow._qt.queue.tab import QueueTab
from napari_marrow._qt.results.tab import ResultsTab
from napari_marrow._qt.study.start_page import StartPage
from napari_marrow._qt.ticker import Ticker
from napari_marrow.lines.cases import CaseLine, case_columns
from napari_marrow.lines.column import Column
from napari_marrow.lines.jobs import JobLine, WorkerWords
from napari_marrow.lines.results import ResultLine, result_columns
from napari_marrow.session import Evidence

pytestmark = pytest.mark.viewer

CELLS = Scheme.from_toml(Path(__file__).parents[2] / "examples" / "cells.toml")


def case(number: int, label: str = "") -> CaseLine:
    return CaseLine(number, (f"S{number:06d}", f"P{number}", "", label))


def result(number: int) -> ResultLine:
    cells = tuple(f"{number}/{column}" for column in range(len(result_columns(AA_MDS_AML))))
    return ResultLine(number, number, cells, {"diagnosis": "AA"})


def job(number: int, *, is_finished: bool = False) -> JobLine:
    cells = (str(number), "classify", "done" if is_finished else "running", "1 of 2", *["1"] * 4)
    return JobLine(number, cells, 0.5, not is_finished, is_finished, is_finished)


def test_a_lines_model_is_a_sound_model_while_it_changes(
    qtmodeltester: Any, caplog: pytest.LogCaptureFixture
) -> None:
    model: LinesModel[CaseLine] = LinesModel()
    model.set_columns(case_columns(AA_MDS_AML), frozenset({1, 2, 3}))
    qtmodeltester.check(model)
    model.set_lines([case(1), case(2)])
    model.insert_lines(0, [case(3), case(4)])
    model.append_lines([case(5)])
    qtmodeltester.check(model)
    assert [line.smear_id for line in model.lines()] == [3, 4, 1, 2, 5]
    model.set_lines([case(9)])
    assert model.rowCount() == 1
    model.set_lines([case(7), case(8), case(9)])
    qtmodeltester.check(model)
    # Qt's tester watches each change and only logs what it finds.
    assert "FAIL" not in caplog.text


def test_rows_are_inserted_in_one_batch(qtbot: Any) -> None:
    model: LinesModel[CaseLine] = LinesModel()
    model.set_columns(case_columns(AA_MDS_AML))
    told: list[tuple[int, int]] = []
    model.rowsInserted.connect(lambda _parent, first, last: told.append((first, last)))
    model.insert_lines(0, [case(number) for number in range(100)])
    model.insert_lines(0, [])
    assert told == [(0, 99)]


def test_the_same_rows_again_change_nothing(qtbot: Any) -> None:
    model: LinesModel[CaseLine] = LinesModel()
    model.set_columns(case_columns(AA_MDS_AML))
    model.set_lines([case(1)])
    with qtbot.assertNotEmitted(model.dataChanged):
        model.set_lines([case(1)])
    with qtbot.waitSignal(model.dataChanged):
        model.set_lines([case(1, "AA")])


def test_more_rows_are_asked_for_once_until_they_come(qtbot: Any) -> None:
    model: LinesModel[CaseLine] = LinesModel()
    model.set_columns(case_columns(AA_MDS_AML))
    assert not model.canFetchMore(QModelIndex())
    model.set_has_more(True)
    asked: list[int] = []
    model.wants_more.connect(lambda: asked.append(1))
    model.fetchMore(QModelIndex())
    model.fetchMore(QModelIndex())
    assert asked == [1]


def test_a_header_asks_the_database_to_sort(qtbot: Any) -> None:
    model: LinesModel[ResultLine] = LinesModel()
    model.set_columns([Column("p AML", "p:diagnosis:AML", is_number=True), Column("model")])
    told: list[tuple[str, bool]] = []
    model.sort_wanted.connect(lambda key, descending: told.append((key, descending)))
    model.sort(0, Qt.SortOrder.DescendingOrder)
    model.sort(1, Qt.SortOrder.DescendingOrder)  # has no index: is not offered
    assert told == [("p:diagnosis:AML", True)]


@pytest.fixture
def cases(qtbot: Any) -> CaseList:
    listed = CaseList()
    qtbot.addWidget(listed)
    listed.set_scheme(case_columns(AA_MDS_AML), AA_MDS_AML.asked)
    listed.set_lines([case(number) for number in range(1, 6)], 5)
    return listed


def test_an_edit_goes_to_all_selected_smears(cases: CaseList) -> None:
    told: list[tuple[list[int], int, str]] = []
    cases.edited.connect(lambda ids, column, text: told.append((ids, column, text)))
    for row in (1, 3):
        cases.table.selectionModel().select(
            cases.model.index(row, 0),
            cases.table.selectionModel().SelectionFlag.Select
            | cases.table.selectionModel().SelectionFlag.Rows,
        )
    assert cases.model.setData(cases.model.index(3, 1), "P7")
    assert cases.model.setData(cases.model.index(0, 2), "north")  # not among the selected
    assert told == [([2, 4], 1, "P7"), ([1], 2, "north")]
    assert not cases.model.setData(cases.model.index(0, 0), "S1")  # a name is no text
    assert not cases.model.setData(cases.model.index(0, 1), "P1")  # as it was


def test_an_answer_is_chosen_and_not_typed(cases: CaseList) -> None:
    delegate = cases.table.itemDelegateForColumn(3)
    editor = delegate.createEditor(cases, None, QModelIndex())
    assert isinstance(editor, QComboBox)
    assert [editor.itemText(k) for k in range(editor.count())] == [
        "",
        "AA",
        "MDS",
        "AML",
        "unsure",
    ]


def test_choosing_a_row_opens_it_and_marking_one_does_not(cases: CaseList) -> None:
    opened: list[int] = []
    cases.opened.connect(opened.append)
    cases.table.selectRow(2)
    assert opened == [3]
    cases.mark(5)  # shown from elsewhere: a label must meet it
    assert opened == [3]
    assert cases.selected_ids() == [5]
    cases.mark(99)  # not in the list: no smear may be labelled in its stead
    assert cases.selected_ids() == []


def test_a_search_begins_when_the_typing_pauses(cases: CaseList, qtbot: Any) -> None:
    told: list[tuple[str, bool | None]] = []
    cases.shown_changed.connect(lambda text, labelled: told.append((text, labelled)))
    qtbot.keyClicks(cases._search, "P12")
    assert told == []
    qtbot.waitUntil(lambda: told == [("P12", None)], timeout=3000)
    cases._filter.setCurrentIndex(1)
    assert told[-1] == ("P12", False)


def test_label_buttons_follow_the_scheme(qtbot: Any) -> None:
    bar = LabelBar()
    qtbot.addWidget(bar)
    bar.set_heads(CELLS.asked)
    assert ("lineage", "LYM") in bar.buttons
    bar.set_heads(AA_MDS_AML.asked)
    assert [answer for _head, answer in bar.buttons] == ["AA", "MDS", "AML", "unsure", ""]
    assert {head for head, _answer in bar.buttons} == {"diagnosis"}
    told: list[tuple[str, str]] = []
    bar.given.connect(lambda head, answer: told.append((head, answer)))
    bar.set_selected(0)
    bar.buttons["diagnosis", "MDS"].click()
    assert told == []
    bar.set_selected(2)
    bar.buttons["diagnosis", "MDS"].click()
    assert told == [("diagnosis", "MDS")]
    assert "2 smears" in bar.buttons["diagnosis", "MDS"].toolTip()


def test_an_empty_description_changes_nothing(qtbot: Any) -> None:
    bar = DescribeBar()
    qtbot.addWidget(bar)
    told: list[tuple[str, str]] = []
    bar.wanted.connect(lambda what, text: told.append((what, text)))
    bar.set_selected(3)
    assert bar.button.text() == "Set for 3"
    bar.fields["site"].setText(" north ")
    bar.button.click()
    assert told == [("site", "north")]
    bar.button.click()
    assert len(told) == 1


def test_the_evidence_bar_shows_and_tells_a_class(qtbot: Any) -> None:
    bar = EvidenceBar()
    qtbot.addWidget(bar)
    bar.set_scheme(AA_MDS_AML)
    bar.setValue(None)
    assert not bar.isEnabled()
    bar.setValue(Evidence("diagnosis", "AML"))
    assert bar.isEnabled()
    assert bar.value() == Evidence("diagnosis", "AML")
    with qtbot.waitSignal(bar.chosen) as chosen:
        bar.classes.activated.emit(1)
    assert chosen.args == [Evidence("mds", "MDS")]
    with qtbot.assertNotEmitted(bar.opacity_changed):
        bar.set_opacity(0.25)
    with qtbot.waitSignal(bar.opacity_changed) as changed:
        bar.opacity.setValue(40)
    assert changed.args == [0.4]


def test_the_region_bar_tells_role_and_tool(qtbot: Any) -> None:
    bar = RegionBar()
    qtbot.addWidget(bar)
    with qtbot.waitSignal(bar.wanted) as wanted:
        bar.tools["polygon"].click()
    assert wanted.args == ["use", "polygon"]
    bar.reset()
    assert bar.value() == ("use", "none")


def test_the_selected_job_stays_when_newer_ones_come(qtbot: Any) -> None:
    tab = QueueTab()
    qtbot.addWidget(tab)
    tab.set_jobs([job(1)])
    assert tab.cancel.isEnabled()
    tab.set_jobs([job(3), job(2), job(1, is_finished=True)])
    selected = tab.selected()
    assert selected is not None
    assert selected.job_id == 1
    assert not tab.cancel.isEnabled()
    with qtbot.waitSignal(tab.retry_wanted) as wanted:
        tab.retry.click()
    assert wanted.args == [1]
    tab.set_workers(WorkerWords("No worker is up", is_alarming=True))
    assert "e4572e" in tab.workers.styleSheet()


@pytest.fixture
def table(qtbot: Any) -> ResultsTab:
    tab = ResultsTab()
    qtbot.addWidget(tab)
    tab.set_scheme(AA_MDS_AML, result_columns(AA_MDS_AML))
    tab.set_lines([result(1), result(2)])
    return tab


def test_enter_and_double_click_open_a_row(table: ResultsTab, qtbot: Any) -> None:
    opened: list[int] = []
    table.opened.connect(lambda line: opened.append(line.smear_id))
    table.table.doubleClicked.emit(table.model.index(0, 0))
    table.show()
    qtbot.waitExposed(table)
    table.table.setFocus()
    table.table.selectRow(1)
    qtbot.keyClick(table.table, Qt.Key.Key_Return)
    assert opened == [1, 2]


def test_a_filter_by_answer_offers_a_probability(table: ResultsTab, qtbot: Any) -> None:
    told: list[tuple[Any, ...]] = []
    table.filter_changed.connect(lambda *values: told.append(values))
    assert not table.min_p.isEnabled()
    table.call.setCurrentIndex(5)
    assert told == [("", "diagnosis", "AML", None)]
    table.min_p.setValue(0.8)
    qtbot.waitUntil(lambda: told[-1] == ("", "diagnosis", "AML", 0.8), timeout=3000)


def test_another_study_begins_with_an_empty_filter_and_asks_nothing(
    table: ResultsTab, qtbot: Any
) -> None:
    table.call.setCurrentIndex(5)
    table.table.horizontalHeader().setSortIndicator(3, Qt.SortOrder.DescendingOrder)
    with (
        qtbot.assertNotEmitted(table.filter_changed),
        qtbot.assertNotEmitted(table.model.sort_wanted),
    ):
        table.set_scheme(CELLS, result_columns(CELLS))
    assert table.call.count() == 1 + 5
    assert table.model.rowCount() == 0
    assert isinstance(table.model, QAbstractItemModel)


def test_a_start_page_offers_the_home_and_a_scheme(qtbot: Any, tmp_path: Path) -> None:
    page = StartPage()
    qtbot.addWidget(page)
    assert not page.open_button.isEnabled()
    page.setValue(tmp_path, "There is no study.")
    assert page.value() == (tmp_path, None)
    page.set_scheme_file(tmp_path / "cells.toml")
    with qtbot.waitSignal(page.create_wanted) as wanted:
        page.create_button.click()
    assert wanted.args == [tmp_path, tmp_path / "cells.toml"]


@pytest.fixture
def background(qtbot: Any) -> Any:
    told: list[str] = []
    made = QtBackground(told.append)
    made.told = told
    yield made
    made.close()


def test_answers_come_on_the_main_thread_from_another(background: Any, qtbot: Any) -> None:
    threads: list[threading.Thread] = []
    background.tell(
        threading.current_thread,
        lambda thread: threads.extend((thread, threading.current_thread())),
    )
    qtbot.waitUntil(lambda: len(threads) == 2)
    assert threads[0] is not threading.main_thread()
    assert threads[1] is threading.main_thread()


def test_of_several_questions_on_a_topic_only_the_last_is_answered(
    background: Any, qtbot: Any
) -> None:
    gate, asked, answered = threading.Event(), [], []

    def question(number: int) -> int:
        asked.append(number)
        assert gate.wait(10)
        return number

    for number in range(3):
        background.ask("smears", lambda number=number: question(number), answered.append)
    background.tell(lambda: question(7), answered.append)
    gate.set()
    qtbot.waitUntil(lambda: 7 in answered)
    assert answered == [2, 7]
    assert 1 not in asked  # replaced before it began


def test_a_long_file_keeps_no_catalogue_waiting(background: Any, qtbot: Any) -> None:
    gate, answered = threading.Event(), []
    background.tell(lambda: gate.wait(10), answered.append, lane="files")
    background.tell(lambda: "page", answered.append)
    qtbot.waitUntil(lambda: answered == ["page"])
    gate.set()
    qtbot.waitUntil(lambda: answered == ["page", True])


def test_what_goes_wrong_is_one_sentence(background: Any, qtbot: Any) -> None:
    failed: list[int] = []

    def refuse() -> None:
        raise NotFound("There is no smear S000009 in this study")

    def break_down() -> None:
        raise ZeroDivisionError("division by zero")

    background.ask("a", refuse, failed.append, failed=lambda: failed.append(1))
    background.tell(break_down, failed.append)
    qtbot.waitUntil(lambda: len(background.told) == 2)
    assert background.told == [
        "There is no smear S000009 in this study",
        "This did not work: ZeroDivisionError: division by zero",
    ]
    assert failed == [1]


def test_nothing_is_delivered_after_the_end(background: Any, qtbot: Any) -> None:
    gate, answered = threading.Event(), []
    background.tell(lambda: gate.wait(10), answered.append)
    background.close()
    gate.set()
    background.tell(lambda: 1, answered.append)
    qtbot.wait(50)
    assert answered == []


def test_the_ticker_ticks_until_it_is_stopped(qtbot: Any) -> None:
    ticks: list[int] = []
    ticker = Ticker([lambda: ticks.append(1), lambda: ticks.append(2)])
    ticker.start()
    qtbot.waitUntil(lambda: len(ticks) >= 4, timeout=3000)
    ticker.stop()
    assert ticks[:4] == [1, 2, 1, 2]
