"""The Results tab: filters, a table of any length, and one row in full."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import QSignalBlocker, Qt, Signal
from qtpy.QtWidgets import (
    QHBoxLayout,
    QLabel,
    QSplitter,
    QVBoxLayout,
    QWidget,
)

from marrow.catalogue.predictions import ResultFilter, Sort
from marrow.schemes import Scheme
from napari_marrow._qt.evidence_bar import EvidenceBar
from napari_marrow._qt.notices import tell
from napari_marrow._qt.quiet_label import QuietLabel
from napari_marrow._qt.results.detail_pane import DetailPane
from napari_marrow._qt.results.export_button import ExportButton
from napari_marrow._qt.results.filter_bar import FilterBar
from napari_marrow._qt.results.pages_model import PagesModel
from napari_marrow._qt.results.pages_table import PagesTable
from napari_marrow.lines.column import Column
from napari_marrow.lines.detail import ResultDetail
from napari_marrow.lines.pages import LinePages
from napari_marrow.lines.results import ResultChoices, ResultLine, result_examples


class ResultsTab(QWidget):
    """The `ResultsView`, the `WorklistView` and the `ExportView`.

    Signals
    -------
    sort_wanted(object)
        A `Sort`, by a click on a header.
    opened(int)
        The row whose smear is to be shown, by double click or Enter.
    """

    sort_wanted = Signal(object)
    opened = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.model = PagesModel(self)
        self.table = PagesTable(self.model)
        self.table.setSortingEnabled(True)
        self.filter = FilterBar()
        self.detail = DetailPane()
        self.evidence = EvidenceBar()
        self.words = QuietLabel()
        self.export = ExportButton()
        self._lay_out()
        self.model.sort_wanted.connect(self._on_sort_wanted)
        self.table.opened.connect(self.opened)

    def set_scheme(
        self, scheme: Scheme, columns: Sequence[Column], pages: LinePages[ResultLine]
    ) -> None:
        """See `ResultsView.set_scheme`."""
        self._point_at(None)
        self.model.set_pages(columns, pages)
        self.filter.set_scheme(scheme)
        self.detail.set_scheme(scheme)
        self.evidence.set_scheme(scheme)
        self.evidence.setValue(None)
        self.table.set_widths(result_examples(scheme))
        self.table.horizontalHeader().setStretchLastSection(True)

    def set_choices(self, choices: ResultChoices) -> None:
        """See `ResultsView.set_choices`."""
        self.filter.set_choices(choices)

    def set_asked(self, shown: ResultFilter, sort: Sort) -> None:
        """See `ResultsView.set_asked`."""
        self.filter.setValue(shown)
        self.filter.set_worklist(sort.column == "worklist")
        self._point_at(sort)

    def set_words(self, words: str, is_warning: bool) -> None:
        """See `ResultsView.set_words`."""
        self.words.setText(words, is_warning)

    def to_top(self) -> None:
        """See `ResultsView.to_top`."""
        self.table.to_top()

    def current_row(self) -> int | None:
        """See `ResultsView.current_row`."""
        return self.table.current_row()

    def select(self, row: int | None) -> None:
        """See `ResultsView.select`."""
        self.table.select(row)

    def move_to(self, row: int) -> None:
        """See `WorklistView.move_to`."""
        self.table.move_to(row)

    def set_detail(self, detail: ResultDetail | None) -> None:
        """See `WorklistView.set_detail`."""
        self.detail.setValue(detail)

    def set_asked_head(self, head: str | None) -> None:
        """See `WorklistView.set_asked_head`."""
        self.detail.label_bar.set_asked(head)

    def is_looked_at(self) -> bool:
        """See `ResultsView.is_looked_at`."""
        return bool(self.isVisible())

    def set_export(self, done: int, total: int) -> None:
        """See `ExportView.set_export`."""
        self.export.set_progress(done, total)

    def tell(self, words: str, is_warning: bool) -> None:
        """See `WorklistView.tell`."""
        tell(words, is_warning)

    def _lay_out(self) -> None:
        self.filter.row.addWidget(self.words, 1)
        self.filter.row.addWidget(self.export)
        halves = QSplitter(Qt.Orientation.Horizontal)
        halves.addWidget(self.table)
        halves.addWidget(self.detail)
        halves.setStretchFactor(0, 1)
        halves.setSizes([806, 244])
        halves.setChildrenCollapsible(False)
        hint = QLabel(
            "Enter opens a smear · A accepts · digits correct, 0 unsure · Ctrl+Z undo · "
            "research use only"
        )
        column = QVBoxLayout(self)
        column.addWidget(self.filter)
        column.addWidget(halves, 1)
        last = QHBoxLayout()
        last.addWidget(self.evidence, 1)
        last.addWidget(hint)
        column.addLayout(last)

    def _point_at(self, sort: Sort | None) -> None:
        """Let the arrow in the header stand for this order, without asking for it."""
        keys = [column.sort_key for column in self.model.columns()]
        at = keys.index(sort.column) if sort is not None and sort.column in keys else -1
        down = sort is not None and sort.descending
        order = Qt.SortOrder.DescendingOrder if down else Qt.SortOrder.AscendingOrder
        with QSignalBlocker(self.model):
            self.table.horizontalHeader().setSortIndicator(at, order)

    def _on_sort_wanted(self, column: str, descending: bool) -> None:
        self.sort_wanted.emit(Sort(column=column, descending=descending))
