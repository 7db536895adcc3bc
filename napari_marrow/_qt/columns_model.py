"""What tables of ready-made strings have in common: columns, headers, cells."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from qtpy.QtCore import QAbstractTableModel, QModelIndex, QObject, Qt, Signal
from qtpy.QtGui import QBrush, QColor

from napari_marrow.lines.column import Column

_RIGHT = int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
_LEFT = int(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
TROUBLE = QColor("#e4572e")
"""Readable on napari's dark and light backgrounds."""
UNREAD = "…"
"""In each cell of a row that was not read yet."""


class Line(Protocol):
    """One row: as many strings as there are columns."""

    @property
    def cells(self) -> tuple[str, ...]: ...


class Banner(NamedTuple):
    """Words that stand across several columns of a row."""

    first: int
    last: int
    text: str


class ColumnsModel(QAbstractTableModel):
    """A table of strings under fixed columns.

    Signals
    -------
    sort_wanted(str, bool)
        A header was clicked: the column's sort key, and whether the order is descending.
    """

    sort_wanted = Signal(str, bool)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._columns: tuple[Column, ...] = ()
        self._alignments: tuple[int, ...] = ()

    def columns(self) -> tuple[Column, ...]:
        """The columns, from the left."""
        return self._columns

    def known_line(self, row: int) -> Line | None:
        """The line in this row, None if it was not read yet."""
        raise NotImplementedError

    def text(self, row: int, column: int) -> str:
        """What stands in a cell."""
        line = self.known_line(row)
        return UNREAD if line is None else line.cells[column]

    def is_number(self, column: int) -> bool:
        """Whether a column is aligned to the right."""
        return self._columns[column].is_number

    def is_trouble(self, row: int) -> bool:
        """Whether the row tells of an error."""
        return bool(getattr(self.known_line(row), "error", None))

    def banner(self, _row: int) -> Banner | None:
        """Words across several columns, None where each cell has its own."""
        return None

    def _set_columns(self, columns: Sequence[Column]) -> None:
        self._columns = tuple(columns)
        self._alignments = tuple(_RIGHT if one.is_number else _LEFT for one in columns)

    # Qt's names from here on

    def columnCount(self, parent: QModelIndex = QModelIndex()) -> int:  # noqa: B008, N802
        """Columns."""
        return 0 if parent.isValid() else len(self._columns)

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        """The cell's string, alignment or colour."""
        if not index.isValid():
            return None
        row, column = index.row(), index.column()
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.EditRole):
            return self.text(row, column)
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return self._alignments[column]
        if role == Qt.ItemDataRole.ToolTipRole:
            return getattr(self.known_line(row), "hint", "") or self.text(row, column) or None
        if role == Qt.ItemDataRole.ForegroundRole and self.is_trouble(row):
            return QBrush(TROUBLE)
        return None

    def headerData(  # noqa: N802
        self,
        section: int,
        orientation: Qt.Orientation,
        role: int = Qt.ItemDataRole.DisplayRole,
    ) -> object:
        """A column's title."""
        if orientation != Qt.Orientation.Horizontal or not 0 <= section < len(self._columns):
            return None
        if role == Qt.ItemDataRole.DisplayRole:
            return self._columns[section].title
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return self._alignments[section]
        return None

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        """Ask for another order."""
        if 0 <= column < len(self._columns):
            key = self._columns[column].sort_key
            if key is not None:
                self.sort_wanted.emit(key, order == Qt.SortOrder.DescendingOrder)
