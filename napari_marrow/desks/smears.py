"""One smear for the canvas: its pixels, its regions and the evidence for an answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any, Literal

import numpy as np

from marrow.catalogue import predictions, regions, smears
from marrow.catalogue.regions import NewRegion
from marrow.catalogue.sight import Sight
from marrow.errors import NotASmear, NotFound, UnreachableSmear, UnreadableSmear
from marrow.images import SmearImage, open_smear
from marrow.images.colour import Pixels
from marrow.images.resize import resize
from marrow.records import AnswerMap, Prediction, Region, Smear
from marrow.study import Study
from napari_marrow.lines.smear import answer_words, smear_words
from napari_marrow.thumbnails import THUMBNAIL_PX, ThumbnailCache

IN_MEMORY_PIXELS = 16_000_000
"""A pyramid's coarsest level up to this size is read at once, because napari draws its
thumbnail from it on the GUI thread. `SmearImage.multiscale` ends in at most 4096 x 4096 px."""
THUMBNAIL_FROM_PIXELS = 100_000_000
"""Larger single levels are not read for a thumbnail: 2 s for 100 megapixels of JPEG tiles."""
OVERVIEW_PX = 320
"""Longer edge of the small picture of the whole smear; drawn at half of it on a dense screen."""

_REFUSALS = (NotASmear, UnreachableSmear, UnreadableSmear)
Wanted = int | Literal["newest"] | None
"""Which prediction of a smear: one by its id, the newest, or none."""


@dataclass(frozen=True)
class SmearPixels:
    """An open smear."""

    smear_id: int
    levels: Sequence[Any]
    """(H, W, 3) uint8, finest first; lazy where the smear is a slide."""
    overview: Pixels
    """(h, w, 3) uint8: all of the smear, its longer edge at most `OVERVIEW_PX`."""
    image: SmearImage
    """To be closed when nobody draws the levels any more."""


@dataclass(frozen=True)
class NoPixels:
    """A smear that cannot be opened."""

    smear_id: int
    reason: str


@dataclass(frozen=True)
class SmearFacts:
    """What the catalogue knows of a smear, as far as this reader may see it."""

    smear: Smear
    regions: tuple[Region | NewRegion, ...]
    """The stored ones; on the canvas as they were changed here since."""
    prediction: Prediction | None
    answer_map: AnswerMap | None
    words: str
    """About the smear."""
    answer_words: str
    """About the prediction that was asked for; "" if none was."""


@dataclass(frozen=True)
class SmearPicture:
    """A smear that is ready to be drawn, with the answer that was asked for."""

    facts: SmearFacts
    pixels: SmearPixels


class SmearsDesk:
    """The pictures of a study.

    No method may run on the GUI thread.

    Parameters
    ----------
    study : Study
    thumbnails : ThumbnailCache or None
        None: the user's.
    """

    def __init__(self, study: Study, thumbnails: ThumbnailCache | None = None) -> None:
        self._study = study
        self._thumbnails = thumbnails or ThumbnailCache()

    def facts(self, smear_id: int, wanted: Wanted, reader: str) -> SmearFacts:
        """What is known of a smear, with its regions and, if asked for, one prediction.

        Of a smear that blind readers have not all read there is no prediction.

        Raises
        ------
        NotFound
            If there is no such smear.
        """
        scheme = self._study.scheme
        with self._study.database.read() as connection:
            smear = _smear(smears.get(connection, [smear_id]), smear_id)
            prediction, answer_map, words = None, None, ""
            if wanted is not None:
                sight = Sight.of(connection, reader)
                is_hidden = bool(sight.hidden(connection, scheme, [smear_id]))
                for row in predictions.of_smear(connection, scheme, smear_id, sight):
                    found = row.prediction
                    if found is not None and wanted in ("newest", found.id):
                        prediction = found
                        answer_map = predictions.map_of(connection, found.id, sight)
                        break
                words = answer_words(prediction, is_hidden)
            return SmearFacts(
                smear=smear,
                regions=tuple(regions.of(connection, smear_id)),
                prediction=prediction,
                answer_map=answer_map,
                words=smear_words(smear),
                answer_words=words,
            )

    def pixels(self, smear_id: int) -> SmearPixels | NoPixels:
        """Open a smear for the canvas.

        Raises
        ------
        NotFound
            If there is no such smear.
        """
        with self._study.database.read() as connection:
            smear = _smear(smears.get(connection, [smear_id]), smear_id)
        try:
            image = open_smear(self._study.file_of(smear))
            try:
                levels = _levels(image)
                return SmearPixels(smear_id, levels, _overview(levels[-1]), image)
            except _REFUSALS:
                image.close()
                raise
        except _REFUSALS as error:
            return NoPixels(smear_id, error.reason)

    def thumbnails(self, ids: Sequence[int], limit_s: float) -> dict[int, Pixels | None]:
        """Thumbnails of the first of these smears, as many as come within about `limit_s`.

        Of at least one smear; None of a smear that has none: it cannot be read, or is so large
        in one piece that to read it for a thumbnail takes too long.
        """
        with self._study.database.read() as connection:
            found = {one.id: one for one in smears.get(connection, ids)}
        until = monotonic() + limit_s
        made: dict[int, Pixels | None] = {}
        for smear_id in ids:
            made[smear_id] = self._thumbnail(found[smear_id]) if smear_id in found else None
            if monotonic() > until:
                break
        return made

    def _thumbnail(self, smear: Smear) -> Pixels | None:
        kept = self._thumbnails.get(smear.identity)
        if kept is not None:
            return kept
        try:
            with open_smear(self._study.file_of(smear)) as image:
                height, width = image.levels[image.level_for(max(image.levels[0]) / THUMBNAIL_PX)]
                if height * width > THUMBNAIL_FROM_PIXELS:
                    return None
                pixels = image.thumbnail(THUMBNAIL_PX)
        except _REFUSALS:
            return None
        self._thumbnails.put(smear.identity, pixels)
        return pixels


def _smear(found: Sequence[Smear], smear_id: int) -> Smear:
    if not found:
        raise NotFound(f"There is no smear S{smear_id:06d} in this study")
    return found[0]


def _levels(image: SmearImage) -> list[Any]:
    levels: list[Any] = list(image.multiscale())
    height, width = levels[-1].shape[:2]
    if height * width <= IN_MEMORY_PIXELS:
        levels[-1] = np.asarray(levels[-1])
    return levels


def _overview(coarsest: Any) -> Pixels:
    """All of a smear in small. `SmearImage.multiscale` ends in a level that is small enough to
    be read as a whole."""
    height, width = coarsest.shape[:2]
    share = min(1.0, OVERVIEW_PX / max(height, width))
    return resize(np.asarray(coarsest), max(1, round(height * share)), max(1, round(width * share)))
