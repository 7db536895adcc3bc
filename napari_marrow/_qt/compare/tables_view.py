"""The tables of figures of two models, one at a time."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import QSignalBlocker
from qtpy.QtWidgets import QAbstractItemView, QComboBox, QLabel, QVBoxLayout, QWidget

from napari_marrow._qt.lines_model import LinesModel
from napari_marrow._qt.lines_table import LinesTable
from napari_marrow.lines.models import FigureTable, TableRow


class TablesView(QWidget):
    """A choice of tables, the table, and how it is to be read."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.choice = QComboBox()
        self.model: LinesModel[TableRow] = LinesModel(self)
        self.table = LinesTable(self.model)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.caption = QLabel()
        self.caption.setWordWrap(True)
        self._tables: tuple[FigureTable, ...] = ()
        self._row = 0
        column = QVBoxLayout(self)
        column.addWidget(self.choice)
        column.addWidget(self.table, 1)
        column.addWidget(self.caption)
        self.choice.currentIndexChanged.connect(self._on_choice_changed)

    def setValue(self, tables: Sequence[FigureTable]) -> None:  # noqa: N802
        """Offer these; the same place in the list stays chosen, also after none."""
        self._tables = tuple(tables)
        with QSignalBlocker(self.choice):
            self.choice.clear()
            self.choice.addItems([one.title for one in tables])
            self.choice.setCurrentIndex(min(self._row, len(tables) - 1))
        self._on_choice_changed()

    def _on_choice_changed(self, *_row: object) -> None:
        row = self.choice.currentIndex()
        if not 0 <= row < len(self._tables):
            self.model.set_columns(())
            self.caption.clear()
            return
        self._row, shown = row, self._tables[row]
        self.model.set_columns(shown.columns)
        self.model.set_lines(shown.rows)
        longest = [
            max((one.cells[column] for one in shown.rows), key=len, default="")
            for column in range(len(shown.columns))
        ]
        self.table.set_widths(longest)
        self.caption.setText(shown.caption)
