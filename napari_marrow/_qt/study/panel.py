"""Which study is open: the page that asks for one, the line that names it, and their wires."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from marrow.client import Client
from marrow.schemes import Scheme
from marrow.study import Study
from napari_marrow._qt.activity import Activity
from napari_marrow._qt.study.start_page import StartPage
from napari_marrow._qt.study.study_bar import StudyBar
from napari_marrow.background import Background
from napari_marrow.controllers.study import StudyController
from napari_marrow.session import Session


class StudyPanel:
    """The `StudyView`.

    Parameters
    ----------
    session : Session
    background : Background
    show_page : callable
        Called with True when a study is open, with False when one is asked for.
    make_client : callable
        From a study to its client.
    reader : str
        Under which name labels are stored at first; empty: of the settings.
    """

    def __init__(
        self,
        session: Session,
        background: Background,
        show_page: Callable[[bool], None],
        make_client: Callable[[Study], Client] = Client,
        reader: str = "",
    ) -> None:
        self._show_page = show_page
        self._activity = Activity("drawing sample smears")
        self.start_page, self.bar = StartPage(), StudyBar()
        self.controller = StudyController(
            session, background, self, make_client=make_client, reader=reader
        )
        self.start_page.open_wanted.connect(self.controller.open)
        self.start_page.create_wanted.connect(self.controller.create)
        self.start_page.sample_wanted.connect(self.controller.create_sample)
        self.bar.other_wanted.connect(self.controller.leave)
        self.bar.reader_changed.connect(self.controller.set_reader)
        session.events.is_labelling.connect(lambda is_on: self.bar.set_labelling(is_on))

    def tick(self) -> None:
        """Called five times a second."""
        self.controller.tick()

    def set_busy(self, is_busy: bool) -> None:
        """See `StudyView.set_busy`."""
        self.start_page.set_busy(is_busy)

    def set_progress(self, done: int, total: int) -> None:
        """See `StudyView.set_progress`."""
        self.start_page.set_progress(done, total)
        self._activity.show(done, total)

    def show_start(self, home: Path, words: str) -> None:
        """See `StudyView.show_start`."""
        self.start_page.setValue(home, words)
        self._show_page(False)

    def show_study(self, home: Path, scheme: Scheme, reader: str) -> None:
        """See `StudyView.show_study`."""
        self.bar.set_study(home, scheme, reader)
        self._show_page(True)
