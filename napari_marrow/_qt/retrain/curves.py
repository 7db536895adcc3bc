"""Accuracy and loss over the epochs, drawn anew at most as often as they are told."""

from __future__ import annotations

from collections.abc import Sequence

import qtpy.QtCore  # noqa: F401 -- as in plots.py

# isort: split
import numpy as np
import pyqtgraph as pg
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QLabel, QVBoxLayout, QWidget

from napari_marrow._qt.plots import ThemedPlot, colour
from napari_marrow.lines.board import FIGURES, CurveLine, CurveLines

_LEAST_LOSS = 0.1
"""Nats: a loss axis never ends below it, or noise would fill the plot."""
_GREY = "#888888"
"""Of the lines at kept epochs: seen on dark and light."""
_MANY = 2_000
"""Epochs beyond which a line has more points than the screen: thinned at each paint, which costs
more than it saves below."""
_STEP = 1.25
"""The loss axis grows and shrinks in such steps: a range that changes with each epoch would lay
out the axis with each epoch."""


class CurvesPane(QWidget):
    """Two plots, one below the other.

    Signals
    -------
    figure_changed(str)
        `balanced` or `auc`: what the upper plot is to show.
    """

    figure_changed = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.figure = QComboBox()
        for figure, title in FIGURES.items():
            self.figure.addItem(title, figure)
        self.figure.setToolTip("What the upper plot shows, of the head that decides")
        self.figure.activated.connect(
            lambda row: self.figure_changed.emit(self.figure.itemData(row))
        )
        self.words = QLabel()
        self.words.setWordWrap(True)
        self.accuracy = ThemedPlot("epoch", "balanced accuracy")
        self.loss = ThemedPlot("epoch", "loss, nats")
        self._lines: dict[tuple[ThemedPlot, int], pg.PlotDataItem] = {}
        self._kept: dict[ThemedPlot, list[pg.InfiniteLine]] = {self.accuracy: [], self.loss: []}
        self._shown: CurveLines | None = None
        top = QHBoxLayout()
        top.addWidget(self.figure)
        top.addWidget(self.words, 1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(top)
        column.addWidget(self.accuracy, 1)
        column.addWidget(self.loss, 1)

    def setValue(self, curves: CurveLines) -> None:  # noqa: N802
        """Draw these lines; what is as it was is not drawn again."""
        before, self._shown = self._shown, curves
        self.words.setText(curves.words)
        if before is None or before.most_epochs != curves.most_epochs:
            for plot in (self.accuracy, self.loss):
                plot.setXRange(0, curves.most_epochs, padding=0.02)
        if before is None:
            self.accuracy.setYRange(0, 1, padding=0.03)
        if before is None or before.title != curves.title:
            self.accuracy.set_left(curves.title)
        if before is None or before.kept != curves.kept:
            self._mark(curves.kept)
        self._draw(self.accuracy, curves.accuracy, () if before is None else before.accuracy)
        self._draw(self.loss, curves.loss, () if before is None else before.loss)
        self._fit_loss(curves.loss)

    def value(self) -> CurveLines | None:
        """What is drawn."""
        return self._shown

    def _draw(
        self, plot: ThemedPlot, curves: Sequence[CurveLine], before: Sequence[CurveLine]
    ) -> None:
        names = [_entry(one) for one in curves]
        if names != [_entry(one) for one in before]:
            self._name(plot, curves)
        for number, one in enumerate(curves):
            if number >= len(before) or not _is_same(before[number], one):
                line = self._lines[plot, number]
                line.setDownsampling(auto=one.epochs.size > _MANY, method="subsample")
                line.setData(one.epochs, one.values)
                # A single epoch is no line yet.
                line.setSymbol("o" if one.epochs.size == 1 else None)

    def _name(self, plot: ThemedPlot, curves: Sequence[CurveLine]) -> None:
        """Give each line its pen and its place in the legend; lines are kept, and hidden."""
        plot.legend.clear()
        for (owner, number), line in self._lines.items():
            if owner is plot and number >= len(curves):
                line.setVisible(False)
                line.setData([], [])
        for number, one in enumerate(curves):
            line = self._lines.get((plot, number))
            if line is None:
                line = plot.plot([], [], antialias=False)
                line.setSymbolSize(4)
                self._lines[plot, number] = line
            dash = Qt.PenStyle.DashLine if one.is_validation else Qt.PenStyle.SolidLine
            line.setPen(pg.mkPen(colour(one.colour), width=1, style=dash))
            line.setSymbolBrush(colour(one.colour))
            line.setSymbolPen(None)
            line.setVisible(True)
            if plot is self.accuracy:  # one legend serves both
                plot.legend.addItem(line, one.name)
        if plot is self.accuracy:
            plot.place_legend()

    def _mark(self, kept: Sequence[int]) -> None:
        for plot, lines in self._kept.items():
            while lines:
                plot.removeItem(lines.pop())
            for epoch in kept:
                pen = pg.mkPen(_GREY, width=1, style=Qt.PenStyle.DotLine)
                line = pg.InfiniteLine(epoch, angle=90, pen=pen)
                plot.addItem(line)
                lines.append(line)

    def _fit_loss(self, curves: Sequence[CurveLine]) -> None:
        most = max((float(one.values.max()) for one in curves if one.values.size), default=1.0)
        top = self.loss.viewRange()[1][1]
        if not most <= top <= most * _STEP * _STEP:
            self.loss.setYRange(0, max(_LEAST_LOSS, most * _STEP), padding=0)


def _entry(curve: CurveLine) -> tuple[str, int, bool]:
    return curve.name, curve.colour, curve.is_validation


def _is_same(one: CurveLine, other: CurveLine) -> bool:
    return _entry(one) == _entry(other) and np.array_equal(one.values, other.values)
