"""A button per class: the reader's answer to the selected smears."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QLabel, QPushButton, QVBoxLayout, QWidget
from superqt import QFlowLayout

from marrow.schemes import Head
from napari_marrow.lines.labelling import UNSURE, answer_keys

SPACING_PX = 4
TITLE_PX = 26
"""As high as the buttons beside it."""


class LabelBar(QWidget):
    """One row of buttons per head that is asked, each with its key in label mode.

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
        self._column.setSpacing(SPACING_PX)
        self._rows: dict[str, QWidget] = {}
        self._always: frozenset[str] = frozenset()
        self._titles: dict[str, QLabel] = {}
        self._words = QLabel()
        self._words.hide()
        self._column.addWidget(self._words)

    def set_heads(self, heads: Sequence[Head]) -> None:
        """Show the buttons of these heads."""
        for row in self._rows.values():
            self._column.removeWidget(row)
            row.deleteLater()
        self._rows, self.buttons, self._titles = {}, {}, {}
        self._always = frozenset(head.name for head in heads if not head.asked_when)
        for head in heads:
            row = QWidget()
            flow = QFlowLayout(row)
            flow.setContentsMargins(0, 0, 0, 0)
            flow.setHorizontalSpacing(SPACING_PX)
            flow.setVerticalSpacing(SPACING_PX)
            if len(heads) > 1:
                self._titles[head.name] = QLabel(head.name)
                self._titles[head.name].setMinimumHeight(TITLE_PX)
                flow.addWidget(self._titles[head.name])
            keys = {answer: key for key, answer in answer_keys(head).items()}
            for answer in (*head.classes, UNSURE):
                title = f"{keys[answer]} {answer}" if answer in keys else answer
                flow.addWidget(self._button(head.name, answer, title))
            flow.addWidget(self._button(head.name, "", "clear"))
            self._rows[head.name] = row
            self._column.addWidget(row)

    def set_selected(self, count: int) -> None:
        """How many smears would be labelled."""
        self.setEnabled(count > 0)
        self._words.setText(f"<b>Label {count:,} smears:</b>")
        self._words.setVisible(count > 1)
        for (head, answer), button in self.buttons.items():
            what = f"“{answer}”" if answer else "no answer"
            smears = "the smear" if count == 1 else f"{count:,} smears"
            button.setToolTip(f"{head}: {what} for {smears}")

    def set_asked(self, head: str | None) -> None:
        """Point out the head that the digits answer, None: no digit does.

        Heads that are asked on a condition are shown when they are asked.
        """
        for name, row in self._rows.items():
            row.setVisible(head is None or name == head or name in self._always)
        for name, title in self._titles.items():
            title.setText(f"<b>▸ {name}</b>" if name == head else name)

    def _button(self, head: str, answer: str, title: str) -> QPushButton:
        button = QPushButton(title.replace("&", "&&"))
        button.setStyleSheet("padding: 4px 6px;")
        button.clicked.connect(lambda: self.given.emit(head, answer))
        self.buttons[head, answer] = button
        return button
