"""The Cases dock: what napari opens; files and folders can be dropped on it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import QEvent, QSize
from qtpy.QtGui import QDragEnterEvent, QDropEvent
from qtpy.QtWidgets import QSizePolicy, QStackedWidget, QVBoxLayout, QWidget

from marrow.client import Client
from marrow.study import Study
from napari_marrow._qt.desktop import Desktop
from napari_marrow.preferences import read_preferences

if TYPE_CHECKING:
    import napari

WIDTH_PX = 320


class CasesDock(QWidget):
    """The study, its smears, and the way to the workbench.

    Parameters
    ----------
    napari_viewer : napari.Viewer
    home : Path, optional
        The study to open; None: of the preferences, else of the settings.
    make_client : callable
        From a study to its client.
    """

    def __init__(
        self,
        napari_viewer: napari.Viewer,
        home: Path | None = None,
        make_client: Callable[[Study], Client] = Client,
    ) -> None:
        super().__init__()
        self._stack = QStackedWidget()
        preferences = read_preferences()
        self.desktop = Desktop(napari_viewer, self._show_page, make_client, preferences)
        opened = QWidget()
        column = QVBoxLayout(opened)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.desktop.study.bar)
        column.addWidget(self.desktop.cases.page, 1)
        self._stack.addWidget(self.desktop.study.start_page)
        self._stack.addWidget(opened)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(6, 6, 6, 6)
        outer.addWidget(self._stack)
        self.setMinimumWidth(WIDTH_PX)
        # The list takes the height; napari adds an empty stretch below other docks.
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)
        self.setAcceptDrops(True)
        # Not a method of this widget, which is gone by then.
        self.destroyed.connect(self.desktop.close)
        self.desktop.start(home or preferences.home)

    def sizeHint(self) -> QSize:  # noqa: N802
        """320 px wide: the canvas stays big."""
        return QSize(WIDTH_PX, super().sizeHint().height())

    def changeEvent(self, event: QEvent) -> None:  # noqa: N802
        """End when napari takes the dock out of its window, as the dock's X does.

        A dock that is hidden, floats or lies behind another one keeps its parent.
        """
        super().changeEvent(event)
        if event.type() == QEvent.Type.ParentChange and self.parent() is None:
            self.desktop.leave()
            self.deleteLater()

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:  # noqa: N802
        """Take files and folders of this machine while a study is open."""
        is_local = any(url.isLocalFile() for url in event.mimeData().urls())
        if is_local and self.desktop.session.desk is not None:
            event.acceptProposedAction()
        else:
            event.ignore()

    def dropEvent(self, event: QDropEvent) -> None:  # noqa: N802
        """Add what was dropped to the study."""
        urls = event.mimeData().urls()
        self.desktop.cases.controller.add_smears(
            [Path(url.toLocalFile()) for url in urls if url.isLocalFile()]
        )
        event.acceptProposedAction()

    def _show_page(self, is_open: bool) -> None:
        self._stack.setCurrentIndex(1 if is_open else 0)
