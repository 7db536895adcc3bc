"""The readers of a study, and who of them reads blind."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QLineEdit,
    QMessageBox,
    QPushButton,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_marrow.lines.reading import WORKFLOW, ReaderLine

WIDTH_PX = 260
_FEWEST = 2


class ReadersBox(QWidget):
    """An editor of the blind readers' names.

    Signals
    -------
    blind_wanted(object)
        Names of those who are to read blind from now on; () opens the study, which was confirmed.
    """

    blind_wanted = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._lines: tuple[ReaderLine, ...] = ()
        self.list = QTreeWidget()
        self.list.setHeaderLabels(["reads blind", "read", "to read"])
        self.list.setRootIsDecorated(False)
        header = self.list.header()
        header.setStretchLastSection(False)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        for column in (1, 2):
            header.setSectionResizeMode(column, QHeaderView.ResizeMode.ResizeToContents)
        self.name = QLineEdit()
        self.name.setPlaceholderText("another reader's name")
        self.add = QPushButton("Add")
        self.begin = QPushButton("Begin blind reading")
        self.end = QPushButton("Open the study…")
        self.words = QLabel()
        self.words.setWordWrap(True)
        note = QLabel(WORKFLOW)
        note.setWordWrap(True)
        self.question: QMessageBox | None = None
        """The open question whether the study is to be opened."""
        self._lay_out(note)
        self.add.clicked.connect(self._on_added)
        self.name.returnPressed.connect(self._on_added)
        self.begin.clicked.connect(lambda: self.blind_wanted.emit(self.value()))
        self.end.clicked.connect(self._ask_to_end)
        self.list.itemChanged.connect(self._on_checked)
        self._on_checked()

    def value(self) -> tuple[str, ...]:
        """The names that are ticked, from the top."""
        every = [self.list.topLevelItem(row) for row in range(self.list.topLevelItemCount())]
        return tuple(
            str(one.data(0, Qt.ItemDataRole.UserRole))
            for one in every
            if one is not None and one.checkState(0) == Qt.CheckState.Checked
        )

    def setValue(self, lines: Sequence[ReaderLine], words: str) -> None:  # noqa: N802
        """Show these readers; what was ticked and not yet stored stays as it is."""
        self.words.setText(words)
        if tuple(lines) == self._lines:
            return
        stored_before = {one.name for one in self._lines if one.is_blind}
        stored = {one.name for one in lines if one.is_blind}
        is_edited = set(self.value()) != stored_before and stored == stored_before
        ticked = set(self.value()) if is_edited else stored
        extra = [name for name in self._names() if name not in {one.name for one in lines}]
        self._lines = tuple(lines)
        self.list.blockSignals(True)
        self.list.clear()
        for one in lines:
            label = f"{one.name} (you)" if one.is_you else one.name
            self._append(one.name, label, f"{one.read:,}", f"{one.to_read:,}", one.name in ticked)
        for name in extra if is_edited else ():
            self._append(name, name, "", "", name in ticked)
        self.list.blockSignals(False)
        self._on_checked()

    def clear(self) -> None:
        """Show no reader."""
        self._lines = ()
        self.list.clear()
        self.words.setText("")
        self._on_checked()

    def _names(self) -> list[str]:
        every = [self.list.topLevelItem(row) for row in range(self.list.topLevelItemCount())]
        return [str(one.data(0, Qt.ItemDataRole.UserRole)) for one in every if one is not None]

    def _append(self, name: str, label: str, read: str, to_read: str, is_ticked: bool) -> None:
        row = QTreeWidgetItem([label, read, to_read])
        row.setData(0, Qt.ItemDataRole.UserRole, name)
        row.setCheckState(0, Qt.CheckState.Checked if is_ticked else Qt.CheckState.Unchecked)
        for column in (1, 2):
            row.setTextAlignment(column, Qt.AlignmentFlag.AlignRight)
        self.list.addTopLevelItem(row)

    def _lay_out(self, note: QLabel) -> None:
        adding = QHBoxLayout()
        adding.addWidget(self.name, 1)
        adding.addWidget(self.add)
        buttons = QHBoxLayout()
        buttons.addWidget(self.begin, 1)
        buttons.addWidget(self.end)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(QLabel("Readers"))
        column.addWidget(self.list, 1)
        column.addLayout(adding)
        column.addLayout(buttons)
        column.addWidget(self.words)
        column.addWidget(note)
        self.setFixedWidth(WIDTH_PX)

    def _on_added(self) -> None:
        name = self.name.text().strip()
        self.name.clear()
        if name and name not in self._names():
            self._append(name, name, "", "", True)
        self._on_checked()

    def _on_checked(self, *_changed: object) -> None:
        stored = {one.name for one in self._lines if one.is_blind}
        ticked = set(self.value())
        self.begin.setText("Change" if stored else "Begin blind reading")
        self.begin.setEnabled(len(ticked) >= _FEWEST and ticked != stored)
        self.begin.setToolTip("Tick two readers or more: one alone cannot be blind to others")
        self.end.setEnabled(bool(stored))

    def _ask_to_end(self) -> None:
        if self.question is not None:
            return
        asked = QMessageBox(self)
        asked.setIcon(QMessageBox.Icon.Question)
        asked.setWindowTitle("Open the study")
        asked.setText(
            "Open the study to everybody?\n\nAll labels and predictions are shown at once, also "
            "of smears that somebody has still to read: those labels will not be blind."
        )
        go = asked.addButton("Open it", QMessageBox.ButtonRole.DestructiveRole)
        stay = asked.addButton("Stay blind", QMessageBox.ButtonRole.RejectRole)
        asked.setDefaultButton(stay)
        asked.setEscapeButton(stay)
        go.clicked.connect(lambda: self.blind_wanted.emit(()))
        asked.finished.connect(self._on_question_finished)
        self.question = asked
        asked.open()

    def _on_question_finished(self, _result: int) -> None:
        if self.question is not None:
            self.question.deleteLater()
            self.question = None
