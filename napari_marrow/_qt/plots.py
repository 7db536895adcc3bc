"""A plot that takes napari's theme, and draws no more than it must.

What costs time is the axes: their labels are laid out anew whenever a range changes. So ranges
are given and never found by pyqtgraph itself, and curves are kept and get new data.
"""

from __future__ import annotations

from typing import Any

import qtpy.QtCore  # noqa: F401 -- the binding that it chooses must be there first

# isort: split
import pyqtgraph as pg
from qtpy.QtCore import QEvent, Qt
from qtpy.QtGui import QColor, QPalette
from qtpy.QtWidgets import QWidget

PALETTE = (
    "#4c8df0",
    "#e0762f",
    "#2fa46f",
    "#b06be0",
    "#d94a5d",
    "#22a0b3",
    "#b08a1e",
    "#d565a6",
)
"""Each readable on napari's dark and light backgrounds, and told apart by the colour-blind as far
as eight can be; lines differ by their dash, too."""


LEGEND_ALPHA = 205
"""Of what is behind a legend: its words can be read where curves pass under it."""


def colour(number: int, alpha: int = 255) -> QColor:
    """The colour of the n-th curve; alpha 0 to 255."""
    made = QColor(PALETTE[number % len(PALETTE)])
    made.setAlpha(alpha)
    return made


class ThemedPlot(pg.PlotWidget):
    """A plot in the colours of its window, with its ranges fixed and no menu.

    Parameters
    ----------
    bottom, left : str
        What the axes show, with the unit.
    """

    legend: Any = None  # Qt tells of the style while the plot is still being made
    _foreground = ""

    def __init__(self, bottom: str, left: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        # What is behind a plot that lets it through is painted anew with each curve.
        self.viewport().setAttribute(Qt.WidgetAttribute.WA_OpaquePaintEvent)
        self._titles = {"bottom": bottom, "left": left}
        plot = self.getPlotItem()
        plot.setMenuEnabled(False)
        plot.hideButtons()
        plot.disableAutoRange()
        plot.setMouseEnabled(x=False, y=False)
        plot.showGrid(x=False, y=True, alpha=0.12)  # both ways it is half of what a paint costs
        self.legend = plot.addLegend(offset=(-8, -8), colCount=1)
        self.legend.setLabelTextSize("8pt")
        plot.layout.setContentsMargins(2, 4, 10, 8)
        self.setFrameShape(pg.PlotWidget.Shape.NoFrame)
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self._take_theme()

    @property
    def foreground(self) -> str:
        """Name of the colour of text and axes."""
        return self._foreground

    def set_title(self, text: str) -> None:
        """What the plot shows, above it."""
        self.getPlotItem().setTitle(text, color=self._foreground, size="9pt")

    def set_left(self, title: str) -> None:
        """What the left axis shows."""
        self._titles["left"] = title
        self.setLabel("left", title, color=self._foreground, **{"font-size": "9pt"})

    def place_legend(self, corner: tuple[int, int] = (1, 1)) -> None:
        """Put the legend into a corner, (0, 0) the upper left, whatever its size now is."""
        offset = tuple(-8 if side else 8 for side in corner)
        self.legend.anchor(itemPos=corner, parentPos=corner, offset=offset)

    def changeEvent(self, event: QEvent) -> None:  # noqa: N802
        """Follow the window's theme."""
        super().changeEvent(event)
        if event.type() in (QEvent.Type.StyleChange, QEvent.Type.PaletteChange):
            self._take_theme()

    def _take_theme(self) -> None:
        name = self.palette().color(QPalette.ColorRole.WindowText).name()
        if name == self._foreground or self.legend is None:
            return
        self._foreground = name
        ground = self.palette().color(QPalette.ColorRole.Window)
        self.setBackground(ground)
        ground.setAlpha(LEGEND_ALPHA)
        self.legend.setBrush(ground)
        plot = self.getPlotItem()
        for side, title in self._titles.items():
            axis = plot.getAxis(side)
            axis.setStyle(maxTickLevel=0, hideOverlappingLabels=False)
            axis.setPen(name)
            axis.setTextPen(name)
            plot.setLabel(side, title, color=name, **{"font-size": "9pt"})
        self.legend.setLabelTextColor(name)
        for _sample, label in self.legend.items:
            label.setText(label.text, color=name)
        if plot.titleLabel.text:
            self.set_title(plot.titleLabel.text)
