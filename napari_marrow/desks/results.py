"""The Results table: pages of it, and the rows of running jobs."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass

from marrow.catalogue import jobs, predictions
from marrow.catalogue.predictions import ResultFilter, Sort
from marrow.client import Client
from marrow.records import Event
from marrow.study import Study
from napari_marrow.lines.results import ResultLine, result_line


@dataclass(frozen=True)
class ResultPage:
    """A part of the Results table."""

    lines: tuple[ResultLine, ...]
    total: int
    """Rows that the filter shows."""


class ResultsDesk:
    """The predictions of a study.

    No method may run on the GUI thread.

    Parameters
    ----------
    study : Study
    client : Client
    """

    def __init__(self, study: Study, client: Client) -> None:
        self._study = study
        self._client = client

    def page(self, shown: ResultFilter, sort: Sort, offset: int, limit: int) -> ResultPage:
        """`limit` results from `offset`; of a job, those that have ended so far."""
        with self._study.database.read() as connection:
            rows = predictions.page(connection, self._study.scheme, shown, sort, offset, limit)
            if shown.job_id is None:
                total = predictions.count(connection, self._study.scheme, shown)
            else:
                job = jobs.get(connection, shown.job_id)
                total = job.done + job.failed
        ended = (row for row in rows if row.prediction is not None or row.error is not None)
        return ResultPage(tuple(result_line(self._study.scheme, row) for row in ended), total)

    def follow(self, job_id: int, stop: threading.Event) -> Iterator[Event]:
        """A job's events from the first on, as they happen."""
        return self._client.follow(job_id, stop=stop)

    def lines_of_piece(self, job_id: int, piece: int) -> tuple[ResultLine, ...]:
        """The results of one piece of a job, in the order of the smears."""
        shown = ResultFilter(job_id=job_id, piece=piece)
        with self._study.database.read() as connection:
            rows = list(predictions.every(connection, self._study.scheme, shown))
        return tuple(result_line(self._study.scheme, row) for row in rows)
