"""The Retrain tab: who trains, the form of a sweep, its board and the curves of chosen cells."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import QSignalBlocker, Qt, Signal
from qtpy.QtWidgets import (
    QComboBox,
    QFrame,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSplitter,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from napari_marrow._qt.notices import tell
from napari_marrow._qt.retrain.board import Board
from napari_marrow._qt.retrain.curves import CurvesPane
from napari_marrow._qt.retrain.exclusions import ExclusionsDialog
from napari_marrow._qt.retrain.form import SweepForm
from napari_marrow._qt.single_click import SingleClickButton
from napari_marrow.lines.board import BoardLines, CurveLines
from napari_marrow.lines.retrain import Choices, Prospect, SweepLine

_TROUBLE = "color: #e4572e; font-weight: bold"
_NO_SWEEP = (
    "No sweep yet. Label smears of at least two patients of each class, look at the grid above, "
    "and press Start: the board shows each cell while it trains."
)


class RetrainTab(QWidget):
    """The `RetrainView`.

    Signals
    -------
    start_wanted(object)
        A `SweepWish`.
    stop_wanted(int, object), resume_wanted(int, object)
        The sweep of the board on the screen, and indices of its cells, a tuple.
    job_chosen(int)
        The sweep to show.
    smear_opened(int)
        A smear that is left out.
    """

    start_wanted = Signal(object)
    stop_wanted = Signal(int, object)
    resume_wanted = Signal(int, object)
    job_chosen = Signal(int)
    smear_opened = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.cohort, self.work, self.words, self.notes = (QLabel() for _ in range(4))
        for label in (self.cohort, self.work, self.words, self.notes):
            label.setWordWrap(True)
            label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.plan = QPushButton()
        self.plan.setCheckable(True)
        self.plan.setChecked(True)
        self.plan.setToolTip("Show or hide the form: hidden, the board has its room")
        self.why = QPushButton("why …")
        self.why.setToolTip("Each labelled smear that is left out, and why; leave out more by hand")
        self.exclusions = ExclusionsDialog(self)
        self.form = SweepForm()
        self.start = SingleClickButton("Start")
        self.jobs = QComboBox()
        self.jobs.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToContents)
        self.stop = QPushButton("Stop cell")
        self.stop.setToolTip("It keeps what it has learned and goes on there when it is resumed")
        self.resume = QPushButton("Resume cell")
        self.board = Board()
        self.curves = CurvesPane()
        self._sweeps: tuple[SweepLine, ...] = ()
        self._can_start = self._is_starting = False
        self._lay_out()
        self._connect()
        self._on_plan_toggled(True)
        self.set_prospect(Prospect())
        self.set_jobs((), None)

    def set_choices(self, choices: Choices) -> None:
        """See `RetrainView.set_choices`."""
        self.form.set_choices(choices)
        self.exclusions.setValue(())

    def set_prospect(self, prospect: Prospect) -> None:
        """See `RetrainView.set_prospect`."""
        left_out = f", {prospect.excluded}" if prospect.excluded else ""
        self.cohort.setText(f"Cohort: {prospect.cohort or '…'}{left_out}")
        self.exclusions.set_prospect(prospect)
        self.work.setText(
            prospect.trouble or " ".join(filter(None, (prospect.work, prospect.notes)))
        )
        self.work.setStyleSheet(_TROUBLE if prospect.trouble else "")
        self._can_start = bool(prospect.work) and not prospect.trouble
        self._enable_start()

    def set_starting(self, is_starting: bool) -> None:
        """See `RetrainView.set_starting`."""
        self._is_starting = is_starting
        self._enable_start()

    def set_jobs(self, sweeps: Sequence[SweepLine], shown: int | None) -> None:
        """See `RetrainView.set_jobs`."""
        if self._sweeps != tuple(sweeps):
            self._sweeps = tuple(sweeps)
            with QSignalBlocker(self.jobs):
                self.jobs.clear()
                for one in sweeps:
                    self.jobs.addItem(one.words, one.job_id)
        with QSignalBlocker(self.jobs):
            self.jobs.setCurrentIndex(self.jobs.findData(shown))
        self.below.setCurrentIndex(0 if sweeps else 1)

    def set_board(self, board: BoardLines | None) -> None:
        """See `RetrainView.set_board`."""
        self.words.setText("" if board is None else board.words)
        self.notes.setText("" if board is None else board.notes)
        self.notes.setVisible(bool(board and board.notes))
        self.board.setValue(board)
        self._on_chosen()

    def set_curves(self, curves: CurveLines) -> None:
        """See `RetrainView.set_curves`."""
        self.curves.setValue(curves)

    def choose(self, cells: Sequence[int]) -> None:
        """See `RetrainView.choose`."""
        self.board.choose(cells)
        self._on_chosen()

    def is_looked_at(self) -> bool:
        """See `RetrainView.is_looked_at`."""
        return bool(self.isVisible())

    def tell(self, words: str, is_warning: bool) -> None:
        """See `RetrainView.tell`."""
        tell(words, is_warning)

    def _lay_out(self) -> None:
        first = QHBoxLayout()
        first.addWidget(self.plan)
        first.addWidget(self.cohort, 1)
        first.addWidget(self.why)
        last = QHBoxLayout()
        last.addWidget(self.work, 1)
        last.addWidget(self.start, 0, Qt.AlignmentFlag.AlignTop)
        self.asked = QWidget()
        asked = QVBoxLayout(self.asked)
        asked.setContentsMargins(0, 0, 0, 0)
        asked.addWidget(self.form)
        asked.addLayout(last)
        rule = QFrame()
        rule.setFrameShape(QFrame.Shape.HLine)
        column = QVBoxLayout(self)
        column.addLayout(first)
        column.addWidget(self.asked)
        column.addWidget(rule)
        self.below = QStackedWidget()
        self.below.addWidget(self._lower())
        empty = QLabel(_NO_SWEEP)
        empty.setWordWrap(True)
        empty.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.below.addWidget(empty)
        column.addWidget(self.below, 1)

    def _lower(self) -> QWidget:
        row = QHBoxLayout()
        row.addWidget(QLabel("Sweep"))
        row.addWidget(self.jobs)
        row.addWidget(self.words, 1)
        row.addWidget(self.stop)
        row.addWidget(self.resume)
        split = QSplitter(Qt.Orientation.Horizontal)
        split.addWidget(self.board)
        split.addWidget(self.curves)
        split.setStretchFactor(0, 1)
        split.setStretchFactor(1, 1)
        split.setSizes([520, 520])
        split.setChildrenCollapsible(False)
        lower = QWidget()
        column = QVBoxLayout(lower)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(row)
        column.addWidget(self.notes)
        column.addWidget(split, 1)
        return lower

    def _connect(self) -> None:
        self.start.clicked.connect(lambda: self.start_wanted.emit(self.form.value()))
        self.plan.toggled.connect(self._on_plan_toggled)
        self.why.clicked.connect(self._on_why_clicked)
        self.exclusions.smear_opened.connect(self.smear_opened)
        self.exclusions.changed.connect(self.form.set_left_out)
        self.stop.clicked.connect(lambda: self.stop_wanted.emit(*self._chosen()))
        self.resume.clicked.connect(lambda: self.resume_wanted.emit(*self._chosen()))
        self.jobs.activated.connect(lambda row: self.job_chosen.emit(self._sweeps[row].job_id))
        self.board.chosen.connect(self._on_chosen)

    def _chosen(self) -> tuple[int, tuple[int, ...]]:
        return self.board.job_id, self.board.chosen_cells()

    def _enable_start(self) -> None:
        self.start.setEnabled(self._can_start and not self._is_starting)

    def _on_plan_toggled(self, is_open: bool) -> None:
        self.plan.setText(f"New sweep {'▾' if is_open else '▸'}")
        self.asked.setVisible(is_open)

    def _on_why_clicked(self) -> None:
        self.exclusions.show()
        self.exclusions.raise_()

    def _on_chosen(self, *_chosen: object) -> None:
        lines = self.board.chosen_lines()
        self.stop.setEnabled(any(one.can_stop for one in lines))
        self.resume.setEnabled(any(one.can_resume for one in lines))
