"""The Results tab: a table of answers; Enter opens the smear with its heatmap."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import QSignalBlocker, Qt, QTimer, Signal
from qtpy.QtWidgets import (
    QComboBox,
    QDoubleSpinBox,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from marrow.schemes import Scheme
from napari_marrow._qt.cases.case_list import TYPING_PAUSE_MS
from napari_marrow._qt.evidence_bar import EvidenceBar
from napari_marrow._qt.lines_model import LinesModel
from napari_marrow._qt.lines_table import LinesTable
from napari_marrow._qt.notices import tell
from napari_marrow.lines.column import Column
from napari_marrow.lines.results import ResultLine


class ResultsTab(QWidget):
    """The `ResultsView`.

    Signals
    -------
    filter_changed(str, object, object, object)
        Search text; head and class, None for any; smallest probability, None for "was called".
    opened(object)
        The `ResultLine` whose smear is to be shown.
    all_wanted()
        Predictions of all jobs.
    """

    filter_changed = Signal(str, object, object, object)
    opened = Signal(object)
    all_wanted = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.model: LinesModel[ResultLine] = LinesModel(self)
        self.table = LinesTable(self.model)
        self.table.setSelectionMode(LinesTable.SelectionMode.SingleSelection)
        self.table.setSortingEnabled(True)
        self.evidence = EvidenceBar()
        self.count = QLabel()
        self.search = QLineEdit()
        self.search.setPlaceholderText("search file, patient, S000148")
        self.search.setClearButtonEnabled(True)
        self.call = QComboBox()
        self.min_p = QDoubleSpinBox()
        self.min_p.setRange(0, 1)
        self.min_p.setSingleStep(0.05)
        self.min_p.setSpecialValueText("called")
        self.min_p.setPrefix("p ≥ ")
        self.all_button = QPushButton("All jobs")
        self._total = 0
        self._calls: list[tuple[str, str] | None] = [None]
        self._pause = QTimer(self)
        self._pause.setSingleShot(True)
        self._pause.setInterval(TYPING_PAUSE_MS)
        self._lay_out()
        self._connect()

    def set_scheme(self, scheme: Scheme, columns: Sequence[Column]) -> None:
        """See `ResultsView.set_scheme`."""
        with QSignalBlocker(self.model):  # the arrow moves without asking for an order
            self.table.horizontalHeader().setSortIndicator(-1, Qt.SortOrder.AscendingOrder)
        self.model.set_columns(columns)
        self._calls = [None, *((head.name, name) for head in scheme.heads for name in head.classes)]
        with QSignalBlocker(self.call), QSignalBlocker(self.search), QSignalBlocker(self.min_p):
            self.call.clear()
            self.call.addItems(
                ["any answer", *(f"{one[0]}: {one[1]}" for one in self._calls if one is not None)]
            )
            self.search.clear()
            self.min_p.setValue(0)
        self.min_p.setEnabled(False)
        self.evidence.set_scheme(scheme)
        self.evidence.setValue(None)
        examples = ["S000000", "SYN-2022-0000"]
        for head in scheme.heads:
            examples += [max(head.classes, key=len), *("0.000" for _name in head.classes)]
        self.table.set_widths([*examples, "heads-disagree", "unsure", "m000"])
        self.table.horizontalHeader().setStretchLastSection(True)

    def set_lines(self, lines: Sequence[ResultLine]) -> None:
        """See `ResultsView.set_lines`."""
        self.model.set_lines(lines)

    def insert_lines(self, lines: Sequence[ResultLine]) -> None:
        """See `ResultsView.insert_lines`."""
        self.model.insert_lines(0, lines)

    def append_lines(self, lines: Sequence[ResultLine]) -> None:
        """See `ResultsView.append_lines`."""
        self.model.append_lines(lines)

    def set_count(self, shown: int, total: int, job_id: int | None) -> None:
        """See `ResultsView.set_count`."""
        self.model.set_has_more(shown < total)
        of_job = "all jobs" if job_id is None else f"job {job_id}"
        rows = f"{total:,} results" if shown >= total else f"{shown:,} of {total:,} results"
        self.count.setText(f"{rows} · {of_job}")
        self.all_button.setEnabled(job_id is not None)

    def is_looked_at(self) -> bool:
        """See `ResultsView.is_looked_at`."""
        return bool(self.isVisible())

    def tell(self, words: str, is_warning: bool) -> None:
        """See `ResultsView.tell`."""
        tell(words, is_warning)

    def _lay_out(self) -> None:
        first = QHBoxLayout()
        first.addWidget(self.search, 2)
        first.addWidget(self.call, 1)
        first.addWidget(self.min_p)
        first.addWidget(self.all_button)
        first.addWidget(self.count)
        last = QHBoxLayout()
        last.addWidget(self.evidence, 1)
        hint = QLabel("Enter or double click opens a smear · research use only")
        last.addWidget(hint)
        column = QVBoxLayout(self)
        column.addLayout(first)
        column.addWidget(self.table, 1)
        column.addLayout(last)

    def _connect(self) -> None:
        self.search.textChanged.connect(lambda _text: self._pause.start())
        self._pause.timeout.connect(self._on_filter_changed)
        self.call.currentIndexChanged.connect(self._on_filter_changed)
        self.min_p.valueChanged.connect(lambda _value: self._pause.start())
        self.all_button.clicked.connect(self.all_wanted)
        self.table.opened.connect(lambda row: self.opened.emit(self.model.line(row)))

    def _on_filter_changed(self) -> None:
        self._pause.stop()
        chosen = self._calls[max(self.call.currentIndex(), 0)]
        self.min_p.setEnabled(chosen is not None)
        head, name = chosen if chosen is not None else (None, None)
        self.filter_changed.emit(self.search.text(), head, name, self.min_p.value() or None)
