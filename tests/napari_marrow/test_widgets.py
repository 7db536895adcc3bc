"""The widgets without napari: both ways through their values and signals."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("qtpy")

from qtpy.QtCore import QEvent, Qt
from qtpy.QtGui import QKeyEvent
from qtpy.QtWidgets import (
    QApplication,
    QComboBox,
    QDialog,
    QLabel,
    QLineEdit,
    QMessageBox,
    QPushButton,
    QStyle,
    QStyleOptionComboBox,
    QVBoxLayout,
    QWidget,
)

from marrow.errors import NotFound
from marrow.schemes import AA_MDS_AML, Scheme
from napari_marrow._qt.background import QtBackground
from napari_marrow._qt.cases.describe_bar import DescribeBar
from napari_marrow._qt.cases.label_bar import LabelBar
from napari_marrow._qt.cases.region_bar import RegionBar
from napari_marrow._qt.cases.section import Section
from napari_marrow._qt.cases.status_bar import StatusBar
from napari_marrow._qt.evidence_bar import EvidenceBar
from napari_marrow._qt.keys import LabelKeys
from napari_marrow._qt.study.start_page import StartPage
from napari_marrow._qt.study.study_bar import StudyBar
from napari_marrow._qt.ticker import Ticker
from napari_marrow.region_kinds import region_kinds
from napari_marrow.session import Evidence

pytestmark = pytest.mark.viewer

CELLS = Scheme.from_toml(Path(__file__).parents[2] / "examples" / "cells.toml")


def test_the_status_says_what_waits_and_what_is_missing(qtbot: Any) -> None:
    bar = StatusBar()
    qtbot.addWidget(bar)
    bar.set_counts(148, 400, 12, "B 40")
    assert bar.progress.text() == "148/400"
    assert "others: B 40" in bar.words.text()
    with qtbot.waitSignal(bar.patients_wanted):
        bar.words.linkActivated.emit("patients")
    assert bar.saved.text() == "saved ok"
    assert bar.trouble.isHidden()
    bar.set_saved(3, "database is locked")
    assert bar.saved.text() == "3 unsent"
    assert "3 labels or regions not sent yet (database is locked)" in bar.trouble.text()
    assert not bar.trouble.isHidden()
    assert "e4572e" in bar.saved.styleSheet()
    bar.set_counts(0, 0, 0, "")
    assert bar.words.text().startswith("No smear yet")


def test_another_reader_in_the_middle_of_a_run_is_asked_for(
    qtbot: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bar = StudyBar()
    qtbot.addWidget(bar)
    bar.set_study(tmp_path, AA_MDS_AML, "A")
    told: list[str] = []
    bar.reader_changed.connect(told.append)

    def rename(name: str) -> None:
        bar._reader.setText(name)
        bar._reader.editingFinished.emit()

    rename(" B ")
    assert told == ["B"]
    bar.set_labelling(True)
    asked: list[str] = []
    answers = [QMessageBox.StandardButton.No, QMessageBox.StandardButton.Yes]

    def question(_parent: Any, _title: str, words: str) -> QMessageBox.StandardButton:
        asked.append(words)
        return answers[len(asked) - 1]

    monkeypatch.setattr(QMessageBox, "question", question)
    rename("C")
    assert bar.reader() == "B"
    assert told == ["B"]
    rename("C")
    assert told == ["B", "C"]
    assert "“C”, no longer “B”" in asked[0]
    rename("")
    assert bar.reader() == "C"


def test_a_folded_part_stays_as_it_was_left(qtbot: Any) -> None:
    for is_open in (False, True, True):
        part = Section("A part for this test", QLabel("inside"))
        qtbot.addWidget(part)
        assert part.isExpanded() == is_open
        if not is_open:
            part.toggleButton().click()


def test_the_keys_of_label_mode_are_taken_from_all_widgets_but_not_from_typing(
    qtbot: Any,
) -> None:
    pressed: list[str] = []
    window = QWidget()
    qtbot.addWidget(window)
    column = QVBoxLayout(window)
    plain, text, box = QPushButton("push"), QLineEdit(), QComboBox()
    for widget in (plain, text, box):
        column.addWidget(widget)
    box.addItems(["1 one", "2 two"])
    keys = LabelKeys(pressed.append, window)
    keys.watch(window)
    keys.watch(window)  # twice takes no key twice
    window.show()
    window.activateWindow()
    focus(plain, qtbot)
    qtbot.keyClicks(plain, "1")
    assert pressed == []  # label mode is off
    keys.set_on(True)
    qtbot.keyClicks(plain, "190urphgf[]")
    for key in (Qt.Key.Key_Left, Qt.Key.Key_Right, Qt.Key.Key_Escape):
        qtbot.keyClick(plain, key)
    control = Qt.KeyboardModifier.ControlModifier
    qtbot.keyClick(plain, Qt.Key.Key_Z, control)
    qtbot.keyClick(plain, Qt.Key.Key_G, control)  # napari's grid
    said = "1 9 0 next rectangle polygon heatmap sheet flag class-back class-on left right leave"
    assert pressed == [*said.split(), "undo"]
    pressed.clear()
    child = QPushButton("later", plain)
    child.show()
    qtbot.keyClicks(child, "4")
    assert pressed == ["4"]
    for widget in (text, box):
        focus(widget, qtbot)
        qtbot.keyClicks(widget, "2")
    assert pressed == ["4"]
    assert (text.text(), box.currentText()) == ("2", "2 two")
    focus(plain, qtbot)
    keys.leave(window)
    qtbot.keyClicks(plain, "3")
    assert pressed == ["4"]


def focus(widget: QWidget, qtbot: Any) -> None:
    """Let the keys go to this widget, as a click on it does."""
    widget.setFocus()
    qtbot.waitUntil(lambda: QApplication.focusWidget() is widget)


def test_no_key_labels_behind_a_dialog(qtbot: Any) -> None:
    pressed: list[str] = []
    window = QWidget()
    qtbot.addWidget(window)
    plain = QPushButton("push", window)
    earlier = QDialog(window)
    keys = LabelKeys(pressed.append, window)
    keys.watch(window)
    keys.set_on(True)
    later = QDialog(window)
    with qtbot.waitExposed(window):
        window.show()
    for dialog in (earlier, later):
        inside = QPushButton("in it", dialog)
        with qtbot.waitExposed(dialog):
            dialog.show()
        qtbot.keyClicks(dialog, "1")
        qtbot.keyClicks(inside, "2")
        dialog.hide()
    assert pressed == []
    later.setModal(True)
    later.show()
    qtbot.waitUntil(lambda: QApplication.activeModalWidget() is later)
    qtbot.keyClicks(plain, "3")
    assert pressed == []
    later.hide()
    qtbot.keyClicks(plain, "4")
    assert pressed == ["4"]


def test_a_resting_finger_labels_one_smear_and_shortcuts_wait(qtbot: Any) -> None:
    pressed: list[str] = []
    widget = QPushButton("push")
    qtbot.addWidget(widget)
    keys = LabelKeys(pressed.append, widget)
    keys.watch(widget)
    keys.set_on(True)
    none = Qt.KeyboardModifier.NoModifier
    for key, sign in ((Qt.Key.Key_1, "1"), (Qt.Key.Key_Right, "")):
        for is_repeat in (False, True, True):
            event = QKeyEvent(QEvent.Type.KeyPress, key, none, sign, is_repeat)
            QApplication.sendEvent(widget, event)
    assert pressed == ["1", "right", "right", "right"]
    override = QKeyEvent(QEvent.Type.ShortcutOverride, Qt.Key.Key_1, none, "1")
    override.ignore()
    QApplication.sendEvent(widget, override)
    assert override.isAccepted()
    assert pressed == ["1", "right", "right", "right"]


def test_label_buttons_follow_the_scheme(qtbot: Any) -> None:
    bar = LabelBar()
    qtbot.addWidget(bar)
    bar.set_heads(CELLS.asked)
    assert ("lineage", "LYM") in bar.buttons
    bar.set_heads(AA_MDS_AML.asked)
    assert [answer for _head, answer in bar.buttons] == ["AA", "MDS", "AML", "unsure", ""]
    titles = [button.text() for button in bar.buttons.values()]
    assert titles == ["1 AA", "2 MDS", "3 AML", "0 unsure", "clear"]
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


def test_each_class_of_evidence_can_be_told_in_a_narrow_dock(qtbot: Any) -> None:
    bar = EvidenceBar()
    qtbot.addWidget(bar)
    bar.set_scheme(CELLS)
    bar.resize(308, bar.sizeHint().height())
    with qtbot.waitExposed(bar):
        bar.show()
    option = QStyleOptionComboBox()
    option.initFrom(bar.classes)
    option.rect = bar.classes.rect()
    part = QStyle.SubControl.SC_ComboBoxEditField
    kind = QStyle.ComplexControl.CC_ComboBox
    room = bar.classes.style().subControlRect(kind, option, part, bar.classes).width()
    metrics = bar.classes.fontMetrics()
    for row, one in enumerate(bar._choices):
        assert bar.classes.itemText(row) == f"{one.class_name} · {one.head}"
        assert metrics.horizontalAdvance(one.class_name) < room
        assert bar.classes.view().minimumWidth() > metrics.horizontalAdvance(
            bar.classes.itemText(row)
        )
        bar.setValue(one)
        assert bar.classes.toolTip() == f"Evidence for {one.head}: {one.class_name}"


def test_the_region_bar_tells_role_and_tool(qtbot: Any) -> None:
    bar = RegionBar()
    qtbot.addWidget(bar)
    with qtbot.waitSignal(bar.wanted) as wanted:
        bar.tools["polygon"].click()
    assert wanted.args == ["use", "polygon", ""]
    bar.reset()
    assert bar.value() == ("use", "none", "")
    bar.set_kinds(region_kinds(AA_MDS_AML))
    assert [bar.role.itemText(row) for row in range(bar.role.count())] == [
        "use",
        "exclude",
        *AA_MDS_AML.head("diagnosis").classes,
    ]
    with qtbot.waitSignal(bar.kind_chosen) as chosen:
        bar.role.setCurrentText("MDS")
        bar.role.activated.emit(bar.role.currentIndex())
    assert chosen.args == ["class", "MDS"]
    with qtbot.waitSignal(bar.wanted) as wanted:
        bar.take("brush")
    assert wanted.args == ["class", "brush", "MDS"]
    for radius, told in ((12.5, 12.5), (0.0, None)):
        with qtbot.waitSignal(bar.brush_changed) as changed:
            bar.brush.setValue(radius)
        assert changed.args == [told]


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
    page.set_busy(True)
    page.setValue(tmp_path / "other", "")
    buttons = (page.open_button, page.create_button, page.sample_button)
    assert not any(one.isEnabled() for one in buttons)
    page.set_busy(False)
    assert all(one.isEnabled() for one in buttons)


def test_a_double_click_is_one_wish(qtbot: Any, tmp_path: Path) -> None:
    page = StartPage()
    qtbot.addWidget(page)
    page.setValue(tmp_path, "")
    told: list[Any] = []
    page.create_wanted.connect(lambda *wanted: told.append(wanted))
    page.sample_wanted.connect(told.append)
    for button in (page.create_button, page.sample_button):
        told.clear()
        qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
        qtbot.mouseDClick(button, Qt.MouseButton.LeftButton)  # Qt sends it as the second press
        qtbot.mouseRelease(button, Qt.MouseButton.LeftButton)
        assert len(told) == 1


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
