"""Opening and creating a study, and who reads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from marrow.client import Client
from marrow.errors import NoStudy
from marrow.sample_study import make_sample_study
from marrow.schemes import AA_MDS_AML, Scheme
from marrow.settings import Settings
from marrow.study import Study
from napari_marrow.background import Answer, Background, Lane
from napari_marrow.desk import Desk
from napari_marrow.session import Session


class StudyView(Protocol):
    """The page that asks for a study, and the line that names the open one."""

    def show_start(self, home: Path, words: str) -> None:
        """Ask for a folder; `words` say why."""

    def show_study(self, home: Path, scheme: Scheme, reader: str) -> None:
        """Name the open study."""

    def set_busy(self, is_busy: bool) -> None:
        """Take no other wish while a study is being opened or made."""

    def set_progress(self, done: int, total: int) -> None:
        """Show how far drawing the sample smears has come; total 0: none are being drawn."""


@dataclass(frozen=True)
class _Missing:
    home: Path
    reason: str


class StudyController:
    """Opens the study of the settings at the start, and others on request.

    One at a time: what is asked for before an answer has come is not done.

    Parameters
    ----------
    session : Session
    background : Background
    view : StudyView
    read_settings : callable
        From a home, None for the default one, to its settings.
    make_client : callable
        From a study to its client.
    reader : str
        Under which name labels are stored at first; empty: of the settings.
    """

    def __init__(
        self,
        session: Session,
        background: Background,
        view: StudyView,
        read_settings: Callable[[Path | None], Settings] = Settings.read,
        make_client: Callable[[Study], Client] = Client,
        reader: str = "",
    ) -> None:
        self._session = session
        self._background = background
        self._view = view
        self._read_settings = read_settings
        self._make_client = make_client
        self._reader = reader.strip()
        self._is_busy = False
        self._progress = self._shown_progress = (0, 0)

    def start(self, home: Path | None = None) -> None:
        """Open the study of this home (None: of the settings) if there is one; else ask."""
        self._ask(lambda: self._find(home), self._on_found)

    def open(self, home: Path) -> None:
        """Open the study in this folder."""
        self._ask(lambda: Desk.open(self._read_settings(home), self._make_client), self._on_opened)

    def create(self, home: Path, scheme_file: Path | None) -> None:
        """Make a study in this folder; without a scheme file it asks AA, MDS or AML."""

        def make() -> Desk:
            scheme = AA_MDS_AML if scheme_file is None else Scheme.from_toml(scheme_file)
            return Desk.create(self._read_settings(home), scheme, self._make_client)

        self._ask(make, self._on_opened)

    def create_sample(self, home: Path) -> None:
        """Make a study of synthetic smears in this folder, for a first look."""

        def on_progress(done: int, total: int) -> None:
            self._progress = (done, total)  # read by tick() on the main thread

        def make() -> Desk:
            settings = self._read_settings(home)
            return Desk(*make_sample_study(settings, self._make_client, on_progress))

        self._ask(make, self._on_opened, lane="files")

    def tick(self) -> None:
        """Show how far the sample smears are; called a few times a second."""
        if self._progress != self._shown_progress:
            self._shown_progress = self._progress
            self._view.set_progress(*self._progress)

    def leave(self) -> None:
        """Go back to the page that asks for a study; the open one stays until then."""
        desk = self._session.desk
        if desk is not None:
            self._view.show_start(desk.home, "")

    def set_reader(self, name: str) -> None:
        """Under which name labels are stored from now on; one that is none changes nothing."""
        if name.strip() and name.isprintable():
            self._session.reader = name.strip()

    def _ask(
        self,
        question: Callable[[], Answer],
        then: Callable[[Answer], None],
        lane: Lane = "catalogue",
    ) -> None:
        if self._is_busy:
            return
        self._set_busy(True)

        def on_answer(answer: Answer) -> None:
            self._set_busy(False)
            then(answer)

        self._background.tell(question, on_answer, lane=lane, failed=lambda: self._set_busy(False))

    def _set_busy(self, is_busy: bool) -> None:
        self._is_busy = is_busy
        self._view.set_busy(is_busy)
        if not is_busy:
            self._progress = (0, 0)
            self.tick()

    def _find(self, home: Path | None) -> Desk | _Missing:
        settings = self._read_settings(home)
        try:
            return Desk.open(settings, self._make_client)
        except NoStudy as error:
            return _Missing(settings.home, str(error))

    def _on_found(self, found: Desk | _Missing) -> None:
        if isinstance(found, Desk):
            self._on_opened(found)
        else:
            self._view.show_start(found.home, found.reason)

    def _on_opened(self, desk: Desk) -> None:
        earlier = self._session.desk
        self._session.smear_id = None
        self._session.prediction_id = None
        self._session.evidence = None
        self._session.seen = frozenset()
        self._session.unfinished = ()
        self._session.result_job = None
        self._session.reader = self._reader or desk.reader
        self._session.desk = desk
        self._view.show_study(desk.home, desk.scheme, self._session.reader)
        if earlier is not None:
            self._background.tell(earlier.close, lambda _answer: None)
