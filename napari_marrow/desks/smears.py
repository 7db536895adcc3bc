"""One smear for the canvas: its pixels, its regions and the evidence for an answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from marrow.catalogue import predictions, regions, smears
from marrow.catalogue.predictions import ResultRow
from marrow.catalogue.regions import NewRegion
from marrow.errors import NotFound
from marrow.images import SmearImage, open_smear
from marrow.records import AnswerMap, Prediction, Region, Smear
from marrow.study import Study
from napari_marrow.lines.smear import smear_words

IN_MEMORY_PIXELS = 16_000_000
"""A pyramid's coarsest level up to this size is read at once, because napari draws its
thumbnail from it on the GUI thread. `SmearImage.multiscale` ends in at most 4096 x 4096 px."""


@dataclass(frozen=True)
class SmearPicture:
    """A smear that is ready to be drawn, with the answer that was asked for."""

    smear: Smear
    levels: Sequence[Any]
    """(H, W, 3) uint8, finest first; lazy where the smear is a slide."""
    image: SmearImage
    """To be closed when another smear is shown."""
    regions: tuple[Region, ...]
    prediction: Prediction | None
    answer_map: AnswerMap | None
    words: str


class SmearsDesk:
    """The pictures of a study.

    No method may run on the GUI thread.

    Parameters
    ----------
    study : Study
    """

    def __init__(self, study: Study) -> None:
        self._study = study

    def picture(self, smear_id: int, prediction_id: int | None) -> SmearPicture:
        """Open a smear for the canvas, with its regions and, if asked for, one prediction.

        Raises
        ------
        NotFound, UnreachableSmear, UnreadableSmear
        """
        with self._study.database.read() as connection:
            found = smears.get(connection, [smear_id])
            if not found:
                raise NotFound(f"There is no smear S{smear_id:06d} in this study")
            standing = regions.of(connection, smear_id)
            prediction, answer_map = None, None
            if prediction_id is not None:
                answers = predictions.of_smear(connection, self._study.scheme, smear_id)
                prediction = next(
                    (row.prediction for row in answers if _has_id(row, prediction_id)), None
                )
                answer_map = predictions.map_of(connection, prediction_id)
        image = open_smear(self._study.file_of(found[0]))
        return SmearPicture(
            smear=found[0],
            levels=_levels(image),
            image=image,
            regions=tuple(standing),
            prediction=prediction,
            answer_map=answer_map,
            words=smear_words(found[0], prediction),
        )

    def save_regions(self, smear_id: int, drawn: Sequence[NewRegion], reader: str) -> None:
        """Store what is drawn on a smear now."""
        with self._study.database.write() as connection:
            at = self._study.database.now(connection)
            regions.replace(connection, at, smear_id, drawn, reader)


def _has_id(row: ResultRow, prediction_id: int) -> bool:
    return row.prediction is not None and row.prediction.id == prediction_id


def _levels(image: SmearImage) -> list[Any]:
    levels: list[Any] = list(image.multiscale())
    height, width = levels[-1].shape[:2]
    if height * width <= IN_MEMORY_PIXELS:
        levels[-1] = np.asarray(levels[-1])
    return levels
