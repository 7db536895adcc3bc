"""The window of who does not train: each labelled smear with its reason, and more by hand."""

from __future__ import annotations

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QDialog,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_marrow._qt.lines_model import LinesModel
from napari_marrow._qt.lines_table import LinesTable
from napari_marrow.lines.retrain import (
    EXCLUSION_COLUMNS,
    ExclusionLine,
    Prospect,
    exclusion_lines,
)


class ExclusionsDialog(QDialog):
    """Not modal: a person goes through the list while the cases are open.

    Signals
    -------
    changed(object)
        Who is left out by hand: a tuple of (patient or smear, reason).
    smear_opened(int)
        A smear's id.
    """

    changed = Signal(object)
    smear_opened = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent, Qt.WindowType.Window)
        self.setWindowTitle("Left out of training")
        self.resize(760, 440)
        self.words = QLabel()
        self.words.setWordWrap(True)
        self.model: LinesModel[ExclusionLine] = LinesModel(self)
        self.model.set_columns(EXCLUSION_COLUMNS)
        self.table = LinesTable(self.model)
        self.table.set_widths(["S000000", "P000000000", "north clinic", "…"], 3)
        self.who, self.reason = QLineEdit(), QLineEdit()
        self.who.setPlaceholderText("patient, or smear S000148")
        self.reason.setPlaceholderText("reason; it stands on the model's card")
        self.leave = QPushButton("Leave out")
        self.take_back = QPushButton("Take back")
        self.take_back.setToolTip("Of the selected rows that were left out by hand")
        self._by_hand: dict[str, str] = {}
        self._found: tuple[ExclusionLine, ...] = ()
        self._lay_out()
        for edit in (self.who, self.reason):
            edit.textChanged.connect(self._on_changed)
            edit.returnPressed.connect(self.leave.click)
        self.leave.clicked.connect(self._on_leave_clicked)
        self.take_back.clicked.connect(self._on_take_back_clicked)
        self.table.selectionModel().selectionChanged.connect(self._on_changed)
        self.table.opened.connect(self._on_opened)
        self._on_changed()

    def set_prospect(self, prospect: Prospect) -> None:
        """List who is left out as things are."""
        self.words.setText(
            prospect.trouble or prospect.excluded or "No labelled smear is left out."
        )
        self._found = prospect.exclusions
        self._show_lines()

    def setValue(self, left_out: tuple[tuple[str, str], ...]) -> None:  # noqa: N802
        """These are left out by hand."""
        self._by_hand = dict(left_out)
        self._show_lines()

    def value(self) -> tuple[tuple[str, str], ...]:
        """Who is left out by hand, each with the reason."""
        return tuple(self._by_hand.items())

    def _lay_out(self) -> None:
        row = QHBoxLayout()
        row.addWidget(self.who, 1)
        row.addWidget(self.reason, 2)
        row.addWidget(self.leave)
        row.addWidget(self.take_back)
        column = QVBoxLayout(self)
        column.addWidget(self.words)
        column.addWidget(self.table, 1)
        column.addLayout(row)

    def _chosen(self) -> list[str]:
        """Whom a person named, of the selected rows."""
        rows = [self.model.line(row).by_hand for row in self.table.selected_rows()]
        return list(dict.fromkeys(filter(None, rows)))

    def _show_lines(self) -> None:
        self.model.set_lines(exclusion_lines(self._found, self._by_hand))
        self._on_changed()

    def _on_changed(self, *_changed: object) -> None:
        self.leave.setEnabled(bool(self.who.text().strip() and self.reason.text().strip()))
        self.take_back.setEnabled(bool(self._chosen()))

    def _on_leave_clicked(self) -> None:
        self._by_hand[self.who.text().strip()] = self.reason.text().strip()
        self.who.clear()
        self.reason.clear()
        self._show_lines()
        self.changed.emit(self.value())

    def _on_take_back_clicked(self) -> None:
        for name in self._chosen():
            self._by_hand.pop(name, None)
        self.table.clearSelection()  # or the rows that move up would be the chosen ones
        self._show_lines()
        self.changed.emit(self.value())

    def _on_opened(self, row: int) -> None:
        smear_id = self.model.line(row).smear_id
        if smear_id is not None:
            self.smear_opened.emit(smear_id)
