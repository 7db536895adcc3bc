"""Showing a smear with the evidence for an answer, and keeping its regions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from marrow.catalogue.regions import NewRegion
from napari_marrow.background import Background
from napari_marrow.desk import Desk
from napari_marrow.desks.smears import SmearPicture
from napari_marrow.layers import Heatmap, heatmap
from napari_marrow.session import Evidence, Session


class Canvas(Protocol):
    """Where a smear is drawn."""

    def show(self, picture: SmearPicture) -> None:
        """Show another smear, without a heatmap."""

    def clear(self) -> None:
        """Show no smear."""

    def show_heatmap(self, heatmap: Heatmap | None) -> None:
        """Draw the evidence for a class, None to hide it."""

    def set_opacity(self, opacity: float) -> None:
        """Opacity of the heatmap, 0 to 1."""

    def set_words(self, words: str) -> None:
        """The line of text on the canvas."""


class SmearController:
    """Opens smears off the GUI thread and draws them on it.

    Parameters
    ----------
    session : Session
    background : Background
    canvas : Canvas
    """

    def __init__(self, session: Session, background: Background, canvas: Canvas) -> None:
        self._session = session
        self._background = background
        self._canvas = canvas
        self._picture: SmearPicture | None = None
        session.events.desk.connect(self._on_desk)
        session.events.evidence.connect(self._draw_evidence)
        session.events.is_heatmap_shown.connect(self._draw_evidence)
        session.events.opacity.connect(self._on_opacity)

    def open(
        self, smear_id: int, prediction_id: int | None = None, evidence: Evidence | None = None
    ) -> None:
        """Show a smear, with a prediction's heatmap if one is given.

        `evidence` is the class to draw; None: what the model called at the primary head.
        """
        desk = self._session.desk
        if desk is not None:
            self._background.ask(
                "picture",
                lambda: desk.smears.picture(smear_id, prediction_id),
                lambda picture: self._on_picture(desk, picture, evidence),
                lane="files",
            )

    def choose_evidence(self, evidence: Evidence) -> None:
        """Draw the evidence for another class."""
        self._session.evidence = evidence

    def set_opacity(self, opacity: float) -> None:
        """Opacity of the heatmap, 0 to 1."""
        self._session.opacity = min(1.0, max(0.0, opacity))

    def set_heatmap_shown(self, is_shown: bool) -> None:
        """Draw the heatmap, or leave it out."""
        self._session.is_heatmap_shown = is_shown

    def save_regions(self, drawn: Sequence[NewRegion]) -> None:
        """Store what is drawn on the shown smear."""
        desk, smear_id, reader = self._session.desk, self._session.smear_id, self._session.reader
        if desk is not None and smear_id is not None:
            self._background.tell(
                lambda: desk.smears.save_regions(smear_id, drawn, reader), lambda _answer: None
            )

    def _on_desk(self, _desk: Desk | None) -> None:
        """Another study: nothing of the earlier one stays on the canvas."""
        self._picture = None
        self._canvas.clear()

    def _on_picture(self, desk: Desk, picture: SmearPicture, evidence: Evidence | None) -> None:
        if desk is not self._session.desk:  # another study was opened meanwhile
            picture.image.close()
            return
        self._picture = picture
        self._canvas.show(picture)
        self._canvas.set_words(picture.words)
        self._session.smear_id = picture.smear.id
        self._session.prediction_id = None if picture.prediction is None else picture.prediction.id
        if picture.prediction is None:
            self._session.evidence = None
            return
        self._session.note_seen(frozenset({picture.smear.id}))
        called = picture.prediction.answer.calls[desk.scheme.primary]
        chosen = evidence or Evidence(desk.scheme.primary, called)
        if chosen == self._session.evidence:
            self._draw_evidence()  # the same class of another smear emits nothing
        self._session.evidence = chosen

    def _draw_evidence(self) -> None:
        evidence, picture, desk = self._session.evidence, self._picture, self._session.desk
        drawn: Heatmap | None = None
        if (
            desk is not None
            and picture is not None
            and picture.answer_map is not None
            and evidence is not None
            and self._session.is_heatmap_shown
        ):
            drawn = heatmap(
                picture.answer_map,
                desk.scheme,
                evidence.head,
                evidence.class_name,
                picture.smear.pixel_size_um,
            )
        self._canvas.show_heatmap(drawn)
        self._canvas.set_opacity(self._session.opacity)

    def _on_opacity(self, opacity: float) -> None:
        self._canvas.set_opacity(opacity)
