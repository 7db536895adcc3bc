"""The results table: pages sorted in the database, and rows that arrive while jobs run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from marrow.catalogue.predictions import ResultFilter, Sort
from marrow.schemes import Scheme
from napari_marrow.background import Background
from napari_marrow.controllers.smear import SmearController
from napari_marrow.desk import Desk
from napari_marrow.desks.results import ResultPage
from napari_marrow.follower import Arrived, Follower, FollowFailed
from napari_marrow.lines.column import Column
from napari_marrow.lines.results import ResultLine, result_columns
from napari_marrow.session import Session

PAGE = 500
"""Rows that are read at once; more are read when the table is scrolled to its end."""
ROWS_PER_TICK = 100
"""Rows of one batched insert. At five ticks a second 500 rows a second; measured under
software OpenGL, such an insert takes about 1 ms, so that no slot reaches 16 ms."""
MOST_STREAMED = 20_000
"""Beyond so many rows new ones are counted only; scrolling and filters reach them."""
MOST_RELOADED = 2_000
"""Rows of one question: more would keep the interpreter busy for too long at a stretch."""
TICKS_PER_RELOAD = 10
"""A table that is sorted or filtered otherwise is read again every two seconds."""
NEWEST_FIRST = Sort(column="at", descending=True)


class ResultsView(Protocol):
    """The table with its search and the number of rows."""

    def set_scheme(self, scheme: Scheme, columns: Sequence[Column]) -> None:
        """Set the table's columns and the choices of its filters."""

    def set_lines(self, lines: Sequence[ResultLine]) -> None:
        """Show these rows from the top; selection and scroll position stay where possible."""

    def insert_lines(self, lines: Sequence[ResultLine]) -> None:
        """Insert rows at the top, in one batch."""

    def append_lines(self, lines: Sequence[ResultLine]) -> None:
        """Add rows at the end."""

    def set_count(self, shown: int, total: int, job_id: int | None) -> None:
        """Show how many rows are read of how many; of a job, or of all predictions."""

    def is_looked_at(self) -> bool:
        """Whether the table is on the screen."""

    def tell(self, words: str, is_warning: bool) -> None:
        """Tell a person what came of something, in a sentence."""


