"""The Consensus tab: its widget, what it drives, and the wires between them."""

from __future__ import annotations

from napari_marrow._qt.reading.tab import ReadingTab
from napari_marrow.background import Background
from napari_marrow.controllers.reading import ReadingController
from napari_marrow.controllers.smear import SmearController
from napari_marrow.session import Session


class ReadingPanel:
    """Shows where readers differ, and lets one decide.

    Parameters
    ----------
    session : Session
    background : Background
    smear : SmearController
    """

    title = "Consensus"

    def __init__(self, session: Session, background: Background, smear: SmearController) -> None:
        self.tab = ReadingTab()
        self.controller = ReadingController(session, background, self.tab, smear)
        tab, controller = self.tab, self.controller
        tab.readers.blind_wanted.connect(controller.set_blind)
        tab.opened.connect(controller.open)
        tab.chosen.connect(controller.show_history)
        tab.pressed.connect(controller.press)

    def tick(self) -> None:
        """Called five times a second."""
        self.controller.tick()

    def close(self) -> None:
        """Nothing runs here that would have to end."""
