"""Changing the champion: always with a reason, and against an objection only by a second click."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QLabel, QLineEdit, QPushButton, QVBoxLayout, QWidget

_WHY = "Write the reason first: it is stored with the change"


class PromoteBar(QWidget):
    """The reason, and what can be done with it.

    Signals
    -------
    promote_wanted(int, str, bool)
        The model, the reason, and whether it is forced against the objection.
    rollback_wanted(str)
        The reason.
    """

    promote_wanted = Signal(int, str, bool)
    rollback_wanted = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.objection = QLabel()
        self.objection.setWordWrap(True)
        self.objection.setStyleSheet("color: #e4572e; font-weight: bold")
        self.force = QPushButton("Promote against the objection")
        self.force.setToolTip("The objection and that it was forced stay on record")
        self.reason = QLineEdit()
        self.reason.setPlaceholderText("reason, stored with the change of the champion")
        self.promote = QPushButton()
        self.rollback = QPushButton("Roll back")
        self._challenger: int | None = None
        self._can_roll_back = False
        self._lay_out()
        self.reason.textChanged.connect(self._on_changed)
        self.promote.clicked.connect(lambda: self._emit(is_forced=False))
        self.force.clicked.connect(lambda: self._emit(is_forced=True))
        self.rollback.clicked.connect(lambda: self.rollback_wanted.emit(self._reason()))
        self.set_challenger(None)
        self.set_objection("")

    def set_challenger(self, model_id: int | None) -> None:
        """Who may be promoted; None: nobody."""
        if model_id != self._challenger:
            self.set_objection("")
        self._challenger = model_id
        self.promote.setText("Promote" if model_id is None else f"Promote m{model_id}")
        self._on_changed()

    def set_can_roll_back(self, can: bool) -> None:
        """Whether there was a champion before this one."""
        self._can_roll_back = can
        self._on_changed()

    def set_objection(self, words: str) -> None:
        """Repeat why it was refused, and offer to force it; empty: do not."""
        self.objection.setText(words)
        self.objection.setVisible(bool(words))
        self.force.setVisible(bool(words))
        self._on_changed()

    def _lay_out(self) -> None:
        row = QHBoxLayout()
        row.addWidget(self.reason, 1)
        row.addWidget(self.promote)
        row.addWidget(self.rollback)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(row)
        column.addWidget(self.objection)
        column.addWidget(self.force)

    def _reason(self) -> str:
        return str(self.reason.text()).strip()

    def _emit(self, *, is_forced: bool) -> None:
        if self._challenger is not None:
            self.promote_wanted.emit(self._challenger, self._reason(), is_forced)

    def _on_changed(self, *_changed: object) -> None:
        has_reason = bool(self._reason())
        can = has_reason and self._challenger is not None
        self.promote.setEnabled(can and not self.objection.text())
        self.force.setEnabled(can)
        self.rollback.setEnabled(has_reason and self._can_roll_back)
        for button in (self.promote, self.rollback):
            button.setToolTip("" if has_reason else _WHY)
        if has_reason and not self._can_roll_back:
            self.rollback.setToolTip("There was no champion before this one")
