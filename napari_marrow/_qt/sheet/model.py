"""The smears of the contact sheet as a Qt model: lines, and the pictures that were made."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence

from qtpy.QtCore import QAbstractListModel, QModelIndex, QObject, QPersistentModelIndex, Qt, Signal
from qtpy.QtGui import QImage, QPixmap

from marrow.images.colour import Pixels
from napari_marrow.lines.sheet import SheetLine

MOST_PIXMAPS = 600
"""Pictures that are kept ready beside those that are looked at, 64 KB each; the others are read
again from the disk."""
_NO_PARENT = QModelIndex()


class SheetModel(QAbstractListModel):
    """One row a smear.

    Signals
    -------
    wants_more()
        The end was reached, and there is more.
    """

    wants_more = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._lines: list[SheetLine] = []
        self._rows: dict[int, int] = {}
        self._total = 0
        self._pixmaps: OrderedDict[int, QPixmap | None] = OrderedDict()
        self._looked_at = 0

    def rowCount(  # noqa: N802
        self, parent: QModelIndex | QPersistentModelIndex = _NO_PARENT
    ) -> int:
        """Smears that were read."""
        return 0 if parent.isValid() else len(self._lines)

    def data(
        self,
        index: QModelIndex | QPersistentModelIndex,
        role: int = int(Qt.ItemDataRole.DisplayRole),
    ) -> object:
        """Name and place of a smear; its picture is asked for by `pixmap`."""
        if not index.isValid():
            return None
        line = self._lines[index.row()]
        if role == int(Qt.ItemDataRole.DisplayRole):
            return line.name
        if role == int(Qt.ItemDataRole.ToolTipRole):
            return f"{line.name}  {line.label or 'no label'}\n{line.hint}"
        if role == int(Qt.ItemDataRole.AccessibleTextRole):
            return f"{line.name}, {line.label or 'no label'}"
        return None

    def canFetchMore(self, parent: QModelIndex | QPersistentModelIndex) -> bool:  # noqa: N802
        """Whether there are more smears."""
        return not parent.isValid() and len(self._lines) < self._total

    def fetchMore(self, _parent: QModelIndex | QPersistentModelIndex) -> None:  # noqa: N802
        """Ask for them."""
        self.wants_more.emit()

    def line(self, row: int) -> SheetLine:
        """What stands in a row."""
        return self._lines[row]

    def row_of(self, smear_id: int) -> int | None:
        """Where a smear stands."""
        return self._rows.get(smear_id)

    def set_lines(self, lines: Sequence[SheetLine], total: int) -> None:
        """Show these smears."""
        self.beginResetModel()
        self._lines, self._total = list(lines), total
        self._rows = {line.smear_id: row for row, line in enumerate(self._lines)}
        self.endResetModel()

    def update_lines(self, lines: Sequence[SheetLine], total: int) -> bool:
        """Show what is said of the same smears now; False: they are others, nothing is done."""
        if [line.smear_id for line in lines] != [line.smear_id for line in self._lines]:
            return False
        before, self._lines, self._total = self._lines, list(lines), total
        changed = [row for row, line in enumerate(lines) if line != before[row]]
        if changed:
            self.dataChanged.emit(self.index(changed[0]), self.index(changed[-1]))
        return True

    def append_lines(self, lines: Sequence[SheetLine], total: int) -> None:
        """Add smears at the end."""
        self._total = total
        if not lines:
            return
        first = len(self._lines)
        self.beginInsertRows(_NO_PARENT, first, first + len(lines) - 1)
        self._lines.extend(lines)
        self._rows |= {line.smear_id: row for row, line in enumerate(lines, start=first)}
        self.endInsertRows()

    def pixmap(self, smear_id: int) -> QPixmap | None:
        """The picture of a smear, None while there is none."""
        return self._pixmaps.get(smear_id)

    def is_made(self, smear_id: int) -> bool:
        """Whether it is known what picture the smear has."""
        return smear_id in self._pixmaps

    def look_at(self, ids: Sequence[int]) -> list[int]:
        """Keep the pictures of these smears, however many; those whose picture is lacking."""
        self._looked_at = len(ids)
        for smear_id in filter(self.is_made, ids):
            self._pixmaps.move_to_end(smear_id)
        return [smear_id for smear_id in ids if not self.is_made(smear_id)]

    def set_thumbnails(self, made: Mapping[int, Pixels | None]) -> None:
        """Take these pictures; the ones that were looked at longest ago are forgotten."""
        for smear_id, pixels in made.items():
            self._pixmaps[smear_id] = None if pixels is None else _pixmap(pixels)
            row = self._rows.get(smear_id)
            if row is not None:
                self.dataChanged.emit(self.index(row), self.index(row))
        while len(self._pixmaps) > MOST_PIXMAPS + self._looked_at:
            self._pixmaps.popitem(last=False)

    def forget_thumbnails(self) -> None:
        """Forget all pictures."""
        self._pixmaps.clear()


def _pixmap(pixels: Pixels) -> QPixmap:
    """0.05 ms for a thumbnail: cheap enough for the GUI thread, where alone it is allowed."""
    height, width = pixels.shape[:2]
    image = QImage(pixels.tobytes(), width, height, 3 * width, QImage.Format.Format_RGB888)
    return QPixmap.fromImage(image)
