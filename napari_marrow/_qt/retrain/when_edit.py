"""Now, or tonight between two times."""

from __future__ import annotations

from qtpy.QtCore import QTime, Signal
from qtpy.QtWidgets import QCheckBox, QComboBox, QHBoxLayout, QTimeEdit, QWidget

_CLOCK = "HH:mm"


class WhenEdit(QWidget):
    """Edits when a job may begin and must pause.

    Signals
    -------
    changed()
    """

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.when = QComboBox()
        self.when.addItems(["now", "tonight"])
        self.when.setToolTip("Tonight: local time; what is left then waits for the next night")
        self.begin, self.end = _clock("22:00"), _clock("06:00")
        self.has_end = QCheckBox("until")
        self.has_end.setToolTip("Off: once it has begun it runs to its end")
        self.has_end.setChecked(True)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        for widget in (self.when, self.begin, self.has_end, self.end):
            row.addWidget(widget)
        row.addStretch(1)
        self.when.currentIndexChanged.connect(self._on_changed)
        self.has_end.toggled.connect(self._on_changed)
        for edit in (self.begin, self.end):
            edit.timeChanged.connect(self._on_changed)
        self._on_changed()

    def setValue(self, at: str | None, until: str | None) -> None:  # noqa: N802
        """Show these times, HH:MM; `at` None: now."""
        self.when.setCurrentIndex(0 if at is None else 1)
        if at is not None:
            self.begin.setTime(QTime.fromString(at, _CLOCK))
            self.has_end.setChecked(until is not None)
        if until is not None:
            self.end.setTime(QTime.fromString(until, _CLOCK))

    def set_times(self, begin: str, end: str) -> None:
        """Offer these times for tonight."""
        self.begin.setTime(QTime.fromString(begin, _CLOCK))
        self.end.setTime(QTime.fromString(end, _CLOCK))

    def value(self) -> tuple[str | None, str | None]:
        """When it may begin, None: now, and when it must pause, None: never."""
        if self.when.currentIndex() == 0:
            return None, None
        until = self.end.time().toString(_CLOCK) if self.has_end.isChecked() else None
        return self.begin.time().toString(_CLOCK), until

    def _on_changed(self, *_changed: object) -> None:
        is_tonight = self.when.currentIndex() == 1
        for widget in (self.begin, self.has_end, self.end):
            widget.setVisible(is_tonight)
        self.end.setEnabled(self.has_end.isChecked())
        self.changed.emit()


def _clock(text: str) -> QTimeEdit:
    made = QTimeEdit(QTime.fromString(text, _CLOCK))
    made.setDisplayFormat(_CLOCK)
    return made
