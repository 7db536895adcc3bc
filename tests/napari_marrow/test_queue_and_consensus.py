"""The widgets of the Queue and the Consensus tab, both ways through their values and signals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("qtpy")

from qtpy.QtCore import Qt, QTime
from qtpy.QtWidgets import QMessageBox

from marrow.catalogue.smears import SmearFilter
from marrow.schemes import AA_MDS_AML, Scheme
from napari_marrow._qt.queue.submit_bar import SubmitBar
from napari_marrow._qt.queue.tab import QueueTab
from napari_marrow._qt.reading.readers_box import ReadersBox
from napari_marrow._qt.reading.tab import ReadingTab
from napari_marrow.desks.queue import Chosen, ModelChoice, Offer, Wish
from napari_marrow.desks.reading import History, ReadingState
from napari_marrow.lines.column import Column
from napari_marrow.lines.jobs import JobLine
from napari_marrow.lines.reading import (
    DisagreementLine,
    HeadReading,
    PairReading,
    ReaderLine,
    TextLine,
)
from napari_marrow.lines.workers import WorkerWords

pytestmark = pytest.mark.viewer

CELLS = Scheme.from_toml(Path(__file__).parents[2] / "examples" / "cells.toml")
OFFER = Offer((ModelChoice(3, "m3 champion"), ModelChoice(5, "m5")), ("21:30", None))


@pytest.fixture
def bar(qtbot: Any) -> SubmitBar:
    made = SubmitBar()
    qtbot.addWidget(made)
    return made


def test_a_wish_comes_back_as_it_was_set(bar: SubmitBar) -> None:
    assert bar.value() == Wish()  # now, the champion
    bar.set_offer(OFFER)
    for wish in (Wish(None, "22:00", "06:00"), Wish(5, "23:15", None), Wish(5), Wish()):
        bar.setValue(wish)
        assert bar.value() == wish
    bar.setValue(Wish(99))
    assert bar.value() == Wish()  # a model that is gone


def test_each_change_is_told_and_a_time_means_the_night(bar: SubmitBar) -> None:
    told: list[Wish] = []
    bar.changed.connect(told.append)
    bar.begin.setTime(QTime(23, 0))
    assert told[-1] == Wish(None, "23:00", "06:00")
    bar.has_end.setChecked(False)
    assert told[-1] == Wish(None, "23:00", None)
    assert not bar.end.isEnabled()
    bar.now.setChecked(True)
    assert told[-1] == Wish()


def test_the_last_night_is_remembered_once_and_never_over_a_persons_own(bar: SubmitBar) -> None:
    bar.begin_anew("20:00", "05:00")
    assert bar.begin.time() == QTime(20, 0)
    bar.set_offer(OFFER)
    assert (bar.begin.time(), bar.has_end.isChecked()) == (QTime(21, 30), False)
    assert bar.now.isChecked()
    bar.begin.setTime(QTime(23, 0))
    bar.set_offer(Offer(OFFER.models, ("20:00", "07:00")))  # each second
    assert bar.value() == Wish(None, "23:00", None)


def test_a_chosen_model_stays_when_another_becomes_champion(bar: SubmitBar) -> None:
    bar.set_offer(OFFER)
    bar.setValue(Wish(5))
    bar.set_offer(Offer((ModelChoice(7, "m7 champion"), *OFFER.models)))
    assert bar.value() == Wish(5)


def test_the_button_counts_and_queues_by_click_and_by_enter(bar: SubmitBar, qtbot: Any) -> None:
    assert not bar.button.isEnabled()
    bar.set_chosen(Chosen(312, tuple(range(312))))
    assert bar.button.text() == "Queue 312 selected"
    bar.set_chosen(Chosen(1400, listed=SmearFilter()))
    assert bar.button.text() == "Queue all 1,400"
    with qtbot.waitSignal(bar.submitted):
        bar.button.click()
    bar.show()
    bar.button.setFocus()
    with qtbot.waitSignal(bar.submitted):
        qtbot.keyClick(bar.button, Qt.Key.Key_Return)


def test_the_button_rests_while_smears_are_being_queued(bar: SubmitBar) -> None:
    bar.set_chosen(Chosen(3, (1, 2, 3)))
    bar.set_submitting(True)
    bar.set_chosen(Chosen(4, (1, 2, 3, 4)))
    assert not bar.button.isEnabled()
    bar.set_submitting(False)
    assert bar.button.isEnabled()


def answer(question: QMessageBox, text: str) -> None:
    """Press the button that says this; their order is the platform's."""
    next(button for button in question.buttons() if button.text() == text).click()


