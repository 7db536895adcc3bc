"""The doctor page: a window with all findings and what to do about them."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import Signal
from qtpy.QtGui import QGuiApplication
from qtpy.QtWidgets import QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_marrow._qt.lines_model import LinesModel
from napari_marrow._qt.lines_table import LinesTable
from napari_marrow.lines.doctor import DOCTOR_COLUMNS, FindingLine

_FOUND, _REMEDY = 2, 3
FOUND_EXAMPLE = "PostgreSQL, ok: pages and references"
"""Of the column beside what to do; the whole text is in its tooltip."""


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
        self._fit_columns(())
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
        self._fit_columns(lines)
        self.words.setText(words)
        self.again.setEnabled(True)
        self.copy.setEnabled(bool(lines))

    def set_busy(self, words: str) -> None:
        """See `DoctorView.set_busy`."""
        self.words.setText(words)
        self.again.setEnabled(False)

    def _fit_columns(self, lines: Sequence[FindingLine]) -> None:
        """Room for what was found; for what to do, only where there is something to do."""
        subject = max((line.cells[1] for line in lines), key=len, default="")
        has_remedy = any(line.cells[_REMEDY] for line in lines)
        widest = _REMEDY if has_remedy else _FOUND
        self.table.set_widths(["✓", subject, FOUND_EXAMPLE, "…"], stretch=widest)

    def _on_copy_clicked(self) -> None:
        text = "\n".join("\t".join(line.cells) for line in self.model.lines())
        QGuiApplication.clipboard().setText(text)
