"""The listed results as files, and regions that come back in."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from marrow.regions_file import RegionsImported
from napari_marrow.background import Background
from napari_marrow.controllers.results import ResultsController
from napari_marrow.controllers.smear import SmearController
from napari_marrow.desk import Desk
from napari_marrow.desks.exports import ExportKind, Written
from napari_marrow.desks.results import View
from napari_marrow.lines.exports import imported_words, written_words
from napari_marrow.session import Session


class ExportView(Protocol):
    """Shows how far an export has come."""

    def set_export(self, done: int, total: int) -> None:
        """Show how much is written of how many rows or patients; total 0: nothing is written."""

    def tell(self, words: str, is_warning: bool) -> None:
        """Tell a person what came of something, in a sentence."""


class _Stopped(Exception):
    """A person has stopped the export."""


class ExportController:
    """Writes what the results table lists, one export at a time.

    Parameters
    ----------
    session : Session
    background : Background
    view : ExportView
    results : ResultsController
        Knows which rows are listed, and in which order.
    smear : SmearController
        Draws the smear anew whose regions came in.
    """

    def __init__(
        self,
        session: Session,
        background: Background,
        view: ExportView,
        results: ResultsController,
        smear: SmearController,
    ) -> None:
        self._session = session
        self._background = background
        self._view = view
        self._results = results
        self._smear = smear
        self._is_running = self._is_stopped = False
        self._done = self._total = 0
        self._shown = (0, 0)

    def export(self, kind: ExportKind, target: Path) -> None:
        """Write what is listed now to this file."""
        desk, asked = self._session.desk, self._results.asked
        if desk is None:
            return
        if self._is_running:
            words = "An export is under way: wait for its end, or stop it with Export > Stop."
            self._view.tell(words, is_warning=True)
            return
        self._is_running, self._is_stopped = True, False
        self._done, self._total = 0, max(1, len(self._results.pages))
        self._background.tell(
            lambda: self._write(desk, kind, asked, target),
            self._on_written,
            lane="exports",
            failed=self._on_ended,
        )

    def stop(self) -> None:
        """Stop the export; no file comes of it."""
        self._is_stopped = True

    def close(self) -> None:
        """Stop the export: the program ends."""
        self.stop()

    def import_regions(self, paths: Sequence[Path]) -> None:
        """Take regions from GeoJSON files, those of QuPath too, into the study."""
        for path in paths:
            self._import(path)

    def tick(self) -> None:
        """Show how far it has come; called a few times a second on the main thread."""
        shown = (self._done, self._total) if self._is_running else (0, 0)
        if shown != self._shown:
            self._shown = shown
            self._view.set_export(*shown)

    def _import(self, path: Path) -> None:
        desk, reader = self._session.desk, self._session.reader
        if desk is not None:
            self._background.tell(
                lambda: desk.exports.import_regions(path, reader),
                lambda came: self._on_imported(path, came),
                lane="exports",
            )

    def _write(self, desk: Desk, kind: ExportKind, asked: View, target: Path) -> Written | None:
        """On a thread: None where it was stopped."""
        try:
            return desk.exports.write(kind, asked, target, self._on_part)
        except _Stopped:
            return None

    def _on_part(self, done: int, total: int) -> None:
        """On a thread, after each row or patient; `tick` reads it. Total 0: as many as listed."""
        if self._is_stopped:
            raise _Stopped
        self._done, self._total = done, total or self._total

    def _on_written(self, written: Written | None) -> None:
        self._on_ended()
        words = "The export was stopped; no file was written."
        self._view.tell(words if written is None else written_words(written), is_warning=False)

    def _on_ended(self) -> None:
        self._is_running = False
        self.tick()

    def _on_imported(self, path: Path, came: RegionsImported) -> None:
        self._view.tell(imported_words(path, came), is_warning=False)
        shown = self._session.smear_id
        if shown is not None:
            self._smear.open(shown, self._session.prediction_id)
