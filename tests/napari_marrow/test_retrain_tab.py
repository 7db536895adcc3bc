"""The widgets of the Retrain tab, and the tab on a sweep that really trains."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import numpy as np
import pytest

pytest.importorskip("qtpy")

from qtpy.QtCore import QItemSelectionModel, Qt

from marrow.client import Client
from marrow.study import Study
from napari_marrow._qt.background import QtBackground
from napari_marrow._qt.retrain.board import Board
from napari_marrow._qt.retrain.curves import CurvesPane
from napari_marrow._qt.retrain.exclusions import ExclusionsDialog
from napari_marrow._qt.retrain.form import SweepForm
from napari_marrow._qt.retrain.panel import RetrainPanel
from napari_marrow._qt.retrain.tab import RetrainTab
from napari_marrow.desk import Desk
from napari_marrow.lines.board import BoardLines, CellLine, CurveLine, CurveLines
from napari_marrow.lines.retrain import Choices, ExclusionLine, Prospect, SweepLine
from napari_marrow.session import Session
from napari_marrow.sweep_wish import SweepWish

pytestmark = pytest.mark.viewer

CHOICES = Choices("5:5, 2:8, 1:9", ("mds", "diagnosis"), ("north",), {"clinic": "locked"})
WISH = SweepWish(
    loss_weights="1:9",
    epochs="3, 5",
    seeds="0, 1",
    folds=3,
    tune="last-block",
    protocol="seed2022",
    augment="seed8",
    copies=7,
    backbone="resnet18",
    weights="imagenet",
    hold_out_sites=("north",),
    left_out=(("P7", "wrong stain"),),
    batch_size=16,
    input_px=128,
    precision="bf16",
    smear_is_patient=True,
    at="21:30",
    until="05:15",
)


def board(job: int = 1, columns: int = 3, **cells: Any) -> BoardLines:
    lines = [
        CellLine(number, "waiting", ("waits",), 0.0, f"cell {number}", can_stop=True)
        for number in range(2 * columns)
    ]
    changed = {one.cell: one for one in cells.values()}
    return BoardLines(
        job_id=job,
        words="runs",
        notes="",
        rows=("5:5", "1:9"),
        columns=tuple(f"{10 * (number + 1)} epochs" for number in range(columns)),
        cells=tuple(changed.get(one.cell, one) for one in lines),
        is_finished=False,
    )


def curve(name: str, length: int, colour: int = 0, is_validation: bool = False) -> CurveLine:
    epochs = np.arange(1, length + 1, dtype=np.float64)
    return CurveLine(name, colour, is_validation, epochs, 1 / epochs)


@pytest.fixture
def tab(qtbot: Any) -> RetrainTab:
    made = RetrainTab()
    qtbot.addWidget(made)
    made.set_choices(CHOICES)
    return made


def test_the_form_is_an_editor_of_a_wish(qtbot: Any) -> None:
    form = SweepForm()
    qtbot.addWidget(form)
    form.set_choices(CHOICES)
    assert form.value() == SweepWish(loss_weights="5:5, 2:8, 1:9")
    form.setValue(WISH)
    assert form.value() == WISH
    form.setValue(replace(WISH, weights="/data/trunk.pth", until=None))
    assert form.value() == replace(WISH, weights="/data/trunk.pth", until=None)
    assert not form.folds.isEnabled()  # seed2022 leaves no folds out
    form.set_choices(CHOICES)
    assert form.value().left_out == ()  # another study: another wish


def test_the_form_tells_of_a_change_once_a_person_has_typed(qtbot: Any) -> None:
    form = SweepForm()
    qtbot.addWidget(form)
    with qtbot.waitSignal(form.changed):
        pass  # of the wish that it begins with
    told: list[SweepWish] = []
    form.changed.connect(told.append)
    with qtbot.waitSignal(form.changed):
        form.epochs.clear()
        qtbot.keyClicks(form.epochs, "30, 60")
    assert [one.epochs for one in told] == ["30, 60"]


def test_protocols_are_explained(qtbot: Any) -> None:
    form = SweepForm()
    qtbot.addWidget(form)
    assert "patients are split" in form.protocol.toolTip()
    form.protocol.setCurrentIndex(1)
    assert "both sides" in form.protocol.toolTip()


def test_a_locked_site_cannot_be_held_out(qtbot: Any) -> None:
    form = SweepForm()
    qtbot.addWidget(form)
    form.set_choices(CHOICES)
    row = form.site.findText("clinic (locked)")
    assert not form.site.model().item(row).isEnabled()


def test_trouble_stands_in_place_and_stops_the_start(tab: RetrainTab) -> None:
    tab.set_prospect(Prospect("3 patients", work="9 cells", trouble="There are too few."))
    assert tab.work.text() == "There are too few."
    assert not tab.start.isEnabled()
    fine = Prospect("214 patients", "12 smears left out", work="9 cells.", notes="Shared.")
    tab.set_prospect(fine)
    assert tab.cohort.text() == "Cohort: 214 patients, 12 smears left out"
    assert tab.work.text() == "9 cells. Shared."
    assert tab.start.isEnabled()


def test_start_asks_for_what_the_form_says(tab: RetrainTab, qtbot: Any) -> None:
    tab.form.setValue(WISH)
    tab.set_prospect(Prospect("x", work="9 cells"))
    with qtbot.waitSignal(tab.start_wanted) as told:
        tab.start.click()
    assert told.args == [WISH]


def test_a_double_click_on_start_asks_once(tab: RetrainTab, qtbot: Any) -> None:
    tab.set_prospect(Prospect("x", work="9 cells"))
    told: list[SweepWish] = []
    tab.start_wanted.connect(told.append)
    qtbot.mouseClick(tab.start, Qt.MouseButton.LeftButton)
    qtbot.mouseDClick(tab.start, Qt.MouseButton.LeftButton)  # Qt sends it as the second press
    qtbot.mouseRelease(tab.start, Qt.MouseButton.LeftButton)
    assert len(told) == 1
    tab.set_starting(True)
    tab.set_prospect(Prospect("x", work="9 cells"))
    assert not tab.start.isEnabled()
    tab.set_starting(False)
    assert tab.start.isEnabled()


def test_smears_are_left_out_by_hand_and_taken_back(tab: RetrainTab, qtbot: Any) -> None:
    dialog: ExclusionsDialog = tab.exclusions
    assert not dialog.leave.isEnabled()
    dialog.who.setText("P7")
    assert not dialog.leave.isEnabled()  # never without a reason
    dialog.reason.setText("wrong stain")
    with qtbot.waitSignal(tab.form.changed):
        qtbot.keyClick(dialog.reason, Qt.Key.Key_Return)
    assert tab.form.value().left_out == (("P7", "wrong stain"),)
    line = ExclusionLine(3, ("S000003", "P7", "north", "left out by hand: wrong stain"), "P7")
    other = ExclusionLine(4, ("S000004", "P8", "north", "unsure"))
    tab.set_prospect(Prospect("x", "2 smears left out", (other, line), work="1 cell"))
    dialog.table.selectRow(0)
    assert not dialog.take_back.isEnabled()
    dialog.table.selectRow(1)
    dialog.take_back.click()
    assert tab.form.value().left_out == ()
    with qtbot.waitSignal(tab.smear_opened) as told:
        dialog.table.opened.emit(0)
    assert told.args == [4]


def test_a_name_that_nobody_has_is_a_row_and_taken_back_alone(tab: RetrainTab, qtbot: Any) -> None:
    dialog: ExclusionsDialog = tab.exclusions
    for who in ("P7", "P77"):  # a typo
        dialog.who.setText(who)
        dialog.reason.setText("wrong stain")
        dialog.leave.click()
    by_hand = "left out by hand: wrong stain"
    line = ExclusionLine(3, ("S000003", "P7", "north", by_hand), "P7")
    trouble = "'P77' is neither a patient with a labelled smear nor the name of one"
    tab.set_prospect(Prospect("x", "1 smear left out", (line,), "1 cell", trouble=trouble))
    assert dialog.words.text() == trouble
    assert [one.cells for one in dialog.model.lines()] == [
        ("S000003", "P7", "north", by_hand),
        ("P77", "–", "–", by_hand),
    ]
    assert not dialog.take_back.isEnabled()  # nothing is chosen
    dialog.table.selectRow(1)
    dialog.table.opened.emit(1)  # there is no smear to open
    dialog.take_back.click()
    assert tab.form.value().left_out == (("P7", "wrong stain"),)
    assert dialog.model.lines() == (line,)
    assert not dialog.take_back.isEnabled()
    tab.set_prospect(Prospect(trouble="'30, many': give whole numbers"))  # of nobody is told
    assert [one.by_hand for one in dialog.model.lines()] == ["P7"]


def test_without_a_sweep_a_sentence_says_what_to_do(tab: RetrainTab) -> None:
    tab.set_jobs((), None)
    assert "press Start" in tab.below.currentWidget().text()
    tab.set_jobs((SweepLine(4, "job 4"), SweepLine(2, "job 2")), 2)
    assert tab.jobs.currentText() == "job 2"
    assert tab.below.currentIndex() == 0


def test_a_sweep_is_chosen_from_the_list(tab: RetrainTab, qtbot: Any) -> None:
    tab.set_jobs((SweepLine(4, "job 4"), SweepLine(2, "job 2")), 4)
    with qtbot.waitSignal(tab.job_chosen) as told:
        tab.jobs.activated.emit(1)
    assert told.args == [2]


def test_the_board_is_a_sound_model(qtmodeltester: Any, qtbot: Any) -> None:
    shown = Board()
    qtbot.addWidget(shown)
    shown.setValue(board())
    qtmodeltester.check(shown.model_)
    shown.setValue(board(columns=1))
    assert (shown.model_.rowCount(), shown.model_.columnCount()) == (2, 1)


def test_chosen_cells_stay_chosen_while_the_board_changes(qtbot: Any) -> None:
    shown = Board()
    qtbot.addWidget(shown)
    shown.setValue(board())
    told: list[tuple[int, tuple[int, ...]]] = []
    shown.chosen.connect(lambda job_id, cells: told.append((job_id, cells)))
    for number in (1, 5):
        index = shown.model_.index_of(number)
        shown.selectionModel().select(index, QItemSelectionModel.SelectionFlag.Select)
    assert told[-1] == (1, (1, 5))
    told.clear()
    changed = CellLine(5, "running", ("runs",), 0.5, "")
    shown.setValue(board(one=changed))
    assert shown.chosen_cells() == (1, 5)
    assert shown.chosen_lines()[1] == changed or shown.chosen_lines()[0] == changed
    shown.setValue(board(job=2))  # another grid, where a person has chosen nothing yet
    shown.choose((0,))
    assert shown.chosen_cells() == (0,)
    assert told == []


def test_cells_are_stopped_and_resumed_by_what_they_are(tab: RetrainTab, qtbot: Any) -> None:
    stopped = CellLine(1, "stopped", ("stopped",), 0.2, "", can_resume=True)
    tab.set_board(board(one=stopped))
    tab.choose((0,))
    assert (tab.stop.isEnabled(), tab.resume.isEnabled()) == (True, False)
    tab.choose((1,))
    assert (tab.stop.isEnabled(), tab.resume.isEnabled()) == (False, True)
    tab.choose((0, 1))
    with qtbot.waitSignal(tab.stop_wanted) as told:
        tab.stop.click()
    assert told.args == [1, (0, 1)]
    with qtbot.waitSignal(tab.resume_wanted):
        tab.resume.click()


def test_every_state_is_painted(qtbot: Any) -> None:
    states = ("running", "stopped", "done", "failed", "chosen", "cancelled")
    shown = Board()
    qtbot.addWidget(shown)
    shown.resize(600, 300)
    cells = {
        f"c{number}": CellLine(number, state, (state, "loss 0.5"), 0.5, "")
        for number, state in enumerate(states)
    }
    shown.setValue(board(**cells))
    image = shown.viewport().grab().toImage()
    colours = set()
    for number in range(len(states)):
        area = shown.visualRect(shown.model_.index_of(number))
        colours.add(image.pixelColor(area.left() + 3, area.center().y()).name())
    assert len(colours) == len(states)


def test_lines_are_kept_and_get_new_data(qtbot: Any) -> None:
    pane = CurvesPane()
    qtbot.addWidget(pane)
    first = CurveLines("AUC", (curve("a", 3), curve("a out", 3, 0, True)), (curve("a", 3),), 9)
    pane.setValue(first)
    lines = dict(pane._lines)
    assert len(lines) == 3
    pane.setValue(replace(first, accuracy=(curve("a", 4), curve("a out", 4, 0, True))))
    assert pane._lines == lines
    assert lines[pane.accuracy, 0].getData()[0].tolist() == [1, 2, 3, 4]
    assert [label.text for _, label in pane.accuracy.legend.items] == ["a", "a out"]
    pane.setValue(replace(first, accuracy=(curve("b", 2, 1),), loss=()))
    assert pane._lines == lines
    assert [line.isVisible() for line in lines.values()] == [True, False, False]
    assert [label.text for _, label in pane.accuracy.legend.items] == ["b"]
    assert pane.loss._titles["left"] == "loss, nats"


def test_the_same_curves_are_not_drawn_again(qtbot: Any) -> None:
    pane = CurvesPane()
    qtbot.addWidget(pane)
    shown = CurveLines("AUC", (curve("a", 3),), (curve("a", 3),), 9, (3, 9))
    pane.setValue(shown)
    line = pane._lines[pane.accuracy, 0]
    line.setData = MagicMock()
    pane.setValue(replace(shown, accuracy=(curve("a", 3),)))
    line.setData.assert_not_called()
    # The same cells under another figure: as many points, other values.
    other = replace(curve("a", 3), values=np.zeros(3))
    pane.setValue(replace(shown, accuracy=(other,)))
    line.setData.assert_called_once()


def test_plots_follow_the_theme(qtbot: Any) -> None:
    pane = CurvesPane()
    qtbot.addWidget(pane)
    pane.setValue(CurveLines("AUC", (curve("a", 3),), (), 9))
    for name in ("#f0f1f2", "#1e1e21"):
        pane.setStyleSheet(f"QWidget {{ color: {name}; }}")
        pane.show()
        pane.accuracy.ensurePolished()
        assert pane.accuracy.foreground == name
        assert pane.accuracy.getAxis("left").textPen().color().name() == name


@pytest.fixture
def labelled_study(
    study: Study,
    small_smears: Callable[[Study, Path, int], list[int]],
    tmp_path: Path,
    client_without_agent: Callable[[Study], Client],
) -> Study:
    """A small smear of each of 18 patients, with a diagnosis."""
    folder = tmp_path / "smears"
    small_smears(study, folder, 18)
    rows = [f"{n:05d}.png,P{n},{('AA', 'MDS', 'AML')[n % 3]}" for n in range(18)]
    table = folder / "labels.csv"
    table.write_text("file,patient,diagnosis\n" + "\n".join(rows), encoding="utf-8")
    client_without_agent(study).import_smears([folder], table)
    return study


@pytest.mark.slow
def test_a_sweep_trains_before_the_eyes_of_a_person(
    qtbot: Any, labelled_study: Study, client_without_agent: Any
) -> None:
    """From the form through a real training to models, with clicks and ticks alone."""
    pytest.importorskip("torch")
    from worker.equipment import equip
    from worker.owner import Owner
    from worker.work import Bench

    study, told = labelled_study, []
    background = QtBackground(told.append)
    session = Session(reader="A")
    panel = RetrainPanel(session, background, MagicMock(), ("22:00", "06:00"))
    tab = panel.tab
    qtbot.addWidget(tab)
    tab.show()
    session.desk = Desk(study, client_without_agent(study))
    panel.tick()
    qtbot.waitUntil(lambda: tab.form.loss_weights.text() == "5:5, 2:8, 1:9")
    wish = SweepWish("5:5, 1:9", "1, 2", folds=2, backbone="shufflenet_v2_x0_5", input_px=32)
    tab.form.setValue(wish)
    qtbot.waitUntil(lambda: "4 cells" in tab.work.text() and tab.start.isEnabled())
    qtbot.mouseClick(tab.start, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: tab.board.model_.rowCount() == 2)
    bench = Bench(
        study, Owner("h", 1, 1.0), equip(study, threading.Event(), "cpu"), threading.Event()
    )
    assert bench.try_any()  # the run on all training patients

    def shows(text: str) -> bool:
        panel.tick()
        return text in tab.board.model_.index(0, 0).data()

    qtbot.waitUntil(lambda: shows("loss"))
    drawn = tab.curves.value()
    assert drawn is not None
    assert [one.epochs.tolist() for one in drawn.loss] == [[1, 2]]
    while bench.try_any():
        pass
    qtbot.waitUntil(lambda: shows("n = "), timeout=20_000)
    states = [one.state for one in tab.board.model_._board.cells]
    assert states.count("chosen") == 2  # one model serves both loss weights
    assert {one.is_validation for one in tab.curves.value().accuracy} == {False, True}
    background.close()
    panel.close()
    assert told == []
