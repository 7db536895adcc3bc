"""The Cases list: which smears are shown, what is said of them, and adding more."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from psygnal import Signal

from marrow.catalogue.smears import SmearFilter
from marrow.schemes import Head
from napari_marrow.background import Background
from napari_marrow.controllers.labels import LabelsController
from napari_marrow.desk import Desk
from napari_marrow.desks.cases import CaseCounts, CasePage, Described, Imported
from napari_marrow.lines.cases import (
    CaseChoice,
    CaseLine,
    case_choices,
    case_columns,
    others_text,
    said,
)
from napari_marrow.lines.column import Column
from napari_marrow.session import Session

PAGE = 500
"""Smears that are read at once; more are read when the list is scrolled to its end."""


class CasesView(Protocol):
    """The list with its counts and buttons."""

    def set_scheme(self, columns: Sequence[Column], asked: Sequence[Head]) -> None:
        """Set the list's columns and one row of buttons per head that is asked."""

    def set_choices(self, choices: Sequence[CaseChoice], chosen: int) -> None:
        """Offer these filters; `chosen` is the one that is shown."""

    def set_lines(self, lines: Sequence[CaseLine], total: int) -> None:
        """Show these rows from the top; selection and scroll position stay where possible.

        `total` counts the rows that were not read yet, too.
        """

    def append_lines(self, lines: Sequence[CaseLine], total: int) -> None:
        """Add rows at the end."""

    def set_counts(self, read: int, smears: int, without_patient: int, others: str) -> None:
        """Show how many of the study's smears the reader has labelled, and what others have."""

    def is_model_shown(self) -> bool:
        """Whether the column with the model's answers is on the screen."""

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
    labels : LabelsController
        What the reader has said, which the catalogue may lack yet.
    """

    filtered = Signal()
    """The list shows other smears."""

    def __init__(
        self,
        session: Session,
        background: Background,
        view: CasesView,
        labels: LabelsController,
    ) -> None:
        self._session = session
        self._background = background
        self._view = view
        self._labels = labels
        self._text, self._choice = "", 0
        self._choices: tuple[CaseChoice, ...] = ()
        self._filter = SmearFilter()
        self._lines: list[CaseLine] = []
        self._noted: list[CaseLine] | None = None
        self._total = 0
        self._is_reloading = False
        self.is_read = False
        """Whether the list holds what the catalogue holds, not the study before."""
        self._progress: tuple[int, int] = (0, 0)
        self._shown_progress: tuple[int, int] = (0, 0)
        session.events.desk.connect(self._on_desk)
        session.events.reader.connect(self._on_reader)
        session.events.unfinished.connect(self._on_unfinished)
        labels.given.connect(self._on_given)
        labels.sent.connect(self._on_sent)

    @property
    def shown(self) -> SmearFilter:
        """Which smears the list shows."""
        return self._filter

    @property
    def total(self) -> int:
        """How many smears are listed, read or not."""
        return self._total

    def search(self, text: str) -> None:
        """Show only smears whose file, patient or name holds this text."""
        self._text = text
        self._set_filter()

    def choose(self, choice: int) -> None:
        """Show only the smears of this line of the filter box."""
        self._choice = choice
        self._set_filter()

    def _set_filter(self) -> None:
        if not self._choices:
            return
        wanted = self._choices[self._choice].shown
        wanted = wanted.model_copy(update={"text": self._text.strip()})
        if wanted != self._filter.model_copy(update={"sight": None}):
            self._filter = wanted
            self._lines = []
            self.filtered.emit()
            self.reload()

    def reload(self) -> None:
        """Read again what is shown."""
        desk = self._session.desk
        if desk is not None:
            shown, limit = self._filter, max(PAGE, len(self._lines))
            reader = self._session.reader
            self._is_reloading = True
            self._background.ask(
                "cases",
                lambda: desk.cases.page(shown, reader, 0, limit),
                self._on_page,
                failed=self._on_reload_failed,
            )
            self._recount(desk)

    def more(self) -> None:
        """Read the next page, if there is one; not while the list is read anew."""
        if self._is_reloading:
            return
        desk, shown, reader = self._session.desk, self._filter, self._session.reader
        if desk is not None and self._lines and len(self._lines) < self._total:
            last_id = self._lines[-1].smear_id
            self._background.ask(
                "cases", lambda: desk.cases.page(shown, reader, last_id, PAGE), self._on_more
            )

    def describe(self, ids: Sequence[int], what: Described, value: str) -> None:
        """Set patient or site of several smears."""
        if ids:
            self._change(lambda desk: desk.cases.describe(ids, what, value.strip()))

    def add_smears(self, paths: Sequence[Path]) -> None:
        """Register files and folders."""
        desk, reader = self._session.desk, self._session.reader
        if desk is None or not paths:
            return

        def on_progress(done: int, total: int) -> None:
            self._progress = (done, total)  # read by tick() on the main thread

        self._background.tell(
            lambda: desk.cases.add(paths, on_progress, reader),
            self._on_added,
            lane="files",
            failed=self._on_add_failed,
        )

    def tick(self) -> None:
        """Show how far adding has come, and note what is seen; called a few times a second."""
        self._note_seen()
        if self._progress != self._shown_progress:
            self._shown_progress = self._progress
            self._view.set_progress(*self._progress)

    def _change(self, change: Callable[[Desk], None]) -> None:
        desk = self._session.desk
        if desk is not None:
            self._background.tell(lambda: change(desk), lambda _answer: self.reload())

    def _note_seen(self) -> None:
        """Labels of smears whose answer of the model is on the screen are not blind.

        The list may have been read while the dock or the column was hidden.
        """
        if self._noted is not self._lines and self._view.is_model_shown():
            self._noted = self._lines
            shown = (line.smear_id for line in self._lines if line.model_call)
            self._session.note_seen(frozenset(shown))

    def _recount(self, desk: Desk) -> None:
        reader = self._session.reader
        self._background.ask(
            "case-counts", lambda: desk.cases.counts(reader), self._on_counts, lane="counts"
        )

    def _on_desk(self, desk: Desk | None) -> None:
        if desk is None:
            return
        self._text, self._choice = "", 0
        self._filter, self._lines, self._total = SmearFilter(), [], 0
        self.is_read = False
        self._view.set_scheme(case_columns(desk.scheme), desk.scheme.asked)
        self._offer(desk)
        self.reload()

    def _on_reader(self, _reader: str) -> None:
        """What may be seen, and what is unlabelled, is another matter for another reader."""
        desk = self._session.desk
        if desk is not None and self._choices:
            self._lines, self._total = [], 0  # should the catalogue be lost just now
            self._view.set_lines((), 0)
            self._offer(desk)
            self._set_filter()
            self.reload()

    def _on_unfinished(self, now: tuple[int, ...], before: tuple[int, ...]) -> None:
        """What the model calls the smears of a job that has ended is in the list."""
        if set(before) - set(now) and not self._session.is_labelling:
            self.reload()

    def _offer(self, desk: Desk) -> None:
        self._choices = case_choices(desk.scheme, self._session.reader)
        self._view.set_choices(self._choices, self._choice)

    def _on_given(self, smear_ids: list[int]) -> None:
        """Show what was said at once; the catalogue may be lost."""
        desk, given = self._session.desk, set(smear_ids)
        if desk is not None:
            self._lines = [
                self._said(desk, line) if line.smear_id in given else line for line in self._lines
            ]
            self._view.set_lines(self._lines, self._total)

    def _said(self, desk: Desk, line: CaseLine) -> CaseLine:
        here, is_flagged = self._labels.said(line.smear_id), self._labels.is_flagged(line.smear_id)
        return said(desk.scheme, line, here, is_flagged)

    def _on_sent(self) -> None:
        """In label mode the list stays as it is: a smear that was labelled is not pulled away."""
        desk = self._session.desk
        if desk is not None and self._session.is_labelling:
            self._recount(desk)
        else:
            self.reload()

    def _on_page(self, page: CasePage) -> None:
        self._is_reloading = False
        self._lines, self._filter = self._read(page), page.shown
        self._total = len(self._lines) + page.left
        self._view.set_lines(self._lines, self._total)
        self.is_read = True

    def _read(self, page: CasePage) -> list[CaseLine]:
        """The lines of a page, with what waits in the outbox."""
        self._labels.note_newest(page.newest)
        desk = self._session.desk
        if desk is None or not self._labels.unsent:
            return list(page.lines)
        return [self._said(desk, line) for line in page.lines]

    def _on_counts(self, counts: CaseCounts) -> None:
        own, others = counts.progress[0], others_text(counts.progress)
        self._view.set_counts(own.read, counts.smears, counts.without_patient, others)

    def _on_reload_failed(self) -> None:
        self._is_reloading = False

    def _on_more(self, page: CasePage) -> None:
        lines = self._read(page)
        self._lines = [*self._lines, *lines]
        self._total = len(self._lines) + page.left
        self._view.append_lines(lines, self._total)

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
