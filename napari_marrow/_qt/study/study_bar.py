"""The line that names the open study and its reader."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import QSignalBlocker, Signal
from qtpy.QtWidgets import QHBoxLayout, QLabel, QLineEdit, QMessageBox, QToolButton, QWidget
from superqt import QElidingLabel

from marrow.schemes import Scheme

READER_PX = 96


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
        self._stored = ""
        self._is_labelling = False
        self._name = QElidingLabel()
        other = QToolButton()
        other.setText("…")
        other.setToolTip("Open or create another study")
        other.clicked.connect(self.other_wanted)
        self._reader = QLineEdit()
        self._reader.setPlaceholderText("reader")
        self._reader.setFixedWidth(READER_PX)
        self._reader.setToolTip("Name under which labels are stored")
        self._reader.editingFinished.connect(self._on_reader_finished)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self._name, 1)
        row.addWidget(other)
        row.addWidget(QLabel("Reader"))
        row.addWidget(self._reader)

    def set_study(self, home: Path, scheme: Scheme, reader: str) -> None:
        """Name the open study."""
        self._name.setText(f"{home.name} · {scheme.name}")
        self._name.setToolTip(f"{home}\nQuestions: {scheme.name}")
        self._stored = reader
        self._reader.setText(reader)

    def set_labelling(self, is_on: bool) -> None:
        """In the middle of a run of labels another name is asked for."""
        self._is_labelling = is_on

    def reader(self) -> str:
        """The name as it is typed."""
        return str(self._reader.text())

    def _on_reader_finished(self) -> None:
        wanted = self._reader.text().strip()
        if wanted == self._stored:
            return
        is_name = bool(wanted) and wanted.isprintable()
        if not is_name or (self._is_labelling and not self._is_sure(wanted)):
            self._reader.setText(self._stored)
            return
        self._stored = wanted
        self.reader_changed.emit(wanted)

    def _is_sure(self, wanted: str) -> bool:
        question = (
            f"From now on labels are stored under the name “{wanted}”, no longer "
            f"“{self._stored}”. Go on?"
        )
        with QSignalBlocker(self._reader):  # the dialog takes the focus: finished once more
            answer = QMessageBox.question(self, "Another reader", question)
        return bool(answer == QMessageBox.StandardButton.Yes)
