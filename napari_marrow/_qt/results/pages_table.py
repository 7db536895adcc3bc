"""A table of any length: it tells which rows are looked at, and keeps them where they are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from qtpy.QtCore import QItemSelectionModel, QModelIndex, Qt, QTimer, Signal
from qtpy.QtGui import QKeyEvent, QResizeEvent, QShowEvent
from qtpy.QtWidgets import QWidget

from napari_marrow._qt.lines_table import LinesTable
from napari_marrow._qt.results.pages_model import PagesModel

SETTLE_MS = 15
"""After a movement of the scroll bar: about a frame."""


class PagesTable(LinesTable):
    """Shows a `PagesModel`.

    Signals
    -------
    looked_at(int, int)
        First and last row on the screen, when they have changed or their words have.
    chosen(int)
        The row that a person has moved to.
    accept_wanted()
        The key A.
    """

    looked_at = Signal(int, int)
    chosen = Signal(int)
    accept_wanted = Signal()

    def __init__(self, model: PagesModel, parent: QWidget | None = None) -> None:
        super().__init__(model, parent)
        self.setSelectionMode(LinesTable.SelectionMode.SingleSelection)
        self._is_told = True
        self._settle = QTimer(self)
        self._settle.setSingleShot(True)
        self._settle.setInterval(SETTLE_MS)
        self._settle.timeout.connect(self._on_settle_timeout)
        self.verticalScrollBar().valueChanged.connect(self._on_moved)
        model.rowsInserted.connect(self._on_rows_inserted)
        model.rowsRemoved.connect(self._on_moved)
        model.dataChanged.connect(self._on_moved)
        model.modelReset.connect(self._on_moved)
        self.selectionModel().currentChanged.connect(self._on_current_changed)

    def current_row(self) -> int | None:
        """The selected row."""
        index = self.currentIndex()
        return index.row() if index.isValid() else None

    def select(self, row: int | None) -> None:
        """Select a row without scrolling or telling; None: no row."""
        flags = QItemSelectionModel.SelectionFlag
        column = max(0, self.currentIndex().column())
        index = QModelIndex() if row is None else self.model().index(row, column)
        with self._untold():
            self.setAutoScroll(False)
            self.selectionModel().setCurrentIndex(index, flags.ClearAndSelect | flags.Rows)
            self.setAutoScroll(True)

    def rowsAboutToBeRemoved(self, parent: QModelIndex, first: int, last: int) -> None:  # noqa: N802
        """Where the current row goes, Qt chooses another one, which no person has chosen."""
        with self._untold():
            super().rowsAboutToBeRemoved(parent, first, last)

    def move_to(self, row: int) -> None:
        """Select a row as a person does, and bring it on the screen."""
        if 0 <= row < self.model().rowCount():
            index = self.model().index(row, max(0, self.currentIndex().column()))
            self.setCurrentIndex(index)
            self.scrollTo(index)

    def to_top(self) -> None:
        """Scroll to the first row; no row is selected."""
        self.select(None)
        self.verticalScrollBar().setValue(0)
        self._on_moved()

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: N802
        """A accepts the current row."""
        is_plain = event.modifiers() == Qt.KeyboardModifier.NoModifier
        if event.key() == Qt.Key.Key_A and is_plain and not event.isAutoRepeat():
            self.accept_wanted.emit()
        else:
            super().keyPressEvent(event)

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802
        """Other rows may be on the screen."""
        super().resizeEvent(event)
        self._on_moved()

    def showEvent(self, event: QShowEvent) -> None:  # noqa: N802
        """The rows are looked at from now on."""
        super().showEvent(event)
        self._on_moved()

    def _on_rows_inserted(self, _parent: QModelIndex, first: int, last: int) -> None:
        bar = self.verticalScrollBar()
        if first == 0 and bar.value() > 0:  # what a person reads stays under his eyes
            self.updateGeometries()
            count, height = last - first + 1, self.verticalHeader().defaultSectionSize()
            bar.setValue(bar.value() + count * height)
        self._on_moved()

    def _on_moved(self, *_what: object) -> None:
        if not self._settle.isActive():  # while scrolling goes on it is told again and again
            self._settle.start()

    def _on_settle_timeout(self) -> None:
        rows = self.shown_rows()
        if self.isVisible():
            self.looked_at.emit(rows.start, rows.stop - 1)

    @contextmanager
    def _untold(self) -> Iterator[None]:
        """While the program itself moves the selection."""
        self._is_told = False
        yield
        self._is_told = True

    def _on_current_changed(self, current: QModelIndex, _previous: QModelIndex) -> None:
        if self._is_told and current.isValid():
            self.chosen.emit(current.row())
