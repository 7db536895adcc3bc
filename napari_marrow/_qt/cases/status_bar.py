"""How far the reader has come, and whether every label and region is in the study."""

from __future__ import annotations

import html

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QHBoxLayout, QLabel, QProgressBar, QVBoxLayout, QWidget

from napari_marrow.lines.outbox import unsent_text

_SAFE, _WAITING, _LINK = "#2e9e5b", "#e4572e", "#4a90d9"
"""All readable on napari's dark and light backgrounds."""


class StatusBar(QWidget):
    """A bar `148/400`, `saved ok` or how many labels wait, and what is missing.

    Signals
    -------
    patients_wanted()
        A person wants to see the smears without a patient.
    """

    patients_wanted = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.progress = QProgressBar()
        self.progress.setFormat("%v/%m")
        self.progress.setToolTip("Smears that you have labelled, of all in the study")
        self.saved = QLabel()
        self.words = QLabel()
        self.words.setWordWrap(True)
        self.words.linkActivated.connect(lambda _link: self.patients_wanted.emit())
        self.trouble = QLabel()
        self.trouble.setWordWrap(True)
        self.trouble.setTextFormat(Qt.TextFormat.PlainText)
        self.trouble.setStyleSheet(f"color: {_WAITING};")
        row = QHBoxLayout()
        row.addWidget(self.progress, 1)
        row.addWidget(self.saved)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(3)
        column.addLayout(row)
        column.addWidget(self.words)
        column.addWidget(self.trouble)
        self.set_saved(0, "")

    def set_counts(self, read: int, smears: int, without_patient: int, others: str) -> None:
        """See `CasesView.set_counts`."""
        self.progress.setRange(0, max(smears, 1))
        self.progress.setValue(read)
        self.progress.setVisible(smears > 0)
        parts = [f"others: {html.escape(others)}"] if others else []
        if without_patient:
            words = f"{without_patient:,} without a patient"
            parts.append(f'<a href="patients" style="color: {_LINK};">{words}</a>')
        if not smears:
            parts = ["No smear yet: add files or a folder, or drop them here."]
        self.words.setText(" · ".join(parts))
        self.words.setVisible(bool(parts))

    def set_saved(self, unsent: int, trouble: str) -> None:
        """See `OutboxController.saved`."""
        self.saved.setText(f"{unsent:,} unsent" if unsent else "saved ok")
        self.saved.setStyleSheet(f"color: {_WAITING if unsent else _SAFE}; font-weight: bold;")
        self.trouble.setText(unsent_text(unsent, trouble))
        self.trouble.setVisible(unsent > 0)
