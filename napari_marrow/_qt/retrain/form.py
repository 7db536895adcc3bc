"""The form of a sweep: an editor of a `SweepWish`."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import Qt, QTimer, Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QGridLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from marrow.backbones import BACKBONES
from napari_marrow._qt.cases.case_list import TYPING_PAUSE_MS
from napari_marrow._qt.retrain.weights_edit import WeightsEdit
from napari_marrow._qt.retrain.when_edit import WhenEdit
from napari_marrow.lines.retrain import Choices
from napari_marrow.sweep_wish import SweepWish

_PROTOCOLS = {
    "honest": "honest: patients are split, then the training side is augmented. Cells are chosen "
    "on training patients left out in folds; the test patients are looked at once a model.",
    "seed2022": "seed2022: smears are augmented, then images are split 7:3, as Wang et al. 2022 "
    "did. Copies of one smear lie on both sides: for replication, its figures flatter.",
}
_AUGMENTS = {
    None: ("as the protocol", "gentle for honest, seed8 for seed2022"),
    "gentle": ("gentle", "Flips, quarter turns, ±10°, ±10% zoom, and a jitter of the stain"),
    "seed8": ("seed8", "The paper's eight methods, 24 copies: shear, 35% shifts, whitening …"),
    "none": ("none", "Each smear as it is"),
}
_TUNES = {
    "heads": "The trunk stays as it is: minutes, and one run serves all loss weights",
    "last-block": "Heads first, then the trunk's last block: about a fifth of the work of `full`",
    "full": "The whole network",
}
_NO_SITE = "no site"
_SHRINKS = QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
_TOOLTIP = Qt.ItemDataRole.ToolTipRole


class SweepForm(QWidget):
    """Edits what a person asks of a sweep.

    Signals
    -------
    changed(object)
        The `SweepWish`, a moment after the last change.
    """

    changed = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.protocol = _combo(list(_PROTOCOLS.items()))
        self.augment = QComboBox()
        for value, (text, hint) in _AUGMENTS.items():
            self.augment.addItem(text, value)
            self.augment.setItemData(self.augment.count() - 1, hint, _TOOLTIP)
        self.augment.setToolTip("Copies for training\n" + _hints(_AUGMENTS))
        self.tune = _combo(list(_TUNES.items()))
        self.backbone = QComboBox()
        self.backbone.addItems(BACKBONES)
        self.backbone.setToolTip("The networks of torchvision that end in a feature map")
        self.weights = WeightsEdit()
        self.loss_weights = QLineEdit()
        self.epochs = QLineEdit()
        self.epochs.setToolTip("Columns of the grid, such as 30, 50, 200")
        self.seeds = QLineEdit()
        self.seeds.setToolTip("Each cell is trained once per seed: 0, 1, 2")
        self.folds = _number(0, 20, "Parts of the training patients that are left out in turn, to "
                             "choose a cell and to calibrate by; 0: none")  # fmt: skip
        self.copies = _number(1, 64, "Augmented copies of each training view; of gentle alone")
        self.site = QComboBox()
        self.site.setToolTip("Its patients neither train nor test: the models are tried on them")
        self.batch_size = _number(2, 4096, "Views in one step")
        self.input_px = _number(32, 2048, "Edge of the square that the network sees, in pixels")
        self.precision = _combo([("auto", ""), ("fp32", ""), ("bf16", "")])
        self.precision.setToolTip("Of training a trunk; auto: bf16 where the processor has it")
        self.smear_is_patient = QCheckBox("a smear without patient is its own patient")
        self.when = WhenEdit()
        self._more = QPushButton("more …")
        self._more.setCheckable(True)
        for combo in (self.augment, self.tune, self.backbone, self.weights, self.site):
            combo.setSizeAdjustPolicy(_SHRINKS)  # or the longest choice would widen the window
            combo.setMinimumContentsLength(8)
        self._pause = QTimer(self)
        self._pause.setSingleShot(True)
        self._pause.setInterval(TYPING_PAUSE_MS)
        self._pause.timeout.connect(self._on_pause_timeout)
        self._left_out: tuple[tuple[str, str], ...] = ()
        self._is_being_set = False
        self._lay_out()
        self._connect()
        self.set_choices(Choices())

    def set_choices(self, choices: Choices) -> None:
        """Offer what this study has, and begin anew."""
        self._is_being_set = True
        self.loss_weights.setToolTip(
            "Rows of the grid: one number per head"
            + (f" ({', '.join(choices.heads)})" if choices.heads else "")
            + ", such as 5:5, 2:8, 1:9; or equal"
        )
        self.site.clear()
        self.site.addItem(_NO_SITE, ())
        for site in choices.sites:
            self.site.addItem(site, (site,))
        for site, why in choices.site_words.items():
            self.site.addItem(f"{site} ({why})", (site,))
            self.site.model().item(self.site.count() - 1).setEnabled(False)
        self._is_being_set = False
        self.setValue(SweepWish(loss_weights=choices.weights or SweepWish.loss_weights))

    def set_left_out(self, left_out: tuple[tuple[str, str], ...]) -> None:
        """Who is left out by hand; edited in a window of its own."""
        self._left_out = left_out
        self._on_changed()

    def setValue(self, wish: SweepWish) -> None:  # noqa: N802
        """Show this wish."""
        self._is_being_set = True
        _choose(self.protocol, wish.protocol)
        _choose(self.augment, wish.augment)
        _choose(self.tune, wish.tune)
        _choose(self.precision, wish.precision)
        self.backbone.setCurrentText(wish.backbone)
        self.weights.setValue(wish.weights)
        self.loss_weights.setText(wish.loss_weights)
        self.epochs.setText(wish.epochs)
        self.seeds.setText(wish.seeds)
        self.folds.setValue(wish.folds)
        self.copies.setValue(wish.copies)
        self.site.setCurrentIndex(max(0, self.site.findText(", ".join(wish.hold_out_sites))))
        self.batch_size.setValue(wish.batch_size)
        self.input_px.setValue(wish.input_px)
        self.smear_is_patient.setChecked(wish.smear_is_patient)
        self.when.setValue(wish.at, wish.until)
        self._left_out = wish.left_out
        self._is_being_set = False
        self._on_changed()

    def value(self) -> SweepWish:
        """The wish as it is typed."""
        at, until = self.when.value()
        return SweepWish(
            loss_weights=self.loss_weights.text(),
            epochs=self.epochs.text(),
            seeds=self.seeds.text(),
            folds=self.folds.value(),
            tune=self.tune.currentData(),
            protocol=self.protocol.currentData(),
            augment=self.augment.currentData(),
            copies=self.copies.value(),
            backbone=self.backbone.currentText(),
            weights=self.weights.value(),
            hold_out_sites=tuple(self.site.currentData() or ()),
            left_out=self._left_out,
            batch_size=self.batch_size.value(),
            input_px=self.input_px.value(),
            precision=self.precision.currentData(),
            smear_is_patient=self.smear_is_patient.isChecked(),
            at=at,
            until=until,
        )

    def _lay_out(self) -> None:
        rows: list[list[tuple[str, QWidget]]] = [
            [
                ("Loss weights", self.loss_weights),
                ("Epochs", self.epochs),
                ("Seeds", self.seeds),
                ("Folds", self.folds),
            ],
            [
                ("Protocol", self.protocol),
                ("Augmentation", self.augment),
                ("Train", self.tune),
                ("Hold out", self.site),
            ],
            [
                ("Backbone", self.backbone),
                ("Its weights", self.weights),
                ("Begin", self.when),
            ],
        ]
        grid = QGridLayout()
        grid.setHorizontalSpacing(6)
        grid.setVerticalSpacing(4)
        for row, fields in enumerate(rows):
            for column, (title, field) in enumerate(fields):
                label = QLabel(title)
                label.setBuddy(field)
                grid.addWidget(label, row, 2 * column)
                grid.addWidget(field, row, 2 * column + 1, 1, 2 if field is self.when else 1)
        for column in (1, 3, 5, 7):
            grid.setColumnStretch(column, 1)
        grid.addWidget(self._more, 2, 7, Qt.AlignmentFlag.AlignRight)
        self._extra = QWidget()
        extra = QGridLayout(self._extra)
        extra.setContentsMargins(0, 0, 0, 0)
        fields = [
            ("Copies", self.copies),
            ("Batch", self.batch_size),
            ("Input, px", self.input_px),
            ("Precision", self.precision),
        ]
        for column, (title, field) in enumerate(fields):
            extra.addWidget(QLabel(title), 0, 2 * column)
            extra.addWidget(field, 0, 2 * column + 1)
        extra.addWidget(self.smear_is_patient, 0, 2 * len(fields))
        extra.setColumnStretch(2 * len(fields) + 1, 1)
        self._extra.hide()
        column_box = QVBoxLayout(self)
        column_box.setContentsMargins(0, 0, 0, 0)
        column_box.addLayout(grid)
        column_box.addWidget(self._extra)

    def _connect(self) -> None:
        self._more.toggled.connect(self._extra.setVisible)
        for edit in (self.loss_weights, self.epochs, self.seeds):
            edit.textChanged.connect(self._on_changed)
        for box in (self.folds, self.copies, self.batch_size, self.input_px):
            box.valueChanged.connect(self._on_changed)
        for combo in (
            self.protocol, self.augment, self.tune, self.backbone, self.precision, self.site,
        ):  # fmt: skip
            combo.currentIndexChanged.connect(self._on_changed)
        self.smear_is_patient.toggled.connect(self._on_changed)
        for editor in (self.weights, self.when):
            editor.changed.connect(self._on_changed)

    def _on_pause_timeout(self) -> None:
        self.changed.emit(self.value())

    def _on_changed(self, *_changed: object) -> None:
        for combo in (self.protocol, self.tune):
            combo.setToolTip(combo.itemData(combo.currentIndex(), _TOOLTIP))
        self.folds.setEnabled(self.protocol.currentData() == "honest")
        if not self._is_being_set:
            self._pause.start()


def _combo(choices: list[tuple[str, str]]) -> QComboBox:
    combo = QComboBox()
    for value, hint in choices:
        combo.addItem(value, value)
        combo.setItemData(combo.count() - 1, hint or None, _TOOLTIP)
    return combo


def _choose(combo: QComboBox, value: Any) -> None:
    combo.setCurrentIndex(max(0, combo.findData(value)))


def _number(low: int, high: int, hint: str) -> QSpinBox:
    made = QSpinBox()
    made.setRange(low, high)
    made.setToolTip(hint)
    return made


def _hints(choices: dict[Any, tuple[str, str]]) -> str:
    return "\n".join(f"{text}: {hint}" for text, hint in choices.values())
