"""The Results tab: its widget, what it drives, and the wires between them."""

from __future__ import annotations

from napari_marrow._qt.evidence_wires import wire_evidence
from napari_marrow._qt.results.tab import ResultsTab
from napari_marrow.background import Background
from napari_marrow.controllers.results import ResultsController
from napari_marrow.controllers.smear import SmearController
from napari_marrow.session import Session


class ResultsPanel:
    """Shows the answers and opens their smears.

    Parameters
    ----------
    session : Session
    background : Background
    smear : SmearController
    """

    title = "Results"

    def __init__(self, session: Session, background: Background, smear: SmearController) -> None:
        self.tab = ResultsTab()
        self.controller = ResultsController(session, background, self.tab, smear)
        self.tab.all_wanted.connect(lambda: self.controller.show_job(None))
        self.tab.filter_changed.connect(self.controller.set_filter)
        self.tab.opened.connect(self.controller.open)
        self.tab.model.wants_more.connect(self.controller.more)
        self.tab.model.sort_wanted.connect(self.controller.set_sort)
        wire_evidence(self.tab.evidence, session, smear)

    def tick(self) -> None:
        """Called five times a second."""
        self.controller.tick()

    def close(self) -> None:
        """End the threads that follow jobs; the jobs go on."""
        self.controller.close()
