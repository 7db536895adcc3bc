"""All of the Cases dock below the study's name: add, list, describe, label, queue."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QMenu,
    QProgressBar,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from marrow.schemes import Head
from napari_marrow._qt.cases.case_list import CaseList
from napari_marrow._qt.cases.describe_bar import DescribeBar
from napari_marrow._qt.cases.label_bar import LabelBar
from napari_marrow._qt.cases.region_bar import RegionBar
from napari_marrow._qt.evidence_bar import EvidenceBar
from napari_marrow._qt.notices import tell
from napari_marrow.lines.cases import CaseLine
from napari_marrow.lines.column import Column
from napari_marrow.reader import SUFFIXES


class CasesPage(QWidget):
    """The `CasesView`.

    Signals
    -------
    add_wanted(object)
        Paths of files and folders.
    queue_wanted(object)
        Ids of smears, None for all that the filter shows.
    workbench_wanted()
    """

    add_wanted = Signal(object)
    queue_wanted = Signal(object)
    workbench_wanted = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._total = 0
        self.list = CaseList()
        self.labels = LabelBar()
        self.describe = DescribeBar()
        self.evidence = EvidenceBar()
        self.regions = RegionBar()
        self.counts = QLabel()
        self.counts.setWordWrap(True)
        self.progress = QProgressBar()
        self.progress.setFormat("adding %v of %m")
        self.progress.hide()
        self.queue_selected = QPushButton("Queue selected")
        self.queue_all = QPushButton("Queue all listed")
        self._lay_out(self._add_button(), QPushButton("Workbench"))
        self.list.selection_changed.connect(self._on_selection_changed)
        self._on_selection_changed(0)

    def set_scheme(self, columns: Sequence[Column], asked: Sequence[Head]) -> None:
        """See `CasesView.set_scheme`."""
        self.list.set_scheme(columns, asked)
        self.labels.set_heads(asked)
        self._on_selection_changed(0)

    def set_lines(self, lines: Sequence[CaseLine], total: int) -> None:
        """See `CasesView.set_lines`."""
        self._total = total
        self.list.set_lines(lines, total)
        self.queue_all.setText(f"Queue all {total:,}")
        self.queue_all.setEnabled(total > 0)

    def append_lines(self, lines: Sequence[CaseLine]) -> None:
        """See `CasesView.append_lines`."""
        self.list.append_lines(lines, self._total)

    def set_counts(self, smears: int, labelled: int, without_patient: int) -> None:
        """See `CasesView.set_counts`."""
        text = f"{labelled:,} of {smears:,} labelled"
        if without_patient:
            text += f" · <b>{without_patient:,} without a patient</b>"
        if not smears:
            text = "No smear yet: add files or a folder, or drop them here."
        self.counts.setText(text)

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

    def _lay_out(self, add: QPushButton, workbench: QPushButton) -> None:
        workbench.setToolTip("The queue and the results, in a window of their own")
        workbench.clicked.connect(self.workbench_wanted)
        first = QHBoxLayout()
        first.addWidget(add)
        first.addWidget(workbench)
        last = QHBoxLayout()
        last.addWidget(self.queue_selected)
        last.addWidget(self.queue_all)
        self.queue_selected.clicked.connect(self._on_queue_selected_clicked)
        self.queue_all.clicked.connect(lambda: self.queue_wanted.emit(None))
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(first)
        column.addWidget(self.progress)
        column.addWidget(self.counts)
        column.addWidget(self.list, 1)
        for widget in (self.labels, self.describe, self.regions, self.evidence):
            column.addWidget(widget)
        column.addLayout(last)

    def _on_selection_changed(self, count: int) -> None:
        self.labels.set_selected(count)
        self.describe.set_selected(count)
        self.queue_selected.setText(f"Queue {count:,} selected" if count else "Queue selected")
        self.queue_selected.setEnabled(count > 0)

    def _on_queue_selected_clicked(self) -> None:
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
