"""The results table: pages sorted in the database, and rows that arrive while jobs run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import islice

from marrow.catalogue.predictions import ResultFilter, Sort
from napari_marrow.background import Background
from napari_marrow.controllers.results_view import ResultsView
from napari_marrow.controllers.row_choice import RowChoice
from napari_marrow.desk import Desk
from napari_marrow.desks.results import NEWEST_FIRST, Counted, Mark, ResultPage, View
from napari_marrow.follower import (
    MOST_LINES,
    Arrived,
    ContactLost,
    ContactRestored,
    Follower,
    JobEnded,
    newest_lines,
)
from napari_marrow.lines.pages import PAGE, LinePages
from napari_marrow.lines.results import (
    ResultChoices,
    ResultLine,
    TableState,
    result_columns,
    table_words,
)
from napari_marrow.session import Session

WORKLIST = Sort(column="worklist")
MARGIN = 30
"""Rows above and below the screen that are read with it, so that scrolling finds them there."""
TICKS_PER_RELOAD = 10
"""A table that is sorted or filtered otherwise is read again every two seconds."""


class ResultsController:
    """Fills the results table.

    Parameters
    ----------
    session : Session
    background : Background
    view : ResultsView
    make_follower : callable
        From a desk to the thread that follows its jobs.
    """

    def __init__(
        self,
        session: Session,
        background: Background,
        view: ResultsView,
        make_follower: Callable[[Desk], Follower] = Follower,
    ) -> None:
        self._session = session
        self._background = background
        self._view = view
        self._make_follower = make_follower
        self._follower: Follower | None = None
        self.pages: LinePages[ResultLine] = LinePages()
        self.choice = RowChoice(self.pages, view)
        self.asked = View()
        """Which rows the table is to show, and in which order."""
        self.is_read = False
        """Whether the first page of the open study was read."""
        self._choices = ResultChoices()
        self._ticket = 0
        self._mark = Mark()
        self._screen = range(0)
        self._reading: range | None = None
        self._is_reloading = self._is_counting = self._is_stale = self._is_hidden = False
        self._is_counted = False
        """Whether the number of rows is known, and not only that there are as many."""
        self._wants_count = True
        self._ticks = 0
        self._lost: str | None = None
        self._noted: set[int] = set()
        session.events.desk.connect(self._on_desk)
        session.events.result_job.connect(self._on_result_job)
        session.events.reader.connect(self._on_reader)

    @property
    def reading(self) -> range | None:
        """Rows that are being read."""
        return self._reading

    def set_sort(self, sort: Sort) -> None:
        """Sort by a column, in the database."""
        self._ask_for(replace(self.asked, sort=sort))

    def set_filter(self, shown: ResultFilter) -> None:
        """Show only these results."""
        self._ask_for(replace(self.asked, shown=shown))

    def set_worklist(self, is_worklist: bool) -> None:
        """The morning worklist, of the newest job unless one is chosen; else the newest first."""
        sort, shown = WORKLIST if is_worklist else NEWEST_FIRST, self.asked.shown
        if is_worklist and shown.job_id is None and self._choices.jobs:
            shown = shown.model_copy(update={"job_id": self._choices.jobs[0].id})
        self._ask_for(replace(self.asked, shown=shown, sort=sort))

    def look(self, first: int, last: int) -> None:
        """A person looks at these rows: read what is missing around them."""
        self._screen = range(first, last + 1)
        self.pages.look(first, last)
        desk, asked, since, above = self._session.desk, self.asked, self._mark, self.pages.above
        missing = self.pages.missing(first - MARGIN, last + MARGIN)
        if desk is None or not missing or self._is_reloading or self._lost is not None:
            return
        rows = range(missing[0].start, missing[-1].stop)
        if self._reading is not None and set(rows) <= set(self._reading):
            return
        self._reading = rows
        self._background.ask(
            "results",
            lambda: desk.results.page(asked, rows.start, len(rows), since),
            lambda page: self._on_rows(rows.start - above, len(rows), page),
            lane="pages",
            failed=self._on_failed,
        )

    def expect_change(self) -> None:
        """Something that the table shows was changed: it is read again soon."""
        self._is_stale = True

    def reload(self, from_top: bool = False) -> None:
        """Read again what is on the screen; `from_top`: the first page."""
        self._is_stale = self._lost is not None
        if from_top:
            self._is_counted, self._wants_count = False, True
        desk, asked = self._session.desk, self.asked
        if desk is None or self._lost is not None:
            return
        first = 0 if from_top else max(0, self._screen.start - MARGIN)
        rows = range(first, max(first + PAGE, self._screen.stop + MARGIN if not from_top else 0))
        self._is_reloading, self._reading = True, rows
        self._background.ask(
            "results",
            lambda: desk.results.page(asked, rows.start, len(rows)),
            lambda page: self._on_page(rows, page, from_top),
            lane="pages",
            failed=self._on_failed,
        )

    def tick(self) -> None:
        """Show what has arrived, in one batch; called five times a second on the main thread."""
        if self._follower is not None:
            self._take(self._follower)
        self._ticks += 1
        if self._is_stale and not self._is_reloading and self._ticks >= TICKS_PER_RELOAD:
            self._ticks = 0
            self.reload()
        self.note_seen()
        self._show_words()

    def note_seen(self) -> None:
        """Remember which predictions were on the screen: labels given later are not blind."""
        if self._view.is_looked_at():
            lines = [self.pages.line(row) for row in self._screen if row < len(self.pages)]
            shown = {line.smear_id for line in lines if line is not None and line.calls}
            if fresh := shown - self._noted:
                self._noted |= fresh
                self._session.note_seen(frozenset(fresh))

    def close(self) -> None:
        """End the thread that follows jobs; the jobs go on."""
        if self._follower is not None:
            self._follower.stop()
            self._follower = None

    def _ask_for(self, asked: View) -> None:
        if asked == self.asked:
            return
        self.asked = asked
        self._view.set_asked(asked.shown, asked.sort)
        self._session.result_job = asked.shown.job_id
        self.reload(from_top=True)

    def _on_desk(self, desk: Desk | None) -> None:
        self.close()
        if desk is None:
            return
        self._follower = self._make_follower(desk)
        self.asked = View(reader=self._session.reader)
        self._session.result_job = None
        self.is_read = self._is_counted = self._is_counting = False
        self._wants_count, self._lost, self._noted = True, None, set()
        self._empty()
        self._view.set_scheme(desk.scheme, result_columns(desk.scheme), self.pages)
        self._view.set_asked(self.asked.shown, self.asked.sort)
        self._read_choices()
        self.reload(from_top=True)

    def _on_result_job(self, job_id: int | None) -> None:
        shown = self.asked.shown
        if shown.job_id != job_id:
            # The row of a failed smear is a job's: of all jobs none would be left.
            update = {"job_id": job_id, "has_error": None if job_id is None else shown.has_error}
            self._ask_for(replace(self.asked, shown=shown.model_copy(update=update)))
            self._read_choices()

    def _on_reader(self, reader: str) -> None:
        self._empty()
        self._ask_for(replace(self.asked, reader=reader))

    def _empty(self) -> None:
        """Nothing of another study, or of what another reader may see, stays on the screen."""
        self.choice.drop()
        self.pages.restart(0)

    def _read_choices(self) -> None:
        desk = self._session.desk
        if desk is not None:
            self._background.ask("result-choices", desk.results.choices, self._on_choices)

    def _on_choices(self, choices: ResultChoices) -> None:
        self._choices = choices
        self._view.set_choices(choices)

    # What arrives

    def _take(self, follower: Follower) -> None:
        arrived: list[Arrived] = []
        for news in follower.take():
            if isinstance(news, Arrived):
                if news.ticket == self._ticket:
                    arrived.append(news)
            elif isinstance(news, ContactLost):
                self._lost = news.reason
            elif isinstance(news, ContactRestored):
                self._lost = None
                self.reload()
            elif isinstance(news, JobEnded):
                # Rows that another job had answered first, or a retry, come by no number; and of
                # several workers' pieces one may be told before an older one.
                self._is_stale |= self.asked.shown.job_id in (None, news.job_id)
                self._wants_count = True
                self._count()
                self._read_choices()
        if arrived:
            self._arrive(arrived)

    def _arrive(self, arrived: list[Arrived]) -> None:
        count, lines = sum(one.count for one in arrived), newest_lines(arrived)
        has_failed = arrived[-1].mark.failed != self._mark.failed
        self._mark = arrived[-1].mark
        listed = {line.key for _row, line in islice(self.pages.known(), MOST_LINES)}
        is_known = any(line.key in listed for line in lines)
        if not self.asked.is_plain or self._is_hidden or has_failed or is_known:
            self._is_stale = True  # only the database knows where they belong
        else:
            self.pages.insert(count, lines)

    # What was read

    def _on_page(self, rows: range, page: ResultPage, from_top: bool) -> None:
        self._is_reloading, self._reading = False, None
        total = self._total_with(rows, page, from_top)
        self._mark, self._is_hidden = page.mark, page.is_hidden
        self.pages.restart(total)
        self.pages.put(rows.start, page.lines)
        self.is_read = True
        if from_top:
            self._ticks = 0
            self.choice.drop()
            self._view.to_top()
        self.choice.follow()
        if self._follower is not None:
            self._ticket += 1
            self._follower.watch(self._ticket, self.asked, page.mark)
        self._count()
        self._show_words()

    def _total_with(self, rows: range, page: ResultPage, from_top: bool) -> int:
        """How many rows the table has, as far as a page can tell."""
        read = rows.start + len(page.lines)
        is_plain = self.asked.is_plain and not page.is_hidden
        if len(page.lines) < len(rows) and (page.lines or from_top):
            self._is_counted, self._wants_count = True, False
            return read
        if is_plain and self.asked.shown.job_id is not None:
            self._is_counted, self._wants_count = True, False
            return max(read, page.mark.answered + page.mark.failed)
        if from_top:
            return read
        self._wants_count = self._wants_count or not is_plain
        came = page.mark.answered - self._mark.answered if is_plain else 0
        return max(read, len(self.pages) + came)

    def _on_rows(self, place: int, asked: int, page: ResultPage) -> None:
        """`place` is the first row, as counted from the first one at the last restart."""
        self._reading = None
        self.pages.put(place + self.pages.above, page.lines)
        self.choice.follow()
        if len(page.lines) < asked:
            self.expect_change()
        self.look(self._screen.start, self._screen.stop - 1)
        self._show_words()

    def _count(self) -> None:
        desk, asked = self._session.desk, self.asked
        if desk is not None and self._wants_count and not self._is_counting:
            self._is_counting, self._wants_count = True, False
            self._background.tell(
                lambda: desk.results.count(asked),
                lambda counted: self._on_counted(desk, asked, counted),
                lane="counts",
                failed=self._on_count_failed,
            )

    def _on_counted(self, desk: Desk, asked: View, counted: Counted) -> None:
        self._is_counting = False
        if desk is not self._session.desk:
            return
        if asked != self.asked:
            self._wants_count = True
            if not self._is_reloading:  # else its page asks
                self._count()
            return
        total = counted.total
        if asked.is_plain and not self._is_hidden:
            total += self._mark.answered - counted.mark.answered
            self._is_stale |= self._is_counted and total != len(self.pages)
        self._is_counted = True
        self.pages.set_total(total)
        self.choice.follow()
        self._show_words()

    def _on_count_failed(self) -> None:
        self._is_counting, self._wants_count = False, True

    def _on_failed(self) -> None:
        self._is_reloading, self._reading = False, None
        self._is_stale, self._ticks = True, 0

    def _show_words(self) -> None:
        is_on_screen = len(self.pages) and self._screen
        state = TableState(
            total=len(self.pages),
            is_counted=self._is_counted,
            page=self._screen.start // PAGE + 1 if is_on_screen else None,
            reading=self._reading,
            lost=self._lost,
            hidden=self._is_hidden,
        )
        self._view.set_words(*table_words(state))
