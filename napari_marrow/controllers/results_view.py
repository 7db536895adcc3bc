"""What the controller of the results table asks of its widget."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from marrow.catalogue.predictions import ResultFilter, Sort
from marrow.schemes import Scheme
from napari_marrow.lines.column import Column
from napari_marrow.lines.pages import LinePages
from napari_marrow.lines.results import ResultChoices, ResultLine


class ResultsView(Protocol):
    """The table with its filters and the line above it."""

    def set_scheme(
        self, scheme: Scheme, columns: Sequence[Column], pages: LinePages[ResultLine]
    ) -> None:
        """Begin with an empty table that shows these pages."""

    def set_choices(self, choices: ResultChoices) -> None:
        """Offer these jobs and models."""

    def set_asked(self, shown: ResultFilter, sort: Sort) -> None:
        """Show what is asked for; tells nobody."""

    def set_words(self, words: str, is_warning: bool) -> None:
        """Show how many rows there are, and what is being done."""

    def to_top(self) -> None:
        """Scroll to the first row; no row is selected."""

    def current_row(self) -> int | None:
        """The selected row."""

    def select(self, row: int | None) -> None:
        """Select another row, as the one that was selected stands there now; None: it stands in no
        row that is known. Tells nobody."""

    def is_looked_at(self) -> bool:
        """Whether the table is on the screen."""
