"""The Queue tab: jobs with their progress, cancel, retry, and how the workers are."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import QModelIndex, QRect, Qt, Signal
from qtpy.QtGui import QColor, QPainter, QPalette
from qtpy.QtWidgets import (
    QHBoxLayout,
    QLabel,
    QPushButton,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QVBoxLayout,
    QWidget,
)

from napari_marrow._qt.lines_model import LinesModel
from napari_marrow._qt.lines_table import LinesTable
from napari_marrow._qt.notices import tell
from napari_marrow.lines.jobs import JOB_COLUMNS, JobLine, WorkerWords

_PROGRESS = 3
"""Column that is painted as a bar."""
_BAR = "#4c6fdc"
"""Stands out from napari's greys, dark and light, selected or not."""


class ProgressDelegate(QStyledItemDelegate):
    """Paints a bar behind the text, as long as the share that is done."""

    def __init__(self, jobs: LinesModel[JobLine], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._jobs = jobs

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex) -> None:
        """Background, bar, text."""
        share = self._jobs.line(index.row()).share_done
        style = option.widget.style()
        style.drawPrimitive(
            QStyle.PrimitiveElement.PE_PanelItemViewItem, option, painter, option.widget
        )
        area = option.rect.adjusted(4, 4, -4, -4)
        painter.save()
        colour = QColor(_BAR)
        colour.setAlpha(50)
        painter.fillRect(area, colour)
        colour.setAlpha(150)
        painter.fillRect(
            QRect(area.left(), area.top(), round(area.width() * share), area.height()), colour
        )
        painter.setPen(option.palette.color(QPalette.ColorRole.Text))
        painter.drawText(area, int(Qt.AlignmentFlag.AlignCenter), str(index.data()))
        painter.restore()


class QueueTab(QWidget):
    """The `QueueView`.

    Signals
    -------
    cancel_wanted(int), retry_wanted(int), results_wanted(int)
        A job's id.
    """

    cancel_wanted = Signal(int)
    retry_wanted = Signal(int)
    results_wanted = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.model: LinesModel[JobLine] = LinesModel(self)
        self.model.set_columns(JOB_COLUMNS)
        self.table = LinesTable(self.model)
        self.table.setSelectionMode(LinesTable.SelectionMode.SingleSelection)
        examples = ["0000", "classify", "cancelling", "100,000 of 100,000"]
        self.table.set_widths([*examples, "100,000", "10,000", "00 Mmm 00:00", "…"], stretch=7)
        self._delegate = ProgressDelegate(self.model, self)
        self.table.setItemDelegateForColumn(_PROGRESS, self._delegate)
        self.workers = QLabel("…")
        self.workers.setWordWrap(True)
        self.cancel = QPushButton("Cancel")
        self.retry = QPushButton("Retry failed")
        self.results = QPushButton("Results")
        self._lay_out()
        self.model.dataChanged.connect(self._on_changed)
        self.table.selectionModel().selectionChanged.connect(self._on_changed)
        self.table.opened.connect(lambda _row: self._emit(self.results_wanted))
        self._on_changed()

    def set_jobs(self, lines: Sequence[JobLine]) -> None:
        """Show these jobs; the selected job stays selected though newer ones come above it."""
        chosen = self.selected()
        self.model.set_lines(lines)
        ids = [line.job_id for line in lines]
        row = ids.index(chosen.job_id) if chosen is not None and chosen.job_id in ids else 0
        if lines and self.table.selected_rows() != [row]:
            self.table.selectRow(row)
        self._on_changed()

    def set_workers(self, words: WorkerWords) -> None:
        """See `QueueView.set_workers`."""
        self.workers.setText(words.text)
        self.workers.setStyleSheet("color: #e4572e; font-weight: bold" if words.is_alarming else "")

    def is_looked_at(self) -> bool:
        """See `QueueView.is_looked_at`."""
        return bool(self.isVisible())

    def tell(self, words: str, is_warning: bool) -> None:
        """See `QueueView.tell`."""
        tell(words, is_warning)

    def selected(self) -> JobLine | None:
        """The selected job."""
        rows = self.table.selected_rows()
        return self.model.line(rows[0]) if rows else None

    def _lay_out(self) -> None:
        row = QHBoxLayout()
        row.addWidget(self.workers, 1)
        for button, signal in (
            (self.results, self.results_wanted),
            (self.cancel, self.cancel_wanted),
            (self.retry, self.retry_wanted),
        ):
            row.addWidget(button)
            button.clicked.connect(lambda _checked, signal=signal: self._emit(signal))
        column = QVBoxLayout(self)
        column.addWidget(self.table, 1)
        column.addLayout(row)

    def _emit(self, signal: Signal) -> None:
        line = self.selected()
        if line is not None:
            signal.emit(line.job_id)

    def _on_changed(self, *_changed: object) -> None:
        line = self.selected()
        self.cancel.setEnabled(line is not None and line.can_cancel)
        self.retry.setEnabled(line is not None and line.can_retry)
        self.results.setEnabled(line is not None and line.cells[1] == "classify")
