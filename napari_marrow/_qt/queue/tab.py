"""The Queue tab: what to queue, jobs with their progress, cancel, retry, why, and the workers."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QHBoxLayout,
    QLabel,
    QMessageBox,
    QPlainTextEdit,
    QPushButton,
    QSplitter,
    QVBoxLayout,
    QWidget,
)

from napari_marrow._qt.lines_model import LinesModel
from napari_marrow._qt.lines_table import LinesTable
from napari_marrow._qt.notices import tell
from napari_marrow._qt.queue.progress_bar import ProgressDelegate
from napari_marrow._qt.queue.submit_bar import SubmitBar
from napari_marrow.desks.queue import Chosen, Offer
from napari_marrow.lines.jobs import JOB_COLUMNS, PROGRESS, JobLine
from napari_marrow.lines.workers import WorkerWords

_STATE = 2
_ALARM = "color: #e4572e; font-weight: bold"
WHY_HEIGHT_PX = 150


class QueueTab(QWidget):
    """The `QueueView`.

    Signals
    -------
    cancel_wanted(int), retry_wanted(int), results_wanted(int), training_wanted(int)
        A job's id; cancelling was confirmed.
    why_wanted(object)
        The job whose reasons are shown, None when the pane is closed.
    """

    cancel_wanted = Signal(int)
    retry_wanted = Signal(int)
    results_wanted = Signal(int)
    training_wanted = Signal(int)
    why_wanted = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.bar = SubmitBar()
        self.model: LinesModel[JobLine] = LinesModel(self)
        self.model.set_columns(JOB_COLUMNS)
        self.table = LinesTable(self.model)
        self.table.setSelectionMode(LinesTable.SelectionMode.SingleSelection)
        examples = ["0000", "training of 12 cells", "…", "100,000 of 100,000, 1,000 failed"]
        self.table.set_widths(
            [*examples, "00 Mmm 00:00 (in 3 h 20 min)", "10", "00 Mmm 00:00"], stretch=_STATE
        )
        self._delegate = ProgressDelegate(self.model, self)
        self.table.setItemDelegateForColumn(PROGRESS, self._delegate)
        self.workers = QLabel("…")
        self.workers.setWordWrap(True)
        self.news = QLabel()
        self.news.setWordWrap(True)
        self.why_pane = QPlainTextEdit()
        self.why_pane.setReadOnly(True)
        self.why_pane.hide()
        self.cancel = QPushButton("Cancel…")
        self.retry = QPushButton("Retry failed")
        self.why = QPushButton("Why")
        self.why.setCheckable(True)
        self.results = QPushButton("Results")
        self.question: QMessageBox | None = None
        """The open question whether a job is to be cancelled."""
        self._awaited: int | None = None
        self._explained: int | None = None
        self._lay_out()
        self._connect()
        self._on_changed()

    def set_chosen(self, chosen: Chosen) -> None:
        """See `QueueView.set_chosen`."""
        self.bar.set_chosen(chosen)

    def set_submitting(self, is_submitting: bool) -> None:
        """See `QueueView.set_submitting`."""
        self.bar.set_submitting(is_submitting)

    def set_offer(self, offer: Offer) -> None:
        """See `QueueView.set_offer`."""
        self.bar.set_offer(offer)

    def set_expected(self, words: str) -> None:
        """See `QueueView.set_expected`."""
        self.bar.set_expected(words)

    def set_jobs(self, lines: Sequence[JobLine]) -> None:
        """Show these jobs; the selected job stays selected though newer ones come above it."""
        chosen = self.selected()
        wanted = self._awaited if self._awaited is not None else chosen and chosen.job_id
        self.model.set_lines(lines)
        ids = [line.job_id for line in lines]
        if self._awaited in ids:
            self._awaited = None
        row = ids.index(wanted) if wanted in ids else 0
        if lines and self.table.selected_rows() != [row]:
            self.table.selectRow(row)
        self._on_changed()

    def select_job(self, job_id: int) -> None:
        """See `QueueView.select_job`."""
        self._awaited = job_id

    def set_workers(self, words: WorkerWords) -> None:
        """See `QueueView.set_workers`."""
        self.workers.setText(words.text)
        self.workers.setStyleSheet(_ALARM if words.is_alarming else "")
        self.news.setText("\n".join(words.news))
        self.news.setVisible(bool(words.news))

    def set_why(self, job_id: int, words: str) -> None:
        """See `QueueView.set_why`; who has scrolled or marked a part keeps it."""
        if self.why_pane.toPlainText() != words:
            self.why_pane.setPlainText(words)

    def is_looked_at(self) -> bool:
        """See `QueueView.is_looked_at`."""
        return bool(self.isVisible())

    def tell(self, words: str, is_warning: bool) -> None:
        """See `QueueView.tell`."""
        tell(words, is_warning)

    def begin_anew(self, begin: str, end: str) -> None:
        """Another study: its jobs have the same numbers, and are not meant by an open question."""
        self.bar.begin_anew(begin, end)
        if self.question is not None:
            self.question.reject()

    def selected(self) -> JobLine | None:
        """The selected job."""
        rows = self.table.selected_rows()
        return self.model.line(rows[0]) if rows else None

    def _lay_out(self) -> None:
        buttons = QHBoxLayout()
        buttons.addWidget(self.workers, 1)
        for button in (self.results, self.cancel, self.retry, self.why):
            buttons.addWidget(button)
        parts = QSplitter(Qt.Orientation.Vertical)
        parts.addWidget(self.table)
        parts.addWidget(self.why_pane)
        parts.setStretchFactor(0, 1)
        parts.setSizes([400, WHY_HEIGHT_PX])
        parts.setChildrenCollapsible(False)
        column = QVBoxLayout(self)
        column.addWidget(self.bar)
        column.addWidget(parts, 1)
        column.addLayout(buttons)
        column.addWidget(self.news)

    def _connect(self) -> None:
        self.model.dataChanged.connect(self._on_changed)
        self.table.selectionModel().selectionChanged.connect(self._on_changed)
        self.table.opened.connect(lambda _row: self._open())
        self.results.clicked.connect(self._open)
        self.cancel.clicked.connect(self._ask_to_cancel)
        self.retry.clicked.connect(self._on_retry_clicked)
        self.why.toggled.connect(self._on_why_toggled)

    def _open(self) -> None:
        line = self.selected()
        if line is not None:
            (self.training_wanted if line.is_training else self.results_wanted).emit(line.job_id)

    def _ask_to_cancel(self) -> None:
        """Ask in a window that stops nothing: the table goes on living behind it."""
        line = self.selected()
        if line is None or self.question is not None:
            return
        asked = QMessageBox(self)
        asked.setIcon(QMessageBox.Icon.Question)
        asked.setWindowTitle("Cancel a job")
        asked.setText(line.question)
        stop = asked.addButton(f"Cancel job {line.job_id}", QMessageBox.ButtonRole.DestructiveRole)
        go_on = asked.addButton("Let it run", QMessageBox.ButtonRole.RejectRole)
        asked.setDefaultButton(go_on)
        asked.setEscapeButton(go_on)
        stop.clicked.connect(lambda: self.cancel_wanted.emit(line.job_id))
        asked.finished.connect(self._on_question_finished)
        self.question = asked
        asked.open()

    def _on_question_finished(self, _result: int) -> None:
        if self.question is not None:
            self.question.deleteLater()
            self.question = None

    def _on_retry_clicked(self) -> None:
        line = self.selected()
        if line is not None:
            self.retry_wanted.emit(line.job_id)

    def _on_why_toggled(self, is_wanted: bool) -> None:
        self.why_pane.setVisible(is_wanted)
        self._explain()

    def _explain(self) -> None:
        line = self.selected()
        wanted = line.job_id if line is not None and self.why.isChecked() else None
        if wanted != self._explained:
            self._explained = wanted
            self.why_pane.clear()
            self.why_wanted.emit(wanted)

    def _on_changed(self, *_changed: object) -> None:
        line = self.selected()
        self.cancel.setEnabled(line is not None and line.can_cancel)
        self.retry.setEnabled(line is not None and line.can_retry)
        self.why.setEnabled(line is not None)
        self.results.setEnabled(line is not None)
        self.results.setText("Training" if line is not None and line.is_training else "Results")
        self._explain()
