"""Retraining: who would train, starting a sweep, its board, and stopping and resuming cells."""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.exc import DBAPIError

from marrow.board import Board, board_of
from marrow.catalogue import cohorts, jobs
from marrow.catalogue.schema import job as job_table
from marrow.catalogue.sight import Sight
from marrow.catalogue.stops import Stopped
from marrow.client import Client
from marrow.cohort_preview import CohortPreview, preview_cohort
from marrow.commands.sweep_words import plan_text
from marrow.errors import BadGrid, BadModel
from marrow.grids import paper_weights, weights_source
from marrow.outlook import outlook_of
from marrow.records import FINISHED, Job, Night, SweepSpec
from marrow.study import Study
from marrow.sweeps import cell_text, weights_text
from marrow.times import clock_text
from marrow.windows import local_zone
from napari_marrow.lines.board import (
    BoardLines,
    CurveLines,
    Figure,
    board_lines,
    curve_lines,
    distinct_cells,
)
from napari_marrow.lines.retrain import Choices, Prospect, SweepLine, prospect_of
from napari_marrow.sweep_wish import SweepWish, plan_of

SWEEPS_SHOWN = 20
NO_ANSWER = "The study's database does not answer just now: this goes on by itself once it does."
OUTLOOK_EVERY_S = 5.0
"""How a job stands needs a look at all epochs of all unfinished sweeps: 0.1 s for 2,000 of them."""


@dataclass(frozen=True)
class Followed:
    """A board with the curves of some of its cells."""

    board: BoardLines
    curves: CurveLines
    cells: tuple[int, ...]
    """The cells whose curves these are."""


class RetrainDesk:
    """The sweeps of a study.

    No method may run on the GUI thread, nor on two threads at once: boards are kept between
    questions, and only what is new is read. What is asked again and again gives None where the
    database does not answer: one place says so, and work goes on once it does.

    Parameters
    ----------
    study : Study
    client : Client
    """

    def __init__(self, study: Study, client: Client) -> None:
        self._study = study
        self._client = client
        self._board: Board | None = None
        self._words: tuple[int, float, str] = (0, 0.0, "")
        self._source: tuple[tuple[str, float], tuple[str, str | None]] | None = None

    def choices(self) -> Choices:
        """What the form offers in this study."""
        scheme = self._study.scheme
        with self._study.database.read() as connection:
            locked = cohorts.locked_sites(connection)
            sites = cohorts.open_sites(connection)
        return Choices(
            weights=", ".join(weights_text(one) for one in paper_weights(scheme)),
            heads=tuple(head.name for head in scheme.heads),
            sites=tuple(sites),
            site_words=dict.fromkeys(sorted(locked), "locked"),
        )

    def prospect(self, wish: SweepWish, reader: str) -> Prospect:
        """Who would train and how much work it is; what speaks against it as a sentence.

        `reader` is who looks: blind reading hides why a smear is left out.
        """
        try:
            spec = self._plan(wish)
            found = self._preview(spec, reader)
        except (BadGrid, BadModel) as error:
            return Prospect(trouble=str(error))
        except DBAPIError:
            return Prospect(trouble=NO_ANSWER)
        who = prospect_of(found, dict(wish.left_out))
        work, *notes = plan_text(spec).split("\n")
        return replace(who, work=f"{work}.", notes=" ".join(notes))

    def start(self, wish: SweepWish) -> Job:
        """Queue a sweep.

        Raises
        ------
        BadGrid, BadModel
            If the grid cannot be planned, or there is no such file of weights.
        """
        night = None
        if wish.at is not None:
            night = Night(at=wish.at, until=wish.until, zone=local_zone())
        return self._client.sweep(self._plan(wish), night=night)

    def sweeps(self) -> tuple[SweepLine, ...] | None:
        """The newest sweeps, newest first; None: the database does not answer."""
        newest = (
            select(job_table.c.id, job_table.c.state, job_table.c.created_at)
            .where(job_table.c.kind == "sweep")
            .order_by(job_table.c.id.desc())
            .limit(SWEEPS_SHOWN)
        )
        try:
            with self._study.database.read() as connection:
                now = self._study.database.now(connection)
                rows = connection.execute(newest).all()
        except DBAPIError:
            return None
        return tuple(
            SweepLine(row.id, f"job {row.id} · {clock_text(row.created_at, now)} · {row.state}")
            for row in rows
        )

    def stop(self, job_id: int, cells: Collection[int]) -> str:
        """Let cells of a sweep wait; says in a sentence what waits now."""
        return self._held_words(job_id, self._client.stop_cells(job_id, cells))

    def resume(self, job_id: int, cells: Collection[int]) -> str:
        """Let cells of a sweep go on; says in a sentence what still waits."""
        return self._held_words(job_id, self._client.resume_cells(job_id, cells))

    def follow(self, job_id: int, cells: Collection[int] | None, figure: Figure) -> Followed | None:
        """The board as it is now, and the curves of these cells; None: the database is silent.

        Parameters
        ----------
        cells : collection of int or None
            None: a cell for each curve that there is.
        """
        known = self._board if self._board is not None and self._board.job_id == job_id else None
        try:
            with self._study.database.read() as connection:
                board = board_of(connection, self._study.scheme, job_id, known)
            words = self._job_words(board)
        except DBAPIError:
            return None
        self._board = board
        shown = tuple(distinct_cells(board) if cells is None else cells)
        return Followed(board_lines(board, words), curve_lines(board, shown, figure), shown)

    def _preview(self, spec: SweepSpec, reader: str) -> CohortPreview:
        with self._study.database.read() as connection:
            sight = Sight.of(connection, reader)
            return preview_cohort(connection, self._study.scheme, spec.runs[0], sight)

    def _plan(self, wish: SweepWish) -> SweepSpec:
        return plan_of(wish, self._study.scheme, self._source_of(wish.weights))

    def _source_of(self, weights: str) -> tuple[str, str | None]:
        """As `weights_source`, which hashes a file: again only where the file is another."""
        path = Path(weights).expanduser()
        changed_at = path.stat().st_mtime if path.is_file() else 0.0
        if self._source is None or self._source[0] != (weights, changed_at):
            self._source = ((weights, changed_at), weights_source(weights))
        return self._source[1]

    def _job_words(self, board: Board) -> str:
        """How the job stands, and when it is expected to be over."""
        job_id, looked, words = self._words
        is_over = board.state in FINISHED
        if job_id == board.job_id and not is_over and time.monotonic() - looked < OUTLOOK_EVERY_S:
            return words
        job = self._client.job(board.job_id)
        outlook = outlook_of(self._study, job)
        words = f"{outlook.words} · {min(job.done, job.total):,} of {job.total:,} epochs"
        if outlook.ends_at is not None:
            with self._study.database.read() as connection:
                now = self._study.database.now(connection)
            words += f" · done about {clock_text(outlook.ends_at, now)}"
        self._words = (board.job_id, time.monotonic(), words)
        return words

    def _held_words(self, job_id: int, held: Stopped) -> str:
        if not held.cells:
            return f"Sweep {job_id}: nothing is stopped any more."
        with self._study.database.read() as connection:
            spec = SweepSpec.model_validate(jobs.get(connection, job_id).spec)
        names = ", ".join(cell_text(spec, cell) for cell in held.cells)
        words = f"Sweep {job_id}: stopped {'is' if len(held.cells) == 1 else 'are'} {names}"
        if not held.runs:
            return f"{words}; other cells need all of their runs, which go on."
        return f"{words}; {len(held.runs)} of {len(spec.runs)} runs wait until they are resumed."
