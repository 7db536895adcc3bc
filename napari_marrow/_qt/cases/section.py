"""A part of the Cases dock that is folded away until it is wanted, and stays as it was left."""

from __future__ import annotations

from platformdirs import user_state_path
from qtpy.QtCore import QSettings, QSize, Qt
from qtpy.QtGui import QIcon, QPixmap
from qtpy.QtWidgets import QWidget
from superqt import QCollapsible


class Section(QCollapsible):
    """A title that folds a widget away.

    Parameters
    ----------
    title : str
    widget : QWidget
    is_open : bool
        Before a person has chosen.
    """

    def __init__(self, title: str, widget: QWidget, *, is_open: bool = False) -> None:
        # The sign stands in the title: an icon would keep the colour of the theme it was drawn in.
        # One clear pixel, since PySide6 takes an empty icon for none at all.
        clear = QPixmap(1, 1)
        clear.fill(Qt.GlobalColor.transparent)
        super().__init__(f"▸ {title}", expandedIcon=QIcon(clear), collapsedIcon=QIcon(clear))
        self.toggleButton().setIconSize(QSize(0, 0))
        self._title = title
        self.setDuration(0)  # each step of a movement would draw napari's whole window anew
        self.toggleButton().setStyleSheet(
            "text-align: left; border: none; background: transparent; padding: 2px;"
        )
        self.layout().setContentsMargins(0, 0, 0, 0)
        self.layout().setSpacing(2)
        self.content().layout().setContentsMargins(0, 0, 0, 0)
        self.addWidget(widget)
        if _remembered().value(f"sections/{title}", is_open, type=bool):
            self.expand(animate=False)
        self._show_sign(self.isExpanded())
        self.toggled.connect(self._on_toggled)

    def _on_toggled(self, is_open: bool) -> None:
        self._show_sign(is_open)
        _remembered().setValue(f"sections/{self._title}", is_open)

    def _show_sign(self, is_open: bool) -> None:
        self.setText(f"{'▾' if is_open else '▸'} {self._title}")


def _remembered() -> QSettings:
    path = user_state_path("napari-marrow") / "viewer.ini"
    return QSettings(str(path), QSettings.Format.IniFormat)
