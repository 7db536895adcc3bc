"""`LinePages` as a Qt model: as many rows as there are, words where they were read."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import QModelIndex, QObject

from napari_marrow._qt.columns_model import Banner, ColumnsModel
from napari_marrow.lines.column import Column
from napari_marrow.lines.pages import LinePages
from napari_marrow.lines.results import FIRST_CALL, LABEL, ResultLine


class PagesModel(ColumnsModel):
    """Rows of which a few pages are known."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._pages: LinePages[ResultLine] = LinePages()

    def set_pages(self, columns: Sequence[Column], pages: LinePages[ResultLine]) -> None:
        """Begin anew: show these pages under these columns."""
        self.beginResetModel()
        self._set_columns(columns)
        self._disconnect()
        self._pages = pages
        pages.inserting.connect(self._on_inserting)
        pages.inserted.connect(self._on_inserted)
        pages.removing.connect(self._on_removing)
        pages.removed.connect(self._on_removed)
        pages.changed.connect(self._on_changed)
        self.endResetModel()

    def known_line(self, row: int) -> ResultLine | None:
        """The line in this row, None if it was not read yet."""
        return self._pages.line(row)

    def banner(self, row: int) -> Banner | None:
        """Why a smear failed, across the columns of its answers and flags."""
        line = self._pages.line(row)
        if line is None or line.error is None:
            return None
        return Banner(FIRST_CALL, len(self._columns) + LABEL - 1, line.cells[FIRST_CALL])

    def line(self, row: int) -> ResultLine | None:
        """The line in this row, None if it was not read yet."""
        return self._pages.line(row)

    def lines(self) -> tuple[ResultLine, ...]:
        """All lines that were read, from the top."""
        return tuple(line for _row, line in self._pages.known())

    def rowCount(self, parent: QModelIndex = QModelIndex()) -> int:  # noqa: B008, N802
        """Rows, read or not."""
        return 0 if parent.isValid() else len(self._pages)

    def _disconnect(self) -> None:
        for signal, slot in (
            (self._pages.inserting, self._on_inserting),
            (self._pages.inserted, self._on_inserted),
            (self._pages.removing, self._on_removing),
            (self._pages.removed, self._on_removed),
            (self._pages.changed, self._on_changed),
        ):
            signal.disconnect(slot, missing_ok=True)

    def _on_inserting(self, first: int, last: int) -> None:
        self.beginInsertRows(QModelIndex(), first, last)

    def _on_inserted(self) -> None:
        self.endInsertRows()

    def _on_removing(self, first: int, last: int) -> None:
        self.beginRemoveRows(QModelIndex(), first, last)

    def _on_removed(self) -> None:
        self.endRemoveRows()

    def _on_changed(self, first: int, last: int) -> None:
        self.dataChanged.emit(self.index(first, 0), self.index(last, self.columnCount() - 1))
