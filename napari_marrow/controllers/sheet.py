"""The contact sheet: small pictures of the smears that the Cases list shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from marrow.images.colour import Pixels
from marrow.schemes import Head
from napari_marrow.background import Background
from napari_marrow.controllers.cases import CasesController
from napari_marrow.controllers.labels import LabelsController
from napari_marrow.desk import Desk
from napari_marrow.desks.cases import CasePage
from napari_marrow.lines.cases import CaseLine, said
from napari_marrow.lines.labelling import answer_keys
from napari_marrow.lines.sheet import SheetLine, sheet_line
from napari_marrow.session import Session

PAGE = 500
"""Smears that are read at once; more are read when the sheet is scrolled to its end."""
AT_ONCE = 8
"""Thumbnails of one errand: few enough that what is scrolled into view is begun soon."""
ERRAND_S = 0.1


class SheetView(Protocol):
    """The sheet."""

    def is_shown(self) -> bool:
        """Whether a person can see it."""

    def set_heads(self, heads: Sequence[Head]) -> None:
        """The questions that can be answered here."""

    def set_lines(self, lines: Sequence[SheetLine], total: int) -> None:
        """Show these smears from the top; what is selected stays so where possible."""

    def append_lines(self, lines: Sequence[SheetLine], total: int) -> None:
        """Add smears at the end."""

    def set_thumbnails(self, made: Mapping[int, Pixels | None]) -> None:
        """Show these pictures; None: there is no picture of that smear."""

    def forget_thumbnails(self) -> None:
        """Another study: no picture counts any more."""


class SheetController:
    """Fills the sheet page by page, and has pictures made of what is looked at.

    Nothing is read while nobody sees the sheet.

    Parameters
    ----------
    session : Session
    background : Background
    view : SheetView
    cases : CasesController
        Whose filter says which smears are shown.
    labels : LabelsController
    """

    def __init__(
        self,
        session: Session,
        background: Background,
        view: SheetView,
        cases: CasesController,
        labels: LabelsController,
    ) -> None:
        self._session, self._background, self._view = session, background, view
        self._cases, self._labels = cases, labels
        self._lines: list[CaseLine] = []
        self._total = self._listed = 0
        self._is_stale = self._is_reading = self._is_making = False
        self._wanted: tuple[int, ...] = ()
        session.events.desk.connect(self._on_desk)
        session.events.reader.connect(self._on_reader)
        cases.filtered.connect(self._on_filtered)
        labels.given.connect(self._on_given)
        labels.sent.connect(self._on_stale)

    def tick(self) -> None:
        """Read what has changed, if the sheet is seen; called a few times a second."""
        if self._cases.total != self._listed:  # smears were added
            self._listed = self._cases.total
            self._is_stale = True
        if self._is_stale and not self._is_reading and self._view.is_shown():
            self._read(0, max(PAGE, len(self._lines)))

    def more(self) -> None:
        """Read the next page, if there is one."""
        if self._lines and len(self._lines) < self._total and not self._is_reading:
            self._read(self._lines[-1].smear_id, PAGE)

    def want(self, ids: Sequence[int]) -> None:
        """Have pictures made of these smears, the first first, instead of those wanted before."""
        self._wanted = tuple(ids)
        self._make()

    def press(self, key: str, ids: Sequence[int], head: Head) -> None:
        """Do what a key of label mode says with the selected smears."""
        answers = answer_keys(head)
        if key in answers and ids:
            self._labels.give(ids, {head.name: answers[key]})
        elif key == "flag" and ids:
            chosen = [line for line in self._lines if line.smear_id in set(ids)]
            self._labels.flag(ids, not all(line.is_flagged for line in chosen))
        elif key == "undo":
            self._labels.undo()

    def _read(self, after_id: int, limit: int) -> None:
        desk, shown, reader = self._session.desk, self._cases.shown, self._session.reader
        if desk is None:
            return
        if after_id == 0:
            self._is_stale = False
        self._is_reading = True
        self._background.ask(
            "sheet",
            lambda: desk.cases.page(shown, reader, after_id, limit),
            lambda page: self._on_page(desk, page, after_id),
            lane="pages",
            failed=self._on_failed,
        )

    def _on_page(self, desk: Desk, page: CasePage, after_id: int) -> None:
        self._is_reading = False
        is_next = bool(self._lines) and self._lines[-1].smear_id == after_id
        if desk is not self._session.desk or (after_id and not is_next):
            return
        self._labels.note_newest(page.newest)
        came = [self._said(desk, line) for line in page.lines]
        self._lines = [*self._lines, *came] if after_id else came
        self._total = len(self._lines) + page.left
        lines = [sheet_line(desk.scheme, line) for line in came]
        if after_id:
            self._view.append_lines(lines, self._total)
        else:
            self._view.set_lines(lines, self._total)

    def _on_failed(self) -> None:
        self._is_reading = False

    def _said(self, desk: Desk, line: CaseLine) -> CaseLine:
        """With the reader's own words, which the catalogue may lack yet."""
        here, is_flagged = self._labels.said(line.smear_id), self._labels.is_flagged(line.smear_id)
        return said(desk.scheme, line, here, is_flagged)

    def _make(self) -> None:
        desk, wanted = self._session.desk, self._wanted
        if desk is None or self._is_making or not wanted:
            return
        self._is_making = True
        self._background.tell(
            lambda: desk.smears.thumbnails(wanted[:AT_ONCE], ERRAND_S),
            lambda made: self._on_made(desk, made),
            lane="thumbnails",
            failed=self._on_not_made,
        )

    def _on_made(self, desk: Desk, made: Mapping[int, Pixels | None]) -> None:
        self._is_making = False
        if desk is self._session.desk:
            self._wanted = tuple(one for one in self._wanted if one not in made)
            self._view.set_thumbnails(made)
        self._make()

    def _on_not_made(self) -> None:
        """The catalogue is lost: a person was told; scrolling tries again."""
        self._is_making = False
        self._wanted = ()

    def _on_given(self, smear_ids: list[int]) -> None:
        desk = self._session.desk
        if desk is None or not self._lines:
            return
        given = set(smear_ids)
        self._lines = [
            self._said(desk, line) if line.smear_id in given else line for line in self._lines
        ]
        self._view.set_lines([sheet_line(desk.scheme, line) for line in self._lines], self._total)

    def _on_filtered(self) -> None:
        self._lines, self._total = [], 0
        self._is_stale = True

    def _on_stale(self) -> None:
        self._is_stale = True

    def _on_reader(self, _reader: str) -> None:
        """Another person may see other labels."""
        self._on_filtered()
        self._view.set_lines((), 0)

    def _on_desk(self, desk: Desk | None) -> None:
        self._wanted = ()
        self._view.forget_thumbnails()
        self._on_filtered()
        self._view.set_lines((), 0)
        if desk is not None:
            self._view.set_heads(desk.scheme.asked)
