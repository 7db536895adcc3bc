"""The board of a sweep: a cell for each loss weights and number of epochs."""

from __future__ import annotations

from collections.abc import Collection
from typing import ClassVar

from qtpy.QtCore import (
    QAbstractTableModel,
    QItemSelectionModel,
    QModelIndex,
    QObject,
    QRect,
    QSignalBlocker,
    QSize,
    Qt,
    Signal,
)
from qtpy.QtGui import QColor, QPainter, QPalette
from qtpy.QtWidgets import (
    QHeaderView,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTableView,
    QWidget,
)

from napari_marrow.lines.board import BoardLines, CellLine

_LEAST_WIDTH_PX, _LINES = 150, 5
_BAR_PX, _STRIPE_PX = 4, 4


class BoardModel(QAbstractTableModel):
    """The cells, ready made."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._board: BoardLines | None = None

    def set_board(self, board: BoardLines | None) -> None:
        """Show this board; the same grid keeps its cells where they are."""
        before, self._board = self._board, board
        if before is None or board is None or _shape(before) != _shape(board):
            self.beginResetModel()
            self.endResetModel()
        else:
            changed = zip(before.cells, board.cells, strict=True)
            for place, (old, new) in enumerate(changed):
                if old != new:  # a cell is painted anew only where it says something else
                    index = self.index(*divmod(place, self.columnCount()))
                    self.dataChanged.emit(index, index)

    @property
    def job_id(self) -> int:
        """The sweep, 0: none."""
        return 0 if self._board is None else self._board.job_id

    def cell(self, index: QModelIndex) -> CellLine | None:
        """The cell there."""
        if self._board is None or not index.isValid():
            return None
        place: int = index.row() * self.columnCount() + index.column()
        return self._board.cells[place]

    def index_of(self, cell: int) -> QModelIndex:
        """Where a cell of the sweep is, by its index there."""
        cells = () if self._board is None else self._board.cells
        for place, one in enumerate(cells):
            if one is not None and one.cell == cell:
                return self.index(*divmod(place, self.columnCount()))
        return QModelIndex()

    # Qt's names from here on

    def rowCount(self, parent: QModelIndex = QModelIndex()) -> int:  # noqa: B008, N802
        """Rows of loss weights."""
        return 0 if self._board is None or parent.isValid() else len(self._board.rows)

    def columnCount(self, parent: QModelIndex = QModelIndex()) -> int:  # noqa: B008, N802
        """Columns of epochs."""
        return 0 if self._board is None or parent.isValid() else len(self._board.columns)

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        """The words of a cell."""
        cell = self.cell(index)
        if cell is None:
            return None
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.AccessibleTextRole):
            return "\n".join(cell.words)
        return cell.hint if role == Qt.ItemDataRole.ToolTipRole else None

    def headerData(  # noqa: N802
        self,
        section: int,
        orientation: Qt.Orientation,
        role: int = Qt.ItemDataRole.DisplayRole,
    ) -> object:
        """Loss weights and epochs."""
        if role != Qt.ItemDataRole.DisplayRole or self._board is None:
            return None
        is_column = orientation == Qt.Orientation.Horizontal
        return (self._board.columns if is_column else self._board.rows)[section]


class CellDelegate(QStyledItemDelegate):
    """Paints a stripe in the colour of the state, the words, and how much is done."""

    COLOURS: ClassVar[dict[str, str]] = {
        "waiting": "#8a8f98",
        "running": "#4c8df0",
        "stopped": "#d9a21b",
        "done": "#22a0b3",
        "failed": "#d94a5d",
        "chosen": "#2fa46f",
        "cancelled": "#8a8f98",
    }

    def __init__(self, model: BoardModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._model = model

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex) -> None:
        """Background, stripe, words, bar."""
        cell = self._model.cell(index)
        if cell is None:
            return
        state = QColor(self.COLOURS[cell.state])
        area = option.rect.adjusted(2, 2, -2, -2)
        painter.save()
        ground = QColor(state)
        is_chosen = bool(option.state & QStyle.StateFlag.State_Selected)
        ground.setAlpha(64 if is_chosen else 22)
        painter.fillRect(area, ground)
        painter.fillRect(QRect(area.left(), area.top(), _STRIPE_PX, area.height()), state)
        if is_chosen:
            painter.setPen(state)
            painter.drawRect(area.adjusted(0, 0, -1, -1))
        painter.setPen(option.palette.color(QPalette.ColorRole.Text))
        self._write(painter, option, area.adjusted(_STRIPE_PX + 6, 4, -4, -_BAR_PX - 2), cell)
        if 0 < cell.share_done < 1:
            width = round((area.width() - _STRIPE_PX) * cell.share_done)
            bottom = area.bottom() - _BAR_PX + 1
            painter.fillRect(QRect(area.left() + _STRIPE_PX, bottom, width, _BAR_PX), state)
        painter.restore()

    def sizeHint(self, option: QStyleOptionViewItem, _index: QModelIndex) -> QSize:  # noqa: N802
        """Room for five lines."""
        return QSize(_LEAST_WIDTH_PX, _LINES * option.fontMetrics.lineSpacing() + _BAR_PX + 14)

    def _write(
        self, painter: QPainter, option: QStyleOptionViewItem, area: QRect, cell: CellLine
    ) -> None:
        font = option.font
        metrics = option.fontMetrics
        for number, words in enumerate(cell.words):
            font.setBold(number == 0)
            painter.setFont(font)
            line = QRect(
                area.left(),
                area.top() + number * metrics.lineSpacing(),
                area.width(),
                metrics.lineSpacing(),
            )
            if line.bottom() > area.bottom() + 2:
                break
            elided = painter.fontMetrics().elidedText(
                words, Qt.TextElideMode.ElideRight, line.width()
            )
            painter.drawText(line, int(Qt.AlignmentFlag.AlignVCenter), elided)


class Board(QTableView):
    """Shows a `BoardLines`.

    Signals
    -------
    chosen(int, object)
        The board's job, and the indices of the cells that a person has chosen, a tuple, ascending.
    """

    chosen = Signal(int, object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.model_ = BoardModel(self)
        self.setModel(self.model_)
        self._delegate = CellDelegate(self.model_, self)
        self.setItemDelegate(self._delegate)
        self.setShowGrid(False)
        self.setWordWrap(False)
        self.setTabKeyNavigation(False)
        self.setToolTip("Choose cells to see their curves; Ctrl adds one")
        for header in (self.horizontalHeader(), self.verticalHeader()):
            header.setHighlightSections(False)
            header.setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
            header.setDefaultAlignment(Qt.AlignmentFlag.AlignCenter)
        self.horizontalHeader().setMinimumSectionSize(_LEAST_WIDTH_PX)
        lines = self.fontMetrics().lineSpacing()
        self.verticalHeader().setMinimumSectionSize(_LINES * lines + _BAR_PX + 16)
        self.selectionModel().selectionChanged.connect(self._on_selection_changed)

    def setValue(self, board: BoardLines | None) -> None:  # noqa: N802
        """Show this board; what is chosen stays."""
        chosen = self.chosen_cells()
        with QSignalBlocker(self):
            self.model_.set_board(board)
            if self.chosen_cells() != chosen:
                self.choose(chosen)

    def choose(self, cells: Collection[int]) -> None:
        """Choose these cells and no others; nobody is told."""
        kinds = QItemSelectionModel.SelectionFlag
        with QSignalBlocker(self):
            self.selectionModel().clear()
            for cell in cells:
                self.selectionModel().select(self.model_.index_of(cell), kinds.Select)

    @property
    def job_id(self) -> int:
        """The sweep whose board is on the screen, 0: none."""
        return self.model_.job_id

    def chosen_cells(self) -> tuple[int, ...]:
        """Indices of the chosen cells, ascending."""
        cells = (self.model_.cell(index) for index in self.selectionModel().selectedIndexes())
        return tuple(sorted(one.cell for one in cells if one is not None))

    def chosen_lines(self) -> tuple[CellLine, ...]:
        """The chosen cells."""
        cells = (self.model_.cell(index) for index in self.selectionModel().selectedIndexes())
        return tuple(one for one in cells if one is not None)

    def _on_selection_changed(self, *_changed: object) -> None:
        self.chosen.emit(self.job_id, self.chosen_cells())


def _shape(board: BoardLines) -> tuple[int, tuple[str, ...], tuple[str, ...]]:
    return board.job_id, board.rows, board.columns
