"""The Retrain tab: its widget, what it drives, and the wires between them."""

from __future__ import annotations

from napari_marrow._qt.retrain.tab import RetrainTab
from napari_marrow.background import Background
from napari_marrow.controllers.retrain import RetrainController
from napari_marrow.controllers.smear import SmearController
from napari_marrow.session import Session


class RetrainPanel:
    """Starts sweeps and shows them.

    Parameters
    ----------
    session : Session
    background : Background
    smear : SmearController
    night : (str, str)
        When a sweep for tonight may begin and must pause, HH:MM, until a person says otherwise.
    """

    title = "Retrain"

    def __init__(
        self,
        session: Session,
        background: Background,
        smear: SmearController,
        night: tuple[str, str],
    ) -> None:
        self.tab = RetrainTab()
        self.tab.form.when.set_times(*night)
        self.controller = RetrainController(session, background, self.tab)
        tab, controller = self.tab, self.controller
        tab.form.changed.connect(controller.plan)
        tab.start_wanted.connect(controller.start)
        tab.stop_wanted.connect(controller.stop)
        tab.resume_wanted.connect(controller.resume)
        tab.smear_opened.connect(smear.open)
        tab.job_chosen.connect(controller.show)
        tab.board.chosen.connect(controller.choose)
        tab.curves.figure_changed.connect(controller.set_figure)

    def tick(self) -> None:
        """Called five times a second."""
        self.controller.tick()

    def close(self) -> None:
        """Close the window of the exclusions."""
        self.tab.exclusions.close()
