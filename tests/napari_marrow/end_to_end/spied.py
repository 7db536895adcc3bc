"""The real program, with a spy that writes where its widgets are and what they show.

    python spied.py HOME STATE.json

The spy only looks: every click and key comes from the X server.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import napari
from qtpy.QtCore import QPoint, QTimer
from qtpy.QtWidgets import (
    QAbstractButton,
    QAbstractItemView,
    QApplication,
    QComboBox,
    QHeaderView,
    QLabel,
    QLineEdit,
    QMenu,
    QProgressBar,
    QTabBar,
    QWidget,
)

from napari_marrow._qt.program import run
from napari_marrow._qt.quiet_label import QuietLabel

LOOK_MS = 150


def main() -> None:
    home, target = Path(sys.argv[1]), Path(sys.argv[2])
    app = QApplication.instance() or QApplication([])
    timer = QTimer(app)
    timer.timeout.connect(lambda: _write(target))
    timer.start(LOOK_MS)
    run(home)


def _write(target: Path) -> None:
    aside = target.with_suffix(".new")
    aside.write_text(json.dumps(_state()), encoding="utf-8")
    os.replace(aside, target)


def _state() -> dict[str, Any]:
    widgets = [one for one in QApplication.allWidgets() if one.isVisible()]
    return {"widgets": [_said(one) for one in widgets], "viewer": _viewer()}


def _said(widget: QWidget) -> dict[str, Any]:
    corner = widget.mapToGlobal(QPoint(0, 0))
    said: dict[str, Any] = {
        "kind": type(widget).__name__,
        "name": widget.objectName(),
        "window": widget.window().windowTitle(),
        "box": [corner.x(), corner.y(), widget.width(), widget.height()],
        "enabled": widget.isEnabled(),
        "tip": widget.toolTip(),
    }
    if isinstance(widget, QAbstractButton | QLabel | QuietLabel | QLineEdit | QProgressBar):
        said["text"] = widget.text()
    if isinstance(widget, QLineEdit):
        said["tip"] = said["tip"] or widget.placeholderText()
    if isinstance(widget, QComboBox):
        said["text"] = widget.currentText()
    if isinstance(widget, QTabBar):
        rects = [(widget.tabText(at), widget.tabRect(at)) for at in range(widget.count())]
        said["tabs"] = {text: _global(widget, rect) for text, rect in rects}
    if isinstance(widget, QMenu):
        rects = [(one.text(), widget.actionGeometry(one)) for one in widget.actions()]
        said["actions"] = {text: _global(widget, rect) for text, rect in rects}
    is_table = isinstance(widget, QAbstractItemView) and not isinstance(widget, QHeaderView)
    if is_table and widget.model() is not None:
        said["rows"] = _rows(widget)
    return said


def _rows(view: QAbstractItemView) -> list[dict[str, Any]]:
    """The rows on the screen, with their cells and where they are."""
    model, rows = view.model(), []
    for number in range(min(model.rowCount(view.rootIndex()), 60)):
        index = model.index(number, 0, view.rootIndex())
        box = view.visualRect(index)
        if box.isValid() and box.height() and view.viewport().rect().contains(box.center()):
            columns = range(model.columnCount(view.rootIndex()))
            cells = [str(model.index(number, at, view.rootIndex()).data() or "") for at in columns]
            rows.append({"cells": cells, "box": _global(view.viewport(), box)})
    return rows


def _global(widget: QWidget, box: Any) -> list[int]:
    corner = widget.mapToGlobal(box.topLeft())
    return [corner.x(), corner.y(), box.width(), box.height()]


def _viewer() -> dict[str, Any]:
    viewer = napari.current_viewer()
    if viewer is None:
        return {}
    active, overlay = viewer.layers.selection.active, viewer.canvas.overlays.text
    return {
        "layers": [layer.name for layer in viewer.layers],
        "active": None if active is None else active.name,
        "text": overlay.text if overlay.visible else "",
    }


if __name__ == "__main__":
    main()
