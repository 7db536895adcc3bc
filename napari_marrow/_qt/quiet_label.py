"""A line of words that changes several times a second."""

from __future__ import annotations

from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QPainter, QPaintEvent
from qtpy.QtWidgets import QSizePolicy, QWidget

from napari_marrow._qt.columns_model import TROUBLE


class QuietLabel(QWidget):
    """Draws its words and asks nobody for room.

    A QLabel asks for a new layout at each change, upon which a tab widget draws everything anew
    that is in it: 8 ms, five times a second.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._words, self._is_warning = "", False
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)

    def text(self) -> str:
        """The words."""
        return self._words

    def is_warning(self) -> bool:
        """Whether the words stand in the colour of trouble."""
        return self._is_warning

    def setText(self, words: str, is_warning: bool = False) -> None:  # noqa: N802
        """Show these words."""
        if (words, is_warning) != (self._words, self._is_warning):
            self._words, self._is_warning = words, is_warning
            self.setToolTip(words)
            self.setAccessibleName(words)
            self.update()

    def sizeHint(self) -> QSize:  # noqa: N802
        """One line."""
        return QSize(100, self.fontMetrics().height() + 4)

    def paintEvent(self, _event: QPaintEvent) -> None:  # noqa: N802
        """Draw the words, shortened where there is no room."""
        painter = QPainter(self)
        painter.setPen(TROUBLE if self._is_warning else self.palette().text().color())
        shown = self.fontMetrics().elidedText(
            self._words, Qt.TextElideMode.ElideRight, self.width()
        )
        middle = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
        painter.drawText(self.rect(), int(middle), shown)
        painter.end()
