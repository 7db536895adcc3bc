"""The list of smears with its filter and search."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from qtpy.QtCore import (
    QItemSelectionModel,
    QModelIndex,
    QPoint,
    QSignalBlocker,
    Qt,
    QTimer,
    Signal,
)
from qtpy.QtGui import QResizeEvent
from qtpy.QtWidgets import (
    QComboBox,
    QHBoxLayout,
    QLineEdit,
    QMenu,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QVBoxLayout,
    QWidget,
)

from marrow.schemes import Head
from napari_marrow._qt.lines_model import LinesModel
from napari_marrow._qt.lines_table import LinesTable
from napari_marrow.lines.cases import FIRST_HEAD, FLAG, CaseChoice, CaseLine
from napari_marrow.lines.column import Column

TYPING_PAUSE_MS = 250
"""A search begins when the typing pauses."""
FILTER_PX = 130
"""Of the filter box, which would be as wide as its longest choice."""


class AnswerDelegate(QStyledItemDelegate):
    """Edits an answer by choosing a class, `unsure` or nothing."""

    def __init__(self, answers: Sequence[str], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._answers = ("", *answers, "unsure")

    def createEditor(  # noqa: N802
        self, parent: QWidget, _option: QStyleOptionViewItem, _index: QModelIndex
    ) -> QWidget:
        """A box with the answers."""
        box = QComboBox(parent)
        box.addItems(self._answers)
        return box

    def setEditorData(self, editor: QWidget, index: QModelIndex) -> None:  # noqa: N802
        """Choose what stands in the cell."""
        editor.setCurrentText(str(index.data(Qt.ItemDataRole.EditRole)))


class CaseList(QWidget):
    """Filter, search and list.

    Signals
    -------
    searched(str)
        The text that files, patients or names must hold.
    search_ended()
        Enter was pressed.
    chosen(int)
        The line of the filter box.
    opened(int)
        A person went to this smear, or clicked on it.
    edited(object, int, str)
        Ids of the selected smears, column, and the text for all of them.
    selection_changed(int)
        How many smears are selected.
    history_wanted(int, object)
        A smear, and where on the screen its history is to be shown, a QPoint.
    flag_wanted(object, bool)
        Ids of smears, and whether they are to be flagged.
    """

    searched = Signal(str)
    search_ended = Signal()
    chosen = Signal(int)
    opened = Signal(int)
    edited = Signal(object, int, str)
    selection_changed = Signal(int)
    history_wanted = Signal(int, object)
    flag_wanted = Signal(object, bool)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.model: LinesModel[CaseLine] = LinesModel(self, key=lambda line: line.smear_id)
        self.table = LinesTable(self.model)
        self.filter = QComboBox()
        self.filter.setMaximumWidth(FILTER_PX)
        self.filter.setToolTip("Which smears are listed, and labelled in label mode")
        self._search = QLineEdit()
        self._search.setPlaceholderText("file, patient, S000148")
        self._search.setClearButtonEnabled(True)
        self._pause = QTimer(self)
        self._pause.setSingleShot(True)
        self._pause.setInterval(TYPING_PAUSE_MS)
        row = QHBoxLayout()
        row.addWidget(self.filter)
        row.addWidget(self._search, 1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(row)
        column.addWidget(self.table, 1)
        self._shown: int | None = None
        self._is_quiet = False
        self._model_column = 0
        self._widths: list[int] = []
        self._delegates: list[AnswerDelegate] = []
        self.filter.currentIndexChanged.connect(self.chosen)
        self._search.textChanged.connect(lambda _text: self._pause.start())
        self._search.returnPressed.connect(self.search_ended)
        self._pause.timeout.connect(lambda: self.searched.emit(self._search.text()))
        self.model.edited.connect(self._on_model_edited)
        self.table.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.table.customContextMenuRequested.connect(self._on_menu_requested)
        # A scroll bar takes room without any resizing of this widget.
        self.table.verticalScrollBar().rangeChanged.connect(lambda *_range: self._fit_columns())
        chosen = self.table.selectionModel()
        chosen.currentRowChanged.connect(self._open)
        self.table.clicked.connect(self._open)
        chosen.selectionChanged.connect(self._on_selection_changed)

    def set_scheme(self, columns: Sequence[Column], asked: Sequence[Head]) -> None:
        """Set the columns; the columns of the heads are edited by choosing an answer."""
        self._model_column = FIRST_HEAD + len(asked)
        patient = self._model_column + 2
        editable = {*range(FIRST_HEAD, self._model_column), patient, patient + 1}
        self.model.set_columns(columns, frozenset(editable))
        for number, head in enumerate(asked, start=FIRST_HEAD):
            delegate = AnswerDelegate(head.classes, self)
            self._delegates.append(delegate)  # the view does not own it
            self.table.setItemDelegateForColumn(number, delegate)
        answers = [max((*head.classes, "unsure"), key=len) for head in asked]
        longest = max((name for head in asked for name in head.classes), key=len)
        widths = ["S000000", *answers, f"{longest} .00", FLAG, "SYN-2022-0000", "synthetic"]
        self.table.set_widths(widths)
        self.table.horizontalHeader().setStretchLastSection(True)
        self._widths = [self.table.columnWidth(column) for column in range(len(columns))]
        self._fit_columns()
        with QSignalBlocker(self._search):
            self._search.clear()

    def set_choices(self, choices: Sequence[CaseChoice], chosen: int) -> None:
        """Offer these filters."""
        with QSignalBlocker(self.filter):
            self.filter.clear()
            self.filter.addItems([choice.title for choice in choices])
            self.filter.setCurrentIndex(chosen)
        self.filter.view().setMinimumWidth(self.filter.view().sizeHintForColumn(0) + FILTER_PX // 4)

    def set_lines(self, lines: Sequence[CaseLine], total: int) -> None:
        """Show these smears; those that were selected stay so where they are still listed."""
        with self._changing():
            current = self.table.currentIndex()
            ids = {line.smear_id for line in lines}
            if current.isValid() and self.model.line(current.row()).smear_id not in ids:
                self._leave_current()  # else Qt would go to the row beside it
            self.model.set_lines(lines)
        self.model.set_has_more(len(lines) < total)

    def append_lines(self, lines: Sequence[CaseLine], total: int) -> None:
        """Add smears at the end."""
        with self._changing():
            self.model.append_lines(lines)
        self.model.set_has_more(self.model.rowCount() < total)

    def mark(self, smear_id: int | None) -> None:
        """Select the smear that is shown and nothing else, so that a label meets what is seen."""
        self._shown = smear_id
        if smear_id in self.selected_ids():
            return
        ids = self._ids()
        with self._quiet():
            self.table.clearSelection()
            if smear_id in ids:
                self.table.selectRow(ids.index(smear_id))
            else:
                self._leave_current()

    def selected_ids(self) -> list[int]:
        """Ids of the selected smears, from the top."""
        return [self.model.line(row).smear_id for row in self.table.selected_rows()]

    def is_model_shown(self) -> bool:
        """Whether the column with the model's answers is on the screen."""
        return self.table.isVisible() and not self.table.isColumnHidden(self._model_column)

    def show_model(self, is_shown: bool) -> None:
        """Show the column with the model's answers, or hide it, to label without them."""
        self.table.setColumnHidden(self._model_column, not is_shown)
        self._fit_columns()

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802
        """Show patient and site where there is room."""
        super().resizeEvent(event)
        self._fit_columns()

    def _fit_columns(self) -> None:
        """Patient and site are left out of a narrow dock; below the list they can be set."""
        bar = self.table.verticalScrollBar()
        # The table is as wide as this widget, and told of it later.
        room = self.width() - 2 * self.table.frameWidth() - bar.isVisible() * bar.width()
        patient = self._model_column + 2
        for column, width in enumerate(self._widths):
            if column >= patient:
                self.table.setColumnHidden(column, room < width)
            if column != self._model_column or not self.table.isColumnHidden(column):
                room -= width

    def _ids(self) -> list[int]:
        return [line.smear_id for line in self.model.lines()]

    @contextmanager
    def _quiet(self) -> Iterator[None]:
        """While the program and no person moves the current row."""
        before, self._is_quiet = self._is_quiet, True
        try:
            yield
        finally:
            self._is_quiet = before

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """While lines change; the shown smear that comes into the list is marked in it."""
        was_listed = self._shown in self._ids()
        with self._quiet():
            yield
        if not was_listed and not self.selected_ids():
            self.mark(self._shown)

    def _leave_current(self) -> None:
        nowhere = QItemSelectionModel.SelectionFlag.NoUpdate
        self.table.selectionModel().setCurrentIndex(QModelIndex(), nowhere)

    def _open(self, index: QModelIndex, _earlier: QModelIndex | None = None) -> None:
        if not self._is_quiet and index.isValid():
            self.opened.emit(self.model.line(index.row()).smear_id)

    def _on_selection_changed(self) -> None:
        self.selection_changed.emit(len(self.table.selected_rows()))

    def _on_model_edited(self, row: int, column: int, text: str) -> None:
        edited = self.model.line(row).smear_id
        chosen = self.selected_ids()
        self.edited.emit(chosen if edited in chosen else [edited], column, text)

    def _on_menu_requested(self, place: QPoint) -> None:
        index = self.table.indexAt(place)
        where = self.table.viewport().mapToGlobal(place)
        menu = QMenu(self)
        if index.isValid():
            line, chosen = self.model.line(index.row()), self.selected_ids()
            ids = chosen if line.smear_id in chosen else [line.smear_id]
            menu.addAction("Labels of this smear…", lambda: self._want_history(line, where))
            flag = "Clear the flag" if line.is_flagged else "Flag"
            menu.addAction(flag, lambda: self.flag_wanted.emit(ids, not line.is_flagged))
            menu.addSeparator()
        shown = menu.addAction("Show the model's answers")
        shown.setCheckable(True)
        shown.setChecked(not self.table.isColumnHidden(self._model_column))
        shown.setToolTip("Labels of smears whose answer is on the screen are not blind")
        shown.toggled.connect(self.show_model)
        menu.popup(where)

    def _want_history(self, line: CaseLine, where: QPoint) -> None:
        self.history_wanted.emit(line.smear_id, where)
