"""A cell that is a bar behind its text."""

from __future__ import annotations

from qtpy.QtCore import QModelIndex, QRect, Qt
from qtpy.QtGui import QColor, QPainter, QPalette
from qtpy.QtWidgets import QStyle, QStyledItemDelegate, QStyleOptionViewItem, QWidget

from napari_marrow._qt.lines_model import LinesModel
from napari_marrow.lines.jobs import JobLine

_BAR = "#4c6fdc"
"""Stands out from napari's greys, dark and light, selected or not."""


class ProgressDelegate(QStyledItemDelegate):
    """Paints a bar behind the text, as long as the share that is done."""

    def __init__(self, jobs: LinesModel[JobLine], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._jobs = jobs

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex) -> None:
        """Background, bar, text."""
        share = self._jobs.line(index.row()).share_done
        style = option.widget.style()
        style.drawPrimitive(
            QStyle.PrimitiveElement.PE_PanelItemViewItem, option, painter, option.widget
        )
        area = option.rect.adjusted(4, 4, -4, -4)
        painter.save()
        colour = QColor(_BAR)
        colour.setAlpha(50)
        painter.fillRect(area, colour)
        colour.setAlpha(150)
        painter.fillRect(
            QRect(area.left(), area.top(), round(area.width() * share), area.height()), colour
        )
        painter.setPen(option.palette.color(QPalette.ColorRole.Text))
        painter.drawText(area, int(Qt.AlignmentFlag.AlignCenter), str(index.data()))
        painter.restore()
