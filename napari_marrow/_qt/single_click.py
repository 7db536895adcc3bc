"""A button that takes a double click for one click: what it begins is begun once."""

from __future__ import annotations

from qtpy.QtGui import QMouseEvent
from qtpy.QtWidgets import QPushButton


class SingleClickButton(QPushButton):
    """Qt makes two clicks of a double click, and an answer may come between them."""

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        """The second press is of the same wish."""
        event.accept()