def job(number: int, *, is_finished: bool = False, is_training: bool = False) -> JobLine:
    cells = (f"{number}", "2 with m1", "runs", "1 of 2", "–", "1", "12:00")
    return JobLine(
        number,
        cells,
        0.5,
        can_cancel=not is_finished,
        can_retry=is_finished,
        is_finished=is_finished,
        is_training=is_training,
        question=f"Cancel job {number}?",
    )


@pytest.fixture
def queue(qtbot: Any) -> QueueTab:
    tab = QueueTab()
    qtbot.addWidget(tab)
    return tab


def test_the_selected_job_stays_when_newer_ones_come(queue: QueueTab, qtbot: Any) -> None:
    queue.set_jobs([job(1)])
    assert queue.cancel.isEnabled()
    queue.set_jobs([job(3), job(2), job(1, is_finished=True)])
    selected = queue.selected()
    assert selected is not None
    assert selected.job_id == 1
    assert not queue.cancel.isEnabled()
    with qtbot.waitSignal(queue.retry_wanted) as wanted:
        queue.retry.click()
    assert wanted.args == [1]
    queue.select_job(4)  # just submitted
    queue.set_jobs([job(4), job(3), job(2), job(1, is_finished=True)])
    selected = queue.selected()
    assert selected is not None
    assert selected.job_id == 4


def test_a_job_is_cancelled_only_after_a_question(queue: QueueTab, qtbot: Any) -> None:
    told: list[int] = []
    queue.cancel_wanted.connect(told.append)
    queue.show()
    queue.set_jobs([job(2), job(1)])
    queue.cancel.click()
    assert queue.question is not None
    assert queue.question.text() == "Cancel job 2?"
    queue.set_jobs([job(3), job(2), job(1)])  # meanwhile
    assert queue.question.defaultButton().text() == "Let it run"
    answer(queue.question, "Let it run")
    assert told == []
    qtbot.waitUntil(lambda: queue.question is None)
    queue.cancel.click()
    answer(queue.question, "Cancel job 2")
    assert told == [2]
    qtbot.waitUntil(lambda: queue.question is None)
    queue.cancel.click()
    queue.begin_anew("22:00", "06:00")  # another study has a job 2, too
    qtbot.waitUntil(lambda: queue.question is None)
    assert told == [2]


def test_why_follows_the_selected_job_while_it_is_open(queue: QueueTab) -> None:
    told: list[int | None] = []
    queue.why_wanted.connect(told.append)
    queue.set_jobs([job(2), job(1)])
    queue.why.click()
    queue.set_why(2, "waits until 22:00")
    assert queue.why_pane.toPlainText() == "waits until 22:00"
    queue.table.selectRow(1)
    assert queue.why_pane.toPlainText() == ""
    queue.why.click()
    assert told == [2, 1, None]
    assert queue.why_pane.isHidden()


def test_enter_shows_results_or_the_training(queue: QueueTab, qtbot: Any) -> None:
    queue.set_jobs([job(2, is_training=True), job(1)])
    queue.show()
    queue.table.setFocus()
    with qtbot.waitSignal(queue.training_wanted) as wanted:
        qtbot.keyClick(queue.table, Qt.Key.Key_Return)
    assert wanted.args == [2]
    assert queue.results.text() == "Training"
    queue.table.selectRow(1)
    with qtbot.waitSignal(queue.results_wanted) as wanted:
        queue.results.click()
    assert wanted.args == [1]


def test_silent_workers_are_red_and_what_happened_is_read_below(queue: QueueTab) -> None:
    queue.set_workers(WorkerWords("workers: none is up", True, ("No agent runs.", "12:00 Died.")))
    assert "e4572e" in queue.workers.styleSheet()
    assert queue.news.text() == "No agent runs.\n12:00 Died."
    queue.set_workers(WorkerWords("workers: 1 up", False))
    assert queue.workers.styleSheet() == ""
    assert queue.news.isHidden()


def reader(name: str, *, is_blind: bool = False, read: int = 0) -> ReaderLine:
    return ReaderLine(name, is_blind, name == "A", read, 10 - read)


@pytest.fixture
def readers(qtbot: Any) -> ReadersBox:
    box = ReadersBox()
    qtbot.addWidget(box)
    return box


