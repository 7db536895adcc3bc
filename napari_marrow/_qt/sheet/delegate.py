"""How a smear looks on the contact sheet: its picture, its name, its label, its flag."""

from __future__ import annotations

from qtpy.QtCore import QModelIndex, QPersistentModelIndex, QRect, QSize, Qt
from qtpy.QtGui import QColor, QPainter, QPalette
from qtpy.QtWidgets import QStyle, QStyledItemDelegate, QStyleOptionViewItem

from napari_marrow._qt.sheet.model import SheetModel
from napari_marrow.thumbnails import THUMBNAIL_PX

CELL_PX = QSize(THUMBNAIL_PX + 16, THUMBNAIL_PX + 34)
_BADGE = QColor(0, 0, 0, 190)
_FLAG = QColor("#e4572e")
_SELECTED = QColor("#3a6fd8")
"""napari's own is hardly told from its ground."""
_WAITING = QColor(128, 128, 128, 50)


class SheetDelegate(QStyledItemDelegate):
    """Paints one cell from ready-made strings and pictures."""

    def sizeHint(  # noqa: N802
        self, _option: QStyleOptionViewItem, _index: QModelIndex | QPersistentModelIndex
    ) -> QSize:
        """One size for all: nothing is measured."""
        return CELL_PX

    def paint(
        self,
        painter: QPainter,
        option: QStyleOptionViewItem,
        index: QModelIndex | QPersistentModelIndex,
    ) -> None:
        """Paint a smear."""
        model = index.model()
        if not isinstance(model, SheetModel):
            return
        line = model.line(index.row())
        cell = option.rect
        picture = QRect(cell.left() + 8, cell.top() + 6, THUMBNAIL_PX, THUMBNAIL_PX)
        painter.save()
        is_selected = bool(option.state & QStyle.StateFlag.State_Selected)
        if is_selected:
            painter.fillRect(cell.adjusted(2, 1, -2, -1), _SELECTED)
        self._paint_picture(painter, picture, model, line.smear_id)
        if line.label:
            self._paint_label(painter, picture, line.label)
        if line.is_flagged:
            flag = QRect(picture.right() - 21, picture.top(), 22, 22)
            painter.fillRect(flag, _FLAG)
            painter.setPen(Qt.GlobalColor.white)
            painter.drawText(flag, int(Qt.AlignmentFlag.AlignCenter), "⚑")
        ink = option.palette.color(QPalette.ColorRole.Text)
        painter.setPen(QColor(255, 255, 255) if is_selected else ink)
        below = QRect(cell.left(), picture.bottom() + 4, cell.width(), 20)
        painter.drawText(below, int(Qt.AlignmentFlag.AlignCenter), line.name)
        painter.restore()

    def _paint_picture(
        self, painter: QPainter, place: QRect, model: SheetModel, smear_id: int
    ) -> None:
        pixmap = model.pixmap(smear_id)
        if pixmap is not None:
            at = place.center() - pixmap.rect().center()
            painter.drawPixmap(at, pixmap)
            return
        painter.fillRect(place, _WAITING)
        if model.is_made(smear_id):
            painter.drawText(place, int(Qt.AlignmentFlag.AlignCenter), "no picture")

    def _paint_label(self, painter: QPainter, picture: QRect, label: str) -> None:
        metrics = painter.fontMetrics()
        words = metrics.elidedText(label, Qt.TextElideMode.ElideRight, picture.width() - 10)
        width, height = metrics.horizontalAdvance(words) + 10, metrics.height() + 2
        badge = QRect(picture.left(), picture.bottom() - height + 1, width, height)
        painter.fillRect(badge, _BADGE)
        painter.setPen(Qt.GlobalColor.white)
        painter.drawText(badge, int(Qt.AlignmentFlag.AlignCenter), words)
