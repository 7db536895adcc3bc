"""What a person says goes to the disk, then to the catalogue, again and again until it is there."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

from psygnal import Signal

from napari_marrow.background import Background
from napari_marrow.desk import Desk
from napari_marrow.desks.labels import Opened, Sent
from napari_marrow.lines.outbox import entries_text
from napari_marrow.outbox import Entry
from napari_marrow.session import Session

RETRY_S = 3.0
"""Between two attempts to reach a catalogue that was lost."""
SILENT_S = 1.0
"""What is on its way for longer is shown as not sent yet."""
CLOCK_STEP_S = 1e-6
"""Two entries of a smear never have the same moment, also where the clock is coarse."""


class OutboxController:
    """The one way to the catalogue of all that a person says of smears.

    Parameters
    ----------
    session : Session
    background : Background
    clock : callable
        Seconds since 1970: the moment of an entry.
    timer : callable
        Seconds of a clock that never goes back: when to try again.
    """

    saved = Signal(int, str)
    """How many entries are on the disk and not in the catalogue, and why."""
    told = Signal(str)
    """A warning to a person, in a sentence."""
    changed = Signal()
    """Another study is open, and its outbox in use."""
    adopted = Signal(object)
    """Entries that waited when the study was opened, a tuple of `Entry`."""
    sent = Signal()
    """The catalogue has taken what waited."""

    def __init__(
        self,
        session: Session,
        background: Background,
        clock: Callable[[], float] = time.time,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self._session = session
        self._background = background
        self._clock, self._timer = clock, timer
        self._newest: dict[int, float] = {}
        self._desk: Desk | None = None
        self._is_sending = False
        self._unsent = 0
        self._unsent_since: float | None = None
        self._retry_at: float | None = None
        session.events.desk.connect(self._on_desk)

    @property
    def unsent(self) -> int:
        """Entries that are on the disk and not in the catalogue."""
        return self._unsent

    def note_newest(self, newest: Mapping[int, float]) -> None:
        """By smear, when something was last said of it: the catalogue knows this."""
        for smear_id, at in newest.items():
            self._newest[smear_id] = max(at, self._newest.get(smear_id, 0.0))

    def moment(self, smear_ids: Sequence[int]) -> float:
        """The moment of what is said now, seconds since 1970.

        It is later than all that is known to be said of these smears, also where this clock was
        set back or another machine's is ahead: what is said last counts.
        """
        earlier = max((self._newest.get(one, 0.0) for one in smear_ids), default=0.0)
        at = max(self._clock(), earlier + CLOCK_STEP_S)
        self._newest |= dict.fromkeys(smear_ids, at)
        return at

    def write(
        self,
        entries: Sequence[Entry],
        then: Callable[[], None],
        failed: Callable[[], None] | None = None,
    ) -> None:
        """Put entries on the disk and send them; `then` runs once they are on the disk."""
        desk = self._session.desk
        if desk is None:
            return

        def on_disk(unsent: int) -> None:
            if desk is not self._session.desk:
                self._tell_left(desk, len(entries))
                return
            self._unsent = unsent
            if self._unsent_since is None:
                self._unsent_since = self._timer()
            then()
            self._send()

        self._background.tell(
            lambda: desk.labels.write(entries), on_disk, lane="journal", failed=failed
        )

    def tick(self) -> None:
        """Try a lost catalogue again; called a few times a second on the main thread."""
        now = self._timer()
        if self._unsent_since is not None and now - self._unsent_since > SILENT_S:
            self._unsent_since = now
            self.saved.emit(self._unsent, "")
        if self._retry_at is not None and now >= self._retry_at:
            self._retry_at = None
            self._send()

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
        self.saved.emit(sent.waiting, sent.lost)
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
            self.saved.emit(self._unsent, "they wait on this machine")

    def _tell_of(self, sent: Sent) -> None:
        if sent.refused:
            self.told.emit(
                f"{entries_text(len(sent.refused))} refused by the study: {sent.refused[0]}. "
                f"Kept in {sent.refused_file}."
            )
        if sent.late:
            self.told.emit(
                f"{entries_text(sent.late)} had waited on this machine while the same reader said "
                "something newer: the newer answer stands, the older one is in the history."
            )

    def _tell_left(self, earlier: Desk, count: int) -> None:
        """Entries wait in a study that is not open any more."""
        desk = self._session.desk
        if desk is None or desk.home != earlier.home:
            self.told.emit(
                f"{entries_text(count)} of {earlier.home} not sent yet: stored on this machine, "
                "and sent when that study is opened again."
            )

    def _on_desk(self, desk: Desk | None) -> None:
        earlier, self._desk = self._desk, desk
        if earlier is not None and self._unsent:
            self._tell_left(earlier, self._unsent)
        self._is_sending, self._retry_at = False, None
        self._unsent, self._unsent_since = 0, None
        self._newest = {}
        self.changed.emit()
        if desk is None:
            return
        self.saved.emit(0, "")

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
            self.told.emit(
                "The program was killed while a label or a region was being stored, and that one "
                "is lost: look at the last smear that you worked on, and give it again."
            )
        if found.waiting:
            self.adopted.emit(found.waiting)
            self.saved.emit(len(found.waiting), "")
            self._send()
