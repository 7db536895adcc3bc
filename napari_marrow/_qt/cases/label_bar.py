"""A button per class: the reader's answer to the selected smears."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QLabel, QPushButton, QVBoxLayout, QWidget
from superqt import QFlowLayout

from marrow.schemes import Head


class LabelBar(QWidget):
    """One row of buttons per head that is asked.

    Signals
    -------
    given(str, str)
        Head and answer; "" takes an answer back.
    """

    given = Signal(str, str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.buttons: dict[tuple[str, str], QPushButton] = {}
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._rows: list[QWidget] = []
        self._words = QLabel()
        self._words.hide()
        self._column.addWidget(self._words)

    def set_heads(self, heads: Sequence[Head]) -> None:
        """Show the buttons of these heads."""
        for row in self._rows:
            self._column.removeWidget(row)
            row.deleteLater()
        self._rows, self.buttons = [], {}
        for head in heads:
            row = QWidget()
            flow = QFlowLayout(row)
            flow.setContentsMargins(0, 0, 0, 0)
            flow.setHorizontalSpacing(4)
            flow.setVerticalSpacing(4)
            if len(heads) > 1:
                flow.addWidget(QLabel(head.name))
            for answer in (*head.classes, "unsure"):
                flow.addWidget(self._button(head.name, answer, answer))
            flow.addWidget(self._button(head.name, "", "no label"))
            self._rows.append(row)
            self._column.addWidget(row)

    def set_selected(self, count: int) -> None:
        """How many smears would be labelled."""
        self.setEnabled(count > 0)
        self._words.setText(f"<b>Label {count} smears:</b>")
        self._words.setVisible(count > 1)
        for (head, answer), button in self.buttons.items():
            what = f"“{answer}”" if answer else "no answer"
            smears = "the smear" if count == 1 else f"{count} smears"
            button.setToolTip(f"{head}: {what} for {smears}")

    def _button(self, head: str, answer: str, title: str) -> QPushButton:
        button = QPushButton(title)
        button.clicked.connect(lambda: self.given.emit(head, answer))
        self.buttons[head, answer] = button
        return button
