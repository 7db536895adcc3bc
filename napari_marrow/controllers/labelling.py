"""Label mode: one smear after the other, by keys alone."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from marrow.schemes import NOT_CLASSES
from napari_marrow.background import Background
from napari_marrow.controllers.cases import CasesController
from napari_marrow.controllers.label_case import LabelCaseController
from napari_marrow.controllers.label_view import LabellingView
from napari_marrow.controllers.labels import LabelsController
from napari_marrow.controllers.smear import SmearController
from napari_marrow.desk import Desk
from napari_marrow.desks.cases import Run
from napari_marrow.label_run import LabelCase, LabelRun
from napari_marrow.lines.labelling import (
    OWED_TEXT,
    answer_keys,
    case_text,
    is_read,
    keys_text,
    next_head,
)
from napari_marrow.session import Session

_EMPTY = Run((), frozenset())


class LabellingController:
    """Walks through the listed smears and gives what the keys say.

    Parameters
    ----------
    session : Session
    background : Background
    view : LabellingView
    labels : LabelsController
    smear : SmearController
    cases : CasesController
    timer : callable
        Seconds of a clock that never goes back.
    """

    def __init__(
        self,
        session: Session,
        background: Background,
        view: LabellingView,
        labels: LabelsController,
        smear: SmearController,
        cases: CasesController,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self._session, self._background, self._view = session, background, view
        self._labels, self._smear, self._cases = labels, smear, cases
        self._run = LabelRun(_EMPTY)
        self._now = LabelCaseController(session, background, labels, smear, timer)
        self._now.changed.connect(self._show)
        self._now.drawn.connect(self._on_drawn)
        self._notice = ""
        self._is_wanted = False
        self._actions: Mapping[str, Callable[[], None]] = {
            "left": partial(self._step, -1),
            "right": partial(self._step, 1),
            "next": self._go_unread,
            "undo": self.undo,
            "rectangle": partial(self._draw, "rectangle"),
            "polygon": partial(self._draw, "polygon"),
            "heatmap": smear.toggle_heatmap,
            "class-back": partial(smear.step_class, -1),
            "class-on": partial(smear.step_class, 1),
            "sheet": view.show_sheet,
            "flag": self._flag,
            "leave": self._escape,
        }
        session.events.desk.connect(self._on_desk)
        session.events.reader.connect(self._on_reader)
        session.events.smear_id.connect(self._on_smear)
        labels.given.connect(self._on_given)
        labels.sent.connect(self._on_sent)
        cases.filtered.connect(self._reload)

    @property
    def is_on(self) -> bool:
        """Whether label mode is on."""
        return self._session.is_labelling

    def tick(self) -> None:
        """Ask again for a smear that the catalogue owes; called a few times a second."""
        if self.is_on:
            self._now.tick()

    @property
    def _case(self) -> LabelCase | None:
        return self._now.case

    def toggle(self) -> None:
        """Enter or leave label mode."""
        if self.is_on or self._is_wanted:
            self.leave()
        else:
            self.enter()

    def enter(self) -> None:
        """Begin with the smear that is shown if it is listed, else with the next unlabelled."""
        self._is_wanted = True
        if self._session.desk is not None:
            self._reload()

    def leave(self) -> None:
        """Give the keys back."""
        self._is_wanted = False
        if self.is_on:
            self._session.is_labelling = False
            self._now.leave()
            self._view.draw("none")
            self._view.set_labelling(False)
            self._view.set_label_words("")
            self._view.set_asked(None)
            self._cases.reload()

    def press(self, key: str) -> None:
        """Do what a key of label mode says; see `napari_marrow._qt.keys`."""
        if not self.is_on:
            return
        self._notice = ""
        if key in self._actions:
            self._actions[key]()
        elif self._case is not None and key in (keys := answer_keys(self._case.head)):
            self.answer(self._case.head.name, keys[key])

    def answer(self, head: str, answer: str) -> None:
        """Answer a head of the smear that is shown, then ask the next one, or go on.

        "" takes an answer back. While a smear is on its way nothing is answered: it would be
        a label of what nobody has seen.
        """
        desk, case = self._session.desk, self._case
        if desk is None or case is None or not case.is_ready:
            return
        if case.is_unreadable and answer not in NOT_CLASSES:
            self._say("it cannot be seen: 0 unsure, F flag, or → to go on")
            return
        case.is_storing = True
        self._labels.give(
            [case.smear_id],
            {head: answer},
            then=lambda: self._on_stored(desk, case, head, answer),
            failed=case.release,  # the disk is full: a person was told, and the smear stays
        )

    def undo(self) -> None:
        """Take the last labels back and go to their smear."""
        self._labels.undo(then=self._on_undone)

    def go(self, smear_id: int, notice: str = "") -> None:
        """Show this smear and label it next."""
        self._notice = notice
        self._now.go(smear_id)

    def _step(self, by: int) -> None:
        case = self._case
        if case is None:
            return
        beside = self._run.beside(case.smear_id, by)
        if beside is not None:
            self.go(beside)
        else:
            self._say(f"this is the {'first' if by < 0 else 'last'} smear of the list")

    def _advance(self, case: LabelCase) -> None:
        self._step(1)
        if self._case is case:  # it was the last one
            left = self._run.left
            more = f"; U goes to one of {left:,} that you have not labelled" if left else ""
            self._say(f"end of the list{more}")

    def _go_unread(self) -> None:
        case, count = self._case, len(self._run.ids)
        found = self._run.next_unread(None if case is None else case.smear_id)
        if found is None:
            self._say(f"{self._session.reader} has labelled all {count:,} smears of the list")
        else:
            self.go(found)

    def _draw(self, tool: str) -> None:
        self._view.draw("none" if self._view.tool() == tool else tool)

    def _escape(self) -> None:
        """First the pen, then label mode."""
        if self._view.tool() != "none":
            self._view.draw("none")
        else:
            self.leave()

    def _flag(self) -> None:
        case = self._case
        if case is not None and case.is_read:
            case.is_flagged = not case.is_flagged
            self._labels.flag([case.smear_id], case.is_flagged, then=self._show)

    def _reload(self) -> None:
        """Read which smears are walked through."""
        desk = self._session.desk
        if desk is None or not (self.is_on or self._is_wanted):
            return
        self._background.ask(
            "label-run",
            partial(desk.cases.run, self._cases.shown, self._session.reader),
            lambda run: self._on_run(desk, run),
            failed=self._on_reload_failed,
        )

    def _on_run(self, desk: Desk, run: Run) -> None:
        if desk is not self._session.desk or not (self.is_on or self._is_wanted):
            return
        self._is_wanted = False
        if not run.ids and not self.is_on:
            self._view.tell("The list is empty: add smears or choose another filter.", True)
            return
        self._run = LabelRun(run)
        for smear_id in run.unread:  # the catalogue may lack what was said a moment ago
            self._run.note(smear_id, is_read=is_read(desk.scheme, self._labels.own(smear_id)))
        is_new = not self.is_on
        self._session.is_labelling = True
        if is_new:
            self._view.set_labelling(True)
            self._begin()
        elif self._case is None and run.ids:
            self.go(run.ids[0])
        self._show()

    def _on_reload_failed(self) -> None:
        self._is_wanted = False

    def _begin(self) -> None:
        shown = self._session.smear_id
        if shown is not None and self._run.place(shown) is not None:
            self.go(shown)
        else:
            self.go(self._run.next_unread(None) or self._run.ids[0])

    def _on_smear(self, smear_id: int | None) -> None:
        """Another smear is on the canvas: the one that was asked for, or one from elsewhere."""
        if not self.is_on or smear_id is None:
            return
        if self._case is None or self._case.smear_id != smear_id:
            self._notice = ""
        self._now.note_drawn(smear_id)

    def _on_drawn(self, smear_id: int) -> None:
        following = self._run.beside(smear_id, 1)
        if following is not None:
            self._smear.prefetch(following)

    def _on_stored(self, desk: Desk, case: LabelCase, head: str, answer: str) -> None:
        case.release()
        if case is not self._case:
            return
        self._notice = ""
        case.own = dict(self._labels.own(case.smear_id))
        following = next_head(desk.scheme, case.own, head) if answer else case.head
        if following is None:
            self._advance(case)
        else:
            case.head = following
            self._show()

    def _on_undone(self, smear_ids: Sequence[int]) -> None:
        if not smear_ids:
            self._say("nothing to undo")
        elif self.is_on:
            count = f": {len(smear_ids)} labels" if smear_ids[1:] else ""
            self.go(smear_ids[0], f"taken back{count}")

    def _on_given(self, smear_ids: list[int]) -> None:
        desk = self._session.desk
        if desk is None or not self.is_on:
            return
        for smear_id in smear_ids:
            self._run.note(smear_id, is_read=is_read(desk.scheme, self._labels.own(smear_id)))
        case = self._case
        if case is not None and case.smear_id in smear_ids:
            self._now.note_given(desk)

    def _on_sent(self) -> None:
        """The catalogue has answered: so it does for a smear that it owed."""
        case = self._case
        if self.is_on and case is not None and case.is_owed:
            self.go(case.smear_id)

    def _on_desk(self, desk: Desk | None) -> None:
        is_wanted = self._is_wanted
        self._run = LabelRun(_EMPTY)
        self._now.leave()
        self.leave()
        if is_wanted and desk is not None:
            self.enter()

    def _on_reader(self, _reader: str) -> None:
        self._reload()
        if self.is_on and self._case is not None:
            self.go(self._case.smear_id)

    def _say(self, notice: str) -> None:
        self._notice = notice
        self._show()

    def _show(self) -> None:
        desk, case, count = self._session.desk, self._case, len(self._run.ids)
        if desk is None or not self.is_on or case is None:
            return
        place = self._run.place(case.smear_id)
        about = case_text(case.coming, place, count, case.own, case.is_flagged)
        owed = OWED_TEXT if case.is_owed else ""
        lines = filter(None, (keys_text(desk.scheme, case.head), about, owed, self._notice))
        self._view.set_label_words("\n".join(lines))
        self._view.set_asked(case.head.name)
