"""Everything of one viewer, put together: session, controllers, widgets and their wires."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from napari.qt import get_stylesheet

from marrow.client import Client
from marrow.schemes import Scheme
from marrow.study import Study
from napari_marrow._qt.background import QtBackground
from napari_marrow._qt.case_list import FIRST_HEAD
from napari_marrow._qt.cases_page import CasesPage
from napari_marrow._qt.evidence_bar import EvidenceBar
from napari_marrow._qt.notices import tell_error
from napari_marrow._qt.start_page import StartPage
from napari_marrow._qt.study_bar import StudyBar
from napari_marrow._qt.ticker import Ticker
from napari_marrow._qt.workbench import Workbench
from napari_marrow.canvas import SmearCanvas
from napari_marrow.controllers.cases import CasesController
from napari_marrow.controllers.queue import QueueController
from napari_marrow.controllers.results import ResultsController
from napari_marrow.controllers.smear import SmearController
from napari_marrow.controllers.study import StudyController
from napari_marrow.desk import Desk
from napari_marrow.session import Evidence, Session


class Desktop:
    """The plugin in one viewer.

    Parameters
    ----------
    viewer : napari.Viewer
    show_page : callable
        Called with True when a study is open, with False when one is asked for.
    make_client : callable
        From a study to its client.
    """

    def __init__(
        self,
        viewer: Any,
        show_page: Callable[[bool], None],
        make_client: Callable[[Study], Client] = Client,
    ) -> None:
        self._viewer = viewer
        self._show_page = show_page
        self.session = Session()
        self.background = QtBackground(tell_error)
        self.start_page, self.study_bar, self.page = StartPage(), StudyBar(), CasesPage()
        self.workbench = Workbench()
        self.canvas = SmearCanvas(viewer)
        session, background = self.session, self.background
        self.smear = SmearController(session, background, self.canvas)
        self.cases = CasesController(session, background, self.page)
        self.queue = QueueController(session, background, self.workbench.queue)
        self.results = ResultsController(session, background, self.workbench.results, self.smear)
        self.study = StudyController(session, background, self, make_client=make_client)
        self.ticker = Ticker([self.cases.tick, self.queue.tick, self.results.tick])
        self._wire_study()
        self._wire_cases()
        self._wire_workbench()
        for bar in (self.page.evidence, self.workbench.results.evidence):
            self._wire_evidence(bar)
        viewer.events.theme.connect(self._on_theme)
        self._on_theme()

    @property
    def is_listed(self) -> bool:
        """Whether the open study's first page of smears and of results was read."""
        return self.cases.is_read and self.results.is_read

    def start(self, home: Path | None = None) -> None:
        """Open the study of this home if there is one, and begin to tick."""
        self.study.start(home)
        self.ticker.start()

    def close(self) -> None:
        """Stop everything; running jobs go on."""
        self.results.close()
        self.background.close()
        self.canvas.close()
        if self.session.desk is not None:
            self.session.desk.close()
        self._viewer.events.theme.disconnect(self._on_theme)
        with suppress(RuntimeError):  # at the end of the program Qt may have deleted them before
            self.ticker.stop()
            self.workbench.close()
            self.workbench.deleteLater()

    # The StudyView

    def show_start(self, home: Path, words: str) -> None:
        """See `StudyView.show_start`."""
        self.start_page.setValue(home, words)
        self._show_page(False)

    def show_study(self, home: Path, scheme: Scheme, reader: str) -> None:
        """See `StudyView.show_study`."""
        self.study_bar.set_study(home, scheme, reader)
        self.workbench.setWindowTitle(f"Marrow workbench · {home.name}")
        self._show_page(True)

    def _wire_study(self) -> None:
        self.start_page.open_wanted.connect(self.study.open)
        self.start_page.create_wanted.connect(self.study.create)
        self.study_bar.other_wanted.connect(self.study.leave)
        self.study_bar.reader_changed.connect(self.study.set_reader)

    def _wire_cases(self) -> None:
        page, listed = self.page, self.page.list
        listed.shown_changed.connect(self.cases.set_filter)
        listed.opened.connect(self.smear.open)
        listed.edited.connect(self._on_case_edited)
        listed.model.wants_more.connect(self.cases.more)
        page.add_wanted.connect(self.cases.add_smears)
        page.queue_wanted.connect(self._on_queue_wanted)
        page.workbench_wanted.connect(self.workbench.open)
        page.regions.wanted.connect(self.canvas.regions.draw)
        self.session.events.smear_id.connect(self._on_smear_changed)
        self.canvas.regions.drawn.connect(self._on_regions_drawn)
        page.labels.given.connect(
            lambda head, answer: self.cases.give_label(listed.selected_ids(), head, answer)
        )
        page.describe.wanted.connect(
            lambda what, text: self.cases.describe(listed.selected_ids(), what, text)
        )

    def _wire_workbench(self) -> None:
        queue, results = self.workbench.queue, self.workbench.results
        queue.cancel_wanted.connect(self.queue.cancel)
        queue.retry_wanted.connect(self.queue.retry)
        queue.results_wanted.connect(self._on_results_wanted)
        results.all_wanted.connect(lambda: self.results.show_job(None))
        results.filter_changed.connect(self.results.set_filter)
        results.opened.connect(self.results.open)
        results.model.wants_more.connect(self.results.more)
        results.model.sort_wanted.connect(self.results.set_sort)

    def _wire_evidence(self, bar: EvidenceBar) -> None:
        events = self.session.events
        bar.chosen.connect(self.smear.choose_evidence)
        bar.opacity_changed.connect(self.smear.set_opacity)
        bar.shown_changed.connect(self.smear.set_heatmap_shown)

        def on_desk(desk: Desk | None) -> None:
            if desk is not None:
                bar.set_scheme(desk.scheme)
                bar.setValue(None)

        def on_evidence(evidence: Evidence | None) -> None:
            bar.setValue(evidence)

        events.desk.connect(on_desk)
        events.evidence.connect(on_evidence)
        events.opacity.connect(lambda opacity: bar.set_opacity(opacity))
        events.is_heatmap_shown.connect(lambda shown: bar.set_shown(shown))

    def _on_smear_changed(self, smear_id: int | None) -> None:
        self.page.list.mark(smear_id)
        self.page.regions.reset()
        self.canvas.regions.draw("use", "none")

    def _on_regions_drawn(self) -> None:
        self.smear.save_regions(self.canvas.regions.regions())

    def _on_case_edited(self, ids: list[int], column: int, text: str) -> None:
        desk = self.session.desk
        if desk is None:
            return
        if column >= FIRST_HEAD:
            head = desk.scheme.asked[column - FIRST_HEAD]
            self.cases.give_label(ids, head.name, text)
        else:
            self.cases.describe(ids, "patient" if column == 1 else "site", text)

    def _on_queue_wanted(self, ids: list[int] | None) -> None:
        if ids is None:
            self.queue.submit_filtered(self.cases.shown)
        else:
            self.queue.submit(ids)
        self.workbench.show_results()
        self.workbench.open()

    def _on_results_wanted(self, job_id: int) -> None:
        self.queue.show_results(job_id)
        self.workbench.show_results()

    def _on_theme(self, _event: object = None) -> None:
        self.workbench.setStyleSheet(get_stylesheet(self._viewer.theme))
