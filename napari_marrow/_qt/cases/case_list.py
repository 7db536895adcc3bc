"""The list of smears with its filter and search."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import QModelIndex, QSignalBlocker, Qt, QTimer, Signal
from qtpy.QtWidgets import (
    QComboBox,
    QHBoxLayout,
    QLineEdit,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QVBoxLayout,
    QWidget,
)

from marrow.schemes import Head
from napari_marrow._qt.lines_model import LinesModel
from napari_marrow._qt.lines_table import LinesTable
from napari_marrow.lines.cases import CaseLine
from napari_marrow.lines.column import Column

TYPING_PAUSE_MS = 250
"""A search begins when the typing pauses."""
FIRST_HEAD = 3
"""Column of the first head: smear, patient and site come before it."""
_CHOICES: tuple[tuple[str, bool | None], ...] = (
    ("all", None),
    ("unlabelled", False),
    ("labelled", True),
)


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
    shown_changed(str, object)
        Search text, and whether labelled: True, False or None for any.
    opened(int)
        The smear that is to be shown.
    edited(object, int, str)
        Ids of the selected smears, column, and the text for all of them.
    selection_changed(int)
        How many smears are selected.
    """

    shown_changed = Signal(str, object)
    opened = Signal(int)
    edited = Signal(object, int, str)
    selection_changed = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.model: LinesModel[CaseLine] = LinesModel(self)
        self.table = LinesTable(self.model)
        self._filter = QComboBox()
        self._filter.addItems([title for title, _ in _CHOICES])
        self._search = QLineEdit()
        self._search.setPlaceholderText("search file, patient, S000148")
        self._search.setClearButtonEnabled(True)
        self._pause = QTimer(self)
        self._pause.setSingleShot(True)
        self._pause.setInterval(TYPING_PAUSE_MS)
        row = QHBoxLayout()
        row.addWidget(self._filter)
        row.addWidget(self._search, 1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(row)
        column.addWidget(self.table, 1)
        self._is_marking = False
        self._delegates: list[AnswerDelegate] = []
        self._filter.currentIndexChanged.connect(self._on_shown_changed)
        self._search.textChanged.connect(lambda _text: self._pause.start())
        self._pause.timeout.connect(self._on_shown_changed)
        self.model.edited.connect(self._on_model_edited)
        chosen = self.table.selectionModel()
        chosen.currentRowChanged.connect(self._on_current_changed)
        chosen.selectionChanged.connect(self._on_selection_changed)

    def set_scheme(self, columns: Sequence[Column], asked: Sequence[Head]) -> None:
        """Set the columns; the columns of the heads are edited by choosing an answer."""
        self.model.set_columns(columns, frozenset(range(1, len(columns))))
        for number, head in enumerate(asked, start=FIRST_HEAD):
            delegate = AnswerDelegate(head.classes, self)
            self._delegates.append(delegate)  # the view does not own it
            self.table.setItemDelegateForColumn(number, delegate)
        answers = [max((*head.classes, "unsure"), key=len) for head in asked]
        self.table.set_widths(["S000000", "SYN-2022-0000", "synthetic", *answers], stretch=1)
        with QSignalBlocker(self._search), QSignalBlocker(self._filter):
            self._search.clear()
            self._filter.setCurrentIndex(0)

    def set_lines(self, lines: Sequence[CaseLine], total: int) -> None:
        """Show these smears; those that were selected stay so where they are still listed."""
        self.model.set_lines(lines)
        self.model.set_has_more(len(lines) < total)

    def append_lines(self, lines: Sequence[CaseLine], total: int) -> None:
        """Add smears at the end."""
        self.model.append_lines(lines)
        self.model.set_has_more(self.model.rowCount() < total)

    def mark(self, smear_id: int | None) -> None:
        """Select the smear that is shown and nothing else, so that a label meets what is seen."""
        ids = [line.smear_id for line in self.model.lines()]
        if smear_id in self.selected_ids():
            return
        self._is_marking = True
        try:
            self.table.clearSelection()
            if smear_id in ids:
                self.table.selectRow(ids.index(smear_id))
        finally:
            self._is_marking = False

    def selected_ids(self) -> list[int]:
        """Ids of the selected smears, from the top."""
        return [self.model.line(row).smear_id for row in self.table.selected_rows()]

    def _on_shown_changed(self) -> None:
        self._pause.stop()
        self.shown_changed.emit(self._search.text(), _CHOICES[self._filter.currentIndex()][1])

    def _on_current_changed(self, index: QModelIndex, _earlier: QModelIndex) -> None:
        if not self._is_marking and index.isValid() and index.row() < self.model.rowCount():
            self.opened.emit(self.model.line(index.row()).smear_id)

    def _on_selection_changed(self) -> None:
        self.selection_changed.emit(len(self.table.selected_rows()))

    def _on_model_edited(self, row: int, column: int, text: str) -> None:
        edited = self.model.line(row).smear_id
        chosen = self.selected_ids()
        self.edited.emit(chosen if edited in chosen else [edited], column, text)
