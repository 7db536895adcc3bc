"""Showing a smear with the evidence for an answer, and keeping its regions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from marrow.catalogue.regions import NewRegion, Redrawn
from napari_marrow.background import Background
from napari_marrow.controllers.regions import RegionsController
from napari_marrow.controllers.shelf import Shelf
from napari_marrow.desk import Desk
from napari_marrow.desks.smears import NoPixels, SmearFacts, SmearPicture, SmearPixels
from napari_marrow.layers import Heatmap, heatmap
from napari_marrow.lines.smear import evidence_words, unread_words
from napari_marrow.region_kinds import RegionKind, region_kinds
from napari_marrow.session import Evidence, Session


class Canvas(Protocol):
    """Where a smear is drawn."""

    def set_kinds(self, kinds: Sequence[RegionKind]) -> None:
        """What regions of this study can say."""

    def finish_drawing(self) -> None:
        """End the region that a person is drawing just now, and tell of it."""

    def show(self, picture: SmearPicture) -> None:
        """Show another smear, without a heatmap."""

    def show_unread(self, words: str) -> None:
        """Show no smear, and say which one cannot be shown and why."""

    def clear(self) -> None:
        """Show no smear."""

    def show_heatmap(self, heatmap: Heatmap | None) -> None:
        """Draw the evidence for a class, None to hide it."""

    def set_opacity(self, opacity: float) -> None:
        """Opacity of the heatmap, 0 to 1."""

    def set_words(self, words: str) -> None:
        """What stands on the canvas about the smear."""


@dataclass
class _Opening:
    """A smear on its way to the canvas: its pixels and its facts come by two ways."""

    smear_id: int
    evidence: Evidence | None
    unreadable: Callable[[str], None] | None
    failed: Callable[[], None] | None
    redrawn: tuple[Redrawn, ...]
    """What the catalogue may have lacked of its regions when it was asked."""
    pixels: SmearPixels | NoPixels | None = None
    facts: SmearFacts | None = None


class SmearController:
    """Opens smears off the GUI thread and draws them on it.

    What the catalogue knows of a smear is asked when it is opened; its pixels may have been
    read before (`prefetch`).

    Parameters
    ----------
    session : Session
    background : Background
    canvas : Canvas
    regions : RegionsController
        Keeps what is drawn.
    """

    def __init__(
        self,
        session: Session,
        background: Background,
        canvas: Canvas,
        regions: RegionsController,
    ) -> None:
        self._session = session
        self._background = background
        self._canvas = canvas
        self._regions = regions
        self._shelf = Shelf(background)
        self._opening: _Opening | None = None
        self._picture: SmearPicture | None = None
        session.events.desk.connect(self._on_desk)
        session.events.evidence.connect(self._draw_evidence)
        session.events.is_heatmap_shown.connect(self._draw_evidence)
        session.events.opacity.connect(self._on_opacity)

    @property
    def is_drawn(self) -> bool:
        """Whether a smear is on the canvas, and not a sentence why it cannot be shown."""
        return self._picture is not None

    @property
    def coming(self) -> int | None:
        """The smear on its way to the canvas; if there is none, the one that is there."""
        return self._session.smear_id if self._opening is None else self._opening.smear_id

    def open(
        self,
        smear_id: int,
        prediction_id: int | None = None,
        evidence: Evidence | None = None,
        unreadable: Callable[[str], None] | None = None,
        failed: Callable[[], None] | None = None,
    ) -> None:
        """Show a smear, with a prediction's heatmap if one is given.

        If it cannot be read, no other smear stays on the canvas under its name: the session has
        no smear then, the canvas says which one it is and why, and `unreadable` is called.

        Parameters
        ----------
        smear_id : int
        prediction_id : int or None
        evidence : Evidence or None
            The class to draw; None: what the model called at the primary head.
        unreadable : callable or None
            Called with the reason, on the main thread.
        failed : callable or None
            Called if the catalogue does not say what it knows of the smear: a person was told,
            and the canvas stays as it is.
        """
        desk, reader = self._session.desk, self._session.reader
        if desk is None:
            return
        self._canvas.finish_drawing()
        self._give_up_opening()
        self._opening = opening = _Opening(
            smear_id, evidence, unreadable, failed, self._regions.unsent(smear_id)
        )
        self._background.ask(
            "facts",
            lambda: desk.smears.facts(smear_id, prediction_id, reader),
            lambda facts: self._on_facts(opening, facts),
            failed=lambda: self._on_facts_failed(opening),
        )
        self._shelf.take(desk, smear_id, lambda pixels: self._on_pixels(opening, pixels))

    def prefetch(self, smear_id: int) -> None:
        """Read a smear that may be opened next; the two smears named last are kept ready."""
        desk, picture = self._session.desk, self._picture
        if desk is not None and (picture is None or picture.pixels.smear_id != smear_id):
            self._shelf.prefetch(desk, smear_id)

    def choose_evidence(self, evidence: Evidence) -> None:
        """Draw the evidence for another class."""
        self._session.evidence = evidence

    def toggle_heatmap(self) -> None:
        """Draw the heatmap or leave it out; if no answer is shown, that of the newest one."""
        picture = self._picture
        if picture is not None and picture.facts.prediction is None:
            self._ask_newest(picture)
        else:
            self.set_heatmap_shown(not self._session.is_heatmap_shown)

    def step_class(self, step: int) -> None:
        """Draw the evidence for the class `step` further on, over all heads and around."""
        desk, evidence = self._session.desk, self._session.evidence
        if desk is not None and evidence is not None:
            classes = [
                Evidence(head.name, name) for head in desk.scheme.heads for name in head.classes
            ]
            at = classes.index(evidence) + step if evidence in classes else 0
            self._session.evidence = classes[at % len(classes)]

    def set_opacity(self, opacity: float) -> None:
        """Opacity of the heatmap, 0 to 1."""
        self._session.opacity = min(1.0, max(0.0, opacity))

    def set_heatmap_shown(self, is_shown: bool) -> None:
        """Draw the heatmap, or leave it out."""
        self._session.is_heatmap_shown = is_shown

    def save_regions(self, drawn: Sequence[NewRegion]) -> None:
        """Store what is drawn on the smear that is on the canvas."""
        if self._picture is not None:
            self._regions.save(self._picture.pixels.smear_id, drawn)

    def close(self) -> None:
        """Close what was read ahead and open nothing more."""
        self._give_up_opening()
        self._shelf.clear()

    def _on_desk(self, desk: Desk | None) -> None:
        """Another study: nothing of the earlier one stays on the canvas."""
        self._picture = None
        self.close()
        self._canvas.clear()
        if desk is not None:
            self._canvas.set_kinds(region_kinds(desk.scheme))

    def _give_up_opening(self) -> None:
        opening, self._opening = self._opening, None
        if opening is not None and isinstance(opening.pixels, SmearPixels):
            opening.pixels.image.close()

    def _on_facts_failed(self, opening: _Opening) -> None:
        if opening is self._opening:
            self._give_up_opening()
            if opening.failed is not None:
                opening.failed()

    def _on_facts(self, opening: _Opening, facts: SmearFacts) -> None:
        opening.facts = facts
        self._show_if_complete(opening)

    def _on_pixels(self, opening: _Opening, pixels: SmearPixels | NoPixels) -> None:
        if opening is not self._opening:
            if isinstance(pixels, SmearPixels):
                pixels.image.close()
            return
        opening.pixels = pixels
        self._show_if_complete(opening)

    def _show_if_complete(self, opening: _Opening) -> None:
        facts, pixels = opening.facts, opening.pixels
        if opening is not self._opening or facts is None or pixels is None:
            return
        self._opening = None
        self._canvas.finish_drawing()  # what was begun on the earlier smear meanwhile
        if isinstance(pixels, NoPixels):
            self._picture = None
            self._canvas.show_unread(unread_words(facts.smear, pixels.reason))
        else:
            drawn = self._regions.fill(opening.smear_id, facts.regions, opening.redrawn)
            self._picture = SmearPicture(replace(facts, regions=drawn), pixels)
            self._canvas.show(self._picture)
            self._show_words()
        self._session.smear_id = None if self._picture is None else opening.smear_id
        self._adopt_answer(opening.evidence)
        if isinstance(pixels, NoPixels) and opening.unreadable is not None:
            opening.unreadable(pixels.reason)

    def _adopt_answer(self, evidence: Evidence | None) -> None:
        """Let the session know the answer that is on the canvas, and draw its evidence."""
        desk, picture = self._session.desk, self._picture
        prediction = None if picture is None else picture.facts.prediction
        self._session.prediction_id = None if prediction is None else prediction.id
        if desk is None or picture is None or prediction is None:
            self._session.evidence = None
            return
        self._session.note_seen(frozenset({picture.pixels.smear_id}))
        chosen = evidence or Evidence(
            desk.scheme.primary, prediction.answer.calls[desk.scheme.primary]
        )
        if chosen == self._session.evidence:
            self._draw_evidence()  # the same class of another smear emits nothing
        self._session.evidence = chosen

    def _ask_newest(self, picture: SmearPicture) -> None:
        desk, reader = self._session.desk, self._session.reader
        smear_id = picture.pixels.smear_id
        if desk is not None:
            self._background.ask(
                "newest answer",
                lambda: desk.smears.facts(smear_id, "newest", reader),
                lambda facts: self._on_newest(picture, facts),
            )

    def _on_newest(self, picture: SmearPicture, facts: SmearFacts) -> None:
        if picture is not self._picture:
            return
        self._picture = replace(
            picture,
            facts=replace(
                picture.facts,
                prediction=facts.prediction,
                answer_map=facts.answer_map,
                answer_words=facts.answer_words,
            ),
        )
        self._session.is_heatmap_shown = True
        self._show_words()
        self._adopt_answer(None)

    def _draw_evidence(self) -> None:
        evidence, picture, desk = self._session.evidence, self._picture, self._session.desk
        drawn: Heatmap | None = None
        if (
            desk is not None
            and picture is not None
            and picture.facts.answer_map is not None
            and evidence is not None
            and self._session.is_heatmap_shown
        ):
            drawn = heatmap(
                picture.facts.answer_map,
                desk.scheme,
                evidence.head,
                evidence.class_name,
                picture.facts.smear.pixel_size_um,
            )
        self._canvas.show_heatmap(drawn)
        self._canvas.set_opacity(self._session.opacity)
        self._show_words(evidence if drawn is not None else None)

    def _show_words(self, evidence: Evidence | None = None) -> None:
        if self._picture is not None:
            facts = self._picture.facts
            of_map = "" if evidence is None else evidence_words(evidence.head, evidence.class_name)
            self._canvas.set_words(
                "\n".join(filter(None, (facts.words, facts.answer_words, of_map)))
            )

    def _on_opacity(self, opacity: float) -> None:
        self._canvas.set_opacity(opacity)
