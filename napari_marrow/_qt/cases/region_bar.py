"""Drawing regions: which role, and with which tool."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QButtonGroup, QComboBox, QHBoxLayout, QLabel, QPushButton, QWidget

_ROLES = {"use": "use", "exclude": "exclude"}
_TOOLS = {"rectangle": "Box", "polygon": "Polygon", "none": "Move"}


class RegionBar(QWidget):
    """A role and a tool; the tool stays chosen until `Move`.

    Signals
    -------
    wanted(str, str)
        Role, and `rectangle`, `polygon` or `none`.
    """

    wanted = Signal(str, str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.role = QComboBox()
        self.role.addItems(list(_ROLES))
        self.role.setToolTip(
            "Usable area of a slide: only `use` where there is any, never `exclude`"
        )
        self.tools: dict[str, QPushButton] = {}
        self._group = QButtonGroup(self)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(4)
        row.addWidget(QLabel("Region"))
        row.addWidget(self.role, 1)
        for tool, title in _TOOLS.items():
            button = QPushButton(title)
            button.setCheckable(True)
            button.clicked.connect(self._on_changed)
            self._group.addButton(button)
            self.tools[tool] = button
            row.addWidget(button)
        self.tools["none"].setChecked(True)
        self.role.activated.connect(self._on_changed)

    def value(self) -> tuple[str, str]:
        """Role and tool."""
        tool = next(name for name, button in self.tools.items() if button.isChecked())
        return str(self.role.currentText()), tool

    def reset(self) -> None:
        """Go back to `Move`."""
        self.tools["none"].setChecked(True)

    def _on_changed(self, *_state: object) -> None:
        self.wanted.emit(*self.value())
