"""Label mode in the real napari: keys on the canvas, whatever layer is selected."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("qtpy")

from qtpy.QtCore import Qt
from sqlalchemy.exc import OperationalError

from marrow.catalogue import flags, jobs, labels
from marrow.catalogue.database import Database
from marrow.importing import import_smears
from marrow.study import Study
from napari_marrow._qt.cases.section import Section
from napari_marrow._qt.cases_dock import CasesDock
from napari_marrow._qt.keys import canvas_widget
from napari_marrow._qt.opening import DOCK_NAME
from napari_marrow.layers import REGIONS_LAYER, SMEAR_LAYER

pytestmark = pytest.mark.viewer
WAIT_MS = 30_000
SMEARS = 24
UNREADABLE = 8
ANSWERS = {"1": "AA", "2": "MDS", "3": "AML", "0": "unsure"}
DEEP = "很长的文件夹" * 12
"""72 Chinese characters, 216 bytes: as long as a folder's name may be on Linux."""
LONG = "smears" * 40


class Sitting:
    """One start of the program."""

    def __init__(self, viewer: Any, dock: CasesDock, qtbot: Any) -> None:
        self.viewer, self.dock, self.qtbot = viewer, dock, qtbot
        self.desktop, self.page = dock.desktop, dock.desktop.cases.page
        self.mode = dock.desktop.cases.labelling
        self.until(lambda: self.desktop.is_listed)

    def until(self, holds: Callable[[], bool]) -> None:
        self.qtbot.waitUntil(holds, timeout=WAIT_MS)

    def begin(self) -> None:
        self.page.label_mode.click()
        self.until(self.is_ready)

    def is_ready(self) -> bool:
        case = self.mode._case
        return case is not None and case.is_ready

    @property
    def shown(self) -> int:
        case = self.mode._case
        assert case is not None
        return int(case.smear_id)

    @property
    def words(self) -> str:
        lines = str(self.viewer.canvas.overlays.text.text).replace("\xa0", " ").splitlines()
        return "\n".join(line.rstrip() for line in lines)

    def key(self, sign: Any, modifier: Any = Qt.KeyboardModifier.NoModifier) -> None:
        self.qtbot.keyClick(canvas_widget(self.viewer), sign, modifier)

    def label(self, sign: str) -> None:
        """Press a digit, and wait for the next smear as a person does."""
        before = self.shown
        self.key(sign)
        self.until(lambda: self.shown != before and self.is_ready())

    def end(self) -> None:
        self.viewer.close()
        self.qtbot.wait(50)


@pytest.fixture
def field_files(study: Study, tmp_path: Path, draw: Callable[..., Path]) -> list[Path]:
    """24 images in a study, one of them damaged since; 2,000 characters deep in folders, some
    with Chinese names (Linux takes paths of 4,096 bytes)."""
    folder = tmp_path / "病例"
    for name in [DEEP] * 5 + [LONG] * 7:
        folder /= name
    assert len(str(folder)) > 2_000
    folder.mkdir(parents=True)
    files = [draw(folder / f"玻片_{number:02d}.png", number) for number in range(SMEARS)]
    import_smears(study, [folder])
    files[UNREADABLE - 1].write_bytes(b"no picture any more")
    return files


@pytest.fixture
def sit_down(
    make_napari_viewer: Callable[..., Any], study: Study, client_without_agent: Any, qtbot: Any
) -> Callable[[], Sitting]:
    def start() -> Sitting:
        viewer = make_napari_viewer(show=True)
        dock = CasesDock(viewer, study.settings.home, client_without_agent)
        viewer.window.add_dock_widget(dock, name=DOCK_NAME, area="right")
        dock.window().resize(1300, 850)
        return Sitting(viewer, dock, qtbot)

    return start


def stored(study: Study, reader: str) -> dict[int, str]:
    with study.database.read() as connection:
        given = labels.of_reader(connection, reader, range(1, SMEARS + 1))
    return {smear_id: answers["diagnosis"] for smear_id, answers in given.items()}


