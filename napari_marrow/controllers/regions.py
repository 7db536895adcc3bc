"""Regions on the canvas: what is changed of them goes the way of every label."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from marrow.catalogue.regions import NewRegion, Redrawn, plain
from marrow.records import Region
from napari_marrow.controllers.outbox import OutboxController
from napari_marrow.layers import drawn_form
from napari_marrow.outbox import Entry
from napari_marrow.session import Session


@dataclass
class _Change:
    """A change that the catalogue may lack."""

    entry: Entry
    redrawn: Redrawn
    is_handed: bool = False
    """To the disk; it may still refuse."""
    is_on_disk: bool = False


class RegionsController:
    """Knows what the canvas was filled with, and stores what is drawn otherwise.

    What others draw meanwhile on the same smear is neither shown nor touched.

    Parameters
    ----------
    session : Session
    outbox : OutboxController
    """

    def __init__(self, session: Session, outbox: OutboxController) -> None:
        self._session, self._outbox = session, outbox
        self._changes: list[_Change] = []
        self._shown: list[NewRegion] = []
        """As the canvas gives them back."""
        self._stored: dict[NewRegion, NewRegion] = {}
        """Those that the canvas gives back otherwise than they are stored."""
        outbox.changed.connect(self._on_outbox_changed)
        outbox.adopted.connect(self._on_adopted)
        outbox.sent.connect(self._on_sent)

    def unsent(self, smear_id: int) -> tuple[Redrawn, ...]:
        """Changes of a smear that the catalogue may lack."""
        return tuple(one.redrawn for one in self._changes if one.entry.smear_id == smear_id)

    def fill(
        self, smear_id: int, stored: Sequence[Region | NewRegion], unsent: Sequence[Redrawn]
    ) -> tuple[Region | NewRegion, ...]:
        """What is to be drawn on a smear that comes to the canvas.

        Parameters
        ----------
        stored : sequence of Region
            What the catalogue has.
        unsent : sequence of Redrawn
            See `unsent`, before the catalogue was asked: it may have taken them since.
        """
        self._write()  # what the disk refused
        shown: list[Region | NewRegion] = list(stored)
        later = (one for one in self.unsent(smear_id) if one not in unsent)
        for redrawn in (*unsent, *later):
            shown = _redrawn(shown, redrawn)
        forms = [(drawn_form(one), plain(one)) for one in shown]
        self._shown = [form for form, _own in forms if form is not None]
        self._stored = {form: own for form, own in forms if form is not None}
        return tuple(shown)

    def save(self, smear_id: int, drawn: Sequence[NewRegion]) -> None:
        """Store what differs from what was on the canvas before."""
        before, now = Counter(self._shown), Counter(drawn)
        erased = [self._stored.get(one, one) for one in (before - now).elements()]
        new = tuple((now - before).elements())
        if not erased and not new:
            return
        self._shown = list(drawn)
        redrawn = Redrawn(erased=tuple(erased), drawn=new)
        entry = Entry(
            smear_id=smear_id,
            reader=self._session.reader,
            at=self._outbox.moment([smear_id]),
            redrawn=redrawn,
        )
        self._changes.append(_Change(entry, redrawn))
        self._write()

    def _write(self) -> None:
        """Put on the disk what is not on its way there."""
        due = [one for one in self._changes if not one.is_handed]

        def on_disk() -> None:
            for one in due:
                one.is_on_disk = True

        def on_refused() -> None:
            """A person was told; the next change or smear tries again."""
            for one in due:
                one.is_handed = False

        if due:
            for one in due:
                one.is_handed = True
            self._outbox.write([one.entry for one in due], on_disk, on_refused)

    def _on_adopted(self, entries: Sequence[Entry]) -> None:
        """What an earlier viewer could not send is shown here."""
        self._changes[:0] = [
            _Change(one, one.redrawn, is_handed=True, is_on_disk=True)
            for one in entries
            if one.redrawn is not None
        ]

    def _on_sent(self) -> None:
        if not self._outbox.unsent:
            self._changes = [one for one in self._changes if not one.is_on_disk]

    def _on_outbox_changed(self) -> None:
        self._changes, self._shown, self._stored = [], [], {}


def _redrawn(shown: Sequence[Region | NewRegion], redrawn: Redrawn) -> list[Region | NewRegion]:
    """The regions after a change, also if they hold some of it already."""
    erased = Counter(redrawn.erased)
    left: list[Region | NewRegion] = []
    for one in shown:
        if erased[plain(one)]:
            erased[plain(one)] -= 1
        else:
            left.append(one)
    known = {plain(one) for one in left}
    return left + [one for one in redrawn.drawn if one not in known]
