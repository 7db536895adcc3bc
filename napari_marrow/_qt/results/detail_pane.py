"""One row of the Results table in full: its answers, and accepting or correcting them."""

from __future__ import annotations

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QFrame,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from marrow.schemes import Scheme
from napari_marrow._qt.cases.label_bar import LabelBar
from napari_marrow._qt.columns_model import TROUBLE
from napari_marrow._qt.results.probability_bars import ProbabilityBars
from napari_marrow.lines.detail import ResultDetail

NOTHING_CHOSEN = "Choose a row: its answers stand here."


class DetailPane(QWidget):
    """Probabilities, flags in words, labels, and the label buttons.

    Signals
    -------
    accepted()
        The model's calls are to be the reader's answers.
    given(str, str)
        Head and answer of a correction; "" takes the reader's answer back.
    undo_wanted()
        Take the last label back.
    follows_changed(bool)
        Whether a smear is opened as soon as its row is chosen.
    """

    accepted = Signal()
    given = Signal(str, str)
    undo_wanted = Signal()
    follows_changed = Signal(bool)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.title, self.flags, self.labels, self.made = (_label() for _ in range(4))
        self.title.setStyleSheet("font-weight: bold")
        self.flags.setStyleSheet(f"color: {TROUBLE.name()}")
        self.bars = ProbabilityBars()
        self.label_bar = LabelBar()
        self.accept = QPushButton("Accept (A)")
        self.accept.setToolTip("Store the model's calls as your answers and go to the next row (A)")
        self.undo = QPushButton("Undo")
        self.undo.setToolTip("Take your last label back (Ctrl+Z)")
        self.follows = QCheckBox("Open as I go")
        self.follows.setToolTip("Show each smear on the canvas as soon as its row is chosen")
        self._lay_out()
        self.accept.clicked.connect(self.accepted)
        self.undo.clicked.connect(self.undo_wanted)
        self.follows.toggled.connect(self.follows_changed)
        self.label_bar.given.connect(self.given)
        self.setValue(None)

    def set_scheme(self, scheme: Scheme) -> None:
        """Offer the answers of this scheme."""
        self.label_bar.set_heads(scheme.asked)
        self.setValue(None)

    def setValue(self, detail: ResultDetail | None) -> None:  # noqa: N802
        """Show a row; None: no row is chosen."""
        self.title.setText(NOTHING_CHOSEN if detail is None else detail.title)
        self.title.setToolTip("" if detail is None else detail.place)
        self.bars.setValue(() if detail is None else detail.heads)
        self.flags.setText("" if detail is None else "\n".join(f"! {one}" for one in detail.flags))
        labels = () if detail is None else detail.labels
        self.labels.setText("\n".join(labels) if labels or detail is None else "no label yet")
        self.made.setText("" if detail is None else detail.made)
        for words in (self.flags, self.labels, self.made):
            words.setVisible(bool(words.text()))
        self.accept.setEnabled(detail is not None and bool(detail.calls))
        calls = "" if detail is None else ", ".join(detail.calls.values())
        self.accept.setText(f"Accept {calls} (A)" if calls else "Accept (A)")
        self.label_bar.set_selected(0 if detail is None else 1)

    def _lay_out(self) -> None:
        inside = QWidget()
        column = QVBoxLayout(inside)
        column.setContentsMargins(6, 4, 6, 4)
        for widget in (self.title, self.bars, self.flags, _rule(), self.labels):
            column.addWidget(widget)
        column.addWidget(self.accept)
        column.addWidget(self.label_bar)
        row = QHBoxLayout()
        row.addWidget(self.undo)
        row.addWidget(self.follows)
        column.addLayout(row)
        column.addWidget(_rule())
        column.addWidget(self.made)
        column.addStretch(1)
        area = QScrollArea()
        area.setWidgetResizable(True)
        area.setFrameShape(QFrame.Shape.NoFrame)
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        area.setWidget(inside)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.addWidget(area)


def _label() -> QLabel:
    words = QLabel()
    words.setWordWrap(True)
    words.setTextFormat(Qt.TextFormat.PlainText)
    words.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    words.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
    return words


def _rule() -> QFrame:
    rule = QFrame()
    rule.setFrameShape(QFrame.Shape.HLine)
    return rule
