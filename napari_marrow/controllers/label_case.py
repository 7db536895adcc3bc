"""The smear that is labelled now: brought to the canvas, with what its reader said of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

from psygnal import Signal

from napari_marrow.background import Background
from napari_marrow.controllers.labels import LabelsController
from napari_marrow.controllers.outbox import RETRY_S
from napari_marrow.controllers.smear import SmearController
from napari_marrow.desk import Desk
from napari_marrow.desks.labels import WordsRead
from napari_marrow.label_run import LabelCase
from napari_marrow.lines.labelling import first_head
from napari_marrow.session import Session


class LabelCaseController:
    """Asks for a smear until it is on the canvas and its reader's words are known.

    Parameters
    ----------
    session : Session
    background : Background
    labels : LabelsController
    smear : SmearController
    timer : callable
        Seconds of a clock that never goes back: when to ask again.
    """

    changed = Signal()
    """Something else is known of the case."""
    drawn = Signal(int)
    """This smear is on the canvas, or a sentence why it cannot be."""

    def __init__(
        self,
        session: Session,
        background: Background,
        labels: LabelsController,
        smear: SmearController,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self._session, self._background = session, background
        self._labels, self._smear, self._timer = labels, smear, timer
        self._retry_at = 0.0
        self.case: LabelCase | None = None
        """None: nothing is labelled."""

    def go(self, smear_id: int, *, is_just_drawn: bool = False) -> None:
        """Label this smear now.

        Parameters
        ----------
        is_just_drawn : bool
            It came to the canvas this moment: nothing else is on its way there.
        """
        desk = self._session.desk
        if desk is None:
            return
        earlier, own = self.case, dict(self._labels.own(smear_id))
        self.case = case = LabelCase(smear_id, own, first_head(desk.scheme, own))
        self._labels.learn(smear_id, partial(self._on_own, desk, case))
        case.is_drawn = self._session.smear_id == smear_id
        is_other_coming = earlier is not None and not earlier.is_drawn
        if not is_just_drawn and (not case.is_drawn or is_other_coming):
            self._smear.open(
                smear_id,
                unreadable=lambda _reason: self._on_unreadable(case),
                failed=lambda: self._on_owed(case),
            )
        self.changed.emit()

    def leave(self) -> None:
        """Label nothing."""
        self.case = None

    def note_drawn(self, smear_id: int) -> None:
        """A smear is on the canvas: the one that was asked for, or one from elsewhere."""
        if self.case is None or self.case.smear_id != smear_id:
            self.go(smear_id, is_just_drawn=True)
        else:
            self._on_drawn(self.case)

    def note_given(self, desk: Desk) -> None:
        """Its reader said something of it elsewhere, or took it back."""
        if self.case is not None and not self.case.is_storing:
            self._know(desk, self.case)

    def tick(self) -> None:
        """Ask a catalogue that did not answer again; called a few times a second."""
        desk, case, now = self._session.desk, self.case, self._timer()
        if desk is not None and case is not None and case.is_owed and now >= self._retry_at:
            self._retry_at = now + RETRY_S
            self._labels.learn(case.smear_id, partial(self._on_answer, desk, case))

    def _on_answer(self, desk: Desk, case: LabelCase, words: WordsRead | None) -> None:
        if case is not self.case or words is None:
            return
        if case.is_drawn:
            case.is_owed = False
            self._on_own(desk, case, words)
        else:
            self.go(case.smear_id)

    def _on_owed(self, case: LabelCase) -> None:
        case.is_owed = True
        self._retry_at = self._timer() + RETRY_S
        if case is self.case:
            self.changed.emit()

    def _on_own(self, desk: Desk, case: LabelCase, words: WordsRead | None) -> None:
        if case is not self.case:
            return
        case.is_read = True
        if words is None:
            self._on_owed(case)
        else:
            case.is_flagged = words.is_flagged
        self._know(desk, case)

    def _know(self, desk: Desk, case: LabelCase) -> None:
        """Take over what is known here of what the reader says."""
        flagged = self._labels.is_flagged(case.smear_id)
        case.is_flagged = case.is_flagged if flagged is None else flagged
        case.own = dict(self._labels.own(case.smear_id))
        case.head = first_head(desk.scheme, case.own)
        self.changed.emit()

    def _on_unreadable(self, case: LabelCase) -> None:
        if case is self.case:
            case.is_unreadable = True
            self._on_drawn(case)

    def _on_drawn(self, case: LabelCase) -> None:
        self.drawn.emit(case.smear_id)
        # A key that was pressed while it was being drawn comes first, and counts for nothing.
        settled = partial(self._on_settled, case)
        self._background.ask("label-drawn", lambda: None, settled, lane="journal")

    def _on_settled(self, case: LabelCase, _answer: None) -> None:
        case.is_drawn = True
        self.changed.emit()