def test_twenty_smears_by_keys_with_each_kind_of_layer_selected(
    sit_down: Callable[[], Sitting], study: Study, field_files: list[Path]
) -> None:
    sitting = sit_down()
    viewer, page = sitting.viewer, sitting.page
    reader = sitting.desktop.session.reader
    sitting.key("1")  # label mode is off: napari's key
    sitting.begin()
    assert sitting.words.startswith(
        "LABEL MODE  1 AA  2 MDS  3 AML  0 unsure\n1/24  not labelled by you\nS000001 · "
    )
    assert sitting.words.count("S000001") == 1
    assert stored(study, reader) == {}
    own = viewer.layers[SMEAR_LAYER]
    kinds = [
        own,
        viewer.layers[REGIONS_LAYER],
        viewer.add_points(np.array([[10.0, 10.0]]), units=own.units),
        viewer.add_labels(np.zeros((64, 64), int), units=own.units),
    ]
    given: dict[int, str] = {}
    for layer, keys in zip(kinds, ("12312", "31032", "12312", "31231"), strict=True):
        for sign in keys:
            viewer.layers.selection.active = layer
            modes = [str(one.mode) for one in kinds]
            given[sitting.shown] = ANSWERS[sign]
            if sitting.shown == UNREADABLE:
                assert f"S{UNREADABLE:06d}" in sitting.words
                assert "cannot be" in sitting.words
            sitting.label(sign)
            assert [str(one.mode) for one in kinds] == modes  # napari had none of the keys
    assert given[UNREADABLE] == "unsure"
    assert len(given) == 20
    sitting.until(lambda: stored(study, reader) == given)
    sitting.until(lambda: page.status.progress.text() == "20/24")
    assert page.status.saved.text() == "saved ok"
    assert [line.cells[1] for line in page.list.model.lines()][:20] == list(given.values())

    control = Qt.KeyboardModifier.ControlModifier
    for smear_id in (20, 19):
        sitting.key(Qt.Key.Key_Z, control)
        sitting.until(lambda smear_id=smear_id: sitting.shown == smear_id and sitting.is_ready())
        del given[smear_id]
    sitting.until(lambda: stored(study, reader) == given)

    page.list._search.setFocus()
    sitting.until(page.list._search.hasFocus)
    sitting.qtbot.keyClick(page.list._search, "2")  # a letter of a text
    assert page.list._search.text() == "2"
    page.list._search.clear()
    sitting.qtbot.keyClick(page.list._search, Qt.Key.Key_Return)
    sitting.until(lambda: bool(canvas_widget(viewer).hasFocus()))
    assert stored(study, reader) == given

    sitting.key("r")
    assert str(viewer.layers[REGIONS_LAYER].mode) == "add_rectangle"
    sitting.key(Qt.Key.Key_Escape)
    assert str(viewer.layers[REGIONS_LAYER].mode) == "pan_zoom"
    sitting.key("f")
    sitting.until(lambda: page.list.model.line(18).cells[3] != "")
    sitting.key("g")
    assert sitting.desktop.workbench.isVisible()
    sitting.key(Qt.Key.Key_Escape)
    assert not sitting.desktop.session.is_labelling
    assert "LABEL MODE" not in sitting.words
    sitting.key("1")
    sitting.end()
    assert stored(study, reader) == given

    sitting = sit_down()  # the program is started again
    page = sitting.page
    sitting.until(lambda: page.status.progress.text() == "18/24")
    page.list.filter.setCurrentText("unlabelled by me")
    sitting.until(lambda: page.list.model.rowCount() == 6)
    sitting.begin()
    assert sitting.shown == 19
    assert "1/6  not labelled by you" in sitting.words
    assert "S000019" in sitting.words
    assert "flagged" in sitting.words
    sitting.end()
    with study.database.read() as connection:
        assert flags.standing(connection, [19]) == {19: (reader,)}


def test_after_a_field_or_a_box_the_next_digit_labels(
    sit_down: Callable[[], Sitting], study: Study, field_files: list[Path]
) -> None:
    sitting = sit_down()
    page, canvas = sitting.page, canvas_widget(sitting.viewer)
    reader = sitting.desktop.session.reader
    for part in page.findChildren(Section):
        part.expand(animate=False)
    sitting.begin()
    regions, site = page.regions, page.describe.fields["site"]
    page.evidence.setEnabled(True)
    click = sitting.qtbot.keyClick
    choices = (
        (site, lambda: (site.setText("north"), click(site, Qt.Key.Key_Return))),
        (regions.role, lambda: click(regions.role, Qt.Key.Key_Down)),
        (regions.brush, lambda: click(regions.brush, Qt.Key.Key_Return)),
        (regions.brush, lambda: click(regions.brush, Qt.Key.Key_Up)),
        (page.evidence.classes, lambda: click(page.evidence.classes, Qt.Key.Key_Down)),
    )
    for place, choose in choices:
        place.setFocus()
        sitting.until(place.hasFocus)
        choose()
        sitting.until(canvas.hasFocus)
    regions.brush.setFocus()
    regions.brush.selectAll()
    for sign in "15":
        click(regions.brush, sign)  # letters of a number
    assert regions.brush.value() == 15
    assert regions.brush.hasFocus()
    click(regions.brush, Qt.Key.Key_Return)
    sitting.until(canvas.hasFocus)
    sitting.label("2")
    sitting.until(lambda: stored(study, reader) == {1: "MDS"})
    sitting.end()


