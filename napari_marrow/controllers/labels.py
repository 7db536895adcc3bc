"""What the reader says of smears: given, known here at once, and taken back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from psygnal import Signal

from marrow.schemes import Scheme
from napari_marrow.background import Background
from napari_marrow.controllers.outbox import OutboxController
from napari_marrow.desk import Desk
from napari_marrow.desks.labels import WordsRead
from napari_marrow.lines.labelling import not_asked_text, ruled_out
from napari_marrow.outbox import Entry
from napari_marrow.own_words import OwnWords
from napari_marrow.session import Session


class LabelsView(Protocol):
    """What a person sees of his labels."""

    def set_undoable(self, count: int) -> None:
        """How many labels the next undo takes back; 0: there is none."""

    def tell(self, words: str, is_warning: bool) -> None:
        """Tell a person something in a sentence."""


@dataclass(frozen=True)
class _Step:
    """What one undo takes back."""

    entries: tuple[Entry, ...]
    before: Mapping[int, Mapping[str, str | None]]
    """By smear and head; None: not known here, the catalogue knows it."""


class LabelsController:
    """Gives labels and flags in the reader's name, and takes them back.

    Parameters
    ----------
    session : Session
    background : Background
    outbox : OutboxController
        The way of every label.
    view : LabelsView
    """

    given = Signal(object)
    """The smears whose labels are on the disk now, a list of ids; on the main thread."""

    def __init__(
        self,
        session: Session,
        background: Background,
        outbox: OutboxController,
        view: LabelsView,
    ) -> None:
        self._session, self._background = session, background
        self._outbox, self._view = outbox, view
        self.sent = outbox.sent
        """The catalogue has taken what waited."""
        self._done: list[_Step] = []
        self._words = OwnWords()
        self._flags: dict[int, bool] = {}
        self._said_at: dict[int, float] = {}
        outbox.sent.connect(self._on_sent)
        session.events.desk.connect(self._on_desk)
        session.events.reader.connect(self._on_reader)

    @property
    def unsent(self) -> int:
        """What is on the disk and not in the catalogue."""
        return self._outbox.unsent

    def own(self, smear_id: int) -> Mapping[str, str]:
        """What the reader says of a smear, as far as it was said or read here; "": no answer."""
        return self._words.own(smear_id)

    def said(self, smear_id: int) -> Mapping[str, str]:
        """What the reader said here of a smear and the catalogue may lack; "": no answer."""
        return self._words.said(smear_id)

    def is_flagged(self, smear_id: int) -> bool | None:
        """Whether the reader flagged a smear here, None: he said nothing of it."""
        return self._flags.get(smear_id)

    def learn(
        self,
        smear_id: int,
        then: Callable[[WordsRead | None], None] | None = None,
        *,
        topic: str = "own words",
    ) -> None:
        """Read what the reader says of a smear.

        Parameters
        ----------
        then : callable, optional
            Called on the main thread once it is known here; with None if the catalogue does not
            answer.
        topic : str
            Of several smears on one topic only the last is read.
        """
        desk, reader = self._session.desk, self._session.reader
        if desk is None:
            return

        def on_words(words: WordsRead | None) -> None:
            if (desk, reader) != (self._session.desk, self._session.reader):
                return
            if words is not None:
                answers = {
                    head.name: words.answers.get(head.name, "") for head in desk.scheme.asked
                }
                self._words.note_read(smear_id, answers)
                self.note_newest({smear_id: words.newest})
            if then is not None:
                then(words)

        self._background.ask(
            topic,
            lambda: desk.labels.own(smear_id, reader),
            on_words,
            lane="pages",
            failed=lambda: on_words(None),
        )

    def note_newest(self, newest: Mapping[int, float]) -> None:
        """By smear, when something was last said of it: the catalogue knows this."""
        self._outbox.note_newest(newest)

    def give(
        self,
        ids: Sequence[int],
        answers: Mapping[str, str],
        *,
        seen: bool | None = None,
        then: Callable[[], None] | None = None,
        failed: Callable[[], None] | None = None,
    ) -> None:
        """Store the reader's answers to several smears; "" takes an earlier one back.

        Answers to questions that these leave no sense in are taken back with them. Of a smear
        whose question has no sense nothing is stored, and a person is told.

        Parameters
        ----------
        answers : mapping
            Answer by head.
        seen : bool, optional
            Whether a prediction was on the screen; None: as the session knows of each smear.
        then, failed : callable, optional
            Called on the main thread once the labels are on the disk, or are not.
        """
        desk, seen_here = self._session.desk, self._session.seen
        if desk is None or not ids:
            return
        fitting = {one: self._fitting(desk.scheme, one, answers) for one in ids}
        at = self._outbox.moment(ids)
        entries = tuple(
            Entry(
                smear_id=smear_id,
                reader=self._session.reader,
                at=at,
                answers=given,
                seen_prediction=smear_id in seen_here if seen is None else seen,
            )
            for smear_id, given in fitting.items()
            if given
        )
        if len(entries) < len(fitting):
            senseless = [smear_id for smear_id, given in fitting.items() if not given]
            self._view.tell(not_asked_text(senseless, list(answers)), is_warning=True)
        if entries:
            self._write(entries, self._on_given, then, failed)
        elif failed is not None:
            failed()

    def _fitting(self, scheme: Scheme, smear_id: int, answers: Mapping[str, str]) -> dict[str, str]:
        """The answers that make sense with all that the reader says of this smear, and "" to
        what they rule out; {} if none does."""
        senseless = ruled_out(scheme, {**self.own(smear_id), **answers})
        fitting = {
            head: given for head, given in answers.items() if not given or head not in senseless
        }
        return fitting | dict.fromkeys(senseless, "") if fitting else {}

    def flag(
        self, ids: Sequence[int], is_flagged: bool, then: Callable[[], None] | None = None
    ) -> None:
        """Set the reader's flag on several smears, or clear what he sees of flags."""
        at, reader = self._outbox.moment(ids), self._session.reader
        entries = tuple(
            Entry(smear_id=smear_id, reader=reader, at=at, is_flagged=is_flagged)
            for smear_id in ids
        )
        if entries:
            self._write(entries, self._on_flagged, then, None)

    def undo(self, then: Callable[[Sequence[int]], None] | None = None) -> None:
        """Take the last labels back, those too that are on their way to the disk just now.

        Parameters
        ----------
        then : callable, optional
            Gets their smears on the main thread once that is on the disk; none if there was
            nothing to take back.
        """
        # Behind what is being written: only then is it known which labels were the last.
        self._background.tell(lambda: None, lambda _turn: self._undo(then), lane="journal")

    def _undo(self, then: Callable[[Sequence[int]], None] | None) -> None:
        step = self._done.pop() if self._done else None
        if step is None:
            if then is not None:
                then(())
            return
        self._show_undoable()
        ids = [one.smear_id for one in step.entries]
        at, said_at = self._outbox.moment(ids), {one: self._said_at[one] for one in ids}
        entries = tuple(
            Entry(
                smear_id=one.smear_id,
                reader=one.reader,
                at=at,
                answers=dict.fromkeys(one.answers, ""),
                undoes=one.at,
                said_at=said_at[one.smear_id],
            )
            for one in step.entries
        )
        self._said_at |= dict.fromkeys(ids, at)

        def on_failed() -> None:
            """The disk refused the undo: it can be tried again."""
            self._said_at |= said_at
            self._done.append(step)
            self._show_undoable()

        def on_disk() -> None:
            if then is not None:
                then(ids)

        self._write(entries, lambda _entries: self._on_undone(step), on_disk, on_failed)

    def _write(
        self,
        entries: tuple[Entry, ...],
        on_written: Callable[[tuple[Entry, ...]], None],
        then: Callable[[], None] | None,
        failed: Callable[[], None] | None,
    ) -> None:
        def on_disk() -> None:
            if entries[0].reader == self._session.reader:  # else another person sits here by now
                on_written(entries)
            if then is not None:
                then()

        self._outbox.write(entries, on_disk, failed)

    def _on_given(self, entries: tuple[Entry, ...]) -> None:
        before = {one.smear_id: self._words.say(one.smear_id, one.answers) for one in entries}
        self._done.append(_Step(entries, before))
        self._show_undoable()
        self._said_at |= {one.smear_id: one.at for one in entries}
        self.given.emit([one.smear_id for one in entries])

    def _on_undone(self, step: _Step) -> None:
        for smear_id, answers in step.before.items():
            self._words.restore(smear_id, answers)
        self.given.emit(list(step.before))

    def _on_flagged(self, entries: tuple[Entry, ...]) -> None:
        self._flags |= {one.smear_id: bool(one.is_flagged) for one in entries}
        self.given.emit([one.smear_id for one in entries])

    def _show_undoable(self) -> None:
        self._view.set_undoable(len(self._done[-1].entries) if self._done else 0)

    def _on_sent(self) -> None:
        if not self._outbox.unsent:
            self._words.settle()

    def _on_desk(self, _desk: Desk | None) -> None:
        self._forget()

    def _on_reader(self, _reader: str) -> None:
        """Nobody takes back what another one said."""
        self._forget()

    def _forget(self) -> None:
        self._done, self._words, self._flags, self._said_at = [], OwnWords(), {}, {}
        self._show_undoable()
