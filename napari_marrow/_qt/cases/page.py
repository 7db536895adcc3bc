"""All of the Cases dock below the study's name: progress, list, label mode, what is folded away."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from qtpy.QtCore import QPoint, Signal
from qtpy.QtWidgets import (
    QFileDialog,
    QHBoxLayout,
    QMenu,
    QProgressBar,
    QPushButton,
    QVBoxLayout,
    QWhatsThis,
    QWidget,
)

from marrow.schemes import Head
from napari_marrow._qt.cases.case_list import CaseList
from napari_marrow._qt.cases.describe_bar import DescribeBar
from napari_marrow._qt.cases.label_bar import LabelBar
from napari_marrow._qt.cases.region_bar import RegionBar
from napari_marrow._qt.cases.section import Section
from napari_marrow._qt.cases.status_bar import StatusBar
from napari_marrow._qt.evidence_bar import EvidenceBar
from napari_marrow._qt.notices import tell
from napari_marrow._qt.single_click import SingleClickButton
from napari_marrow.lines.cases import CaseChoice, CaseLine
from napari_marrow.lines.column import Column
from napari_marrow.reader import SUFFIXES

SPACING_PX = 5
_ON = "background: #2e9e5b; color: white;"


class CasesPage(QWidget):
    """The `CasesView`, and what `LabelsView`, `LabellingView` and the outbox show in the dock.

    Signals
    -------
    add_wanted(object)
        Paths of files and folders.
    queue_wanted(object)
        Ids of smears, None for all that the filter shows.
    workbench_wanted()
    sheet_wanted()
        The contact sheet.
    """

    add_wanted = Signal(object)
    queue_wanted = Signal(object)
    workbench_wanted = Signal()
    sheet_wanted = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._choices: Sequence[CaseChoice] = ()
        self.status = StatusBar()
        self.list = CaseList()
        self.labels = LabelBar()
        self.describe = DescribeBar()
        self.evidence = EvidenceBar()
        self.regions = RegionBar()
        self.progress = QProgressBar()
        self.progress.setFormat("adding %v of %m")
        self.progress.hide()
        self.label_mode = SingleClickButton("Label mode")
        self.label_mode.setCheckable(True)
        self.label_mode.setToolTip(
            "Label by keys: 1 to 9 the classes, 0 unsure, each stores and goes on; ← → U next "
            "unlabelled, Ctrl+Z undo, R P regions, H heatmap, [ ] its class, F flag, Esc ends"
        )
        self.sheet = QPushButton("Thumbnails G")
        self.sheet.setToolTip("The contact sheet, in the workbench")
        self.sheet.clicked.connect(self.sheet_wanted)
        self.undo = QPushButton("Undo Ctrl+Z")
        self.queue_menu = QPushButton("Queue")
        menu = QMenu(self.queue_menu)
        self.queue_selected = menu.addAction("Queue selected", self._on_queue_selected_triggered)
        self.queue_all = menu.addAction("Queue all", lambda: self.queue_wanted.emit(None))
        self.queue_menu.setMenu(menu)
        self._lay_out()
        self.list.selection_changed.connect(self._on_selection_changed)
        self.status.patients_wanted.connect(self._on_patients_wanted)
        self._on_selection_changed(0)
        self.set_undoable(0)

    def set_scheme(self, columns: Sequence[Column], asked: Sequence[Head]) -> None:
        """See `CasesView.set_scheme`."""
        self.list.set_scheme(columns, asked)
        self.labels.set_heads(asked)
        self._on_selection_changed(0)

    def set_choices(self, choices: Sequence[CaseChoice], chosen: int) -> None:
        """See `CasesView.set_choices`."""
        self._choices = choices
        self.list.set_choices(choices, chosen)

    def set_lines(self, lines: Sequence[CaseLine], total: int) -> None:
        """See `CasesView.set_lines`."""
        self.list.set_lines(lines, total)
        self._set_total(total)

    def append_lines(self, lines: Sequence[CaseLine], total: int) -> None:
        """See `CasesView.append_lines`."""
        self.list.append_lines(lines, total)
        self._set_total(total)

    def set_counts(self, read: int, smears: int, without_patient: int, others: str) -> None:
        """See `CasesView.set_counts`."""
        self.status.set_counts(read, smears, without_patient, others)

    def is_model_shown(self) -> bool:
        """See `CasesView.is_model_shown`."""
        return self.list.is_model_shown()

    def set_saved(self, unsent: int, trouble: str) -> None:
        """See `OutboxController.saved`."""
        self.status.set_saved(unsent, trouble)

    def set_undoable(self, count: int) -> None:
        """See `LabelsView.set_undoable`."""
        self.undo.setEnabled(count > 0)
        labels = "the last label" if count == 1 else f"the last {count:,} labels"
        self.undo.setToolTip(f"Take back {labels}" if count else "Nothing to take back")

    def set_labelling(self, is_on: bool) -> None:
        """See `LabellingView.set_labelling`."""
        self.label_mode.setChecked(is_on)
        self.label_mode.setStyleSheet(_ON if is_on else "")
        self._on_selection_changed(len(self.list.selected_ids()))

    def show_history(self, words: str, where: QPoint) -> None:
        """Show who said what of a smear, until the next click."""
        QWhatsThis.showText(where, words, self.list.table)

    def set_progress(self, done: int, total: int) -> None:
        """See `CasesView.set_progress`."""
        self.progress.setVisible(total > 0)
        self.progress.setRange(0, max(total, 1))
        self.progress.setValue(done)

    def tell(self, words: str, is_warning: bool) -> None:
        """See `CasesView.tell`."""
        tell(words, is_warning)

    def _add_button(self) -> QPushButton:
        button = QPushButton("Add smears")
        menu = QMenu(button)
        menu.addAction("Files…", self._on_files_triggered)
        menu.addAction("Folder…", self._on_folder_triggered)
        button.setMenu(menu)
        return button

    def _lay_out(self) -> None:
        workbench = QPushButton("Workbench")
        workbench.setToolTip("The queue and the results, in a window of their own")
        workbench.clicked.connect(self.workbench_wanted)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(SPACING_PX)
        column.addWidget(self.status)
        column.addWidget(self.progress)
        column.addWidget(self.list, 1)
        column.addLayout(_row(self.label_mode, self.sheet, self.undo))
        column.addWidget(self.labels)
        column.addWidget(Section("Patient and site", self.describe))
        column.addWidget(Section("Regions", self.regions))
        column.addWidget(Section("Evidence", self.evidence, is_open=True))
        column.addLayout(_row(self._add_button(), self.queue_menu, workbench))

    def _set_total(self, total: int) -> None:
        self.queue_all.setText(f"Queue all {total:,} listed")
        self.queue_all.setEnabled(total > 0)
        self.label_mode.setEnabled(total > 0 or self.label_mode.isChecked())

    def _on_selection_changed(self, count: int) -> None:
        # In label mode the smear on the canvas is meant, also where its line was not read yet.
        self.labels.set_selected(max(count, int(self.label_mode.isChecked())))
        self.describe.set_selected(count)
        self.queue_selected.setText(f"Queue {count:,} selected" if count else "Queue selected")
        self.queue_selected.setEnabled(count > 0)

    def _on_patients_wanted(self) -> None:
        asks = [choice.shown.has_patient is False for choice in self._choices]
        if any(asks):
            self.list.filter.setCurrentIndex(asks.index(True))

    def _on_queue_selected_triggered(self) -> None:
        self.queue_wanted.emit(self.list.selected_ids())

    def _on_files_triggered(self) -> None:
        kinds = " ".join(f"*{suffix}" for suffix in SUFFIXES)
        chosen, _kind = QFileDialog.getOpenFileNames(
            self, "Add smears", "", f"Smears ({kinds});;All files (*)"
        )
        if chosen:
            self.add_wanted.emit([Path(one) for one in chosen])

    def _on_folder_triggered(self) -> None:
        chosen = QFileDialog.getExistingDirectory(self, "Add a folder of smears")
        if chosen:
            self.add_wanted.emit([Path(chosen)])


def _row(*widgets: QWidget) -> QHBoxLayout:
    row = QHBoxLayout()
    row.setSpacing(SPACING_PX)
    for widget in widgets:
        row.addWidget(widget)
    return row
