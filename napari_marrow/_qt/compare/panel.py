"""The Compare tab: its widget, what it drives, and the wires between them."""

from __future__ import annotations

from napari_marrow._qt.compare.tab import CompareTab
from napari_marrow.background import Background
from napari_marrow.controllers.models import ModelsController
from napari_marrow.controllers.smear import SmearController
from napari_marrow.report_run import ReportRun
from napari_marrow.session import Session


class ComparePanel:
    """Compares models and changes the champion.

    Parameters
    ----------
    session : Session
    background : Background
    smear : SmearController
    """

    title = "Compare"

    def __init__(self, session: Session, background: Background, smear: SmearController) -> None:
        self.tab = CompareTab()
        self.controller = ModelsController(session, background, self.tab, ReportRun())
        tab, controller = self.tab, self.controller
        tab.pair_chosen.connect(controller.compare)
        tab.smear_opened.connect(smear.open)
        tab.promote.promote_wanted.connect(controller.promote)
        tab.promote.rollback_wanted.connect(controller.rollback)
        tab.report_wanted.connect(controller.report)

    def tick(self) -> None:
        """Called five times a second."""
        self.controller.tick()

    def close(self) -> None:
        """End a report that is being made."""
        self.controller.close()
