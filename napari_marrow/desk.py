"""The open study as the panels use it: every blocking call of the plugin is in this module.

No method here may run on the GUI thread, except the plain attributes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from sqlalchemy import func, select

from marrow.catalogue import jobs, labels, predictions, regions, smears
from marrow.catalogue.predictions import ResultFilter, ResultRow, Sort
from marrow.catalogue.regions import NewRegion
from marrow.catalogue.schema import smear as smear_table
from marrow.catalogue.smears import SmearFilter
from marrow.client import Client, has_worker_installed
from marrow.errors import MarrowError, NotFound
from marrow.images import SmearImage, open_smear
from marrow.records import AnswerMap, Event, Job, Prediction, Region, Smear
from marrow.schemes import Scheme
from marrow.settings import Settings
from marrow.study import Study
from napari_marrow.lines import (
    CaseLine,
    JobLine,
    ResultLine,
    WorkerWords,
    case_line,
    job_line,
    result_line,
    smear_words,
    worker_words,
)

IN_MEMORY_PIXELS = 16_000_000
"""A pyramid's coarsest level up to this size is read at once, because napari draws its
thumbnail from it on the GUI thread. `SmearImage.multiscale` ends in at most 4096 x 4096 px."""

JOBS_SHOWN = 50

Described = Literal["patient", "site"]


@dataclass(frozen=True)
class CasePage:
    """A part of the Cases list, and the counts above it."""

    lines: tuple[CaseLine, ...]
    total: int
    """Smears that the filter shows."""
    smears: int
    """Smears of the study."""
    labelled: int
    without_patient: int


@dataclass(frozen=True)
class ResultPage:
    """A part of the Results table."""

    lines: tuple[ResultLine, ...]
    total: int
    """Rows that the filter shows."""


@dataclass(frozen=True)
class QueueState:
    """All that the Queue tab shows, from one moment."""

    lines: tuple[JobLine, ...]
    workers: WorkerWords
    followed: tuple[int, ...]
    """Classifications that are not over, oldest first."""


@dataclass(frozen=True)
class Imported:
    """What an import did, over all dropped files and folders."""

    added: int
    known: int
    labels: int
    refused: tuple[str, ...]


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


class Desk:
    """A study and its client.

    Parameters
    ----------
    study : Study
    client : Client
    """

    def __init__(self, study: Study, client: Client) -> None:
        self._study = study
        self._client = client

    @classmethod
    def open(cls, settings: Settings, make_client: Callable[[Study], Client] = Client) -> Desk:
        """Open the study of this home, and see to it that waiting work goes on.

        Raises
        ------
        NoStudy
            If there is none, or one of another version.
        """
        study = Study.open(settings)
        client = make_client(study)
        client.wake_if_waiting()
        return cls(study, client)

    @classmethod
    def create(
        cls,
        settings: Settings,
        scheme: Scheme,
        make_client: Callable[[Study], Client] = Client,
    ) -> Desk:
        """Make a new study in this home."""
        study = Study.create(settings, scheme)
        return cls(study, make_client(study))

    @property
    def scheme(self) -> Scheme:
        """The study's questions."""
        return self._study.scheme

    @property
    def home(self) -> Path:
        """The study's folder."""
        return self._study.settings.home

    @property
    def reader(self) -> str:
        """Name under which labels are stored unless the reader says otherwise."""
        return self._study.settings.reader

    def close(self) -> None:
        """Close the catalogue's connections of this process; running jobs go on."""
        self._study.close()

    def case_page(self, shown: SmearFilter, offset: int, limit: int) -> CasePage:
        """`limit` smears of the filtered list from `offset`, and the study's counts."""
        with self._study.database.read() as connection:
            rows = smears.page(connection, shown, offset, limit)
            nameless = select(func.count()).where(smear_table.c.patient.is_(None))
            return CasePage(
                lines=tuple(case_line(self.scheme, row) for row in rows),
                total=smears.count(connection, shown),
                smears=smears.count(connection, SmearFilter()),
                labelled=smears.count(connection, SmearFilter(labelled=True)),
                without_patient=int(connection.execute(nameless).scalar_one()),
            )

    def case_ids(self, shown: SmearFilter) -> list[int]:
        """Ids of all smears that the filter shows."""
        return self._client.smear_ids(shown)

    def describe(self, ids: Sequence[int], what: Described, value: str) -> None:
        """Set the patient or the site of several smears."""
        with self._study.database.write() as connection:
            if what == "patient":
                smears.describe(connection, ids, patient=value)
            else:
                smears.describe(connection, ids, site=value)

    def give_label(
        self, ids: Sequence[int], answers: Mapping[str, str], reader: str, seen: frozenset[int]
    ) -> None:
        """Store one reader's answers to several smears; `seen`: smears whose label is not blind."""
        with self._study.database.write() as connection:
            at = self._study.database.now(connection)
            for smear_id in ids:
                labels.give(
                    connection, at, self.scheme, smear_id, answers, reader, smear_id in seen
                )

    def add_smears(
        self, paths: Sequence[Path], on_progress: Callable[[int, int], None]
    ) -> Imported:
        """Register files and folders; a folder's own labels.csv is read with it.

        Raises
        ------
        BadLabels
            If a labels.csv does not fit the scheme; its folder is not registered.
        """
        folders = [path for path in paths if (path / "labels.csv").is_file()]
        others = [path for path in paths if path not in folders]
        parts: list[tuple[list[Path], Path | None]] = [
            ([folder], folder / "labels.csv") for folder in folders
        ]
        if others:
            parts.append((others, None))
        added = known = given = 0
        refused: list[MarrowError] = []
        for part, table in parts:
            report = self._client.import_smears(part, table, on_progress=on_progress)
            added += report.added
            known += report.known
            given += report.labels
            refused += report.refused
        return Imported(added, known, given, tuple(str(error) for error in refused))

    def submit(self, ids: Sequence[int]) -> Job:
        """Queue smears for the champion; NotFound if the study has no model yet."""
        return self._client.submit(ids)

    def cancel(self, job_id: int) -> Job:
        """Ask for a job to stop."""
        return self._client.cancel(job_id)

    def retry(self, job_id: int) -> Job:
        """Queue again what failed."""
        return self._client.retry(job_id)

    def queue_state(self) -> QueueState:
        """The newest jobs, the workers, and what is to be followed."""
        with self._study.database.read() as connection:
            open_jobs = jobs.unfinished(connection)
            now = self._study.database.now(connection)
            newest = jobs.newest(connection, JOBS_SHOWN)
        workers = worker_words(self._client.workers(), now, len(open_jobs))
        if open_jobs and not has_worker_installed() and self._study.settings.is_single_machine:
            workers = WorkerWords(
                'This installation has no worker: pip install "napari-marrow[worker]"', True
            )
        followed = tuple(job.id for job in open_jobs if job.kind == "classify")
        return QueueState(tuple(job_line(job) for job in newest), workers, followed)

    def result_page(self, shown: ResultFilter, sort: Sort, offset: int, limit: int) -> ResultPage:
        """`limit` results from `offset`; of a job, those that have ended so far."""
        with self._study.database.read() as connection:
            rows = predictions.page(connection, self.scheme, shown, sort, offset, limit)
            if shown.job_id is None:
                total = predictions.count(connection, self.scheme, shown)
            else:
                job = jobs.get(connection, shown.job_id)
                total = job.done + job.failed
        ended = (row for row in rows if row.prediction is not None or row.error is not None)
        return ResultPage(tuple(result_line(self.scheme, row) for row in ended), total)

    def follow(self, job_id: int, stop: threading.Event) -> Iterator[Event]:
        """A job's events from the first on, as they happen."""
        return self._client.follow(job_id, stop=stop)

    def lines_of_piece(self, job_id: int, piece: int) -> tuple[ResultLine, ...]:
        """The results of one piece of a job, in the order of the smears."""
        shown = ResultFilter(job_id=job_id, piece=piece)
        with self._study.database.read() as connection:
            rows = list(predictions.every(connection, self.scheme, shown))
        return tuple(result_line(self.scheme, row) for row in rows)

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
                answers = predictions.of_smear(connection, self.scheme, smear_id)
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
