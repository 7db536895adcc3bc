"""The line that names the open study and its reader."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QLabel, QLineEdit, QPushButton, QVBoxLayout, QWidget
from superqt import QElidingLabel

from marrow.schemes import Scheme


class StudyBar(QWidget):
    """Names the study; the reader's name can be edited.

    Signals
    -------
    other_wanted()
        A person wants another study.
    reader_changed(str)
    """

    other_wanted = Signal()
    reader_changed = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._name = QElidingLabel()
        other = QPushButton("Study…")
        other.setToolTip("Open or create another study")
        other.clicked.connect(self.other_wanted)
        self._reader = QLineEdit()
        self._reader.setPlaceholderText("reader")
        self._reader.setToolTip("Name under which labels are stored")
        self._reader.editingFinished.connect(self._on_reader_finished)
        first = QHBoxLayout()
        first.addWidget(self._name, 1)
        first.addWidget(other)
        second = QHBoxLayout()
        second.addWidget(QLabel("Reader"))
        second.addWidget(self._reader, 1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(first)
        column.addLayout(second)

    def set_study(self, home: Path, scheme: Scheme, reader: str) -> None:
        """Name the open study."""
        self._name.setText(f"{home.name} · {scheme.name}")
        self._name.setToolTip(str(home))
        self._reader.setText(reader)

    def reader(self) -> str:
        """The name as it is typed."""
        return str(self._reader.text())

    def _on_reader_finished(self) -> None:
        self.reader_changed.emit(self._reader.text())
