"""ROC curves of two models, a plot for each head."""

from __future__ import annotations

from collections.abc import Sequence

import qtpy.QtCore  # noqa: F401 -- as in plots.py

# isort: split
import numpy as np
import pyqtgraph as pg
from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtGui import QResizeEvent
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QLabel, QVBoxLayout, QWidget

from napari_marrow._qt.plots import ThemedPlot, colour
from napari_marrow.lines.models import RocPanel

_BAND_ALPHA, _AXES_PX = 45, 30
_DASHES = (Qt.PenStyle.SolidLine, Qt.PenStyle.DashLine)
_NOTHING = "No curve: it takes patients that trained neither, scored with both and labelled blind."


class HeadRoc(QWidget):
    """The plot of one head; of several classes one at a time, against the rest."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.choice = QComboBox()
        self.plot = ThemedPlot("1 − specificity", "sensitivity")
        self.plot.setXRange(0, 1, padding=0.02)
        self.plot.setYRange(0, 1, padding=0.02)
        self._panel: RocPanel | None = None
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.choice)
        column.addWidget(self.plot, 1)
        column.addStretch(0)
        self.choice.currentIndexChanged.connect(self._draw)

    def setValue(self, panel: RocPanel) -> None:  # noqa: N802
        """Draw this head; the same place in the list of classes stays chosen."""
        row = max(0, self.choice.currentIndex())
        self._panel = panel
        with QSignalBlocker(self.choice):
            self.choice.clear()
            self.choice.addItems([one.name for one in panel.classes])
            self.choice.setCurrentIndex(min(row, len(panel.classes) - 1))
        self._draw()

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802
        """Keep the plot nearly square: a steep curve must not look like a good one."""
        super().resizeEvent(event)
        self.plot.setMaximumHeight(self.width() + _AXES_PX)

    def value(self) -> RocPanel | None:
        """What is drawn."""
        return self._panel

    def _draw(self, *_row: object) -> None:
        row, plot = self.choice.currentIndex(), self.plot
        if self._panel is None or not 0 <= row < len(self._panel.classes):
            return
        plot.clear()
        plot.legend.clear()
        plot.set_title(self._panel.title)
        plot.plot([0, 1], [0, 1], pen=pg.mkPen("#888888", style=Qt.PenStyle.DotLine))
        curves = self._panel.classes[row].curves
        for number, one in enumerate(curves):
            if one.band is not None:
                ends = [pg.PlotCurveItem(one.false_alarms, end) for end in one.band]
                plot.addItem(pg.FillBetweenItem(*ends, brush=colour(number, _BAND_ALPHA)))
        for number, one in enumerate(curves):
            pen = pg.mkPen(colour(number), width=2, style=_DASHES[number % 2])
            # From the corner: at no false alarm the curve rises steeply.
            x, y = np.append(0, one.false_alarms), np.append(0, one.sensitivity)
            plot.plot(x, y, pen=pen, name=one.name, antialias=True)
        plot.place_legend()


class RocView(QWidget):
    """The heads side by side; bands are 95%, pointwise."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.heads: list[HeadRoc] = []
        self.empty = QLabel(_NOTHING)
        self.empty.setWordWrap(True)
        self.empty.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._row = QHBoxLayout()
        self.caption = QLabel(
            "Bands: pointwise 95% of draws of patients. Legend: AUC with its 95% interval."
        )
        self.caption.setWordWrap(True)
        column = QVBoxLayout(self)
        column.addWidget(self.empty, 1)
        column.addLayout(self._row, 1)
        column.addWidget(self.caption)
        self.setValue(())

    def setValue(self, panels: Sequence[RocPanel]) -> None:  # noqa: N802
        """Draw these; plots are kept for the next pair."""
        while len(self.heads) < len(panels):
            self.heads.append(HeadRoc())
            self._row.addWidget(self.heads[-1], 1)
        for number, head in enumerate(self.heads):
            head.setVisible(number < len(panels))
            if number < len(panels):
                head.setValue(panels[number])
        self.empty.setVisible(not panels)
        self.caption.setVisible(bool(panels))
