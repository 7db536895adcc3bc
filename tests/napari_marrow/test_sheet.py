"""The contact sheet's widgets, without napari."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import Any

import numpy as np
import pytest

pytest.importorskip("qtpy")

from qtpy.QtCore import QItemSelectionModel, QPoint, Qt
from qtpy.QtGui import QImage
from qtpy.QtWidgets import QApplication

from marrow.schemes import AA_MDS_AML
from napari_marrow._qt.sheet.delegate import CELL_PX
from napari_marrow._qt.sheet.model import MOST_PIXMAPS, SheetModel
from napari_marrow._qt.sheet.tab import SheetTab
from napari_marrow.lines.sheet import SheetLine

pytestmark = pytest.mark.viewer
COUNT = 1000


def line(number: int, label: str = "", *, is_flagged: bool = False) -> SheetLine:
    return SheetLine(number, f"S{number:06d}", label, is_flagged, f"/smears/{number}.png")


def picture(colour: tuple[int, int, int]) -> Any:
    return np.full((128, 96, 3), colour, np.uint8)


@pytest.fixture
def tab(qtbot: Any) -> SheetTab:
    made = SheetTab()
    qtbot.addWidget(made)
    made.resize(1000, 600)
    made.set_heads(AA_MDS_AML.asked)
    with qtbot.waitExposed(made):
        made.show()
    return made


def colours(tab: SheetTab, row: int) -> set[tuple[int, int, int]]:
    """Colours of a cell on the screen."""
    place = tab.list.visualRect(tab.model.index(row))
    image = tab.list.viewport().grab(place).toImage().convertToFormat(QImage.Format.Format_RGB32)
    found = (image.pixelColor(x, y) for x in range(image.width()) for y in range(image.height()))
    return {(one.red(), one.green(), one.blue()) for one in found}


def test_the_model_keeps_qts_rules(qtmodeltester: Any) -> None:
    model = SheetModel()
    model.set_lines([line(1), line(2, "AA")], 3)
    qtmodeltester.check(model)
    model.append_lines([line(3)], 3)
    assert model.rowCount() == 3
    assert not model.canFetchMore(model.index(-1))
    assert model.row_of(3) == 2
    assert "no label" in str(model.index(2).data(int(Qt.ItemDataRole.ToolTipRole)))


def test_pictures_are_shown_and_the_oldest_are_forgotten(tab: SheetTab) -> None:
    tab.set_lines([line(number) for number in range(1, 11)], 10)
    tab.set_thumbnails({1: picture((200, 30, 40)), 2: None})
    assert (200, 30, 40) in colours(tab, 0)
    assert (200, 30, 40) not in colours(tab, 1)
    assert tab.model.is_made(2)
    assert not tab.model.is_made(3)
    tab.set_thumbnails({100 + number: None for number in range(MOST_PIXMAPS)})
    assert not tab.model.is_made(1)
    tab.forget_thumbnails()
    assert not tab.model.is_made(100)


def test_what_is_on_a_large_screen_is_kept_however_much_it_is(tab: SheetTab, qtbot: Any) -> None:
    tab.set_thumbnails(dict.fromkeys(range(2001, 2001 + MOST_PIXMAPS)))  # of an earlier filter
    tab.set_thumbnails({3: None})
    tab.resize(3840, 2160)
    with qtbot.waitSignal(tab.looked_at) as looked:
        tab.set_lines([line(number) for number in range(1, COUNT + 1)], COUNT)
    (wanted,) = looked.args
    assert len(wanted) > MOST_PIXMAPS
    assert wanted[:3] == [1, 2, 4]
    for smear_id in wanted:
        tab.set_thumbnails({smear_id: None})
    assert all(tab.model.is_made(smear_id) for smear_id in (*wanted, 3))
    tab.set_thumbnails(dict.fromkeys(range(4001, 4001 + 2 * MOST_PIXMAPS)))
    assert not tab.model.is_made(2001)


def test_a_flag_is_seen_and_a_label_is_written(tab: SheetTab) -> None:
    tab.set_lines([line(1), line(2, "AML", is_flagged=True)], 2)
    tab.set_thumbnails({1: picture((250, 250, 250)), 2: picture((250, 250, 250))})
    assert (228, 87, 46) in colours(tab, 1)
    assert (228, 87, 46) not in colours(tab, 0)
    # the badge under the label is dark; without a label the corner is the picture's
    corners = []
    for row in (0, 1):
        place = tab.list.visualRect(tab.model.index(row))
        image = tab.list.viewport().grab(place).toImage()
        corners.append(image.pixelColor(9, CELL_PX.height() - 34).lightness())
    assert corners[1] < 100 < corners[0]


def test_what_is_seen_is_asked_for_first_and_once(tab: SheetTab, qtbot: Any) -> None:
    with qtbot.waitSignal(tab.looked_at) as looked:
        tab.set_lines([line(number) for number in range(1, COUNT + 1)], COUNT)
    columns = tab.list.viewport().width() // CELL_PX.width()
    assert columns >= 6
    assert looked.args[0] == list(range(1, len(looked.args[0]) + 1))
    assert len(looked.args[0]) < 100
    tab.set_thumbnails(dict.fromkeys(range(1, 4)))
    bar = tab.list.verticalScrollBar()
    with qtbot.waitSignal(tab.looked_at) as looked:
        bar.setValue(bar.maximum())
    first = tab.list.indexAt(QPoint(CELL_PX.width() // 2, 5)).row()
    assert looked.args[0][0] == tab.model.line(first).smear_id
    assert looked.args[0][-1] == COUNT
    with qtbot.waitSignal(tab.looked_at) as looked:
        bar.setValue(0)
    assert looked.args[0][0] == 4


def test_enter_and_a_double_click_open(tab: SheetTab, qtbot: Any) -> None:
    tab.set_lines([line(number) for number in (7, 8, 9)], 3)
    tab.list.setCurrentIndex(tab.model.index(1))
    with qtbot.waitSignal(tab.opened) as opened:
        qtbot.keyClick(tab.list, Qt.Key.Key_Return)
    assert opened.args == [8]
    centre = tab.list.visualRect(tab.model.index(2)).center()
    qtbot.mouseClick(tab.list.viewport(), Qt.MouseButton.LeftButton, pos=centre)
    with qtbot.waitSignal(tab.opened) as opened:
        qtbot.mouseDClick(tab.list.viewport(), Qt.MouseButton.LeftButton, pos=centre)
    assert opened.args == [9]


def test_several_are_selected_queued_and_stay_selected(tab: SheetTab, qtbot: Any) -> None:
    tab.set_lines([line(number) for number in range(1, 30)], 29)
    assert not tab.queue.isEnabled()
    for row in (4, 2):
        tab.list.selectionModel().select(
            tab.model.index(row), QItemSelectionModel.SelectionFlag.Select
        )
    assert tab.queue.text() == "Queue 2 selected"
    assert tab.words.text().startswith("2 of 29 selected")
    assert "1 AA  2 MDS  3 AML  0 unsure" in tab.words.text()
    with qtbot.waitSignal(tab.queue_wanted) as wanted:
        tab.queue.click()
    assert wanted.args == [[3, 5]]
    tab.set_lines([line(number, "AA") for number in range(1, 30)], 29)  # labelled
    assert tab.selected_ids() == [3, 5]
    tab.set_lines([line(number) for number in range(3, 30)], 27)  # filtered
    assert tab.selected_ids() == [3, 5]
    tab.list.setCurrentIndex(tab.model.index(0))
    tab.list.step(-1)
    assert tab.selected_ids() == [3]
    tab.list.step(1)
    assert tab.selected_ids() == [4]


def timed(slot: Callable[[], object]) -> float:
    """Milliseconds."""
    start = perf_counter()
    slot()
    return 1000 * (perf_counter() - start)


def scrolled(tab: SheetTab, count: int) -> dict[str, list[float]]:
    """Milliseconds of each slot while `count` labelled smears with pictures are scrolled."""
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 255, (8, 128, 128, 3), np.uint8)
    lines = [line(number, "AML", is_flagged=number % 9 == 0) for number in range(1, count + 1)]
    times = {"fill": [timed(lambda: tab.set_lines(lines, count))]}
    times["8 pictures"] = [
        timed(lambda at=at: tab.set_thumbnails({at + k: pictures[k] for k in range(8)}))
        for at in range(1, min(count, MOST_PIXMAPS) - 8, 8)
    ]
    times["lay out and paint"] = [timed(QApplication.processEvents)]
    bar = tab.list.verticalScrollBar()

    def scroll(value: int) -> None:
        bar.setValue(value)
        QApplication.processEvents()

    # a turn of the wheel; the first times, glyphs are drawn for the first time
    places = [*range(0, min(bar.maximum(), 9_000), CELL_PX.height())]
    times["scroll and paint"] = [timed(lambda at=at: scroll(at)) for at in places][3:]
    tab.list.selectAll()
    labelled = [line(number, "MDS") for number in range(1, count + 1)]
    times["label all"] = [timed(lambda: tab.set_lines(labelled, count))]
    return times


def test_a_thousand_smears_scroll_like_a_hundred(tab: SheetTab) -> None:
    few, many = scrolled(tab, 100), scrolled(tab, COUNT)
    for name in many:
        low, high = np.median(few[name]), np.median(many[name])
        print(f"{name}: 100 {low:.1f} ms, 1,000 {high:.1f} ms, worst {max(many[name]):.1f} ms")
    assert tab.list.verticalScrollBar().maximum() > 15_000
    for name in ("8 pictures", "scroll and paint"):
        # Ratios: on shared cores the milliseconds tell of the neighbours.
        assert np.median(many[name]) < 3 * np.median(few[name])
