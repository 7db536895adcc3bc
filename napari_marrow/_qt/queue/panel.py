"""The Queue tab: its widget, what it drives, and the wires between them."""

from __future__ import annotations

from napari_marrow._qt.queue.tab import QueueTab
from napari_marrow.background import Background
from napari_marrow.controllers.queue import QueueController
from napari_marrow.session import Session


class QueuePanel:
    """Shows the jobs.

    Parameters
    ----------
    session : Session
    background : Background
    """

    title = "Queue"

    def __init__(self, session: Session, background: Background) -> None:
        self.tab = QueueTab()
        self.controller = QueueController(session, background, self.tab)
        self.tab.cancel_wanted.connect(self.controller.cancel)
        self.tab.retry_wanted.connect(self.controller.retry)
        self.tab.results_wanted.connect(self.controller.show_results)

    def tick(self) -> None:
        """Called five times a second."""
        self.controller.tick()

    def close(self) -> None:
        """Nothing runs here that would have to end."""