class ResultsController:
    """Fills the results table.

    Parameters
    ----------
    session : Session
    background : Background
    view : ResultsView
    smear : SmearController
        Opens the smear of a row.
    make_follower : callable
        From a desk to the threads that follow its jobs.
    """

    def __init__(
        self,
        session: Session,
        background: Background,
        view: ResultsView,
        smear: SmearController,
        make_follower: Callable[[Desk], Follower] = Follower,
    ) -> None:
        self._session = session
        self._background = background
        self._view = view
        self._smear = smear
        self._make_follower = make_follower
        self._follower: Follower | None = None
        self._filter = ResultFilter()
        self._sort = NEWEST_FIRST
        self._keys: set[tuple[int, int | None]] = set()
        self._shown_smears: set[int] = set()
        self._total = 0
        self.is_read = False
        """Whether the first page of the open study was read."""
        self._arrived_since_ask: list[ResultLine] = []
        self._stale_ticks = 0
        self._is_stale = False
        self._is_reloading = False
        session.events.desk.connect(self._on_desk)
        session.events.unfinished.connect(self._on_unfinished)
        session.events.result_job.connect(self._on_result_job)

    def set_sort(self, sort: Sort) -> None:
        """Sort by a column, in the database."""
        if sort != self._sort:
            self._sort = sort
            self.reload(from_top=True)

    def set_filter(
        self,
        text: str = "",
        head: str | None = None,
        call: str | None = None,
        min_p: float | None = None,
    ) -> None:
        """Show only results of these smears and this call; `min_p` is a probability of `call`."""
        wanted = ResultFilter(
            text=text.strip(),
            job_id=self._session.result_job,
            head=head,
            call=call,
            min_p=None if call is None else min_p,
        )
        if wanted != self._filter:
            self._filter = wanted
            self.reload(from_top=True)

    def show_job(self, job_id: int | None) -> None:
        """List the results of this job, None: all predictions."""
        self._session.result_job = job_id

    def reload(self, from_top: bool = False) -> None:
        """Read again what is shown; `from_top`: only the first page."""
        desk, shown, sort = self._session.desk, self._filter, self._sort
        limit = PAGE if from_top else min(MOST_RELOADED, max(PAGE, len(self._keys)))
        self._is_stale = False
        self._arrived_since_ask = []
        if desk is not None:
            self._is_reloading = True
            self._background.ask(
                "results",
                lambda: desk.results.page(shown, sort, 0, limit),
                self._on_page,
                failed=self._on_reload_failed,
            )

    def more(self) -> None:
        """Read the next page, if there is one; not while the list is read anew."""
        if self._is_reloading:
            return
        desk, shown, sort, offset = self._session.desk, self._filter, self._sort, len(self._keys)
        if desk is not None and offset < self._total:
            self._background.ask(
                "results", lambda: desk.results.page(shown, sort, offset, PAGE), self._on_more
            )

    def open(self, line: ResultLine) -> None:
        """Show a row's smear with the heatmap of the called class."""
        self._smear.open(line.smear_id, line.prediction_id)

    def tick(self) -> None:
        """Show what has arrived, one batch; called five times a second on the main thread."""
        if self._follower is not None:
            self._take(self._follower)
        self._stale_ticks += 1
        if self._is_stale and self._stale_ticks >= TICKS_PER_RELOAD:
            self._stale_ticks = 0
            self.reload()
        self.note_seen()

    def note_seen(self) -> None:
        """Remember which predictions were on the screen: labels given later are not blind."""
        if self._shown_smears and self._view.is_looked_at():
            self._session.note_seen(frozenset(self._shown_smears))
            self._shown_smears.clear()

    def close(self) -> None:
        """End the threads that follow jobs; the jobs go on."""
        if self._follower is not None:
            self._follower.stop()
            self._follower = None

    def _take(self, follower: Follower) -> None:
        lines: list[ResultLine] = []
        for news in follower.take(ROWS_PER_TICK):
            if isinstance(news, Arrived):
                if self._belongs(news):
                    lines.append(news.line)
            elif isinstance(news, FollowFailed):
                self._view.tell(
                    f"Job {news.job_id} is no longer followed: {news.reason}", is_warning=True
                )
            else:
                self._compare()
        if lines:
            self._arrive(lines)

    def _compare(self) -> None:
        """Read the table again if the catalogue counts other rows than arrived.

        Rows that were known before, and those that a retry replaced, come by no event.
        """
        desk, shown, sort = self._session.desk, self._filter, self._sort
        if desk is not None:
            self._background.ask(
                "result-count", lambda: desk.results.page(shown, sort, 0, 0), self._on_counted
            )

    def _on_counted(self, page: ResultPage) -> None:
        if page.total != self._total:
            self.reload()

    def _belongs(self, news: Arrived) -> bool:
        job_id = self._session.result_job
        if job_id is None:  # all predictions: an error is none
            return news.line.prediction_id is not None
        return news.job_id == job_id

    def _arrive(self, lines: list[ResultLine]) -> None:
        plain = ResultFilter(job_id=self._session.result_job)
        if self._sort != NEWEST_FIRST or self._filter != plain:
            self._is_stale = True  # only the database knows where they belong
            return
        fresh = [line for line in lines if _key(line) not in self._keys]
        self._total += len(fresh)
        if len(self._keys) < MOST_STREAMED:
            fresh.reverse()  # the newest on top
            self._view.insert_lines(fresh)
            self._arrived_since_ask = [*fresh, *self._arrived_since_ask]
            self._note(fresh)
        self._show_count()

    def _note(self, lines: Sequence[ResultLine]) -> None:
        self._keys.update(_key(line) for line in lines)
        self._shown_smears.update(line.smear_id for line in lines)

    def _show_count(self) -> None:
        self._view.set_count(len(self._keys), self._total, self._session.result_job)

    def _on_desk(self, desk: Desk | None) -> None:
        self.close()
        if desk is None:
            return
        self._follower = self._make_follower(desk)
        self._filter, self._sort = ResultFilter(), NEWEST_FIRST
        self.is_read = False
        self._keys, self._shown_smears, self._total = set(), set(), 0
        self._arrived_since_ask = []
        self._view.set_scheme(desk.scheme, result_columns(desk.scheme))
        self.reload(from_top=True)

    def _on_unfinished(self, job_ids: tuple[int, ...]) -> None:
        if self._follower is not None:
            for job_id in job_ids:
                self._follower.follow(job_id)

    def _on_result_job(self, job_id: int | None) -> None:
        self._filter = self._filter.model_copy(update={"job_id": job_id})
        self.reload(from_top=True)

    def _on_page(self, page: ResultPage) -> None:
        self._is_reloading = False
        # Rows that were inserted after the question was asked may be missing in its answer.
        listed = {_key(line) for line in page.lines}
        late = [line for line in self._arrived_since_ask if _key(line) not in listed]
        self._keys, self._total = set(), max(page.total, len(late) + len(page.lines))
        self._note(late)
        self._note(page.lines)
        self._view.set_lines((*late, *page.lines))
        self.is_read = True
        self._show_count()

    def _on_reload_failed(self) -> None:
        self._is_reloading = False

    def _on_more(self, page: ResultPage) -> None:
        fresh = [line for line in page.lines if _key(line) not in self._keys]
        if not fresh:
            self._total = len(self._keys)
        self._note(fresh)
        self._view.append_lines(fresh)
        self._show_count()


def _key(line: ResultLine) -> tuple[int, int | None]:
    return line.smear_id, line.prediction_id
