"""The workbench: a window of its own for tables, beside napari's."""

from __future__ import annotations

from qtpy.QtGui import QCloseEvent
from qtpy.QtWidgets import QTabWidget, QVBoxLayout, QWidget

from napari_marrow._qt.queue_tab import QueueTab
from napari_marrow._qt.results_tab import ResultsTab


class Workbench(QWidget):
    """Queue and Results.

    A docked table would recompose napari's whole OpenGL window at each repaint (measured: 112 ms
    against 5 ms for one label), hence a window. Closing hides it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.setWindowTitle("Marrow workbench")
        self.setObjectName("marrow-workbench")
        self.resize(980, 520)
        self.queue = QueueTab()
        self.results = ResultsTab()
        self.tabs = QTabWidget()
        self.tabs.addTab(self.queue, "Queue")
        self.tabs.addTab(self.results, "Results")
        column = QVBoxLayout(self)
        column.setContentsMargins(4, 4, 4, 4)
        column.addWidget(self.tabs)

    def show_results(self) -> None:
        """Bring the Results tab to the front."""
        self.tabs.setCurrentWidget(self.results)

    def open(self) -> None:
        """Show the window, above others."""
        self.show()
        self.raise_()
        self.activateWindow()

    def closeEvent(self, event: QCloseEvent) -> None:  # noqa: N802
        """Hide: the tables go on being filled."""
        self.hide()
        event.accept()
