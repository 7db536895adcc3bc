"""Which row of the results table is chosen: an answer, wherever the database puts it."""

from __future__ import annotations

from psygnal import Signal

from napari_marrow.controllers.results_view import ResultsView
from napari_marrow.lines.pages import LinePages
from napari_marrow.lines.results import ResultLine


class RowChoice:
    """The chosen row, by its smear and prediction and never by its number.

    It stays chosen when the table is read again in another order, also where it is not listed any
    more: the pane beside the table goes on showing it, and keys are about what the pane shows.

    Parameters
    ----------
    pages : LinePages
        The rows that were read.
    view : ResultsView
    """

    changed = Signal(object)
    """The row that a person has chosen, a `ResultLine`; None: none is, or it is not read yet."""

    def __init__(self, pages: LinePages[ResultLine], view: ResultsView) -> None:
        self._pages, self._view = pages, view
        self._row = 0
        self.line: ResultLine | None = None

    def take(self, row: int) -> None:
        """A person moved to this row; one that is not read yet is chosen as it comes."""
        self.line, self._row = self._pages.line(row), row
        self.changed.emit(self.line)

    def drop(self) -> None:
        """No row is chosen."""
        self.line, self._row = None, 0
        self.changed.emit(None)

    def follow(self) -> None:
        """Other rows may stand here now: select the chosen one where it stands, or none."""
        current = self._view.current_row()
        here = None if current is None else self._pages.line(current)
        if self.line is None:
            if current is not None and here is not None:
                self.take(current)
            return
        key = self.line.key
        if current is not None and here is not None and here.key == key:
            self._row, self.line = current, here  # mostly it stands where it stood
            return
        found = next(((row, line) for row, line in self._pages.known() if line.key == key), None)
        if found is not None:
            self._row, self.line = found
            self._view.select(self._row)
        elif here is not None:
            self._view.select(None)

    def next_row(self) -> int:
        """The row to go on with: behind the chosen one, or where that stood before it left."""
        current = self._view.current_row()
        return self._row if current is None else current + 1
