"""Everything of one viewer, put together: session, canvas, panels, and the wires between panels."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from napari.qt import get_stylesheet

from marrow.client import Client
from marrow.study import Study
from napari_marrow._qt.background import QtBackground
from napari_marrow._qt.cases.panel import CasesPanel
from napari_marrow._qt.doctor.panel import DoctorPanel
from napari_marrow._qt.notices import tell_error
from napari_marrow._qt.panel import Panel
from napari_marrow._qt.queue.panel import QueuePanel
from napari_marrow._qt.results.panel import ResultsPanel
from napari_marrow._qt.study.panel import StudyPanel
from napari_marrow._qt.ticker import Ticker
from napari_marrow._qt.workbench import Workbench
from napari_marrow.canvas import SmearCanvas
from napari_marrow.controllers.smear import SmearController
from napari_marrow.desk import Desk
from napari_marrow.preferences import Preferences
from napari_marrow.session import Session


class Desktop:
    """The plugin in one viewer.

    Parameters
    ----------
    viewer : napari.Viewer
    show_page : callable
        Called with True when a study is open, with False when one is asked for.
    make_client : callable
        From a study to its client.
    preferences : Preferences
    """

    def __init__(
        self,
        viewer: Any,
        show_page: Callable[[bool], None],
        make_client: Callable[[Study], Client] = Client,
        preferences: Preferences = Preferences(),  # noqa: B008 -- frozen
    ) -> None:
        self._viewer = viewer
        self.session = Session(opacity=preferences.opacity)
        self.background = QtBackground(tell_error)
        self.canvas = SmearCanvas(viewer)
        session, background = self.session, self.background
        self.smear = SmearController(session, background, self.canvas)
        self.study = StudyPanel(session, background, show_page, make_client, preferences.reader)
        self.doctor = DoctorPanel(session, background)
        self.cases = CasesPanel(session, background, self.canvas, self.smear)
        self.queue = QueuePanel(session, background)
        self.results = ResultsPanel(session, background, self.smear)
        self._tabs: tuple[Panel, ...] = (self.queue, self.results)
        self.workbench = Workbench(self._tabs)
        ticks = (self.study.tick, self.cases.tick, *(panel.tick for panel in self._tabs))
        self.ticker = Ticker(ticks)
        self._wire_panels()
        viewer.events.theme.connect(self._on_theme)
        self._on_theme()

    @property
    def is_listed(self) -> bool:
        """Whether the open study's first page of smears and of results was read."""
        return self.cases.controller.is_read and self.results.controller.is_read

    def start(self, home: Path | None = None) -> None:
        """Open the study of this home if there is one, and begin to tick."""
        self.study.controller.start(home)
        self.ticker.start()

    def close(self) -> None:
        """Stop everything; running jobs go on."""
        for panel in self._tabs:
            panel.close()
        self.background.close()
        self.canvas.close()
        if self.session.desk is not None:
            self.session.desk.close()
        self._viewer.events.theme.disconnect(self._on_theme)
        with suppress(RuntimeError):  # at the end of the program Qt may have deleted them before
            self.ticker.stop()
            for window in (self.workbench, self.doctor.page):
                window.close()
                window.deleteLater()

    def _wire_panels(self) -> None:
        """What one panel asks of another."""
        self.session.events.desk.connect(self._on_desk)
        self.study.start_page.doctor_wanted.connect(self.doctor.open)
        self.workbench.doctor_wanted.connect(self.doctor.open)
        self.cases.page.queue_wanted.connect(self._on_queue_wanted)
        self.cases.page.workbench_wanted.connect(self.workbench.open)
        self.queue.tab.results_wanted.connect(lambda _job: self.workbench.bring(self.results))

    def _on_desk(self, desk: Desk | None) -> None:
        if desk is not None:
            self.workbench.setWindowTitle(f"Marrow workbench · {desk.home.name}")

    def _on_queue_wanted(self, ids: list[int] | None) -> None:
        if ids is None:
            self.queue.controller.submit_filtered(self.cases.controller.shown)
        else:
            self.queue.controller.submit(ids)
        self.workbench.bring(self.results)
        self.workbench.open()

    def _on_theme(self, _event: object = None) -> None:
        for window in (self.workbench, self.doctor.page):
            window.setStyleSheet(get_stylesheet(self._viewer.theme))
