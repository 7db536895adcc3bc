"""The smears that label mode walks through, and the one that is labelled now."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass

from marrow.schemes import Head
from napari_marrow.desks.cases import Run


class LabelRun:
    """What the list showed when label mode began or the filter was changed.

    A smear that was labelled stays in it, also where the filter asks for unlabelled ones.

    Parameters
    ----------
    run : Run
    """

    def __init__(self, run: Run) -> None:
        self.ids = run.ids
        self._unread = set(run.unread)

    @property
    def left(self) -> int:
        """Smears that the reader has not labelled."""
        return len(self._unread)

    def place(self, smear_id: int) -> int | None:
        """Where a smear stands, from 0; None: it is not listed."""
        place = bisect_left(self.ids, smear_id)
        return place if place < len(self.ids) and self.ids[place] == smear_id else None

    def beside(self, smear_id: int, by: int) -> int | None:
        """The smear before (-1) or after (1) this one, which need not be listed itself."""
        ids = self.ids
        place = bisect_left(ids, smear_id) - 1 if by < 0 else bisect_right(ids, smear_id)
        return ids[place] if 0 <= place < len(ids) else None

    def next_unread(self, smear_id: int | None) -> int | None:
        """The next smear without a label after this one, around the end; None: all have one."""
        start = 0 if smear_id is None else bisect_right(self.ids, smear_id)
        around = (*self.ids[start:], *self.ids[:start])
        return next((one for one in around if one in self._unread), None)

    def note(self, smear_id: int, *, is_read: bool) -> None:
        """A listed smear has the reader's label now, or has lost it."""
        if is_read:
            self._unread.discard(smear_id)
        elif self.place(smear_id) is not None:
            self._unread.add(smear_id)


@dataclass
class LabelCase:
    """The smear that is labelled now, or is on its way to the canvas."""

    smear_id: int
    own: dict[str, str]
    """The reader's answers by head; "": none."""
    head: Head
    """The one that is asked."""
    is_flagged: bool = False
    is_drawn: bool = False
    """Whether it is on the canvas, or a sentence why it cannot be."""
    is_unreadable: bool = False
    is_read: bool = False
    """Whether the reader's own words of it are known."""
    is_storing: bool = False
    is_owed: bool = False
    """Whether the catalogue did not answer when it was asked for this smear, and is asked again."""

    @property
    def coming(self) -> int | None:
        """The smear while it is on its way, None when it is on the canvas."""
        return None if self.is_drawn else self.smear_id

    @property
    def is_ready(self) -> bool:
        """Whether an answer may be given: what is seen is what is labelled."""
        return self.is_drawn and self.is_read and not self.is_storing

    def release(self) -> None:
        """Its answer is stored, or cannot be: another one may be given."""
        self.is_storing = False