def test_two_readers_or_more_begin_and_the_study_is_opened_after_a_question(
    readers: ReadersBox, qtbot: Any
) -> None:
    told: list[tuple[str, ...]] = []
    readers.blind_wanted.connect(told.append)
    readers.show()
    readers.setValue([reader("A")], "Nobody reads blind")
    assert not readers.begin.isEnabled()
    assert not readers.end.isEnabled()
    for name in ("B", "B", " "):
        readers.name.setText(name)
        readers.add.click()
    assert readers.list.topLevelItemCount() == 2
    assert not readers.begin.isEnabled()
    row = readers.list.topLevelItem(0)
    assert row is not None
    row.setCheckState(0, Qt.CheckState.Checked)
    readers.setValue([reader("A", read=1)], "")  # a count has changed meanwhile
    assert readers.value() == ("A", "B")
    readers.begin.click()
    assert told == [("A", "B")]
    readers.setValue([reader("A", is_blind=True), reader("B", is_blind=True)], "")
    assert readers.value() == ("A", "B")
    readers.end.click()
    assert readers.question is not None
    answer(readers.question, "Open it")
    assert told[-1] == ()
    qtbot.waitUntil(lambda: readers.question is None)


def head(name: str, *rows: DisagreementLine) -> HeadReading:
    columns = tuple(map(Column, ("smear", "patient", "A", "B", "adjudicated")))
    pair = PairReading("A and B", "kappa 0.7", (Column(""), Column("x")), (TextLine(("x", "1")),))
    return HeadReading(name, f"figures of {name}", (pair,), columns, rows)


def row(smear_id: int, head_name: str = "diagnosis") -> DisagreementLine:
    cells = (f"S{smear_id:06d}", "P1", "AA", "AML", "–")
    return DisagreementLine(smear_id, head_name, cells)


@pytest.fixture
def consensus(qtbot: Any) -> ReadingTab:
    tab = ReadingTab()
    qtbot.addWidget(tab)
    tab.set_heads(AA_MDS_AML.asked)
    tab.show()
    return tab


def state(*heads: HeadReading, reason: str = "") -> ReadingState:
    return ReadingState((reader("A"), reader("B")), "hidden words", heads, reason, stamp=1)


def test_digits_decide_on_the_selected_row_and_go_on(consensus: ReadingTab, qtbot: Any) -> None:
    told: list[tuple[str, Any]] = []
    consensus.pressed.connect(lambda key, line: told.append((key, line)))
    chosen: list[int | None] = []
    consensus.chosen.connect(chosen.append)
    consensus.set_state(state(head("diagnosis", row(1), row(2))))
    assert "1 AA  2 MDS  3 AML  0 unsure decides" in consensus.hint.text()
    consensus.table.selectRow(0)
    consensus.table.setFocus()
    qtbot.keyClick(consensus.table, Qt.Key.Key_2)
    assert told == [("2", row(1))]
    consensus.advance(row(1))
    assert consensus.selected() == row(2)
    consensus.advance(row(1))  # a person has moved on meanwhile
    assert consensus.selected() == row(2)
    consensus.set_state(state(head("diagnosis", row(1), row(2), row(3))))
    assert consensus.selected() == row(2)
    with qtbot.waitSignal(consensus.opened) as opened:
        qtbot.keyClick(consensus.table, Qt.Key.Key_Return)
    assert opened.args == [row(2)]
    consensus.set_state(state(head("diagnosis")))
    assert consensus.selected() is None
    assert chosen == [1, 2, None]


def test_each_head_has_its_own_figures(consensus: ReadingTab) -> None:
    assert not consensus.head.isVisible()  # one head is asked
    consensus.set_heads(CELLS.asked)
    names = [one.name for one in CELLS.asked]
    assert len(names) > 1
    assert consensus.head.isVisible()
    consensus.set_state(state(*(head(name, row(1, name)) for name in names)))
    assert consensus.figures.text() == f"figures of {names[0]}"
    consensus.head.setCurrentIndex(1)
    assert consensus.figures.text() == f"figures of {names[1]}"
    assert consensus.model.line(0).head == names[1]
    assert consensus.pair_words.text() == "kappa 0.7"
    assert consensus.counts.rowCount() == 1


def test_another_study_or_person_begins_with_nothing(consensus: ReadingTab) -> None:
    consensus.set_state(state(head("diagnosis", row(1))))
    consensus.set_history(History(1, (TextLine(("12:00", "A", "x", "", "", "")),), True))
    assert "others' labels are hidden" in consensus.history_words.text()
    consensus.set_heads(AA_MDS_AML.asked)
    consensus.set_history(None)
    for model in (consensus.model, consensus.counts, consensus.history):
        assert model.rowCount() == 0
    assert consensus.figures.text() == ""
    assert consensus.readers.list.topLevelItemCount() == 0
    consensus.set_state(state(reason="agreement needs two readers"))
    assert consensus.figures.text() == "agreement needs two readers"
