"""The keys of label mode, taken before napari sees them.

napari gives digits to the selected layer (2 puts an image into its transform mode), so that no
key binding of a viewer can have them. An event filter on the widgets comes first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtGui import QKeyEvent, QKeySequence
from qtpy.QtWidgets import (
    QAbstractSpinBox,
    QApplication,
    QComboBox,
    QDockWidget,
    QKeySequenceEdit,
    QLineEdit,
    QPlainTextEdit,
    QTextEdit,
    QWidget,
)

_TYPING = (
    QLineEdit,
    QComboBox,
    QAbstractSpinBox,
    QTextEdit,
    QPlainTextEdit,
    QKeySequenceEdit,
)
_SIGNS = {sign: sign for sign in "0123456789"} | {"[": "class-back", "]": "class-on"}
"""By what is typed, not by the key: on some keyboards a digit or a bracket needs a modifier."""
_KEYS = (
    (Qt.Key.Key_Left, "left"),
    (Qt.Key.Key_Right, "right"),
    (Qt.Key.Key_U, "next"),
    (Qt.Key.Key_R, "rectangle"),
    (Qt.Key.Key_P, "polygon"),
    (Qt.Key.Key_H, "heatmap"),
    (Qt.Key.Key_G, "sheet"),
    (Qt.Key.Key_F, "flag"),
    (Qt.Key.Key_Escape, "leave"),
)
_REPEATING = frozenset({"left", "right"})
"""The others count once however long they are held: no run of labels by a resting finger."""
_PLAIN = (Qt.KeyboardModifier.NoModifier, Qt.KeyboardModifier.KeypadModifier)


def canvas_widget(viewer: Any) -> QWidget | None:
    """The widget that napari draws on, None where this napari does not tell.

    The only place that knows napari's private attribute.
    """
    try:
        native = viewer.window._qt_viewer.canvas.native
    except AttributeError:
        return None
    return native if isinstance(native, QWidget) else None


def key_name(event: QKeyEvent) -> str | None:
    """What a key means in label mode, None where it means nothing."""
    if event.matches(QKeySequence.StandardKey.Undo):
        return "undo"
    if event.text() in _SIGNS:
        return _SIGNS[event.text()]
    if event.modifiers() not in _PLAIN:
        return None
    return next((name for key, name in _KEYS if event.key() == key), None)


class LabelKeys(QObject):
    """Takes the keys of label mode from widgets, their children, and children to come.

    Parameters
    ----------
    pressed : callable
        Called with the name of the key: "0" to "9", "left", "right", "next", "undo",
        "rectangle", "polygon", "heatmap", "class-back", "class-on", "sheet", "flag", "leave".
    """

    def __init__(self, pressed: Callable[[str], None], parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._pressed = pressed
        self._is_on = False

    def watch(self, widget: QWidget) -> None:
        """Take the keys from this widget and all that is in it; dialogs keep theirs."""
        for one in _within(widget):
            one.removeEventFilter(self)  # once is enough
            one.installEventFilter(self)

    def leave(self, widget: QWidget) -> None:
        """Take no keys from this widget any more."""
        for one in _within(widget):
            one.removeEventFilter(self)

    def set_on(self, is_on: bool) -> None:
        """Take the keys, or let them pass."""
        self._is_on = is_on

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: N802
        """Take what is ours; everything else passes."""
        kind = event.type()
        if kind == QEvent.Type.ChildPolished:
            if isinstance(child := event.child(), QWidget) and not _is_dialog(child):
                self.watch(child)
            return False
        if kind not in (QEvent.Type.KeyPress, QEvent.Type.ShortcutOverride):
            return False
        name = key_name(event) if self._is_on and not _is_typing() else None
        if name is None:
            return False
        event.accept()  # of the override: then the press comes here, not to a shortcut
        if kind == QEvent.Type.KeyPress and (name in _REPEATING or not event.isAutoRepeat()):
            self._pressed(name)
        return True


def _within(widget: QWidget) -> Iterator[QWidget]:
    yield widget
    for child in widget.children():
        if isinstance(child, QWidget) and not _is_dialog(child):
            yield from _within(child)


def _is_dialog(widget: QWidget) -> bool:
    """Whether this is a window of its own, and no dock that floats."""
    return bool(widget.isWindow()) and not isinstance(widget, QDockWidget)


def _is_typing() -> bool:
    """Whether a key is a letter of a text, a choice in an open menu, or for a modal dialog."""
    return isinstance(QApplication.focusWidget(), _TYPING) or (
        QApplication.activePopupWidget() is not None or QApplication.activeModalWidget() is not None
    )
