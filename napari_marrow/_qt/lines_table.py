"""A table view for ready-made strings: whole rows, fixed heights, sensible widths."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QKeyEvent, QPainter, QPaintEvent
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTableView,
    QWidget,
)

from napari_marrow._qt.columns_model import TROUBLE, Banner, ColumnsModel
from napari_marrow._qt.words_cache import WordsCache

MARGIN_PX = 5
"""Left and right of the text of a cell."""
PADDING_PX = 22
"""Around the text of a header cell, the sort arrow included."""


class _Drawn(NamedTuple):
    """A column as it lies on the screen, in px."""

    number: int
    left: int
    width: int
    is_number: bool


class LinesTable(QTableView):
    """Shows a `ColumnsModel`.

    Rows have one height, so that inserting many needs no measuring of each. They are drawn in
    one call: Qt's delegates ask a model written in Python seven questions per cell, draw through
    the style sheet, and wait at each cell for other threads to let the interpreter go. 26 rows of
    11 columns took 13 ms (25 ms on a busy machine) and take 3 ms. A column whose own delegate
    paints is drawn by it.

    Signals
    -------
    opened(int)
        A row, by double click or Enter. (Qt's own `activated` differs between platforms.)
    """

    opened = Signal(int)

    def __init__(self, model: ColumnsModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setModel(model)
        self._lines, self._words = model, WordsCache()
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

    def shown_rows(self) -> range:
        """The rows on the screen."""
        count, height = self._lines.rowCount(), self.verticalHeader().defaultSectionSize()
        top = self.verticalHeader().offset()
        first, last = top // height, (top + self.viewport().height() - 1) // height
        return range(min(first, count), min(last + 1, count))

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802
        """Draw the rows on the screen."""
        painter = QPainter(self.viewport())
        rows, height = self.shown_rows(), self.verticalHeader().defaultSectionSize()
        top = rows.start * height - self.verticalHeader().offset()
        area, palette, width = event.rect(), self.palette(), self.viewport().width()
        columns = self._drawn_columns()
        plain = [one for one in columns if not self._has_painter(one.number)]
        selection, root = self.selectionModel(), self.rootIndex()
        self._words.set_font(self.font())
        painter.setFont(self.font())
        for row in rows:
            if top + height > area.top() and top <= area.bottom():
                if selection.isRowSelected(row, root):
                    painter.fillRect(0, top, width, height, palette.highlight())
                    painter.setPen(palette.highlightedText().color())
                else:
                    is_trouble = self._lines.is_trouble(row)
                    painter.setPen(TROUBLE if is_trouble else palette.text().color())
                self._draw_row(painter, row, top, plain)
            top += height
        for column in columns:
            if self._has_painter(column.number):
                self._draw_by_delegate(painter, rows, column.number)
        painter.end()

    def keyboardSearch(self, search: str) -> None:  # noqa: N802
        """Letters are keys of their own: Qt would ask for the words of a million rows."""

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

    def _drawn_columns(self) -> list[_Drawn]:
        columns = [
            _Drawn(
                number,
                self.columnViewportPosition(number),
                self.columnWidth(number),
                self._lines.is_number(number),
            )
            for number in range(self._lines.columnCount())
            if not self.isColumnHidden(number)
        ]
        width = self.viewport().width()
        return [one for one in columns if one.left < width and one.left + one.width > 0]

    def _has_painter(self, column: int) -> bool:
        delegate = self.itemDelegateForColumn(column)
        return delegate is not None and type(delegate).paint is not QStyledItemDelegate.paint

    def _draw_row(self, painter: QPainter, row: int, top: int, columns: Sequence[_Drawn]) -> None:
        spare = self.verticalHeader().defaultSectionSize() - self.fontMetrics().height()
        above = top + spare // 2
        banner = self._lines.banner(row)
        if banner is not None:
            self._draw_banner(painter, banner, above, columns)
        for number, left, width, is_number in columns:
            if banner is not None and banner.first <= number <= banner.last:
                continue
            text = self._lines.text(row, number)
            if text:
                words = self._words.fitting(text, width - 2 * MARGIN_PX)
                indent = width - MARGIN_PX - words.width_px if is_number else MARGIN_PX
                painter.drawStaticText(left + indent, above, words.text)

    def _draw_banner(
        self, painter: QPainter, banner: Banner, above: int, columns: Sequence[_Drawn]
    ) -> None:
        under = [one for one in columns if banner.first <= one.number <= banner.last]
        if under:
            width = sum(one.width for one in under)
            words = self._words.fitting(banner.text, width - 2 * MARGIN_PX)
            painter.drawStaticText(under[0].left + MARGIN_PX, above, words.text)

    def _draw_by_delegate(self, painter: QPainter, rows: range, column: int) -> None:
        delegate, selection = self.itemDelegateForColumn(column), self.selectionModel()
        for row in rows:
            index = self._lines.index(row, column)
            option = QStyleOptionViewItem()
            self.initViewItemOption(option)
            option.rect = self.visualRect(index)
            if selection.isSelected(index):
                option.state |= QStyle.StateFlag.State_Selected
            delegate.paint(painter, option, index)
