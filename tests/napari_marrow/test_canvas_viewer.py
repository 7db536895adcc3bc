"""The canvas in the real napari: what is drawn over a smear, and smears that are large or slow."""

from __future__ import annotations

import threading
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

pytest.importorskip("qtpy")

from napari.utils.notifications import notification_manager
from qtpy.QtCore import QPoint, Qt
from qtpy.QtGui import QImage
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QWidget

from marrow.catalogue import regions
from marrow.study import Study
from napari_marrow._qt.background import QtBackground
from napari_marrow._qt.keys import canvas_widget
from napari_marrow._qt.overview_inset import MARGIN_PX, OverviewInset
from napari_marrow.canvas import SmearCanvas
from napari_marrow.controllers.outbox import OutboxController
from napari_marrow.controllers.regions import RegionsController
from napari_marrow.controllers.smear import SmearController
from napari_marrow.desk import Desk
from napari_marrow.layers import HEATMAP_LAYER, SMEAR_LAYER
from napari_marrow.session import Session

pytestmark = pytest.mark.viewer
WAIT_MS = 30_000
PALE, DARK = (236, 226, 233), (96, 60, 140)


class Table:
    """A viewer with a study's canvas, without docks."""

    def __init__(self, viewer: Any, desk: Desk) -> None:
        self.viewer = viewer
        self.told: list[str] = []
        self.background = QtBackground(self.told.append)
        self.session = Session(reader="A")
        self.canvas = SmearCanvas(viewer)
        widget = canvas_widget(viewer)
        assert widget is not None
        self.widget: QWidget = widget
        self.inset = OverviewInset(viewer, widget)
        self.canvas.overview_changed.connect(self.inset.setValue)
        outbox = OutboxController(self.session, self.background)
        kept = RegionsController(self.session, outbox)
        self.controller = SmearController(self.session, self.background, self.canvas, kept)
        self.canvas.regions.drawn.connect(
            lambda: self.controller.save_regions(self.canvas.regions.regions())
        )
        self.session.desk = desk

    def open(self, qtbot: Any, smear_id: int, **options: Any) -> None:
        self.controller.open(smear_id, **options)
        qtbot.waitUntil(lambda: self.session.smear_id == smear_id, timeout=WAIT_MS)

    def grab(self) -> np.ndarray:
        """The canvas as it is on the screen, the overview included: (H, W, 3) uint8."""
        QApplication.processEvents()
        window = self.viewer.window._qt_window
        at = self.widget.mapTo(window, QPoint(0, 0))
        image = window.grab().toImage().convertToFormat(QImage.Format.Format_RGB32)
        bits = image.constBits()
        if hasattr(bits, "setsize"):  # PyQt
            bits.setsize(image.sizeInBytes())
        pixels = np.frombuffer(bits, np.uint8).reshape(image.height(), image.width(), 4)
        shown = pixels[
            at.y() : at.y() + self.widget.height(), at.x() : at.x() + self.widget.width(), 2::-1
        ]
        return shown.copy()

    def drag(self, points: np.ndarray) -> None:
        """Move the mouse over the canvas with its button held; points are (x, y)."""
        places = [QPoint(*map(int, point)) for point in points]
        QTest.mousePress(self.widget, Qt.MouseButton.LeftButton, pos=places[0])
        for place in places[1:]:
            QTest.mouseMove(self.widget, place)
            QApplication.processEvents()
        QTest.mouseRelease(self.widget, Qt.MouseButton.LeftButton, pos=places[-1])
        QApplication.processEvents()

    def wait_for_slicer(self) -> None:
        """All that was asked of it is read, and what it read is drawn."""
        self.viewer._layer_slicer._executor.submit(int).result(30)
        QApplication.processEvents()

    def close(self) -> None:
        self.background.close()
        self.controller.close()
        self.canvas.close()
        self.inset.close_behind()


@pytest.fixture
def table(make_napari_viewer: Callable[..., Any], desk: Desk, qtbot: Any) -> Iterator[Table]:
    viewer = make_napari_viewer(show=True)
    with qtbot.waitExposed(viewer.window._qt_window):
        viewer.window._qt_window.resize(1300, 800)
    made = Table(viewer, desk)
    yield made
    made.close()
    viewer.close()
    qtbot.wait(50)


