"""A table view for `LinesModel`: whole rows, fixed heights, sensible widths."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QKeyEvent
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableView, QWidget

from napari_marrow._qt.lines_model import LinesModel

PADDING_PX = 26
"""Around the text of a header cell, the sort arrow included."""


class LinesTable(QTableView):
    """Shows a `LinesModel`.

    Rows have one height, so that inserting many needs no measuring of each.

    Signals
    -------
    opened(int)
        A row, by double click or Enter. (Qt's own `activated` differs between platforms.)
    """

    opened = Signal(int)

    def __init__(self, model: LinesModel[Any], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setModel(model)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setStyleSheet(
            "QTableView::item, QHeaderView::section { padding-left: 5px; padding-right: 5px; }"
        )
        self.setShowGrid(False)
        self.setWordWrap(False)
        self.setTabKeyNavigation(False)
        self.doubleClicked.connect(lambda index: self.opened.emit(index.row()))
        rows = self.verticalHeader()
        rows.hide()
        rows.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        rows.setDefaultSectionSize(self.fontMetrics().height() + 8)
        columns = self.horizontalHeader()
        columns.setHighlightSections(False)
        columns.setMinimumSectionSize(36)

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: N802
        """Enter opens the current row."""
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and self.currentIndex().isValid():
            self.opened.emit(self.currentIndex().row())
        else:
            super().keyPressEvent(event)

    def set_widths(self, examples: Sequence[str], stretch: int | None = None) -> None:
        """Make each column as wide as its header or the example of its text.

        `stretch` is the column that takes what is left.
        """
        metrics = self.fontMetrics()
        model = self.model()
        for column, example in enumerate(examples):
            title = str(
                model.headerData(
                    column, Qt.Orientation.Horizontal, int(Qt.ItemDataRole.DisplayRole)
                )
            )
            width = max(
                metrics.horizontalAdvance(title) + PADDING_PX,
                metrics.horizontalAdvance(example) + 20,
            )
            self.setColumnWidth(column, width)
        header = self.horizontalHeader()
        for column in range(len(examples)):
            header.setSectionResizeMode(
                column,
                QHeaderView.ResizeMode.Stretch
                if column == stretch
                else QHeaderView.ResizeMode.Interactive,
            )

    def selected_rows(self) -> list[int]:
        """Row numbers of the selected rows, from the top."""
        return sorted(index.row() for index in self.selectionModel().selectedRows())
