"""The doctor page: its window, what it drives, and the wires between them."""

from __future__ import annotations

from napari_marrow._qt.doctor.page import DoctorPage
from napari_marrow.background import Background
from napari_marrow.controllers.doctor import DoctorController
from napari_marrow.session import Session


class DoctorPanel:
    """A window of its own, because it is needed when no study opens.

    Parameters
    ----------
    session : Session
    background : Background
    """

    def __init__(self, session: Session, background: Background) -> None:
        self.page = DoctorPage()
        self.controller = DoctorController(session, background, self.page)
        self.page.wanted.connect(self.controller.examine)

    def open(self) -> None:
        """Show the window and look."""
        self.page.show()
        self.page.raise_()
        self.page.activateWindow()
        self.controller.examine()
