"""Changing the champion: always with a reason, and against an objection only by a second click."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QLabel, QLineEdit, QPushButton, QVBoxLayout, QWidget

from napari_marrow.lines.models import Offer

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
        self._offer = Offer()
        self._can_roll_back = self._is_changing = False
        self._lay_out()
        self.reason.textChanged.connect(self._on_changed)
        self.promote.clicked.connect(lambda: self._emit(is_forced=False))
        self.force.clicked.connect(lambda: self._emit(is_forced=True))
        self.rollback.clicked.connect(lambda: self.rollback_wanted.emit(self._reason()))
        self.setValue(Offer())
        self.set_objection("")

    def setValue(self, offer: Offer) -> None:  # noqa: N802
        """Say who may be promoted; an objection to another offer is gone."""
        if offer != self._offer:
            self.set_objection("")
        self._offer = offer
        name = "" if offer.challenger is None else f" m{offer.challenger}"
        self.promote.setText(f"Promote{name}")
        self._on_changed()

    def value(self) -> Offer:
        """Who may be promoted."""
        return self._offer

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

    def set_changing(self, is_changing: bool) -> None:
        """Whether the last click has still to be answered: until then there is no other."""
        self._is_changing = is_changing
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
        if self._offer.challenger is not None:
            self.promote_wanted.emit(self._offer.challenger, self._reason(), is_forced)

    def _on_changed(self, *_changed: object) -> None:
        has_reason = bool(self._reason())
        is_ready = has_reason and not self._is_changing
        can = is_ready and self._offer.challenger is not None
        self.promote.setEnabled(can and not self.objection.text())
        self.force.setEnabled(can)
        self.rollback.setEnabled(is_ready and self._can_roll_back)
        why = "" if has_reason else _WHY
        first = "" if self._can_roll_back else "There was no champion before this one"
        self.promote.setToolTip(self._offer.why_not or why)
        self.rollback.setToolTip(first or why)
