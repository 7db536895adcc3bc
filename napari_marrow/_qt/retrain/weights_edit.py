"""Where a network's first weights come from: nowhere, ImageNet, or a file."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QFileDialog, QWidget

_FILE = "file …"
_KNOWN = ("none", "imagenet")


class WeightsEdit(QComboBox):
    """Edits `none`, `imagenet`, or the path of a file.

    Signals
    -------
    changed()
    """

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.addItems([*_KNOWN, _FILE])
        self.setToolTip(
            "none: random numbers; imagenet: as `marrow models fetch` has downloaded them; "
            "or a state dict or safetensors file"
        )
        self._path = ""
        self._before = 0
        self.activated.connect(self._on_activated)

    def setValue(self, weights: str) -> None:  # noqa: N802
        """Show this source."""
        if weights in _KNOWN:
            self._path = ""
            self.setItemText(2, _FILE)
            self.setCurrentIndex(_KNOWN.index(weights))
        else:
            self._path = weights
            self.setItemText(2, Path(weights).name)
            self.setCurrentIndex(2)
        self._before = self.currentIndex()

    def value(self) -> str:
        """`none`, `imagenet`, or a path."""
        index = self.currentIndex()
        return _KNOWN[index] if index < 2 else self._path

    def _on_activated(self, index: int) -> None:
        if index == 2:
            chosen, _kind = QFileDialog.getOpenFileName(
                self, "Weights of the network", self._path, "Weights (*.pth *.pt *.safetensors)"
            )
            if not chosen and not self._path:
                self.setCurrentIndex(self._before)
                return
            self.setValue(chosen or self._path)
        else:
            self.setValue(_KNOWN[index])
        self.changed.emit()
