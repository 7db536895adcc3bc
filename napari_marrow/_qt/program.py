"""`marrow view`: napari with the Cases dock and the workbench, or a picture of both."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import napari
from qtpy.QtCore import QEventLoop, QTimer
from qtpy.QtGui import QImage, QPainter
from qtpy.QtWidgets import QApplication, QWidget

from marrow.errors import MarrowError
from napari_marrow._qt.desktop import Desktop
from napari_marrow._qt.opening import cases_dock

PICTURE_TIMEOUT_S = 60.0
SETTLE_MS = 1500
"""Until napari has drawn the layers; software OpenGL needs the better part of a second."""
MAIN_PX = (1360, 820)
TABLE_PX = (1360, 330)
"""(width, height) of the two windows in the picture."""


def run(home: Path) -> None:
    """Open napari on this study and stay until it is closed."""
    viewer = napari.Viewer(title="napari · Marrow")
    dock = cases_dock(viewer, home)
    dock.desktop.workbench.open()
    napari.run()


def take_picture(home: Path, target: Path) -> None:
    """Save a PNG of napari with the first predicted smear, and the workbench below it.

    Raises
    ------
    MarrowError
        If the viewer has not shown the study within a minute, or the file cannot be written.
    """
    viewer = napari.Viewer(title="napari · Marrow")
    try:
        desktop = cases_dock(viewer, home).desktop
        window = desktop.cases.page.window()
        window.resize(*MAIN_PX)
        desktop.workbench.resize(*TABLE_PX)
        desktop.workbench.bring(desktop.results)
        desktop.workbench.open()
        _show_first(desktop)
        _settle(SETTLE_MS)
        if not _below(window, desktop.workbench).save(str(target), "PNG"):
            raise MarrowError(f"{target}: the picture cannot be written; name a PNG file")
    finally:
        viewer.close()
        QApplication.processEvents()


def _show_first(desktop: Desktop) -> None:
    results, cases = desktop.results.tab.model, desktop.cases.page.list.model
    _wait(lambda: desktop.session.desk is not None, "the study did not open")
    _wait(lambda: desktop.is_listed, "its smears were not listed")
    answered = [row for row, line in enumerate(results.lines()) if line.prediction_id is not None]
    if answered:
        desktop.results.tab.table.selectRow(answered[0])
        desktop.results.worklist.open(answered[0])
        _wait(lambda: desktop.session.evidence is not None, "the first answer was not drawn")
    elif cases.rowCount():
        desktop.cases.page.list.table.selectRow(0)
        _wait(lambda: desktop.session.smear_id is not None, "the first smear was not drawn")


def _wait(condition: Callable[[], bool], complaint: str) -> None:
    """Let the program run until the condition holds."""
    loop, timer, limit = QEventLoop(), QTimer(), QTimer()
    timer.timeout.connect(lambda: loop.quit() if condition() else None)
    timer.start(50)
    limit.setSingleShot(True)
    limit.timeout.connect(loop.quit)
    limit.start(int(PICTURE_TIMEOUT_S * 1000))
    loop.exec()
    if not condition():
        raise MarrowError(f"No picture: {complaint} within {PICTURE_TIMEOUT_S:.0f} s")


def _settle(milliseconds: int) -> None:
    loop = QEventLoop()
    QTimer.singleShot(milliseconds, loop.quit)
    loop.exec()


def _below(upper: QWidget, lower: QWidget) -> QImage:
    """Both windows in one picture, one below the other."""
    pictures = [upper.grab().toImage(), lower.grab().toImage()]
    width = max(picture.width() for picture in pictures)
    height = sum(picture.height() for picture in pictures)
    whole = QImage(width, height, QImage.Format.Format_RGB32)
    whole.fill(0)
    painter = QPainter(whole)
    top = 0
    for picture in pictures:
        painter.drawImage(0, top, picture)
        top += picture.height()
    painter.end()
    return whole
