"""The Results table: pages of it, what has come since, and what is known of one row."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from marrow.catalogue import flags, jobs, labels, models, predictions
from marrow.catalogue.predictions import ResultFilter, Sort
from marrow.catalogue.schema import job as job_table
from marrow.catalogue.schema import model as model_table
from marrow.catalogue.schema import prediction
from marrow.catalogue.sight import Sight
from marrow.catalogue.smears import get as get_smears
from marrow.errors import NotFound
from marrow.records import FINISHED
from marrow.study import Study
from napari_marrow.lines.detail import ResultDetail, result_detail
from napari_marrow.lines.results import (
    ResultChoices,
    ResultLine,
    job_choice,
    model_choice,
    result_line,
)

EVERYTHING = ResultFilter()
NEWEST_FIRST = Sort(column="at", descending=True)
JOBS_OFFERED = 50
MODELS_OFFERED = 50
IN_FLIGHT = 10_000
"""Predictions that may be stored while one transaction is under way."""


@dataclass(frozen=True)
class View:
    """Which rows are listed, in which order, and for whom."""

    shown: ResultFilter = EVERYTHING
    sort: Sort = NEWEST_FIRST
    reader: str = ""

    @property
    def is_plain(self) -> bool:
        """Whether what arrives belongs on top: all predictions or all of a job, newest first."""
        return self.sort == NEWEST_FIRST and self.shown == ResultFilter(job_id=self.shown.job_id)


@dataclass(frozen=True)
class Mark:
    """How many results there were at a moment: what came between two marks is known exactly."""

    answered: int = 0
    """Predictions of a job; of all jobs, those since the study was opened and some before."""
    failed: int = 0
    """Of a job."""


@dataclass(frozen=True)
class ResultPage:
    """A part of the Results table, from one moment."""

    lines: tuple[ResultLine, ...]
    mark: Mark
    is_hidden: bool
    """Whether blind reading may hide rows: then nobody can tell where a new one belongs."""


@dataclass(frozen=True)
class Counted:
    """How many rows the table has, and when."""

    total: int
    mark: Mark


@dataclass(frozen=True)
class Look:
    """What has come since a mark."""

    mark: Mark
    count: int
    """New predictions."""
    lines: tuple[ResultLine, ...]
    """The newest of them, the newest first; none where only the database knows their places."""
    running: frozenset[int]
    """Classifications that are not over."""


class ResultsDesk:
    """The predictions of a study.

    No method may run on the GUI thread.

    Parameters
    ----------
    study : Study
    """

    def __init__(self, study: Study) -> None:
        self._study = study
        with study.database.read() as connection:
            newest = connection.execute(select(func.max(prediction.c.id))).scalar() or 0
        self._counted_from = max(0, newest - IN_FLIGHT), 0
        """Id of a prediction, and how many were counted up to it."""

    def page(self, view: View, first_row: int, limit: int, since: Mark | None = None) -> ResultPage:
        """`limit` rows from `first_row`; of a job, those that have ended so far.

        Parameters
        ----------
        since : Mark or None
            The moment by which `first_row` was counted: what has come on top since then has
            moved the rows down. None: now.
        """
        with self._study.database.read() as connection:
            shown = self._seen(connection, view)
            mark = self._mark(connection, view.shown.job_id)
            is_hidden = bool(shown.sight is not None and shown.sight.blind)
            moved = 0
            if since is not None and view.is_plain and not is_hidden:
                moved = mark.answered - since.answered
            rows = predictions.page(
                connection, self._study.scheme, shown, view.sort, first_row + moved, limit
            )
        lines = tuple(result_line(self._study.scheme, row) for row in rows)
        return ResultPage(lines, mark, is_hidden)

    def count(self, view: View) -> Counted:
        """How many rows the view has."""
        with self._study.database.read() as connection:
            shown = self._seen(connection, view)
            mark = self._mark(connection, view.shown.job_id)
            return Counted(predictions.count(connection, self._study.scheme, shown), mark)

    def look(self, view: View, since: Mark, most: int) -> Look:
        """What has come since a mark, for all jobs in one question; lines for `most` at most."""
        with self._study.database.read() as connection:
            mark, running = self._mark(connection, view.shown.job_id), _running(connection)
            count = mark.answered - since.answered
            lines: tuple[ResultLine, ...] = ()
            if count > 0 and view.is_plain:
                shown = self._seen(connection, view)
                if shown.sight is None or not shown.sight.blind:
                    scheme, limit = self._study.scheme, min(count, most)
                    rows = predictions.page(connection, scheme, shown, view.sort, 0, limit)
                    lines = tuple(result_line(scheme, row) for row in rows)
        return Look(mark, max(0, count), lines, running)

    def choices(self) -> ResultChoices:
        """The newest classifications and models."""
        with self._study.database.read() as connection:
            newest = jobs.newest(connection, 4 * JOBS_OFFERED)
            ids = select(model_table.c.id).order_by(model_table.c.id.desc()).limit(MODELS_OFFERED)
            found = [models.get(connection, one) for one in connection.execute(ids).scalars()]
        classified = [one for one in newest if one.kind == "classify"][:JOBS_OFFERED]
        return ResultChoices(tuple(map(job_choice, classified)), tuple(map(model_choice, found)))

    def detail(self, line: ResultLine, reader: str) -> ResultDetail:
        """All that this person may see of one row.

        Raises
        ------
        NotFound
            If the smear or its prediction is not there, or hidden by blind reading.
        """
        smear_id, model = line.smear_id, None
        with self._study.database.read() as connection:
            sight = Sight.of(connection, reader)
            found = get_smears(connection, [smear_id])
            rows = predictions.of_smear(connection, self._study.scheme, smear_id, sight)
            given = labels.history(connection, smear_id, sight)
            answer = next(
                (
                    row.prediction
                    for row in rows
                    if row.prediction is not None and row.prediction.id == line.prediction_id
                ),
                None,
            )
            if not found or (answer is None and line.prediction_id is not None):
                raise NotFound(f"{line.cells[0]} is not shown: another reader must read it first")
            if answer is not None:
                model = models.get(connection, answer.model_id)
            is_flagged = bool(flags.standing(connection, [smear_id], sight))
        return result_detail(
            self._study.scheme, found[0], answer, model, given, line.error, is_flagged
        )

    def _seen(self, connection: Connection, view: View) -> ResultFilter:
        """The filter as it is asked: with who looks, and of a job without what is not over."""
        sight = Sight.of(connection, view.reader)
        has_ended = None if view.shown.job_id is None else True
        # Without blind readers the plain filter stays plain: indexes answer it.
        return view.shown.model_copy(
            update={"sight": sight if sight.blind else None, "has_ended": has_ended}
        )

    def _mark(self, connection: Connection, job_id: int | None) -> Mark:
        if job_id is None:
            return Mark(self._answered(connection))
        job = jobs.get(connection, job_id)
        return Mark(job.done, job.failed)

    def _answered(self, connection: Connection) -> int:
        """Predictions stored since the study was opened, and some before.

        Their ids are counted above one that moves along. On PostgreSQL ids are not committed in
        their order: it stays so far behind that nothing below it can still be coming.
        """
        base, below = self._counted_from
        is_above = prediction.c.id > base
        newest, above = connection.execute(
            select(func.max(prediction.c.id), func.count()).where(is_above)
        ).one()
        if above > 2 * IN_FLIGHT:
            higher = newest - IN_FLIGHT
            settled = select(func.count()).where(is_above, prediction.c.id <= higher)
            self._counted_from = higher, below + int(connection.execute(settled).scalar_one())
        return below + int(above)


def _running(connection: Connection) -> frozenset[int]:
    """Classifications that are not over."""
    unfinished = job_table.c.kind == "classify", job_table.c.state.not_in(FINISHED)
    return frozenset(connection.execute(select(job_table.c.id).where(*unfinished)).scalars())
