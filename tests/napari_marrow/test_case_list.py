"""The list of smears and the model behind it: what stays selected, and what is opened."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("qtpy")

from qtpy.QtCore import QItemSelectionModel, QModelIndex, Qt
from qtpy.QtGui import QTextDocument
from qtpy.QtWidgets import QComboBox, QLineEdit

from marrow.catalogue.smears import SmearRow
from marrow.records import Smear
from marrow.schemes import AA_MDS_AML
from napari_marrow._qt.cases.case_list import CaseList
from napari_marrow._qt.lines_model import LinesModel
from napari_marrow.lines.cases import CaseLine, case_choices, case_columns, case_line
from napari_marrow.lines.column import Column
from napari_marrow.lines.results import ResultLine

pytestmark = pytest.mark.viewer


def case(number: int, label: str = "") -> CaseLine:
    return CaseLine(number, (f"S{number:06d}", label, "MDS .71", "", f"P{number}", ""))


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
    keyed: LinesModel[CaseLine] = LinesModel(key=lambda line: line.smear_id)
    keyed.set_columns(case_columns(AA_MDS_AML), frozenset({1}))
    qtmodeltester.check(keyed)
    for ids in ([1, 2, 3, 4], [2, 4, 5], [5, 1, 4], [], [7, 8]):
        keyed.set_lines([case(number) for number in ids])
        qtmodeltester.check(keyed)
        assert [line.smear_id for line in keyed.lines()] == ids
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


def select(cases: CaseList, row: int) -> None:
    """Select a row and those that are selected already, as a click with Ctrl does."""
    flags = QItemSelectionModel.SelectionFlag
    chosen = cases.table.selectionModel()
    chosen.setCurrentIndex(cases.model.index(row, 0), flags.Select | flags.Rows)


def test_an_edit_goes_to_all_selected_smears(cases: CaseList) -> None:
    told: list[tuple[list[int], int, str]] = []
    cases.edited.connect(lambda ids, column, text: told.append((ids, column, text)))
    for row in (1, 3):
        select(cases, row)
    assert cases.model.setData(cases.model.index(3, 4), "P7")
    assert cases.model.setData(cases.model.index(0, 5), "north")  # not among the selected
    assert told == [([2, 4], 4, "P7"), ([1], 5, "north")]
    for column in (0, 2, 3):  # the name, what the model says, and the flag are no text
        assert not cases.model.setData(cases.model.index(0, column), "S1")
    assert not cases.model.setData(cases.model.index(0, 4), "P1")  # as it was


def test_an_answer_is_chosen_and_not_typed(cases: CaseList) -> None:
    delegate = cases.table.itemDelegateForColumn(1)
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
    assert not cases.table.currentIndex().isValid()


def listed(*ids: int) -> list[CaseLine]:
    return [case(number) for number in ids]


def test_what_is_selected_stays_so_by_smear_and_not_by_row(cases: CaseList) -> None:
    told: list[int] = []
    cases.selection_changed.connect(told.append)
    for row in (1, 2, 3):
        select(cases, row)
    cases.set_lines(listed(1, 3, 4, 5, 6), 5)
    assert cases.selected_ids() == [3, 4]
    assert told[-1] == 2
    cases.set_lines(listed(5, 6), 2)
    assert cases.selected_ids() == []
    assert told[-1] == 0
    cases.set_lines(listed(1, 2, 3, 4, 5), 5)
    assert cases.selected_ids() == []


def test_no_smear_is_opened_by_a_list_that_is_read_anew(cases: CaseList) -> None:
    cases.table.selectRow(3)
    opened: list[int] = []
    cases.opened.connect(opened.append)
    cases.set_lines(listed(1, 4, 5), 3)
    assert cases.table.currentIndex().row() == 1
    cases.set_lines(listed(5, 9), 2)
    assert not cases.table.currentIndex().isValid()
    cases.set_lines([], 0)
    assert opened == []


def test_the_shown_smear_that_comes_back_into_the_list_is_selected(cases: CaseList) -> None:
    cases.mark(3)
    cases.set_lines(listed(1, 2, 4), 3)
    assert cases.selected_ids() == []
    cases.set_lines(listed(1, 2, 3, 4), 4)
    assert cases.selected_ids() == [3]
    cases.table.clearSelection()  # by a person
    cases.set_lines(listed(1, 2, 3), 3)
    assert cases.selected_ids() == []
    cases.mark(8)
    cases.append_lines(listed(7, 8), 5)
    assert cases.selected_ids() == [8]


def test_a_click_opens_a_smear_whether_its_row_was_the_current_one_or_not(
    cases: CaseList, qtbot: Any
) -> None:
    cases.table.selectRow(1)
    opened: list[int] = []
    cases.opened.connect(opened.append)
    centre = cases.table.visualRect(cases.model.index(1, 0)).center()
    qtbot.mouseClick(cases.table.viewport(), Qt.MouseButton.LeftButton, pos=centre)
    assert opened == [2]


def test_an_answer_that_is_being_typed_is_about_the_same_smear_after_the_list_was_read_anew(
    cases: CaseList, qtbot: Any
) -> None:
    told: list[tuple[list[int], int, str]] = []
    cases.edited.connect(lambda ids, column, text: told.append((ids, column, text)))
    cases.resize(700, 400)
    with qtbot.waitExposed(cases):
        cases.show()
    cases.table.edit(cases.model.index(3, 4))
    editor = cases.table.findChild(QLineEdit)
    assert editor is not None
    editor.setText("P77")
    cases.set_lines(listed(2, 4, 5), 3)
    qtbot.keyClick(editor, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: told == [([4], 4, "P77")])  # Qt commits it a moment later


def test_a_search_begins_when_the_typing_pauses(cases: CaseList, qtbot: Any) -> None:
    told: list[str] = []
    cases.searched.connect(told.append)
    qtbot.keyClicks(cases._search, "P12")
    assert told == []
    qtbot.waitUntil(lambda: told == ["P12"], timeout=3000)


def test_a_filter_is_chosen_by_its_line_and_offering_others_chooses_none(
    cases: CaseList, qtbot: Any
) -> None:
    chosen: list[int] = []
    cases.chosen.connect(chosen.append)
    choices = case_choices(AA_MDS_AML, "A")
    cases.set_choices(choices, 1)
    assert cases.filter.currentText() == "unlabelled by me"
    assert chosen == []
    cases.filter.setCurrentText("flagged")
    assert chosen == [3]


def test_a_narrow_dock_leaves_out_patient_and_site(cases: CaseList, qtbot: Any) -> None:
    def shown() -> list[bool]:
        return [not cases.table.isColumnHidden(column) for column in range(6)]

    cases.resize(260, 400)
    with qtbot.waitExposed(cases):
        cases.show()
    assert shown() == [True] * 4 + [False] * 2
    assert not cases.table.horizontalScrollBar().isVisible()
    assert cases.is_model_shown()
    cases.resize(700, 400)
    qtbot.waitUntil(lambda: shown() == [True] * 6)
    cases.show_model(False)
    assert not cases.is_model_shown()
    cases.resize(701, 400)
    qtbot.waitUntil(lambda: shown() == [True, True, False, True, True, True])
    cases.show_model(True)
    assert cases.is_model_shown()


def test_long_paths_and_names_in_chinese_fit_and_are_no_html(cases: CaseList, qtbot: Any) -> None:
    path = "病例/" + "很长的文件夹/" * 330 + "<b>玻片</b>.png"
    assert len(path) > 2000
    smear = Smear(
        id=7,
        identity="a" * 64,
        root="local",
        path=path,
        height_px=10,
        width_px=10,
        is_slide=False,
        patient="王小明" * 40,
        regions_revision=0,
    )
    cases.set_lines([case_line(AA_MDS_AML, SmearRow(smear, {"diagnosis": "AML"}))], 1)
    cases.resize(700, 400)
    with qtbot.waitExposed(cases):
        cases.show()
    hint = cases.model.data(cases.model.index(0, 0), int(Qt.ItemDataRole.ToolTipRole))
    box = QTextDocument()
    box.setHtml(hint)
    assert box.toPlainText().startswith("local: 病例/很长的文件夹")
    assert box.toPlainText().endswith("<b>玻片</b>.png")
    assert max(len(line) for line in box.toPlainText().splitlines()) <= 90
    assert cases.grab().width() == 700
