"""Drawing regions: what they say, and with which tool."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import QSignalBlocker, Signal
from qtpy.QtGui import QColor, QIcon, QPixmap
from qtpy.QtWidgets import (
    QButtonGroup,
    QComboBox,
    QDoubleSpinBox,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_marrow.region_kinds import RegionKind, region_colour

_TOOLS = {
    "rectangle": ("Box", "Draw a rectangle (R in label mode)"),
    "polygon": ("Polygon", "Click the corners, Enter or a double click ends (P in label mode)"),
    "brush": ("Brush", "Paint with the mouse button held; the stroke becomes a polygon"),
    "edit": (
        "Edit",
        "Click a region to select it and drag its points; Delete removes it; the box on the left "
        "changes what it says",
    ),
    "none": ("Move", "Move the smear"),
}
SWATCH_PX = 12
WIDEST_UM = 5000.0


class RegionBar(QWidget):
    """What a region says, and a tool, which stays chosen until `Move`.

    Signals
    -------
    wanted(str, str, str)
        Role, tool (`rectangle`, `polygon`, `brush`, `edit` or `none`), and class ("": none).
    kind_chosen(str, str)
        Role and class, for the selected regions too.
    brush_changed(object)
        Radius in um (px where the pixel size is unknown), None: as wide on the screen at each
        zoom.
    entered()
        A region's meaning or the brush was chosen, and no text is being typed any more.
    """

    wanted = Signal(str, str, str)
    kind_chosen = Signal(str, str)
    brush_changed = Signal(object)
    entered = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._kinds: tuple[RegionKind, ...] = ()
        self.role = QComboBox()
        # Else a dock of 320 px would grow with the longest name of a class.
        self.role.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        self.role.setMinimumContentsLength(6)
        self.role.setToolTip(
            "Usable area of a slide: only `use` where there is any, never `exclude`"
        )
        self.brush = QDoubleSpinBox()
        self.brush.setRange(0.0, WIDEST_UM)
        self.brush.setDecimals(1)
        self.brush.setSpecialValueText("brush auto")
        self.brush.setPrefix("brush ")
        self.brush.setToolTip(
            "Radius of the brush in µm, in px where the pixel size is unknown; auto: as wide on "
            "the screen at each zoom"
        )
        self.tools: dict[str, QPushButton] = {}
        self._group = QButtonGroup(self)
        self._lay_out()
        self.set_kinds((RegionKind("use"), RegionKind("exclude")))
        self.tools["none"].setChecked(True)
        self.role.activated.connect(self._on_role_activated)
        self.brush.valueChanged.connect(self._on_brush_changed)
        self.brush.lineEdit().returnPressed.connect(self.entered)

    def set_kinds(self, kinds: Sequence[RegionKind]) -> None:
        """Offer these, each with its colour."""
        self._kinds = tuple(kinds)
        with QSignalBlocker(self.role):
            self.role.clear()
            for kind in self._kinds:
                swatch = QPixmap(SWATCH_PX, SWATCH_PX)
                swatch.fill(QColor(region_colour(kind, self._kinds)))
                self.role.addItem(QIcon(swatch), kind.title)

    def value(self) -> tuple[str, str, str]:
        """Role, tool and class."""
        tool = next(name for name, button in self.tools.items() if button.isChecked())
        kind = self._kind()
        return kind.role, tool, kind.class_name

    def take(self, tool: str) -> None:
        """Choose a tool as if its button were clicked."""
        self.tools[tool].setChecked(True)
        self.wanted.emit(*self.value())

    def reset(self) -> None:
        """Go back to `Move`, without a word."""
        self.tools["none"].setChecked(True)

    def _kind(self) -> RegionKind:
        return self._kinds[max(0, int(self.role.currentIndex()))]

    def _on_role_activated(self, _index: int) -> None:
        kind = self._kind()
        self.kind_chosen.emit(kind.role, kind.class_name)
        self.entered.emit()

    def _on_brush_changed(self, radius: float) -> None:
        self.brush_changed.emit(radius or None)
        if not self.brush.lineEdit().isModified():  # by an arrow or the wheel
            self.entered.emit()

    def _lay_out(self) -> None:
        first, second = QHBoxLayout(), QHBoxLayout()
        first.addWidget(QLabel("Region"))
        first.addWidget(self.role, 1)
        first.addWidget(self.brush)
        for tool, (title, tip) in _TOOLS.items():
            button = QPushButton(title)
            button.setCheckable(True)
            button.setToolTip(tip)
            button.clicked.connect(lambda _is_on, tool=tool: self.take(tool))
            # Five of them in a dock of 320 px.
            button.setStyleSheet("QPushButton { padding: 3px 4px; }")
            self._group.addButton(button)
            self.tools[tool] = button
            second.addWidget(button, 1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(3)
        for row in (first, second):
            row.setSpacing(3)
            column.addLayout(row)
