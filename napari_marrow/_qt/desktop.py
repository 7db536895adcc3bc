"""Everything of one viewer, put together: session, canvas, panels, and the wires between panels."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from napari.qt import get_stylesheet
from qtpy.QtWidgets import QWidget

from marrow.client import Client
from marrow.study import Study
from napari_marrow._qt.background import QtBackground
from napari_marrow._qt.cases.panel import CasesPanel
from napari_marrow._qt.compare.panel import ComparePanel
from napari_marrow._qt.doctor.panel import DoctorPanel
from napari_marrow._qt.keys import canvas_widget
from napari_marrow._qt.notices import tell_error
from napari_marrow._qt.overview_inset import OverviewInset
from napari_marrow._qt.panel import Panel
from napari_marrow._qt.queue.panel import QueuePanel
from napari_marrow._qt.reading.panel import ReadingPanel
from napari_marrow._qt.results.panel import ResultsPanel
from napari_marrow._qt.retrain.panel import RetrainPanel
from napari_marrow._qt.sheet.panel import SheetPanel
from napari_marrow._qt.study.panel import StudyPanel
from napari_marrow._qt.ticker import Ticker
from napari_marrow._qt.workbench import Workbench
from napari_marrow.canvas import SmearCanvas
from napari_marrow.controllers.outbox import OutboxController
from napari_marrow.controllers.regions import RegionsController
from napari_marrow.controllers.smear import SmearController
from napari_marrow.desk import Desk
from napari_marrow.desks.queue import Chosen
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
        self._viewer, self._is_closed = viewer, False
        self.session = Session(opacity=preferences.opacity)
        self.background = QtBackground(tell_error)
        self.canvas = SmearCanvas(viewer)
        drawn_on = canvas_widget(viewer)
        self.inset = None if drawn_on is None else OverviewInset(viewer, drawn_on)
        session, background = self.session, self.background
        self.outbox = OutboxController(session, background)
        self.smear = SmearController(
            session, background, self.canvas, RegionsController(session, self.outbox)
        )
        self.study = StudyPanel(session, background, show_page, make_client, preferences.reader)
        self.doctor = DoctorPanel(session, background)
        self.cases = CasesPanel(viewer, session, background, self.outbox, self.canvas, self.smear)
        night = (preferences.night_from, preferences.night_until)
        self.queue = QueuePanel(session, background, night)
        self.results = ResultsPanel(session, background, self.smear, self.cases.labels)
        self.reading = ReadingPanel(session, background, self.smear)
        self.retrain = RetrainPanel(session, background, self.smear, night)
        self.compare = ComparePanel(session, background, self.smear)
        self.sheet = SheetPanel(session, background, self.cases.controller, self.cases.labels)
        self._tabs: tuple[Panel, ...] = (
            self.queue,
            self.results,
            self.reading,
            self.retrain,
            self.compare,
            self.sheet,
        )
        self.workbench = Workbench(self._tabs)
        ticks = (
            self.study.tick,
            self.outbox.tick,
            self.cases.tick,
            *(panel.tick for panel in self._tabs),
        )
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

    def leave(self) -> None:
        """Stop everything in a viewer that goes on: nothing of us stays on its canvas."""
        self.canvas.finish_drawing()
        self.cases.labelling.leave()
        self.canvas.clear()
        self.close()

    def close(self) -> None:
        """Stop everything, once; running jobs go on."""
        if self._is_closed:
            return
        self._is_closed = True
        for panel in self._tabs:
            panel.close()
        self.cases.close()
        self.background.close()
        self.smear.close()
        self.canvas.close()
        if self.inset is not None:
            self.inset.close_behind()
        if self.session.desk is not None:
            self.session.desk.close()
        self._viewer.events.theme.disconnect(self._on_theme)
        self._delete_widgets()

    def _delete_widgets(self) -> None:
        """Delete what is no part of the dock; at the end of the program Qt may have done so."""
        with suppress(RuntimeError):
            self.ticker.stop()
        widgets: tuple[QWidget | None, ...] = (self.workbench, self.doctor.page, self.inset)
        for widget in filter(None, widgets):
            with suppress(RuntimeError):
                widget.close()
                widget.deleteLater()

    def _wire_panels(self) -> None:
        """What one panel asks of another."""
        self.session.events.desk.connect(self._on_desk)
        self.session.events.blind.connect(self._on_blind)
        self.study.start_page.doctor_wanted.connect(self.doctor.open)
        self.workbench.doctor_wanted.connect(self.doctor.open)
        self.cases.page.queue_wanted.connect(self._on_queue_wanted)
        self.cases.page.workbench_wanted.connect(self.workbench.open)
        self.cases.page.sheet_wanted.connect(self._on_sheet_wanted)
        self.sheet.tab.opened.connect(self._on_sheet_opened)
        self.sheet.tab.queue_wanted.connect(self._on_queue_wanted)
        if self.inset is not None:
            self.canvas.overview_changed.connect(self.inset.setValue)
        listed = self.cases.page.list
        listed.selection_changed.connect(self._on_choice_changed)
        for rows in (listed.model.rowsInserted, listed.model.rowsRemoved, listed.model.dataChanged):
            rows.connect(self._on_choice_changed)
        self.queue.tab.results_wanted.connect(lambda _job: self.workbench.bring(self.results))
        self.queue.tab.training_wanted.connect(self._on_training_wanted)

    def _on_desk(self, desk: Desk | None) -> None:
        if desk is not None:
            self.workbench.setWindowTitle(f"Marrow workbench · {desk.home.name}")

    def _on_blind(self, _names: tuple[str, ...]) -> None:
        """What may be seen is another now: as if another person had sat down."""
        self.session.events.reader.emit(self.session.reader)
        self.results.controller.reload(from_top=True)
        if self.session.smear_id is not None:
            self.smear.open(self.session.smear_id)

    def _on_queue_wanted(self, ids: list[int] | None) -> None:
        if ids is None:
            self.queue.controller.submit_filtered(self.cases.controller.shown)
        else:
            self.queue.controller.submit(ids)
        self.workbench.bring(self.queue)
        self.workbench.open()

    def _on_training_wanted(self, job_id: int) -> None:
        self.retrain.controller.show(job_id)
        self.workbench.bring(self.retrain)

    def _on_sheet_wanted(self) -> None:
        self.workbench.bring(self.sheet)
        self.workbench.open()
        self.sheet.tab.list.setFocus()

    def _on_sheet_opened(self, smear_id: int) -> None:
        if self.cases.labelling.is_on:
            self.cases.labelling.go(smear_id)
            self.cases.take_keys()
        else:
            self.smear.open(smear_id)

    def _on_choice_changed(self, *_changed: object) -> None:
        cases = self.cases
        ids = tuple(cases.page.list.selected_ids())
        every = Chosen(cases.controller.total, listed=cases.controller.shown)
        self.queue.controller.set_chosen(Chosen(len(ids), ids) if ids else every)

    def _on_theme(self, _event: object = None) -> None:
        for window in (self.workbench, self.doctor.page):
            window.setStyleSheet(get_stylesheet(self._viewer.theme))
