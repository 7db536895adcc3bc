"""Confusion matrices of two models, painted: counts, coloured by the share of their row."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import QRect, QSize, Qt
from qtpy.QtGui import QColor, QPainter, QPaintEvent, QPalette
from qtpy.QtWidgets import QGridLayout, QLabel, QVBoxLayout, QWidget

from napari_marrow._qt.plots import colour
from napari_marrow.lines.models import ConfusionPanel

_CELL_PX = 54
_MOST_TEXT = 12
"""Classes up to which the counts fit into the cells."""


class ConfusionMatrix(QWidget):
    """One matrix: rows are the readers' answers, columns the calls."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._panel: ConfusionPanel | None = None

    def setValue(self, panel: ConfusionPanel) -> None:  # noqa: N802
        """Paint this one."""
        self._panel = panel
        lines = [panel.title, "answer: calls"]
        for name, own in zip(panel.classes, panel.counts.tolist(), strict=True):
            called = zip(own, panel.classes, strict=True)
            lines.append(f"{name}: " + ", ".join(f"{count} {other}" for count, other in called))
        self.setToolTip("\n".join(lines))
        self.updateGeometry()
        self.update()

    def value(self) -> ConfusionPanel | None:
        """What is painted."""
        return self._panel

    def sizeHint(self) -> QSize:  # noqa: N802
        """A square of comfortable cells, its title and its names."""
        count = len(self._panel.classes) if self._panel else 2
        metrics = self.fontMetrics()
        return QSize(self._names_px() + count * _CELL_PX, 4 * metrics.height() + count * _CELL_PX)

    def minimumSizeHint(self) -> QSize:  # noqa: N802
        """Half of it."""
        return self.sizeHint() * 0.6

    def paintEvent(self, _event: QPaintEvent) -> None:  # noqa: N802
        """Title, names, cells."""
        panel = self._panel
        if panel is None:
            return
        painter = QPainter(self)
        text = self.palette().color(QPalette.ColorRole.WindowText)
        painter.setPen(text)
        line, left = self.fontMetrics().height() + 2, self._names_px()
        top, count = 2 * line, len(panel.classes)
        painter.drawText(0, 0, self.width(), line, _CENTRE, panel.title)
        side = max(1, min((self.width() - left) // count, (self.height() - top - line) // count))
        left += max(0, (self.width() - left - side * count) // 2)
        shares = panel.counts / panel.counts.sum(axis=1, keepdims=True).clip(1)
        for column, name in enumerate(panel.classes):
            area = QRect(left + column * side, line, side, line)
            painter.drawText(area, _CENTRE, self._fitting(name, side))
        for row, name in enumerate(panel.classes):
            area = QRect(left - self._names_px(), top + row * side, self._names_px() - 6, side)
            painter.setPen(text)
            painter.drawText(area, _RIGHT, self._fitting(name, area.width()))
            for column in range(count):
                cell = QRect(left + column * side, top + row * side, side, side)
                self._paint_cell(painter, cell, int(panel.counts[row, column]), shares[row, column])
        painter.setPen(text)
        below = QRect(left, top + count * side, count * side, line)
        painter.drawText(below, _CENTRE, self._fitting("called", count * side))
        painter.end()

    def _paint_cell(self, painter: QPainter, cell: QRect, count: int, share: float) -> None:
        ground = colour(0)
        ground.setAlpha(round(20 + 215 * share))
        painter.fillRect(cell.adjusted(1, 1, -1, -1), ground)
        if self._panel is not None and len(self._panel.classes) <= _MOST_TEXT:
            text = self.palette().color(QPalette.ColorRole.WindowText)
            painter.setPen(QColor("white") if share > 0.55 else text)
            painter.drawText(cell, _CENTRE, f"{count:,}")

    def _names_px(self) -> int:
        names = self._panel.classes if self._panel else ("AML",)
        widest = max(int(self.fontMetrics().horizontalAdvance(name)) for name in names)
        return min(90, widest + 12)

    def _fitting(self, text: str, width: int) -> str:
        return str(self.fontMetrics().elidedText(text, Qt.TextElideMode.ElideRight, width))


_CENTRE = int(Qt.AlignmentFlag.AlignCenter)
_RIGHT = int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)


class ConfusionView(QWidget):
    """Two matrices a head, the champion's on the left."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.matrices: list[ConfusionMatrix] = []
        self._grid = QGridLayout()
        self.caption = QLabel(
            "Rows: the readers' answers, given blind; columns: the model's calls; colour: share of "
            "the row."
        )
        self.caption.setWordWrap(True)
        column = QVBoxLayout(self)
        column.addLayout(self._grid, 1)
        column.addWidget(self.caption)
        self.setValue(())

    def setValue(self, panels: Sequence[ConfusionPanel]) -> None:  # noqa: N802
        """Paint these: the champion's and the challenger's of each head in turn."""
        while len(self.matrices) < len(panels):
            made = ConfusionMatrix()
            self._grid.addWidget(made, *divmod(len(self.matrices), 2))
            self.matrices.append(made)
        for number, matrix in enumerate(self.matrices):
            matrix.setVisible(number < len(panels))
            if number < len(panels):
                matrix.setValue(panels[number])
        self.caption.setVisible(bool(panels))
