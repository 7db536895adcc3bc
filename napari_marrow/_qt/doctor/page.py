"""The doctor page: a window with all findings and what to do about them."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import Signal
from qtpy.QtGui import QGuiApplication
from qtpy.QtWidgets import QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_marrow._qt.lines_model import LinesModel
from napari_marrow._qt.lines_table import LinesTable
from napari_marrow.lines.doctor import DOCTOR_COLUMNS, FindingLine


class DoctorPage(QWidget):
    """The `DoctorView`.

    Signals
    -------
    wanted()
        Look again.
    """

    wanted = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Marrow doctor")
        self.resize(900, 480)
        self.model: LinesModel[FindingLine] = LinesModel(self)
        self.model.set_columns(DOCTOR_COLUMNS)
        self.table = LinesTable(self.model)
        self.table.set_widths(["✓", "installation", "PostgreSQL, ok: pages and references", "…"], 3)
        self.words = QLabel()
        self.words.setWordWrap(True)
        self.again = QPushButton("Look again")
        self.again.clicked.connect(self.wanted)
        self.copy = QPushButton("Copy as text")
        self.copy.setToolTip("For a message to whoever looks after this machine; names no patient")
        self.copy.clicked.connect(self._on_copy_clicked)
        row = QHBoxLayout()
        row.addWidget(self.words, 1)
        row.addWidget(self.copy)
        row.addWidget(self.again)
        column = QVBoxLayout(self)
        column.addLayout(row)
        column.addWidget(self.table, 1)

    def set_findings(self, lines: Sequence[FindingLine], words: str) -> None:
        """See `DoctorView.set_findings`."""
        self.model.set_lines(lines)
        self.words.setText(words)
        self.again.setEnabled(True)
        self.copy.setEnabled(bool(lines))

    def set_busy(self, words: str) -> None:
        """See `DoctorView.set_busy`."""
        self.words.setText(words)
        self.again.setEnabled(False)

    def _on_copy_clicked(self) -> None:
        text = "\n".join("\t".join(line.cells) for line in self.model.lines())
        QGuiApplication.clipboard().setText(text)
