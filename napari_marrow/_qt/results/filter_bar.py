"""Which results are listed: search, class, probability, flags, job, model, and the worklist."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack

from qtpy.QtCore import QSignalBlocker, QTimer, Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QHBoxLayout,
    QLineEdit,
    QVBoxLayout,
    QWidget,
)

from marrow.catalogue.predictions import ResultFilter
from marrow.schemes import Scheme
from napari_marrow._qt.cases.case_list import TYPING_PAUSE_MS
from napari_marrow.lines.results import FLAGS, Choice, ResultChoices, flag_words

WIDEST_PX = 300
"""Of a list: names of classes may be long."""
ANY_FLAGS, FLAGGED, FAILED = "flags: all", "any flag", "failed"


class FilterBar(QWidget):
    """An editor of a `ResultFilter`, and the switch between table and worklist.

    Signals
    -------
    changed(object)
        A `ResultFilter`.
    worklist_wanted(bool)
        The morning worklist, or the table.
    """

    changed = Signal(object)
    worklist_wanted = Signal(bool)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.search = QLineEdit()
        self.search.setPlaceholderText("search file, patient, S000148")
        self.search.setClearButtonEnabled(True)
        self.call, self.flag, self.job, self.model = (QComboBox() for _ in range(4))
        self.min_p = QDoubleSpinBox()
        self.min_p.setRange(0, 1)
        self.min_p.setSingleStep(0.05)
        self.min_p.setSpecialValueText("called")
        self.min_p.setPrefix("p ≥ ")
        self.disagrees = QCheckBox("disagrees with label")
        self.disagrees.setToolTip("Only answers that differ from the label that counts")
        self.order = QComboBox()
        for box in (self.call, self.flag, self.job, self.model, self.order):
            box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToContents)
            box.setMaximumWidth(WIDEST_PX)
        self.order.addItems(["table", "morning worklist"])
        self.order.setToolTip(
            "Worklist: failed, heads-disagree, unsure and unlike-training first, then the most "
            "uncertain"
        )
        self._calls: list[tuple[str, str] | None] = [None]
        self._jobs: list[int | None] = [None]
        self._models: list[int | None] = [None]
        self._pause = QTimer(self)
        self._pause.setSingleShot(True)
        self._pause.setInterval(TYPING_PAUSE_MS)
        self._fill_flags()
        self._lay_out()
        self._connect()

    def set_scheme(self, scheme: Scheme) -> None:
        """Offer the classes of this scheme."""
        self._calls = [None, *((head.name, name) for head in scheme.heads for name in head.classes)]
        titles = [f"{one[0]}: {one[1]}" for one in self._calls if one is not None]
        with QSignalBlocker(self.call):
            self.call.clear()
            self.call.addItems(["class: all", *titles])

    def set_choices(self, choices: ResultChoices) -> None:
        """Offer these jobs and models; what is chosen stays."""
        self._jobs = _offer(self.job, "all jobs", choices.jobs, self._jobs)
        self._models = _offer(self.model, "all models", choices.models, self._models)

    def value(self) -> ResultFilter:
        """What is asked for; `min_p` is a probability of `call`."""
        chosen = self._calls[max(self.call.currentIndex(), 0)]
        head, name = chosen if chosen is not None else (None, None)
        flag, job_id = self.flag.currentData(), self._jobs[max(self.job.currentIndex(), 0)]
        return ResultFilter(
            text=self.search.text().strip(),
            job_id=job_id,
            model_id=self._models[max(self.model.currentIndex(), 0)],
            head=head,
            call=name,
            min_p=self.min_p.value() or None if chosen is not None else None,
            flag=flag if flag in FLAGS else None,
            flagged=flag == FLAGGED,
            disagrees=True if self.disagrees.isChecked() else None,
            has_error=True if flag == FAILED and job_id is not None else None,
        )

    def setValue(self, shown: ResultFilter) -> None:  # noqa: N802
        """Show what is asked for; tells nobody."""
        if shown == self.value():
            return
        widgets = (self.search, self.call, self.flag, self.job, self.model)
        with ExitStack() as stack:
            for widget in (*widgets, self.min_p, self.disagrees):
                stack.enter_context(QSignalBlocker(widget))
            self.search.setText(shown.text)
            call = None if shown.head is None or shown.call is None else (shown.head, shown.call)
            self.call.setCurrentIndex(self._calls.index(call) if call in self._calls else 0)
            self.min_p.setValue(shown.min_p or 0)
            flag = shown.flag or (FLAGGED if shown.flagged else FAILED if shown.has_error else None)
            self.flag.setCurrentIndex(max(0, self.flag.findData(flag)))
            self.disagrees.setChecked(bool(shown.disagrees))
            _show(self.job, self._jobs, shown.job_id, "job")
            _show(self.model, self._models, shown.model_id, "m")
        self._enable()

    def set_worklist(self, is_worklist: bool) -> None:
        """Show whether the list is the worklist; tells nobody."""
        with QSignalBlocker(self.order):
            self.order.setCurrentIndex(1 if is_worklist else 0)

    def _fill_flags(self) -> None:
        for words, flag in ((ANY_FLAGS, None), (FLAGGED, FLAGGED), *((one, one) for one in FLAGS)):
            self.flag.addItem(words, flag)
            self.flag.setItemData(self.flag.count() - 1, flag_words(words), _TOOL_TIP)
        self.flag.addItem(FAILED, FAILED)

    def _lay_out(self) -> None:
        first, second = QHBoxLayout(), QHBoxLayout()
        first.addWidget(self.search, 2)
        for widget in (self.call, self.min_p, self.disagrees, self.flag):
            first.addWidget(widget)
        second.addWidget(self.order)
        second.addWidget(self.job)
        second.addWidget(self.model)
        self.row = second
        """What else stands in the second row is added by who shows it."""
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(first)
        column.addLayout(second)
        self._enable()

    def _connect(self) -> None:
        self.search.textChanged.connect(lambda _text: self._pause.start())
        self.min_p.valueChanged.connect(lambda _value: self._pause.start())
        self._pause.timeout.connect(self._on_changed)
        for choice in (self.call, self.flag, self.job, self.model):
            choice.currentIndexChanged.connect(lambda _index: self._on_changed())
        self.disagrees.toggled.connect(lambda _on: self._on_changed())
        self.order.currentIndexChanged.connect(lambda index: self.worklist_wanted.emit(index == 1))

    def _on_changed(self) -> None:
        self._pause.stop()
        if self.flag.currentData() == FAILED and self.job.currentIndex() == 0:
            with QSignalBlocker(self.flag):
                self.flag.setCurrentIndex(0)  # of all jobs there is no failed one
        self._enable()
        self.changed.emit(self.value())

    def _enable(self) -> None:
        self.min_p.setEnabled(self.call.currentIndex() > 0)
        # A smear that failed belongs to a job: of all jobs there is none.
        failed = self.flag.model().item(self.flag.count() - 1)
        failed.setEnabled(self.job.currentIndex() > 0)
        failed.setToolTip("" if failed.isEnabled() else "Choose a job: failures belong to one")


_TOOL_TIP = 3
"""Qt.ItemDataRole.ToolTipRole as QComboBox.setItemData takes it in both bindings."""


def _offer(
    box: QComboBox, nothing: str, choices: Sequence[Choice], before: Sequence[int | None]
) -> list[int | None]:
    chosen = before[max(box.currentIndex(), 0)]
    ids: list[int | None] = [None, *(one.id for one in choices)]
    titles = [nothing, *(one.words for one in choices)]
    if titles != [box.itemText(place) for place in range(box.count())]:
        with QSignalBlocker(box):
            box.clear()
            box.addItems(titles)
            _show(box, ids, chosen, nothing.removeprefix("all ").removesuffix("s"))
    return ids


def _show(box: QComboBox, ids: list[int | None], wanted: int | None, kind: str) -> None:
    """Choose an entry; one that is not offered (an old job) is added."""
    if wanted not in ids:
        ids.append(wanted)
        box.addItem(f"{kind} {wanted}")
    box.setCurrentIndex(ids.index(wanted))
