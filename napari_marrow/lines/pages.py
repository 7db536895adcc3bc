"""Rows of a table that the database sorts: how many there are, and the few pages that were read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Generic, TypeVar

from psygnal import Signal

L = TypeVar("L")

PAGE = 100
"""Rows that are read at once: four screens of a table. Making the words of 100 rows keeps the
interpreter busy for about 10 ms, in slices."""
MOST_PAGES = 80
"""Pages that are kept, about 12 MB; the farthest from what is looked at are forgotten."""


class LinePages(Generic[L]):
    """A table of `total` rows, of which some are known.

    Rows may be inserted on top while others are being read: a page is therefore numbered from
    the row that was the first one at `restart`, and pages above it have negative numbers.

    Signals
    -------
    inserting(int, int), inserted()
        Before and after rows (first, last) come into being.
    removing(int, int), removed()
        Before and after rows go.
    changed(int, int)
        Other words stand in these rows.
    """

    inserting = Signal(int, int)
    inserted = Signal()
    removing = Signal(int, int)
    removed = Signal()
    changed = Signal(int, int)

    def __init__(self, page: int = PAGE, most_pages: int = MOST_PAGES) -> None:
        self._page = page
        self._most_pages = most_pages
        self._total = 0
        self._above = 0
        self._pages: dict[int, list[L | None]] = {}
        self._looked_at = 0

    def __len__(self) -> int:
        return self._total

    def line(self, row: int) -> L | None:
        """The line in this row, None if it was not read yet."""
        number, place = divmod(row - self._above, self._page)
        lines = self._pages.get(number)
        return None if lines is None else lines[place]

    def known(self) -> Iterator[tuple[int, L]]:
        """(row, line) of all rows that were read, from the top."""
        for number in sorted(self._pages):
            for place, line in enumerate(self._pages[number]):
                if line is not None:
                    yield number * self._page + place + self._above, line

    @property
    def above(self) -> int:
        """Rows that were inserted on top since `restart`: by so many all others have moved."""
        return self._above

    @property
    def kept(self) -> int:
        """How many pages are in memory."""
        return len(self._pages)

    def restart(self, total: int) -> None:
        """Forget all lines: there are `total` rows, in another order maybe."""
        self._above = 0
        self._pages = {}
        self.set_total(total)
        if total:
            self.changed.emit(0, total - 1)

    def set_total(self, total: int) -> None:
        """There are so many rows; they come and go at the end."""
        before = self._total
        if total > before:
            self.inserting.emit(before, total - 1)
            self._total = total
            self.inserted.emit()
        elif total < before:
            self.removing.emit(total, before - 1)
            self._total = total
            for number in [one for one in self._pages if self.rows_of(one).start >= total]:
                del self._pages[number]
            self.removed.emit()

    def insert(self, count: int, lines: Sequence[L]) -> None:
        """`count` rows come on top, of which the first are these."""
        if count:
            self.inserting.emit(0, count - 1)
            self._total += count
            self._above += count
            self._set(-self._above, lines)
            self.inserted.emit()
            self._forget()

    def put(self, first_row: int, lines: Sequence[L]) -> None:
        """These lines stand in the rows from `first_row` on."""
        lines = lines[: max(0, self._total - first_row)]
        if lines:
            self._set(first_row - self._above, lines)
            self._forget()
            self.changed.emit(first_row, first_row + len(lines) - 1)

    def look(self, first: int, last: int) -> None:
        """A person looks at these rows: what is far from them may be forgotten."""
        self._looked_at = (first + last) // 2 - self._above

    def missing(self, first: int, last: int) -> list[range]:
        """What is to be read so that these rows are known: ranges of rows, a page at most each."""
        first, last = max(0, first), min(last, self._total - 1)
        if last < first:
            return []
        numbers = range((first - self._above) // self._page, (last - self._above) // self._page + 1)
        wanted = []
        for number in numbers:
            rows = self.rows_of(number)
            asked = range(max(first, rows.start), min(last + 1, rows.stop))
            if any(self.line(row) is None for row in asked):
                wanted.append(rows)
        return wanted

    def rows_of(self, number: int) -> range:
        """The rows of a page; fewer where the table begins or ends."""
        start = number * self._page + self._above
        return range(max(0, start), max(0, min(self._total, start + self._page)))

    def _set(self, place: int, lines: Sequence[L]) -> None:
        for offset, line in enumerate(lines, place):
            number, index = divmod(offset, self._page)
            if number not in self._pages:
                self._pages[number] = [None] * self._page
            self._pages[number][index] = line

    def _forget(self) -> None:
        if len(self._pages) > self._most_pages:
            here = self._looked_at // self._page
            nearest = sorted(self._pages, key=lambda number: abs(number - here))
            for number in nearest[self._most_pages :]:
                del self._pages[number]
