"""The Consensus tab: readers, how far they agree, where they differ, and one smear's history."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import QSignalBlocker, Qt, Signal
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QLabel, QSplitter, QVBoxLayout, QWidget

from marrow.schemes import Head
from napari_marrow._qt.keys import LabelKeys
from napari_marrow._qt.lines_model import LinesModel
from napari_marrow._qt.lines_table import LinesTable
from napari_marrow._qt.notices import tell
from napari_marrow._qt.reading.readers_box import ReadersBox
from napari_marrow.desks.reading import History, ReadingState
from napari_marrow.lines.labelling import answer_keys
from napari_marrow.lines.reading import (
    HISTORY_COLUMNS,
    OTHERS,
    DisagreementLine,
    HeadReading,
    TextLine,
)

_STEPS = {"left": -1, "right": 1}
HISTORY_HEIGHT_PX = 130
_OTHERS_SAY = "reader name unsure, reader AA"
_NO_HISTORY = "Select a smear to see what was ever said of it."


class ReadingTab(QWidget):
    """The `ReadingView`.

    Signals
    -------
    opened(object)
        The `DisagreementLine` whose smear is to be shown.
    chosen(object)
        Id of the selected smear, None: no smear.
    pressed(str, object)
        Name of a key, see `napari_marrow._qt.keys`, and the selected `DisagreementLine`.
    """

    opened = Signal(object)
    chosen = Signal(object)
    pressed = Signal(str, object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.readers = ReadersBox()
        self.head = QComboBox()
        self.pair = QComboBox()
        self.figures = QLabel()
        self.figures.setWordWrap(True)
        self.pair_words = QLabel()
        self.pair_words.setWordWrap(True)
        for words in (self.figures, self.pair_words):
            words.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.model: LinesModel[DisagreementLine] = LinesModel(self)
        self.table = _table(self.model)
        self.counts: LinesModel[TextLine] = LinesModel(self)
        self.counts_table = _table(self.counts)
        self.history: LinesModel[TextLine] = LinesModel(self)
        self.history.set_columns(HISTORY_COLUMNS)
        self.history_table = _table(self.history)
        self.history_table.set_widths(
            [
                "00 Mmm 0000 00:00",
                "reader name",
                "diagnosis: unsure",
                "adjudicated",
                "not seen",
                "…",
            ],
            stretch=5,
        )
        self.history_words = QLabel(_NO_HISTORY)
        self.hint = QLabel()
        self._heads: tuple[Head, ...] = ()
        self._state: ReadingState | None = None
        self._shown: int | None = None
        self._keys = LabelKeys(self._on_key, self)
        self._keys.watch(self.table)
        self._keys.set_on(True)
        self._lay_out()
        self._connect()

    def set_heads(self, heads: Sequence[Head]) -> None:
        """See `ReadingView.set_heads`."""
        self._heads, self._state = tuple(heads), None
        with QSignalBlocker(self.head):
            self.head.clear()
            self.head.addItems([one.name for one in heads])
        self.head.setVisible(len(heads) > 1)
        self.readers.clear()
        self._show_head()

    def set_state(self, state: ReadingState) -> None:
        """See `ReadingView.set_state`."""
        self._state = state
        self.readers.setValue(state.readers, state.words)
        self._show_head()

    def set_history(self, history: History | None) -> None:
        """See `ReadingView.set_history`."""
        self.history.set_lines([] if history is None else history.lines)
        words = _NO_HISTORY
        if history is not None:
            words = f"What was ever said of S{history.smear_id:06d}, the newest first"
            words += "; others' labels are hidden" if history.is_hidden else ""
        self.history_words.setText(words)

    def advance(self, after: DisagreementLine) -> None:
        """See `ReadingView.advance`."""
        line = self.selected()
        if line is not None and line.smear_id == after.smear_id:
            self._step(1)

    def is_looked_at(self) -> bool:
        """See `ReadingView.is_looked_at`."""
        return bool(self.isVisible())

    def tell(self, words: str, is_warning: bool) -> None:
        """See `ReadingView.tell`."""
        tell(words, is_warning)

    def selected(self) -> DisagreementLine | None:
        """The selected row."""
        rows = self.table.selected_rows()
        return self.model.line(rows[0]) if rows else None

    def _reading(self) -> HeadReading | None:
        heads = () if self._state is None else self._state.heads
        return next((one for one in heads if one.head == self.head.currentText()), None)

    def _show_head(self) -> None:
        reading, chosen = self._reading(), self.selected()
        columns = () if reading is None else reading.columns
        if columns != self.model.columns():
            self.model.set_columns(columns)
            answers = [_OTHERS_SAY if one.title == OTHERS else "unsure" for one in columns[2:]]
            self.table.set_widths(["S000000", "SYN-2022-0000", *answers][: len(columns)])
        lines = () if reading is None else reading.lines
        self.model.set_lines(lines)
        ids = [line.smear_id for line in lines]
        if chosen is not None and chosen.smear_id in ids:
            self._select(ids.index(chosen.smear_id))
        else:
            self.table.clearSelection()
        reason = "" if self._state is None else self._state.reason
        self.figures.setText(reason if reading is None else reading.words)
        self._show_keys(len(lines))
        self._offer_pairs(reading)
        self._on_chosen()

    def _show_keys(self, count: int) -> None:
        head = next((one for one in self._heads if one.name == self.head.currentText()), None)
        smears = "1 smear is" if count == 1 else f"{count:,} smears are"
        words = f"{smears} answered differently"
        if head is not None and count:
            digits = "  ".join(f"{key} {name}" for key, name in answer_keys(head).items())
            words += (
                f" · {digits} decides · Ctrl+Z takes it back · Enter opens the smear, H its map"
            )
        self.hint.setText(words)

    def _offer_pairs(self, reading: HeadReading | None) -> None:
        titles = [] if reading is None else [one.title for one in reading.pairs]
        if [self.pair.itemText(row) for row in range(self.pair.count())] != titles:
            with QSignalBlocker(self.pair):
                self.pair.clear()
                self.pair.addItems(titles)
        self.pair.setVisible(len(titles) > 1)
        self._show_pair()

    def _show_pair(self) -> None:
        reading, row = self._reading(), self.pair.currentIndex()
        pair = reading.pairs[row] if reading is not None and row >= 0 else None
        self.pair_words.setText("" if pair is None else pair.words)
        columns = () if pair is None else pair.columns
        if columns != self.counts.columns():
            self.counts.set_columns(columns)
            self.counts_table.set_widths(["unsure", *("0,000" for _ in columns[1:])])
        self.counts.set_lines(() if pair is None else pair.lines)

    def _lay_out(self) -> None:
        choices = QHBoxLayout()
        choices.addWidget(self.head)
        choices.addWidget(self.figures, 1)
        self.hint.setWordWrap(True)
        above = QSplitter(Qt.Orientation.Horizontal)
        above.addWidget(_stack(self.hint, self.table))
        above.addWidget(_stack(self.pair, self.pair_words, self.counts_table))
        above.setSizes([450, 350])
        parts = QSplitter(Qt.Orientation.Vertical)
        parts.addWidget(above)
        parts.addWidget(_stack(self.history_words, self.history_table))
        parts.setSizes([400, HISTORY_HEIGHT_PX])
        for splitter in (above, parts):
            splitter.setStretchFactor(0, 1)
            splitter.setChildrenCollapsible(False)
        main = QVBoxLayout()
        main.addLayout(choices)
        main.addWidget(parts, 1)
        row = QHBoxLayout(self)
        row.addWidget(self.readers)
        row.addSpacing(8)
        row.addLayout(main, 1)

    def _connect(self) -> None:
        self.head.currentIndexChanged.connect(lambda _row: self._show_head())
        self.pair.currentIndexChanged.connect(lambda _row: self._show_pair())
        self.table.opened.connect(lambda row: self.opened.emit(self.model.line(row)))
        self.table.selectionModel().selectionChanged.connect(self._on_chosen)

    def _select(self, row: int) -> None:
        if self.table.selected_rows() != [row]:
            self.table.selectRow(row)

    def _step(self, by: int) -> None:
        rows = self.table.selected_rows()
        row = rows[0] + by if rows else 0
        if 0 <= row < self.model.rowCount():
            self.table.selectRow(row)

    def _on_key(self, key: str) -> None:
        if key in _STEPS:
            self._step(_STEPS[key])
        else:
            self.pressed.emit(key, self.selected())

    def _on_chosen(self, *_changed: object) -> None:
        line = self.selected()
        chosen = None if line is None else line.smear_id
        if chosen != self._shown:
            self._shown = chosen
            self.chosen.emit(chosen)


def _stack(*widgets: QWidget) -> QWidget:
    made = QWidget()
    column = QVBoxLayout(made)
    column.setContentsMargins(0, 0, 0, 0)
    for widget in widgets:
        column.addWidget(widget)
    return made


def _table(model: LinesModel[DisagreementLine] | LinesModel[TextLine]) -> LinesTable:
    made = LinesTable(model)
    made.setSelectionMode(LinesTable.SelectionMode.SingleSelection)
    return made
