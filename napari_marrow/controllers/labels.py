"""Every label and flag takes this one way: to the disk, then to the catalogue."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from psygnal import Signal

from napari_marrow.background import Background
from napari_marrow.desk import Desk
from napari_marrow.desks.labels import Opened, Sent
from napari_marrow.outbox import Entry
from napari_marrow.session import Session

RETRY_S = 3.0
"""Between two attempts to reach a catalogue that was lost."""
SILENT_S = 1.0
"""A label that is on its way for longer is shown as not sent yet."""
CLOCK_STEP_S = 1e-6
"""Two labels never have the same moment, also where the clock is coarse or was set back."""


class LabelsView(Protocol):
    """What a person sees of how safe the labels are."""

    def set_saved(self, unsent: int, trouble: str) -> None:
        """`unsent` labels are on the disk and not in the catalogue; `trouble`: why."""

    def set_undoable(self, count: int) -> None:
        """How many labels the next undo takes back; 0: there is none."""

    def tell(self, words: str, is_warning: bool) -> None:
        """Tell a person what came of something, in a sentence."""


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
    view : LabelsView
    clock : callable
        Seconds since 1970: the moment of labelling.
    timer : callable
        Seconds of a clock that never goes back: when to try again.
    """

    given = Signal(object)
    """The smears whose labels are on the disk now, a list of ids; on the main thread."""
    sent = Signal()
    """The catalogue has taken what waited."""

    def __init__(
        self,
        session: Session,
        background: Background,
        view: LabelsView,
        clock: Callable[[], float] = time.time,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self._session = session
        self._background = background
        self._view = view
        self._clock, self._timer = clock, timer
        self._last_at = 0.0
        self._desk: Desk | None = None
        self._done: list[_Step] = []
        self._own: dict[int, dict[str, str]] = {}
        self._flags: dict[int, bool] = {}
        self._said_at: dict[int, float] = {}
        self._is_sending = False
        self._unsent = 0
        self._unsent_since: float | None = None
        self._retry_at: float | None = None
        session.events.desk.connect(self._on_desk)
        session.events.reader.connect(self._on_reader)

    @property
    def unsent(self) -> int:
        """Labels and flags that are on the disk and not in the catalogue."""
        return self._unsent

    def own(self, smear_id: int) -> Mapping[str, str]:
        """What the reader says of a smear, as far as it was said or read here; "": no answer."""
        return self._own.get(smear_id, {})

    def is_flagged(self, smear_id: int) -> bool | None:
        """Whether the reader flagged a smear here, None: he said nothing of it."""
        return self._flags.get(smear_id)

    def note_own(self, smear_id: int, answers: Mapping[str, str]) -> None:
        """The catalogue has these answers of the reader; what was said here since is newer."""
        self._own[smear_id] = {**answers, **self._own.get(smear_id, {})}

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

        Parameters
        ----------
        answers : mapping
            Answer by head.
        seen : bool, optional
            Whether a prediction was on the screen; None: as the session knows of each smear.
        then, failed : callable, optional
            Called on the main thread once the labels are on the disk, or are not.
        """
        at = self._now()
        entries = tuple(
            Entry(
                smear_id=smear_id,
                reader=self._session.reader,
                at=at,
                answers=dict(answers),
                seen_prediction=smear_id in self._session.seen if seen is None else seen,
            )
            for smear_id in ids
        )
        if entries:
            self._write(entries, self._on_given, then, failed)

    def flag(
        self, ids: Sequence[int], is_flagged: bool, then: Callable[[], None] | None = None
    ) -> None:
        """Set the reader's flag on several smears, or clear what he sees of flags."""
        at, reader = self._now(), self._session.reader
        entries = tuple(
            Entry(smear_id=smear_id, reader=reader, at=at, is_flagged=is_flagged)
            for smear_id in ids
        )
        if entries:
            self._write(entries, self._on_flagged, then, None)

    def undo(self, then: Callable[[Sequence[int]], None] | None = None) -> bool:
        """Take the last labels back; `then` gets their smears. Whether there is any to undo."""
        if not self._done:
            return False
        step = self._done.pop()
        self._show_undoable()
        at = self._now()
        entries = tuple(
            Entry(
                smear_id=one.smear_id,
                reader=one.reader,
                at=at,
                answers=dict.fromkeys(one.answers, ""),
                undoes=one.at,
                said_at=self._said_at[one.smear_id],
            )
            for one in step.entries
        )
        said_at = {one.smear_id: self._said_at[one.smear_id] for one in entries}
        self._said_at |= {one.smear_id: at for one in entries}

        def on_failed() -> None:
            """The disk refused the undo: it can be tried again."""
            self._said_at |= said_at
            self._done.append(step)
            self._show_undoable()

        def on_disk() -> None:
            if then is not None:
                then([one.smear_id for one in entries])

        self._write(entries, lambda _entries: self._on_undone(step), on_disk, on_failed)
        return True

    def tick(self) -> None:
        """Try a lost catalogue again; called a few times a second on the main thread."""
        now = self._timer()
        if self._unsent_since is not None and now - self._unsent_since > SILENT_S:
            self._unsent_since = now
            self._view.set_saved(self._unsent, "")
        if self._retry_at is not None and now >= self._retry_at:
            self._retry_at = None
            self._send()

    def _now(self) -> float:
        self._last_at = max(self._clock(), self._last_at + CLOCK_STEP_S)
        return self._last_at

    def _write(
        self,
        entries: tuple[Entry, ...],
        on_written: Callable[[tuple[Entry, ...]], None],
        then: Callable[[], None] | None,
        failed: Callable[[], None] | None,
    ) -> None:
        desk = self._session.desk
        if desk is None:
            return

        def on_disk(unsent: int) -> None:
            if desk is not self._session.desk:
                return
            on_written(entries)
            self._unsent = unsent
            if self._unsent_since is None:
                self._unsent_since = self._timer()
            self._send()
            if then is not None:
                then()

        self._background.tell(
            lambda: desk.labels.write(entries), on_disk, lane="journal", failed=failed
        )

    def _on_given(self, entries: tuple[Entry, ...]) -> None:
        before = {
            one.smear_id: {head: self.own(one.smear_id).get(head) for head in one.answers}
            for one in entries
        }
        self._done.append(_Step(entries, before))
        self._show_undoable()
        for one in entries:
            self._said_at[one.smear_id] = one.at
            self._own.setdefault(one.smear_id, {}).update(one.answers)
        self.given.emit([one.smear_id for one in entries])

    def _on_undone(self, step: _Step) -> None:
        for smear_id, answers in step.before.items():
            own = self._own.setdefault(smear_id, {})
            for head, answer in answers.items():
                if answer is None:
                    own.pop(head, None)
                else:
                    own[head] = answer
        self.given.emit(list(step.before))

    def _on_flagged(self, entries: tuple[Entry, ...]) -> None:
        self._flags |= {one.smear_id: bool(one.is_flagged) for one in entries}
        self.given.emit([one.smear_id for one in entries])

    def _show_undoable(self) -> None:
        self._view.set_undoable(len(self._done[-1].entries) if self._done else 0)

    def _send(self) -> None:
        """Bring what waits to the catalogue, unless that is being done."""
        desk = self._session.desk
        if self._is_sending or desk is None:
            return
        self._is_sending = True
        self._background.tell(
            desk.labels.send,
            lambda sent: self._on_sent(desk, sent),
            lane="sender",
            failed=lambda: self._on_send_failed(desk),
        )

    def _on_sent(self, desk: Desk, sent: Sent) -> None:
        if desk is not self._session.desk:
            return
        self._is_sending = False
        self._unsent = sent.waiting
        self._unsent_since = None
        self._tell_of(sent)
        self._view.set_saved(sent.waiting, sent.lost)
        if sent.lost:
            self._retry_at = self._timer() + RETRY_S
        elif sent.waiting:  # written meanwhile
            self._send()
        if sent.sent:
            self.sent.emit()

    def _on_send_failed(self, desk: Desk) -> None:
        if desk is self._session.desk:
            self._is_sending = False
            self._retry_at = self._timer() + RETRY_S
            self._view.set_saved(self._unsent, "the labels wait on this machine")

    def _tell_of(self, sent: Sent) -> None:
        if sent.refused:
            count = _labels(len(sent.refused))
            words = f"{count} refused by the study: {sent.refused[0]}. Kept in {sent.refused_file}."
            self._view.tell(words, is_warning=True)
        if sent.late:
            words = (
                f"{_labels(sent.late)} had waited on this machine while the same reader said "
                "something newer: the newer answer stands, the older one is in the history."
            )
            self._view.tell(words, is_warning=True)

    def _on_desk(self, desk: Desk | None) -> None:
        earlier, self._desk = self._desk, desk
        self._is_sending, self._retry_at = False, None
        self._unsent, self._unsent_since = 0, None
        self._forget()
        if desk is None:
            return
        self._view.set_saved(0, "")

        def opened() -> Opened:
            if earlier is not None:
                earlier.labels.close()  # first: this may be the same study again
            return desk.labels.open()

        self._background.tell(opened, lambda found: self._on_opened(desk, found), lane="journal")

    def _on_opened(self, desk: Desk, found: Opened) -> None:
        if desk is not self._session.desk:
            return
        self._unsent += len(found.waiting)
        if found.damaged:
            self._view.tell(
                "The program was killed while a label was being stored, and that label is lost: "
                "look at the last smear that was labelled and label it again.",
                is_warning=True,
            )
        if found.waiting:
            self._view.set_saved(len(found.waiting), "")
            self._send()

    def _on_reader(self, _reader: str) -> None:
        """Nobody takes back what another one said."""
        self._forget()

    def _forget(self) -> None:
        self._done, self._own, self._flags, self._said_at = [], {}, {}, {}
        self._show_undoable()


def _labels(count: int) -> str:
    return "1 label" if count == 1 else f"{count:,} labels"
