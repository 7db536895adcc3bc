"""The contact sheet's tab."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from qtpy.QtCore import (
    QEvent,
    QItemSelection,
    QItemSelectionModel,
    QItemSelectionRange,
    QObject,
    Qt,
    QTimer,
    Signal,
)
from qtpy.QtGui import QKeyEvent
from qtpy.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QHBoxLayout,
    QLabel,
    QListView,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from marrow.images.colour import Pixels
from marrow.schemes import Head
from napari_marrow._qt.sheet.delegate import CELL_PX, SheetDelegate
from napari_marrow._qt.sheet.model import SheetModel
from napari_marrow.lines.labelling import answer_keys
from napari_marrow.lines.sheet import SheetLine

SCROLL_PAUSE_MS = 60
"""Pictures are asked for when scrolling pauses this long."""


class SheetList(QListView):
    """Pictures in rows as wide as the window.

    Signals
    -------
    opened(int)
        A row, by double click or Enter.
    """

    opened = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setItemDelegate(SheetDelegate(self))
        # A list that flows from the left and wraps, not the icon mode: that one keeps the place
        # of each picture, and works it out anew for all of them at each change.
        self.setFlow(QListView.Flow.LeftToRight)
        self.setWrapping(True)
        self.setResizeMode(QListView.ResizeMode.Adjust)
        self.setUniformItemSizes(True)
        self.setGridSize(CELL_PX)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.verticalScrollBar().setSingleStep(CELL_PX.height() // 3)
        self.doubleClicked.connect(lambda index: self.opened.emit(index.row()))

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: N802
        """Enter opens the current smear."""
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and self.currentIndex().isValid():
            self.opened.emit(self.currentIndex().row())
        else:
            super().keyPressEvent(event)

    def step(self, by: int) -> None:
        """Select the smear before or after the current one, and it alone."""
        row = self.currentIndex().row() + by
        if 0 <= row < self.model().rowCount():
            self.setCurrentIndex(self.model().index(row, 0))

    def rows_in_view(self, count: int) -> range:
        """Rows on the screen and one screen below, of `count`."""
        viewport = self.viewport()
        columns = max(1, viewport.width() // CELL_PX.width())
        top = self.verticalScrollBar().value() // CELL_PX.height()
        bottom = top + 2 * (viewport.height() // CELL_PX.height() + 1)
        return range(min(top * columns, count), min((bottom + 1) * columns, count))


class SheetTab(QWidget):
    """The `SheetView`.

    Signals
    -------
    opened(int)
        The smear that is to be shown.
    queue_wanted(object)
        Ids of the selected smears.
    looked_at(object)
        Ids of smears whose pictures are lacking, the ones on the screen first.
    """

    opened = Signal(int)
    queue_wanted = Signal(object)
    looked_at = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.model = SheetModel(self)
        self.list = SheetList()
        self.list.setModel(self.model)
        self.head = QComboBox()
        self.head.setToolTip("What the digits answer")
        self.words = QLabel()
        self.queue = QPushButton("Queue selected")
        self._heads: tuple[Head, ...] = ()
        self._total = 0
        self._pause = QTimer(self)
        self._pause.setSingleShot(True)
        self._pause.setInterval(SCROLL_PAUSE_MS)
        self._lay_out()
        self._wire()

    def is_shown(self) -> bool:
        """See `SheetView.is_shown`."""
        return bool(self.isVisible())

    def set_heads(self, heads: Sequence[Head]) -> None:
        """See `SheetView.set_heads`."""
        self._heads = tuple(heads)
        self.head.clear()
        self.head.addItems([head.name for head in heads])
        self.head.setVisible(len(self._heads) > 1)
        self._show_words()

    def set_lines(self, lines: Sequence[SheetLine], total: int) -> None:
        """See `SheetView.set_lines`."""
        self._total = total
        if not self.model.update_lines(lines, total):
            chosen, shown = self.selected_ids(), self.list.verticalScrollBar().value()
            self.model.set_lines(lines, total)  # clears the selection
            self._select(chosen)
            self.list.verticalScrollBar().setValue(shown)
        self._show_words()
        self._pause.start()

    def append_lines(self, lines: Sequence[SheetLine], total: int) -> None:
        """See `SheetView.append_lines`."""
        self._total = total
        self.model.append_lines(lines, total)
        self._pause.start()

    def set_thumbnails(self, made: Mapping[int, Pixels | None]) -> None:
        """See `SheetView.set_thumbnails`."""
        self.model.set_thumbnails(made)

    def forget_thumbnails(self) -> None:
        """See `SheetView.forget_thumbnails`."""
        self.model.forget_thumbnails()

    def asked(self) -> Head | None:
        """The question that the digits answer."""
        place = self.head.currentIndex()
        return self._heads[place] if 0 <= place < len(self._heads) else None

    def selected_ids(self) -> list[int]:
        """Ids of the selected smears, in the order of the sheet."""
        rows = sorted(index.row() for index in self.list.selectionModel().selectedIndexes())
        return [self.model.line(row).smear_id for row in rows]

    def _select(self, ids: Sequence[int]) -> None:
        """Select these smears in one step, so far as they are shown."""
        chosen = QItemSelection()
        for row in map(self.model.row_of, ids):
            if row is not None:
                chosen.append(QItemSelectionRange(self.model.index(row)))
        self.list.selectionModel().select(chosen, QItemSelectionModel.SelectionFlag.Select)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: N802
        """Another size shows other smears."""
        if watched is self.list.viewport() and event.type() in (
            QEvent.Type.Resize,
            QEvent.Type.Show,
        ):
            self._pause.start()
        return False

    def _lay_out(self) -> None:
        row = QHBoxLayout()
        row.addWidget(self.words, 1)
        row.addWidget(self.head)
        row.addWidget(self.queue)
        column = QVBoxLayout(self)
        column.setContentsMargins(4, 4, 4, 4)
        column.addLayout(row)
        column.addWidget(self.list, 1)

    def _wire(self) -> None:
        self.list.viewport().installEventFilter(self)
        self.list.verticalScrollBar().valueChanged.connect(lambda _value: self._pause.start())
        self._pause.timeout.connect(self._on_pause_timeout)
        self.list.opened.connect(lambda row: self.opened.emit(self.model.line(row).smear_id))
        self.list.selectionModel().selectionChanged.connect(lambda *_: self._show_words())
        self.head.currentIndexChanged.connect(lambda _index: self._show_words())
        self.queue.clicked.connect(lambda: self.queue_wanted.emit(self.selected_ids()))

    def _on_pause_timeout(self) -> None:
        lines = (self.model.line(row) for row in self.list.rows_in_view(self.model.rowCount()))
        self.looked_at.emit(self.model.look_at([line.smear_id for line in lines]))

    def _show_words(self) -> None:
        chosen = self.list.selectionModel().selection()
        count = sum(chosen[at].height() for at in range(len(chosen)))
        head = self.asked()
        keys = "" if head is None else "  ".join(f"{k} {a}" for k, a in answer_keys(head).items())
        smears = f"{count:,} of {self._total:,} selected" if count else f"{self._total:,} smears"
        self.words.setText(f"{smears}   ·   {keys}   Enter opens" if self._total else "No smear.")
        self.queue.setText(f"Queue {count:,} selected" if count else "Queue selected")
        self.queue.setEnabled(count > 0)
