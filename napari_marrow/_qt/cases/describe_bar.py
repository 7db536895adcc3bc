"""Patient and site for all selected smears at once."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QLineEdit, QPushButton, QWidget


class DescribeBar(QWidget):
    """Two fields and a button; an empty field changes nothing.

    Signals
    -------
    wanted(str, str)
        `patient` or `site`, and its text.
    entered()
        Enter or the button was pressed.
    """

    wanted = Signal(str, str)
    entered = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.fields = {name: QLineEdit() for name in ("patient", "site")}
        self.button = QPushButton("Set")
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        for name, field in self.fields.items():
            field.setPlaceholderText(name)
            field.setToolTip(f"The {name} of all selected smears; no names, a pseudonym")
            field.returnPressed.connect(self._on_set_clicked)
            row.addWidget(field, 1)
        row.addWidget(self.button)
        self.button.clicked.connect(self._on_set_clicked)
        self.set_selected(0)

    def set_selected(self, count: int) -> None:
        """How many smears would be described."""
        self.button.setText(f"Set for {count}" if count > 1 else "Set")
        self.setEnabled(count > 0)

    def _on_set_clicked(self) -> None:
        for name, field in self.fields.items():
            if field.text().strip():
                self.wanted.emit(name, field.text().strip())
                field.clear()
        self.entered.emit()