def is_near(picture: np.ndarray, colour: tuple[int, int, int], by: int = 30) -> np.ndarray:
    """Which pixels have about this colour."""
    return np.all(np.abs(picture.astype(int) - colour) <= by, axis=-1)


def write_field(path: Path, seed: int, size_px: int = 512) -> Path:
    """A pale field with a dark cell in its upper right quarter."""
    rng = np.random.default_rng(seed)
    pixels = np.full((size_px, size_px, 3), PALE, np.uint8)
    eighth = size_px // 8
    pixels[eighth : 2 * eighth, 6 * eighth : 7 * eighth] = DARK
    pixels += rng.integers(0, 4, pixels.shape, np.uint8)
    Image.fromarray(pixels).save(path, compress_level=1)
    return path


def write_slide(path: Path, size_px: int) -> Path:
    """A tiled pyramid whose tiles have nine colours; level 0 is never in memory as a whole."""
    tile_px = 512
    ramp = np.linspace(0, 20, tile_px).astype(np.uint8)[:, np.newaxis, np.newaxis]
    packed = [
        zlib.compress(np.full((tile_px, tile_px, 3), (150 + 9 * k, 120, 200), np.uint8) + ramp)
        for k in range(9)
    ]
    with tifffile.TiffWriter(path, bigtiff=True) as tiff:
        level = 0
        while size_px > 1000 or level == 0:
            count = (-(-size_px // tile_px)) ** 2
            tiff.write(
                (packed[k % 9] for k in range(count)),
                shape=(size_px, size_px, 3),
                dtype=np.uint8,
                tile=(tile_px, tile_px),
                photometric="rgb",
                compression="zlib",
                subfiletype=int(level > 0),
                resolution=(40_000, 40_000),
                resolutionunit="CENTIMETER",
            )
            size_px, level = size_px // 2, level + 1
    return path


def test_what_is_drawn_over_a_smear(
    table: Table, qtbot: Any, study: Study, worker: Any, tmp_path: Path
) -> None:
    folder = tmp_path / "fields"
    folder.mkdir()
    for number in (1, 2):
        write_field(folder / f"field_{number}.png", number)
    (folder / "labels.csv").write_text("file,patient,mpp\nfield_1.png,P1,0.2\n", encoding="utf-8")
    desk = table.session.desk
    assert desk is not None
    desk.cases.add([folder], lambda _done, _total: None)
    desk.queue.submit([1])
    worker.work_off()
    prediction = desk.smears.facts(1, "newest", "A").prediction
    assert prediction is not None
    table.canvas.set_label_words("LABEL MODE  1 AA  2 MDS  3 AML  0 unsure")
    table.open(qtbot, 1, prediction_id=prediction.id)
    viewer, widget = table.viewer, table.widget
    height, width = widget.height(), widget.width()

    # Words, legend and scale bar: light on dark, whatever lies below.
    with_all = table.grab()
    for name, corner in {
        "words": with_all[5:100, 5:300],
        "legend": with_all[5:160, width - 60 :],
        "scale bar": with_all[height - 45 :, width - 160 :],
    }.items():
        assert (corner.max(axis=-1) < 120).mean() > 0.4, name
        assert (corner.min(axis=-1) > 230).mean() > 0.004, name
    assert viewer.layers[HEATMAP_LAYER].visible
    table.controller.toggle_heatmap()
    without = table.grab()
    assert is_near(without, PALE).mean() > 0.3
    assert is_near(without, PALE).sum() > is_near(with_all, PALE).sum() + 5_000
    assert with_all[5:160, width - 60 :].max() > 200
    assert without[5:160, width - 60 :].max() < 40  # the legend goes, too

    # The overview has the whole smear; its frame shows where one is, a click goes there.
    inset = table.inset
    assert inset.isVisible()
    assert (inset.x(), inset.y() + inset.height()) == (MARGIN_PX, height - MARGIN_PX)

    def overview() -> np.ndarray:
        top, left = inset.y(), inset.x()
        return table.grab()[top : top + inset.height(), left : left + inset.width()]

    small = overview()
    edge = inset.width() / 8
    inner = small[int(1.2 * edge) : int(1.8 * edge), int(6.2 * edge) : int(6.8 * edge)]
    assert is_near(inner, DARK, 45).all()
    frame = (255, 214, 10)
    assert not is_near(small, frame).any()
    viewer.scene.camera.zoom *= 4
    rows, _columns = np.nonzero(is_near(overview(), frame, 60))
    assert abs(rows.mean() - inset.height() / 2) < 4
    QTest.mouseClick(inset, Qt.MouseButton.LeftButton, pos=QPoint(int(6.5 * edge), int(1.5 * edge)))
    assert is_near(table.grab()[height // 2 - 20 : height // 2 + 20], DARK, 45).any()
    rows, _columns = np.nonzero(is_near(overview(), frame, 60))
    assert rows.mean() < inset.height() / 3
    assert inset.part is not None
    assert inset.part.left + inset.part.width / 2 == pytest.approx(6.5 / 8, abs=0.02)

    # A stroke of the brush becomes a polygon, is stored, and is there when one comes back.
    viewer.reset_view()
    table.canvas.regions.draw("exclude", "brush")
    table.drag(np.linspace((width / 2 - 80, height / 2), (width / 2 + 80, height / 2), 30))
    (painted,) = table.canvas.regions.regions()
    assert painted.role == "exclude"
    assert is_near(table.grab(), (228, 87, 46), 40).sum() > 200
    table.canvas.regions.draw("use", "rectangle")
    table.drag(np.linspace((width / 2 - 60, height / 2 + 60), (width / 2, height / 2 + 120), 9))
    table.open(qtbot, 2)
    assert table.canvas.regions.regions() == []
    assert "pixel size unknown" in viewer.canvas.overlays.text.text
    assert not viewer.canvas.overlays.scale_bar.visible
    table.open(qtbot, 1)
    assert [one.role for one in table.canvas.regions.regions()] == ["exclude", "use"]
    table.canvas.regions.draw("use", "edit")
    layer = table.canvas.regions.layer
    assert layer is not None
    layer.selected_data = {0}
    QTest.keyClick(widget, Qt.Key.Key_Delete)
    qtbot.waitUntil(lambda: stored(study, 1) == ["use"], timeout=WAIT_MS)
    assert stored(study, 2) == []

    # A smear that is gone leaves no other one on the canvas.
    (folder / "field_2.png").unlink()
    table.controller.open(2)
    qtbot.waitUntil(lambda: table.session.smear_id is None, timeout=WAIT_MS)
    gone = table.grab()
    assert not inset.isVisible()
    assert not is_near(gone[200:], PALE).any()  # below the words
    assert "S000002" in viewer.canvas.overlays.text.text
    assert "field_2.png cannot be shown" in viewer.canvas.overlays.text.text
    assert table.told == []


@pytest.mark.parametrize("lines", [1, 4, 8])
def test_the_ground_of_the_words_reaches_below_their_last_line(table: Table, lines: int) -> None:
    table.viewer.canvas.background_color_override = "white"  # where words without a ground are lost
    table.canvas.set_words("\n".join(["gjpqy"] * lines))
    seen = table.grab()[:400, 10:50]
    ground = np.flatnonzero((seen.max(axis=-1) < 120).any(axis=1))
    ink = (seen.min(axis=-1) > 200).any(axis=1)[: ground[-1] + 1]
    below = ground[-1] - np.flatnonzero(ink)[-1]
    assert 3 <= below <= 30  # a descender, and a line at most


def stored(study: Study, smear_id: int) -> list[str]:
    with study.database.read() as connection:
        return [one.role for one in regions.of(connection, smear_id)]


def test_a_smear_that_was_read_ahead_is_shown_sooner(
    table: Table, qtbot: Any, tmp_path: Path
) -> None:
    folder = tmp_path / "fields"
    folder.mkdir()
    for number in range(5):
        write_field(folder / f"field_{number}.png", number, size_px=2000)
    desk = table.session.desk
    assert desk is not None
    desk.cases.add([folder], lambda _done, _total: None)
    table.open(qtbot, 1)

    def timed(smear_id: int) -> float:
        start = perf_counter()
        table.open(qtbot, smear_id)
        return 1000 * (perf_counter() - start)

    without = [timed(smear_id) for smear_id in (2, 3)]
    ahead = []
    for smear_id in (4, 5):
        table.controller.prefetch(smear_id)
        qtbot.waitUntil(lambda one=smear_id: table.controller._shelf.ready == (one,))
        ahead.append(timed(smear_id))
    print(
        f"key to shown, 2000 x 2000 px: {np.median(without):.0f} ms, "
        f"read ahead {np.median(ahead):.0f} ms"
    )
    assert np.median(ahead) < np.median(without)
    table.controller.prefetch(1)
    qtbot.waitUntil(lambda: table.controller._shelf.ready == (1,), timeout=WAIT_MS)


def test_a_slide_of_20000_px(table: Table, qtbot: Any, tmp_path: Path) -> None:
    write_slide(tmp_path / "slide.tif", 20_000)
    write_field(tmp_path / "field.png", 1)
    desk = table.session.desk
    assert desk is not None
    for file in ("slide.tif", "field.png"):
        desk.cases.add([tmp_path / file], lambda _done, _total: None)
    viewer, camera = table.viewer, table.viewer.scene.camera
    start = perf_counter()
    table.open(qtbot, 1)
    print(f"\n20,000 x 20,000 px: open and draw {1000 * (perf_counter() - start):.0f} ms")
    assert table.grab().std() > 20
    assert viewer.layers[SMEAR_LAYER].data[0].shape == (20_000, 20_000, 3)
    stalls: dict[str, list[float]] = {"zoom": [], "pan": []}

    def step(what: str, move: Callable[[], None]) -> None:
        move()
        start = perf_counter()
        QApplication.processEvents()
        stalls[what].append(1000 * (perf_counter() - start))
        qtbot.wait(10)

    for _ in range(12):
        step("zoom", lambda: setattr(camera, "zoom", camera.zoom * 1.35))
    for _ in range(25):
        step("pan", lambda: setattr(camera, "center", (camera.center[-2], camera.center[-1] + 9)))
    for what, taken in stalls.items():
        print(f"{what}: median {np.median(taken):.0f} ms, worst {max(taken):.0f} ms")
    table.wait_for_slicer()
    assert table.grab()[200:500, 300:700].std() > 1
    edge_px = np.array(table.canvas.regions._edge_width())
    assert edge_px * camera.zoom * 0.25 == pytest.approx(2.5)  # outlines follow the zoom

    # A smear that is still being read when another one comes.
    image = table.canvas._image
    assert image is not None
    read, may_read, is_reading = image.read, threading.Event(), threading.Event()

    def read_slowly(*window: int) -> Any:
        is_reading.set()
        assert may_read.wait(20)
        return read(*window)

    image.read = read_slowly  # type: ignore[method-assign]
    camera.center = (500.0, 500.0)
    qtbot.waitUntil(is_reading.is_set, timeout=WAIT_MS)
    table.open(qtbot, 2)
    assert is_near(table.grab(), PALE).mean() > 0.2  # at once, while the slide is being read
    may_read.set()
    table.wait_for_slicer()
    table.wait_for_slicer()
    assert is_near(table.grab(), PALE).mean() > 0.2  # not a tile of the slide comes after
    with pytest.raises(ValueError, match="closed"):
        read(0, 0, 0, 4, 4)

    # Closing napari in the middle of a read.
    table.open(qtbot, 1)
    image = table.canvas._image
    assert image is not None
    read = image.read
    may_read.clear()
    is_reading.clear()
    image.read = read_slowly  # type: ignore[method-assign]
    camera.zoom *= 30
    qtbot.waitUntil(is_reading.is_set, timeout=WAIT_MS)
    table.canvas.close()
    threading.Timer(0.2, may_read.set).start()
    table.wait_for_slicer()
    with pytest.raises(ValueError, match="closed"):
        read(0, 0, 0, 4, 4)
    assert not [one for one in notification_manager.records if one.severity.value == "error"]
    assert table.told == []
