"""The answers to one smear as bars with numbers, a group per head."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import QRectF, QSize, Qt
from qtpy.QtGui import QColor, QPainter, QPaintEvent, QPen
from qtpy.QtWidgets import QSizePolicy, QWidget

from napari_marrow.lines.detail import Bar, HeadBars

CALLED = QColor("#3d85c6")
OTHER = QColor(128, 128, 128, 150)
"""Both can be told from napari's dark and light backgrounds, and by brightness alone."""
GAP_PX = 6
LEAST_BAR_PX = 40


class ProbabilityBars(QWidget):
    """Per head its name, then a row per class: name, bar, probability.

    The called class is bold and blue; a class that cannot be ruled out has a dot behind its number.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._heads: tuple[HeadBars, ...] = ()
        self._laid_out: tuple[HeadBars, ...] = ()
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def setValue(self, heads: Sequence[HeadBars]) -> None:  # noqa: N802
        """Show the answers to these heads."""
        self._heads = tuple(heads)
        # From one row to the next there are none for a moment: nothing below is to jump.
        self._laid_out = self._heads or self._laid_out
        self.setToolTip("\n".join(f"{one.head}: {one.words}" for one in heads if one.words))
        self.setAccessibleDescription(
            "; ".join(
                f"{one.head}: " + ", ".join(f"{bar.class_name} {bar.p:.3f}" for bar in one.bars)
                for one in heads
            )
        )
        self.updateGeometry()
        self.update()

    def value(self) -> tuple[HeadBars, ...]:
        """The answers that are shown."""
        return self._heads

    def sizeHint(self) -> QSize:  # noqa: N802
        """As high as its rows."""
        rows = sum(1 + len(one.bars) for one in self._laid_out)
        return QSize(220, rows * self._row_px() + GAP_PX * len(self._laid_out))

    def minimumSizeHint(self) -> QSize:  # noqa: N802
        """As high as its rows."""
        return QSize(120, self.sizeHint().height())

    def paintEvent(self, _event: QPaintEvent) -> None:  # noqa: N802
        """Draw all heads."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        top, height = 0, self._row_px()
        names = [bar.class_name for one in self._heads for bar in one.bars]
        widest = max((self._bold_width(name) for name in names), default=0)
        name_px = min(widest, self.width() // 2)
        for head in self._heads:
            painter.setFont(self.font())
            painter.setPen(QPen(self.palette().text().color()))
            painter.drawText(0, top, self.width(), height, _LEFT, head.head)
            top += height
            for bar in head.bars:
                self._draw(painter, bar, top, name_px)
                top += height
            top += GAP_PX
        painter.end()

    def _draw(self, painter: QPainter, bar: Bar, top: int, name_px: int) -> None:
        height, font = self._row_px(), self.font()
        font.setBold(bar.is_called)
        painter.setFont(font)
        painter.setPen(QPen(self.palette().text().color()))
        number_px = self._bold_width("0.000") + self._bold_width(" •")
        name = self.fontMetrics().elidedText(bar.class_name, Qt.TextElideMode.ElideRight, name_px)
        painter.drawText(GAP_PX, top, name_px + GAP_PX, height, _LEFT, name)
        left = name_px + 3 * GAP_PX
        room = max(LEAST_BAR_PX, self.width() - left - number_px - GAP_PX)
        box = QRectF(left, top + 3, room, height - 6)
        painter.setPen(QPen(OTHER))
        painter.drawRoundedRect(box, 2, 2)
        painter.fillRect(
            QRectF(box.left(), box.top(), box.width() * bar.p, box.height()),
            CALLED if bar.is_called else OTHER,
        )
        painter.setPen(QPen(self.palette().text().color()))
        words = f"{bar.p:.3f}" + (" •" if bar.is_possible else "")
        painter.drawText(int(box.right()) + GAP_PX, top, number_px, height, _LEFT, words)

    def _row_px(self) -> int:
        return int(self.fontMetrics().height()) + 4

    def _bold_width(self, text: str) -> int:
        # A bold letter is wider by a tenth at most.
        return int(self.fontMetrics().horizontalAdvance(text) * 1.1) + 1


_LEFT = int(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
