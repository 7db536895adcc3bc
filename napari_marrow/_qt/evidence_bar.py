"""Which class's heatmap is drawn, and how strongly."""

from __future__ import annotations

from qtpy.QtCore import QSignalBlocker, Qt, Signal
from qtpy.QtWidgets import QCheckBox, QComboBox, QHBoxLayout, QSlider, QWidget

from marrow.schemes import Scheme
from napari_marrow.session import Evidence

OPACITY_PX = 64
"""Of the slider: the room of a dock of 320 px is for the name of the class."""
MARGIN_PX = 32
"""Beside the words of an open box, with its scroll bar."""


class EvidenceBar(QWidget):
    """A switch, a class and an opacity.

    Signals
    -------
    chosen(object)
        An `Evidence`.
    shown_changed(bool)
    opacity_changed(float)
        0 to 1.
    """

    chosen = Signal(object)
    shown_changed = Signal(bool)
    opacity_changed = Signal(float)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._choices: tuple[Evidence, ...] = ()
        self.switch = QCheckBox("Evidence")
        self.switch.setChecked(True)
        self.switch.setToolTip("Draw where the model found its evidence")
        self.classes = QComboBox()
        # Else a dock of 320 px would grow with the longest name of a class.
        self.classes.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        self.classes.setMinimumContentsLength(6)
        self.opacity = QSlider(Qt.Orientation.Horizontal)
        self.opacity.setRange(0, 100)
        self.opacity.setValue(70)
        self.opacity.setToolTip("Opacity")
        self.opacity.setFixedWidth(OPACITY_PX)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.switch)
        row.addWidget(self.classes, 1)
        row.addWidget(self.opacity)
        self.switch.toggled.connect(self.shown_changed)
        self.classes.activated.connect(self._on_class_activated)
        self.classes.currentTextChanged.connect(self._show_hint)
        self.opacity.valueChanged.connect(lambda value: self.opacity_changed.emit(value / 100))

    def set_scheme(self, scheme: Scheme) -> None:
        """Offer the classes of all heads."""
        self._choices = tuple(
            Evidence(head.name, name) for head in scheme.heads for name in head.classes
        )
        with QSignalBlocker(self.classes):
            self.classes.clear()
            # The class first: a long name loses its end.
            self.classes.addItems([f"{one.class_name} · {one.head}" for one in self._choices])
        popup = self.classes.view()
        popup.setMinimumWidth(popup.sizeHintForColumn(0) + MARGIN_PX)
        self._show_hint()

    def setValue(self, evidence: Evidence | None) -> None:  # noqa: N802
        """Show which class is drawn; None: no answer is shown."""
        self.setEnabled(evidence is not None)
        if evidence in self._choices:
            self.classes.setCurrentIndex(self._choices.index(evidence))

    def value(self) -> Evidence | None:
        """The chosen class."""
        index = self.classes.currentIndex()
        return self._choices[index] if 0 <= index < len(self._choices) else None

    def set_opacity(self, opacity: float) -> None:
        """Show this opacity, 0 to 1."""
        with QSignalBlocker(self.opacity):
            self.opacity.setValue(round(opacity * 100))

    def set_shown(self, is_shown: bool) -> None:
        """Show whether the heatmap is drawn."""
        with QSignalBlocker(self.switch):
            self.switch.setChecked(is_shown)

    def _show_hint(self) -> None:
        chosen = self.value()
        which = "which answer" if chosen is None else f"{chosen.head}: {chosen.class_name}"
        self.classes.setToolTip(f"Evidence for {which}")

    def _on_class_activated(self, index: int) -> None:
        self.chosen.emit(self._choices[index])
