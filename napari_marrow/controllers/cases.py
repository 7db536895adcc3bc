"""The Cases list: which smears are shown, what is said of them, and adding more."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from marrow.catalogue.smears import SmearFilter
from marrow.schemes import Head
from napari_marrow.background import Background
from napari_marrow.desk import Desk
from napari_marrow.desks.cases import CasePage, Described, Imported
from napari_marrow.lines.cases import CaseLine, case_columns
from napari_marrow.lines.column import Column
from napari_marrow.session import Session

PAGE = 500
"""Smears that are read at once; more are read when the list is scrolled to its end."""


class CasesView(Protocol):
    """The list with its counts and buttons."""

    def set_scheme(self, columns: Sequence[Column], asked: Sequence[Head]) -> None:
        """Set the list's columns and one row of buttons per head that is asked."""

    def set_lines(self, lines: Sequence[CaseLine], total: int) -> None:
        """Show these rows from the top; selection and scroll position stay where possible."""

    def append_lines(self, lines: Sequence[CaseLine]) -> None:
        """Add rows at the end."""

    def set_counts(self, smears: int, labelled: int, without_patient: int) -> None:
        """Show the study's counts."""

    def set_progress(self, done: int, total: int) -> None:
        """Show how far adding smears has come; total 0: nothing is being added."""

    def tell(self, words: str, is_warning: bool) -> None:
        """Tell a person what came of something, in a sentence."""


class CasesController:
    """Fills the list page by page and stores what is said of smears.

    Parameters
    ----------
    session : Session
    background : Background
    view : CasesView
    """

    def __init__(self, session: Session, background: Background, view: CasesView) -> None:
        self._session = session
        self._background = background
        self._view = view
        self._filter = SmearFilter()
        self._loaded = 0
        self._total = 0
        self._is_reloading = False
        self.is_read = False
        """Whether the list holds what the catalogue holds, not the study before."""
        self._progress: tuple[int, int] = (0, 0)
        self._shown_progress: tuple[int, int] = (0, 0)
        session.events.desk.connect(self._on_desk)

    @property
    def shown(self) -> SmearFilter:
        """Which smears the list shows."""
        return self._filter

    def set_filter(self, text: str, labelled: bool | None) -> None:
        """Show only these smears."""
        wanted = SmearFilter(text=text.strip(), labelled=labelled)
        if wanted != self._filter:
            self._filter = wanted
            self._loaded = 0
            self.reload()

    def reload(self) -> None:
        """Read again what is shown."""
        desk = self._session.desk
        if desk is not None:
            shown, limit = self._filter, max(PAGE, self._loaded)
            self._is_reloading = True
            self._background.ask(
                "cases",
                lambda: desk.cases.page(shown, 0, limit),
                self._on_page,
                failed=self._on_reload_failed,
            )

    def more(self) -> None:
        """Read the next page, if there is one; not while the list is read anew."""
        if self._is_reloading:
            return
        desk, shown, offset = self._session.desk, self._filter, self._loaded
        if desk is not None and offset < self._total:
            self._background.ask(
                "cases", lambda: desk.cases.page(shown, offset, PAGE), self._on_more
            )

    def describe(self, ids: Sequence[int], what: Described, value: str) -> None:
        """Set patient or site of several smears."""
        if ids:
            self._change(lambda desk: desk.cases.describe(ids, what, value.strip()))

    def give_label(self, ids: Sequence[int], head: str, answer: str) -> None:
        """Store the reader's answer to a head for several smears; "" takes it back."""
        reader, seen = self._session.reader, self._session.seen
        if ids:
            self._change(lambda desk: desk.labels.give(ids, {head: answer}, reader, seen))

    def add_smears(self, paths: Sequence[Path]) -> None:
        """Register files and folders."""
        desk = self._session.desk
        if desk is None or not paths:
            return

        def on_progress(done: int, total: int) -> None:
            self._progress = (done, total)  # read by tick() on the main thread

        self._background.tell(
            lambda: desk.cases.add(paths, on_progress),
            self._on_added,
            lane="files",
            failed=self._on_add_failed,
        )

    def tick(self) -> None:
        """Show how far adding has come; called a few times a second on the main thread."""
        if self._progress != self._shown_progress:
            self._shown_progress = self._progress
            self._view.set_progress(*self._progress)

    def _change(self, change: Callable[[Desk], None]) -> None:
        desk = self._session.desk
        if desk is not None:
            self._background.tell(lambda: change(desk), lambda _answer: self.reload())

    def _on_desk(self, desk: Desk | None) -> None:
        if desk is None:
            return
        self._filter, self._loaded, self._total = SmearFilter(), 0, 0
        self.is_read = False
        self._view.set_scheme(case_columns(desk.scheme), desk.scheme.asked)
        self.reload()

    def _on_page(self, page: CasePage) -> None:
        self._is_reloading = False
        self._loaded, self._total = len(page.lines), page.total
        self._view.set_lines(page.lines, page.total)
        self.is_read = True
        self._view.set_counts(page.smears, page.labelled, page.without_patient)

    def _on_reload_failed(self) -> None:
        self._is_reloading = False

    def _on_more(self, page: CasePage) -> None:
        self._loaded, self._total = self._loaded + len(page.lines), page.total
        self._view.append_lines(page.lines)

    def _on_added(self, imported: Imported) -> None:
        self._on_add_failed()
        self._view.tell(_words(imported), bool(imported.refused))

    def _on_add_failed(self) -> None:
        self._progress = (0, 0)
        self.tick()
        self.reload()


REFUSALS_SHOWN = 3


def _words(imported: Imported) -> str:
    parts = [f"{imported.added} smears added"]
    if imported.known:
        parts.append(f"{imported.known} known before")
    if imported.labels:
        parts.append(f"{imported.labels} labels read")
    text = ", ".join(parts) + "."
    if imported.refused:
        first = "; ".join(imported.refused[:REFUSALS_SHOWN])
        left = len(imported.refused) - REFUSALS_SHOWN
        text += f" {len(imported.refused)} refused: {first}"
        text += f"; and {left} more" if left > 0 else ""
    return text