def test_a_study_that_cannot_be_written_keeps_its_labels_for_the_next_start(
    sit_down: Callable[[], Sitting],
    study: Study,
    field_files: list[Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    @contextmanager
    def read_only(_database: Database) -> Iterator[Any]:
        raise OperationalError("", {}, Exception("attempt to write a readonly database"))
        yield

    with monkeypatch.context() as patched:
        patched.setattr(Database, "write", read_only)
        sitting = sit_down()
        reader = sitting.desktop.session.reader
        sitting.begin()
        for sign in "123":
            sitting.label(sign)
        status = sitting.page.status
        sitting.until(lambda: status.saved.text() == "3 unsent")
        assert status.trouble.isVisible()
        assert (
            "3 labels or regions not sent yet (attempt to write a readonly" in status.trouble.text()
        )
        assert [line.cells[1] for line in sitting.page.list.model.lines()][:3] == [
            "AA",
            "MDS",
            "AML",
        ]
        assert stored(study, reader) == {}
        sitting.end()
    sitting = sit_down()
    sitting.until(lambda: stored(study, reader) == {1: "AA", 2: "MDS", 3: "AML"})
    sitting.until(lambda: sitting.page.status.saved.text() == "saved ok")
    sitting.end()


def test_without_a_canvas_to_watch_the_buttons_label(
    sit_down: Callable[[], Sitting],
    study: Study,
    field_files: list[Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sitting = sit_down()
    told: list[str] = []
    monkeypatch.setattr("napari_marrow._qt.cases.panel.canvas_widget", lambda _viewer: None)
    monkeypatch.setattr(sitting.page, "tell", lambda words, is_warning: told.append(words))
    sitting.begin()
    assert "label by the buttons" in told[0]
    sitting.page.labels.buttons["diagnosis", "AML"].click()
    sitting.until(lambda: sitting.shown == 2 and sitting.is_ready())
    sitting.qtbot.keyClick(sitting.page.list.table, "1")  # the dock's own widgets have the keys
    sitting.until(lambda: sitting.shown == 3 and sitting.is_ready())
    reader = sitting.desktop.session.reader
    sitting.until(lambda: stored(study, reader) == {1: "AML", 2: "AA"})
    assert canvas_widget(object()) is None
    sitting.end()


def test_a_study_without_smears_and_with_one(
    sit_down: Callable[[], Sitting], study: Study, draw: Callable[..., Path], tmp_path: Path
) -> None:
    sitting = sit_down()
    desktop, page = sitting.desktop, sitting.page
    desktop.workbench.open()
    for panel in (
        desktop.results,
        desktop.reading,
        desktop.retrain,
        desktop.compare,
        desktop.sheet,
    ):
        desktop.workbench.bring(panel)
        sitting.qtbot.wait(100)
    page.label_mode.click()
    sitting.key("1")
    page.queue_all.trigger()
    assert not desktop.session.is_labelling
    assert not page.label_mode.isChecked()
    with study.database.read() as connection:
        assert jobs.newest(connection) == []

    desktop.cases.controller.add_smears([draw(tmp_path / "only.png", 1)])
    sitting.until(lambda: page.list.model.rowCount() == 1)
    sitting.begin()
    sitting.key("2")
    reader = desktop.session.reader
    sitting.until(lambda: stored(study, reader) == {1: "MDS"})
    assert sitting.shown == 1  # there is no other
    sitting.key("3")
    sitting.until(lambda: stored(study, reader) == {1: "AML"})
    sitting.key("z", Qt.KeyboardModifier.ControlModifier)
    sitting.until(lambda: stored(study, reader) == {1: "MDS"})
    sitting.end()
