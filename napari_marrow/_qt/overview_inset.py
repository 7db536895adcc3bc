"""The small picture of the whole smear in a corner of the canvas."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QEvent, QObject, QPointF, QRectF, Qt
from qtpy.QtGui import QColor, QImage, QMouseEvent, QPainter, QPaintEvent, QPen
from qtpy.QtWidgets import QWidget

from napari_marrow.overview import Overview, Part

LONGEST_PX = 150
MARGIN_PX = 10
SMALLEST_PX = 6
"""A field of view that is smaller than this in the picture is drawn as large as this."""


class OverviewInset(QWidget):
    """Shows where in the smear one is; a click or a drag goes there.

    A child of the canvas: painted by Qt after napari has drawn, so that it is on the screen and
    in no picture of the canvas, and takes no layer. It is painted when the canvas is.

    Parameters
    ----------
    viewer : napari.Viewer
    canvas : QWidget
        That napari draws on.
    """

    def __init__(self, viewer: Any, canvas: QWidget) -> None:
        super().__init__(canvas)
        self._viewer, self._canvas = viewer, canvas
        self._overview: Overview | None = None
        self._picture = QImage()
        self._part: Part | None = None
        self.setCursor(Qt.CursorShape.CrossCursor)
        self.setToolTip("The whole smear: click to go there")
        self.hide()
        canvas.installEventFilter(self)
        camera = viewer.scene.camera.events
        camera.zoom.connect(self._on_camera_moved)
        camera.center.connect(self._on_camera_moved)

    @property
    def part(self) -> Part | None:
        """Which part of the smear is on the canvas, None without a smear."""
        return self._part

    def setValue(self, overview: Overview | None) -> None:  # noqa: N802
        """Show this smear, None: none."""
        self._overview = overview
        if overview is None:
            self._part = None
            self.hide()
            return
        height, width = overview.pixels.shape[:2]
        picture = QImage(
            overview.pixels.tobytes(), width, height, 3 * width, QImage.Format.Format_RGB888
        )
        self._picture = picture.copy()  # the bytes above live no longer than this call
        longest = max(height, width)
        self.resize(
            max(SMALLEST_PX, round(LONGEST_PX * width / longest)),
            max(SMALLEST_PX, round(LONGEST_PX * height / longest)),
        )
        self._to_corner()
        self._on_camera_moved()
        self.show()

    def close_behind(self) -> None:
        """Listen no more, before the viewer is deleted."""
        camera = self._viewer.scene.camera.events
        camera.zoom.disconnect(self._on_camera_moved)
        camera.center.disconnect(self._on_camera_moved)

    def paintEvent(self, _event: QPaintEvent) -> None:  # noqa: N802
        """Paint the smear, and a frame around what is on the canvas."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        painter.drawImage(self.rect(), self._picture)
        if self._part is not None and not self._part.is_all:
            frame = self._frame(self._part)
            for colour, thickness in ((QColor(0, 0, 0), 3.5), (QColor(255, 214, 10), 1.5)):
                painter.setPen(QPen(colour, thickness))
                painter.drawRect(frame)
        painter.setPen(QPen(QColor(0, 0, 0), 1))
        painter.drawRect(QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5))
        painter.end()

    def mousePressEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        """Go there."""
        self._go_to(event.position())

    def mouseMoveEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        """Go along."""
        self._go_to(event.position())

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: N802
        """Stay in the corner of the canvas."""
        if watched is self._canvas and event.type() == QEvent.Type.Resize:
            self._to_corner()
            self._on_camera_moved()
        return False

    def _go_to(self, point: QPointF) -> None:
        if self._overview is not None:
            place = self._overview.place(point.y() / self.height(), point.x() / self.width())
            self._viewer.scene.camera.center = place

    def _frame(self, part: Part) -> QRectF:
        """The frame of a part in px of this widget, never too small to be seen, never outside."""
        width = max(SMALLEST_PX, part.width * self.width())
        height = max(SMALLEST_PX, part.height * self.height())
        centre = QPointF(
            (part.left + part.width / 2) * self.width(),
            (part.top + part.height / 2) * self.height(),
        )
        frame = QRectF(centre.x() - width / 2, centre.y() - height / 2, width, height)
        return frame.intersected(QRectF(self.rect()).adjusted(1, 1, -2, -2))

    def _to_corner(self) -> None:
        self.move(MARGIN_PX, self._canvas.height() - self.height() - MARGIN_PX)

    def _on_camera_moved(self, _event: object = None) -> None:
        if self._overview is None:
            return
        camera = self._viewer.scene.camera
        part = self._overview.part(
            tuple(camera.center[-2:]),
            camera.zoom,
            (self._canvas.height(), self._canvas.width()),
        )
        if part != self._part:
            self._part = part
            self.update()
