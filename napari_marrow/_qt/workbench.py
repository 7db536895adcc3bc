"""The workbench: a window of its own for tables and curves, beside napari's."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import Signal
from qtpy.QtGui import QCloseEvent
from qtpy.QtWidgets import QPushButton, QTabWidget, QVBoxLayout, QWidget

from napari_marrow._qt.panel import Panel


class Workbench(QWidget):
    """A tab per panel.

    A docked table would recompose napari's whole OpenGL window at each repaint (measured: 112 ms
    against 5 ms for one label), hence a window. Closing hides it.

    Parameters
    ----------
    panels : sequence of Panel
        From the left.

    Signals
    -------
    doctor_wanted()
    """

    doctor_wanted = Signal()

    def __init__(self, panels: Sequence[Panel]) -> None:
        super().__init__()
        self.setWindowTitle("Marrow workbench")
        self.setObjectName("marrow-workbench")
        self.resize(1080, 620)
        self.tabs = QTabWidget()
        for panel in panels:
            self.tabs.addTab(panel.tab, panel.title)
        doctor = QPushButton("Doctor…")
        doctor.setToolTip("Look at the installation, the study and the queue, with remedies")
        doctor.clicked.connect(self.doctor_wanted)
        self.tabs.setCornerWidget(doctor)
        column = QVBoxLayout(self)
        column.setContentsMargins(4, 4, 4, 4)
        column.addWidget(self.tabs)

    def bring(self, panel: Panel) -> None:
        """Bring a panel's tab to the front."""
        self.tabs.setCurrentWidget(panel.tab)

    def open(self) -> None:
        """Show the window, above others."""
        self.show()
        self.raise_()
        self.activateWindow()

    def closeEvent(self, event: QCloseEvent) -> None:  # noqa: N802
        """Hide: the tables go on being filled."""
        self.hide()
        event.accept()
