"""The Queue tab: its widget, what it drives, and the wires between them."""

from __future__ import annotations

from napari_marrow._qt.queue.tab import QueueTab
from napari_marrow.background import Background
from napari_marrow.controllers.queue import QueueController
from napari_marrow.desk import Desk
from napari_marrow.session import Session


class QueuePanel:
    """Queues smears and shows the jobs.

    Parameters
    ----------
    session : Session
    background : Background
    night : (str, str)
        From and until, HH:MM, before the study has a night of its own.
    """

    title = "Queue"

    def __init__(
        self,
        session: Session,
        background: Background,
        night: tuple[str, str] = ("22:00", "06:00"),
    ) -> None:
        self._night = night
        self.tab = QueueTab()
        self.controller = QueueController(session, background, self.tab)
        tab, controller = self.tab, self.controller
        tab.bar.changed.connect(controller.set_wish)
        tab.bar.submitted.connect(controller.submit_chosen)
        tab.cancel_wanted.connect(controller.cancel)
        tab.retry_wanted.connect(controller.retry)
        tab.why_wanted.connect(controller.explain)
        tab.results_wanted.connect(controller.show_results)
        session.events.desk.connect(self._on_desk)

    def tick(self) -> None:
        """Called five times a second."""
        self.controller.tick()

    def close(self) -> None:
        """Nothing runs here that would have to end."""

    def _on_desk(self, _desk: Desk | None) -> None:
        self.tab.begin_anew(*self._night)
