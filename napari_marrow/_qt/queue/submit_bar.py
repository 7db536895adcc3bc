"""What is to be queued, when and for which model; one click or Enter queues it."""

from __future__ import annotations

from qtpy.QtCore import QSignalBlocker, QTime, Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QHBoxLayout,
    QLabel,
    QRadioButton,
    QTimeEdit,
    QVBoxLayout,
    QWidget,
)
from superqt import QElidingLabel

from napari_marrow._qt.single_click import SingleClickButton
from napari_marrow.desks.queue import Chosen, Offer, Wish

_CLOCK = "HH:mm"
CLOCK_PX = 112
"""With the room that napari's style keeps for the two small buttons."""


class SubmitBar(QWidget):
    """An editor of a `Wish`.

    Signals
    -------
    changed(object)
        The `Wish` as it stands.
    submitted()
        A person wants it queued.
    """

    changed = Signal(object)
    submitted = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.button = SingleClickButton("Queue")
        self.button.setDefault(True)
        self.button.setAutoDefault(True)
        self.now = QRadioButton("now")
        self.now.setChecked(True)
        self.tonight = QRadioButton("tonight")
        self.tonight.setToolTip("From this time on, local; at 23:30 the night that has begun")
        self.begin, self.end = _clock("22:00"), _clock("06:00")
        self.has_end = QCheckBox("until")
        self.has_end.setChecked(True)
        self.has_end.setToolTip(
            "What is left then waits for the next night; off: it runs to its end"
        )
        self.model = QComboBox()
        self.model.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToContents)
        self.expected = QElidingLabel()
        self._models: list[int] = []
        self._chosen, self._is_submitting = Chosen(), False
        self._is_night_known = False
        self._lay_out()
        self._connect()
        self.set_chosen(Chosen())
        self._on_edited()

    def value(self) -> Wish:
        """What is wished; the first model of the list, the champion, is asked by no name."""
        model_id = (
            self._models[self.model.currentIndex()] if self.model.currentIndex() > 0 else None
        )
        if self.now.isChecked():
            return Wish(model_id)
        until = self.end.time().toString(_CLOCK) if self.has_end.isChecked() else None
        return Wish(model_id, self.begin.time().toString(_CLOCK), until)

    def setValue(self, wish: Wish) -> None:  # noqa: N802
        """Show this wish; a model that is not offered becomes the champion."""
        with QSignalBlocker(self.model):
            self.model.setCurrentIndex(self._row_of(wish.model_id))
        if wish.at is not None:
            self._set_night(wish.at, wish.until)
        (self.now if wish.at is None else self.tonight).setChecked(True)
        self._on_edited()

    def set_chosen(self, chosen: Chosen) -> None:
        """Show what would be queued."""
        self._chosen = chosen
        what = f"{chosen.count:,} selected" if chosen.listed is None else f"all {chosen.count:,}"
        self.button.setText(f"Queue {what}" if chosen.count else "Queue")
        self.button.setEnabled(chosen.count > 0 and not self._is_submitting)
        self.button.setToolTip(
            "Enter queues them" if chosen.count else "Select smears in the Cases dock"
        )

    def set_submitting(self, is_submitting: bool) -> None:
        """Rest while smears are being queued."""
        self._is_submitting = is_submitting
        self.set_chosen(self._chosen)

    def set_offer(self, offer: Offer) -> None:
        """Show the models, the champion first, and once the last night's times."""
        ids, chosen = [one.model_id for one in offer.models], self.value().model_id
        if offer.night is not None and not self._is_night_known:
            self._is_night_known = True
            self._set_night(*offer.night)
        words = [one.words for one in offer.models] or ["no model yet"]
        if [self.model.itemText(row) for row in range(self.model.count())] == words:
            return
        with QSignalBlocker(self.model):
            self._models = ids
            self.model.clear()
            self.model.addItems(words)
            self.model.setCurrentIndex(self._row_of(chosen))
        self._on_edited()

    def begin_anew(self, begin: str, end: str) -> None:
        """Another study: now, its champion, and these times until it has a night of its own."""
        self._is_night_known = False
        self._set_night(begin, end)
        self.now.setChecked(True)
        self.set_offer(Offer())

    def set_expected(self, words: str) -> None:
        """Show how long it is expected to take."""
        self.expected.setText(words)
        self.expected.setToolTip(words)

    def _row_of(self, model_id: int | None) -> int:
        """0, the champion, where there is no such model."""
        if model_id is None or model_id not in self._models:
            return 0
        return self._models.index(model_id)

    def _set_night(self, begin: str, end: str | None) -> None:
        widgets = (self.begin, self.end, self.has_end)
        blockers = [QSignalBlocker(widget) for widget in widgets]
        self.begin.setTime(QTime.fromString(begin, _CLOCK))
        self.has_end.setChecked(end is not None)
        if end is not None:
            self.end.setTime(QTime.fromString(end, _CLOCK))
        del blockers
        self._on_edited()

    def _lay_out(self) -> None:
        first = QHBoxLayout()
        for widget in (self.button, self.now, self.tonight, self.begin, self.has_end, self.end):
            first.addWidget(widget)
        first.addSpacing(12)
        first.addWidget(QLabel("model"))
        first.addWidget(self.model)
        first.addStretch(1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(first)
        column.addWidget(self.expected)

    def _connect(self) -> None:
        self.button.clicked.connect(self.submitted)
        self.tonight.toggled.connect(self._on_edited)
        self.begin.timeChanged.connect(self._on_time_edited)
        self.end.timeChanged.connect(self._on_time_edited)
        self.has_end.toggled.connect(self._on_time_edited)
        self.model.currentIndexChanged.connect(self._on_edited)

    def _on_time_edited(self, *_value: object) -> None:
        self.tonight.setChecked(True)  # who sets a time means the night
        self._on_edited()

    def _on_edited(self, *_value: object) -> None:
        self.end.setEnabled(self.has_end.isChecked())
        self.changed.emit(self.value())


def _clock(text: str) -> QTimeEdit:
    made = QTimeEdit(QTime.fromString(text, _CLOCK))
    made.setDisplayFormat(_CLOCK)
    made.setMaximumWidth(CLOCK_PX)
    return made
