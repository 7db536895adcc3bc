"""The Compare tab: champion against challenger, promotion, history, and the report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from qtpy.QtCore import QSignalBlocker, Qt, QUrl, Signal
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QHBoxLayout,
    QLabel,
    QMenu,
    QPushButton,
    QScrollArea,
    QSplitter,
    QStackedWidget,
    QTabWidget,
    QVBoxLayout,
    QWidget,
)

from napari_marrow._qt.compare.confusion_view import ConfusionView
from napari_marrow._qt.compare.promote_bar import PromoteBar
from napari_marrow._qt.compare.roc_view import RocView
from napari_marrow._qt.compare.tables_view import TablesView
from napari_marrow._qt.lines_model import LinesModel
from napari_marrow._qt.lines_table import LinesTable
from napari_marrow._qt.notices import tell
from napari_marrow.lines.models import (
    CHANGE_COLUMNS,
    HISTORY_COLUMNS,
    ChangeLine,
    ComparisonLines,
    HistoryLine,
    ModelLine,
    offer_of,
)


class CompareTab(QWidget):
    """The `CompareView`.

    Signals
    -------
    pair_chosen(int, int)
        Champion and challenger.
    smear_opened(int)
        A smear's id.
    report_wanted(int, bool)
        A model, and whether its report is to be made anew.
    """

    pair_chosen = Signal(int, int)
    smear_opened = Signal(int)
    report_wanted = Signal(int, bool)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.champion, self.challenger = QComboBox(), QComboBox()
        self.report = QPushButton("Report")
        self.headline, self.verdict, self.changes_words, self.reporting, self.empty = (
            QLabel() for _ in range(5)
        )
        self.roc, self.confusion, self.tables = RocView(), ConfusionView(), TablesView()
        self.changes: LinesModel[ChangeLine] = LinesModel(self)
        self.changes.set_columns(CHANGE_COLUMNS)
        self.changes_table = LinesTable(self.changes)
        self.history: LinesModel[HistoryLine] = LinesModel(self)
        self.history.set_columns(HISTORY_COLUMNS)
        self.history_table = LinesTable(self.history)
        self.promote = PromoteBar()
        self._lay_out()
        self._connect()
        self.set_comparison(None, "…")

    def set_models(
        self, known: Sequence[ModelLine], champion: int | None, challenger: int | None
    ) -> None:
        """See `CompareView.set_models`."""
        for combo, chosen in ((self.champion, champion), (self.challenger, challenger)):
            with QSignalBlocker(combo):
                combo.clear()
                for one in known:
                    combo.addItem(one.words, one.model_id)
                combo.setCurrentIndex(combo.findData(chosen))
        self.promote.setValue(offer_of(known, champion, challenger))
        self.report.setEnabled(bool(known))
        self._fill_report_menu(champion, challenger)

    def set_comparison(self, shown: ComparisonLines | None, words: str) -> None:
        """See `CompareView.set_comparison`."""
        self.body.setCurrentIndex(0 if shown is not None else 1)
        self.empty.setText(words)
        if shown is None:
            self.headline.clear()
            for figures in (self.roc, self.confusion, self.tables):
                figures.setValue(())
            self.roc.empty.hide()  # it tells of a comparison, and there is none
            return
        self.headline.setText(shown.headline)
        self.verdict.setText(shown.verdict)
        self.changes.set_lines(shown.changes)
        self.changes_words.setText(shown.changes_words)
        self.roc.setValue(shown.roc)
        self.confusion.setValue(shown.confusion)
        self.tables.setValue(shown.tables)

    def set_history(self, lines: Sequence[HistoryLine]) -> None:
        """See `CompareView.set_history`."""
        self.history.set_lines(lines)
        self.promote.set_can_roll_back(len(lines) > 1)

    def set_objection(self, words: str) -> None:
        """See `CompareView.set_objection`."""
        self.promote.set_objection(words)

    def set_changing(self, is_changing: bool) -> None:
        """See `CompareView.set_changing`."""
        self.promote.set_changing(is_changing)

    def clear_reason(self) -> None:
        """See `CompareView.clear_reason`."""
        self.promote.reason.clear()

    def set_reporting(self, words: str, is_busy: bool) -> None:
        """See `CompareView.set_reporting`."""
        self.reporting.setText(words)
        self.reporting.setVisible(bool(words))
        self.report.setEnabled(not is_busy)

    def open_page(self, page: Path) -> None:
        """See `CompareView.open_page`."""
        if not QDesktopServices.openUrl(QUrl.fromLocalFile(str(page))):
            tell(f"No browser opened: the report is {page}", is_warning=True)

    def is_looked_at(self) -> bool:
        """See `CompareView.is_looked_at`."""
        return bool(self.isVisible())

    def is_deciding(self) -> bool:
        """See `CompareView.is_deciding`."""
        return bool(self.promote.reason.text())

    def tell(self, words: str, is_warning: bool) -> None:
        """See `CompareView.tell`."""
        tell(words, is_warning)

    def _lay_out(self) -> None:
        self.report.setToolTip("The full report as a page of the browser, made if there is none")
        self.report.setMenu(QMenu(self.report))
        for label in (self.headline, self.verdict, self.changes_words, self.empty):
            label.setWordWrap(True)
            label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.verdict.setTextFormat(Qt.TextFormat.RichText)
        self.verdict.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.empty.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.reporting.hide()
        self.changes_table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.changes_table.set_widths(
            ["S000000", "P000000", "diagnosis", "MDS", "MDS", "MDS", "better"], 1
        )
        examples = ["00 Mmm 00:00", "m000", "m000", "rolled back", "…"]
        self.history_table.set_widths(examples, 4)
        top = QHBoxLayout()
        for title, widget in (("Champion", self.champion), ("Challenger", self.challenger)):
            top.addWidget(QLabel(title))
            top.addWidget(widget, 1)
        top.addWidget(self.report)
        column = QVBoxLayout(self)
        column.addLayout(top)
        column.addWidget(self.reporting)
        column.addWidget(self.headline)
        column.addWidget(self._figures_and_words(), 1)

    def _figures_and_words(self) -> QWidget:
        self.figures = QTabWidget()
        self.figures.addTab(self.roc, "ROC")
        self.figures.addTab(self.confusion, "Confusion")
        self.figures.addTab(self.tables, "Tables")
        self.figures.addTab(self.history_table, "Champions")
        # The champion's history and the way back stay, whatever can be compared.
        self.body = QStackedWidget()
        self.body.addWidget(self._compared())
        self.body.addWidget(self.empty)
        right = QWidget()
        column = QVBoxLayout(right)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.body, 1)
        column.addWidget(self.promote)
        split = QSplitter(Qt.Orientation.Horizontal)
        split.addWidget(self.figures)
        split.addWidget(right)
        split.setSizes([620, 460])
        split.setChildrenCollapsible(False)
        return split

    def _compared(self) -> QWidget:
        words = QScrollArea()
        words.setWidgetResizable(True)
        words.setWidget(self.verdict)
        page = QWidget()
        column = QVBoxLayout(page)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(words, 3)
        column.addWidget(self.changes_words)
        column.addWidget(self.changes_table, 2)
        return page

    def _connect(self) -> None:
        for combo in (self.champion, self.challenger):
            combo.activated.connect(self._on_pair_activated)
        self.changes_table.opened.connect(
            lambda row: self.smear_opened.emit(self.changes.line(row).smear_id)
        )

    def _fill_report_menu(self, champion: int | None, challenger: int | None) -> None:
        menu = self.report.menu()
        menu.clear()
        for model_id in dict.fromkeys((challenger, champion)):
            if model_id is None:
                continue
            for text, is_anew in (("Open the report of", False), ("Make anew the report of", True)):
                action = menu.addAction(f"{text} m{model_id}")
                action.triggered.connect(
                    lambda _checked=False, model_id=model_id, is_anew=is_anew: (
                        self.report_wanted.emit(model_id, is_anew)
                    )
                )

    def _on_pair_activated(self, _row: int) -> None:
        pair = self.champion.currentData(), self.challenger.currentData()
        if None not in pair:
            self.pair_chosen.emit(*pair)
