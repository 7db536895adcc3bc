"""A table of ready-made strings that grows in batches; sorting and paging are the database's."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Generic, TypeVar

from qtpy.QtCore import QModelIndex, QObject, Qt, Signal

from napari_marrow._qt.columns_model import ColumnsModel, Line
from napari_marrow.lines.column import Column

L = TypeVar("L", bound=Line)


class LinesModel(ColumnsModel, Generic[L]):
    """Rows of strings, all of them known.

    Parameters
    ----------
    parent : QObject, optional
    key : callable, optional
        From a line to what it is about, which no other line is; None: a row is about its number.

    Signals
    -------
    wants_more()
        The view was scrolled to the last row.
    edited(int, int, str)
        A person typed another text: row, column, text. The model itself stays as it is.
    """

    wants_more = Signal()
    edited = Signal(int, int, str)

    def __init__(
        self, parent: QObject | None = None, key: Callable[[L], Hashable] | None = None
    ) -> None:
        super().__init__(parent)
        self._key = key
        self._lines: list[L] = []
        self._editable: frozenset[int] = frozenset()
        self._has_more = False

    def set_columns(
        self, columns: Sequence[Column], editable: frozenset[int] = frozenset()
    ) -> None:
        """Begin anew with these columns and no row."""
        self.beginResetModel()
        self._set_columns(columns)
        self._editable = editable
        self._lines, self._has_more = [], False
        self.endResetModel()

    def line(self, row: int) -> L:
        """The line in this row."""
        return self._lines[row]

    def known_line(self, row: int) -> L | None:
        """As `line`: all are known."""
        return self._lines[row]

    def lines(self) -> tuple[L, ...]:
        """All lines, from the top."""
        return tuple(self._lines)

    def set_lines(self, lines: Sequence[L]) -> None:
        """Show these rows from the top; what is selected, current or edited stays so by key."""
        before, after = self._keys(self._lines), self._keys(lines)
        listed, wanted = set(before), set(after)
        gone = [one for one, key in zip(self._lines, before, strict=True) if key not in wanted]
        self.append_lines([one for one, key in zip(lines, after, strict=True) if key not in listed])
        self._arrange([*lines, *gone])
        if gone:
            self.beginRemoveRows(QModelIndex(), len(lines), len(self._lines) - 1)
            del self._lines[len(lines) :]
            self.endRemoveRows()

    def insert_lines(self, at: int, lines: Sequence[L]) -> None:
        """Insert rows above row `at`, in one batch."""
        if lines:
            self.beginInsertRows(QModelIndex(), at, at + len(lines) - 1)
            self._lines[at:at] = lines
            self.endInsertRows()

    def append_lines(self, lines: Sequence[L]) -> None:
        """Add rows at the end, in one batch."""
        self.insert_lines(len(self._lines), lines)

    def set_has_more(self, has_more: bool) -> None:
        """Whether there are rows that were not read yet."""
        self._has_more = has_more

    def _keys(self, lines: Sequence[L]) -> list[Hashable]:
        return list(range(len(lines)) if self._key is None else map(self._key, lines))

    def _arrange(self, lines: list[L]) -> None:
        """Put lines of the same keys into this order, with what they say now."""
        keys = self._keys(lines)
        before = dict(zip(self._keys(self._lines), self._lines, strict=True))
        is_other_order = [*before] != keys
        if is_other_order:
            self.layoutAboutToBeChanged.emit()
            row_of, listed = {key: row for row, key in enumerate(keys)}, [*before]
            old = self.persistentIndexList()
            new = [self.index(row_of[listed[one.row()]], one.column()) for one in old]
            self.changePersistentIndexList(old, new)
        self._lines = lines
        if is_other_order:
            self.layoutChanged.emit()
        # What a person is typing elsewhere in the table would be lost, too.
        changed = [row for row, key in enumerate(keys) if before[key] != lines[row]]
        if changed:
            last = self.index(changed[-1], self.columnCount() - 1)
            self.dataChanged.emit(self.index(changed[0], 0), last)

    # Qt's names from here on

    def rowCount(self, parent: QModelIndex = QModelIndex()) -> int:  # noqa: B008, N802
        """Rows that were read."""
        return 0 if parent.isValid() else len(self._lines)

    def flags(self, index: QModelIndex) -> Qt.ItemFlag:
        """Selectable; editable in the columns that say so."""
        flags = super().flags(index)
        if index.isValid() and index.column() in self._editable:
            flags |= Qt.ItemFlag.ItemIsEditable
        return flags

    def setData(  # noqa: N802
        self, index: QModelIndex, value: object, role: int = Qt.ItemDataRole.EditRole
    ) -> bool:
        """Ask for another text; it appears when the catalogue has it."""
        if role != Qt.ItemDataRole.EditRole or index.column() not in self._editable:
            return False
        if not index.isValid() or str(value) == self._lines[index.row()].cells[index.column()]:
            return False
        self.edited.emit(index.row(), index.column(), str(value))
        return True

    def canFetchMore(self, parent: QModelIndex) -> bool:  # noqa: N802
        """Whether there are rows that were not read yet."""
        return not parent.isValid() and self._has_more

    def fetchMore(self, parent: QModelIndex) -> None:  # noqa: N802
        """Ask for more rows; they come later."""
        if self._has_more:
            self._has_more = False  # until the answer says so again
            self.wants_more.emit()
