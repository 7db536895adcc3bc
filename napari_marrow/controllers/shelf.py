"""Smears that are opened off the GUI thread, some of them before they are asked for."""

from __future__ import annotations

from collections.abc import Callable

from napari_marrow.background import Background
from napari_marrow.desk import Desk
from napari_marrow.desks.smears import NoPixels, SmearPixels

MOST_READY = 2
"""Smears that are kept open beside the shown one: the next, and the one after or before."""

Then = Callable[[SmearPixels | NoPixels], None]


class Shelf:
    """Hands out open smears; what nobody wants any more is closed.

    Only the main thread calls it. A smear that is being opened is opened once, also if it is
    wanted meanwhile; one whose turn comes when nobody wants it any more is not opened.

    Parameters
    ----------
    background : Background
    """

    def __init__(self, background: Background) -> None:
        self._background = background
        self._desk: Desk | None = None
        self._ready: dict[int, SmearPixels] = {}
        self._opening: set[int] = set()
        self._wanted: tuple[int, Then] | None = None
        self._expected: tuple[int, ...] = ()
        """Smears that may be wanted next, the latest last."""

    @property
    def ready(self) -> tuple[int, ...]:
        """Ids of the smears that wait, open."""
        return tuple(self._ready)

    def take(self, desk: Desk, smear_id: int, then: Then) -> None:
        """Hand an open smear to `then`, at once if it is ready; it is the caller's to close.

        Whatever was wanted before and has not come is not wanted any more.
        """
        self._turn_to(desk)
        self._wanted = None
        self._expected = tuple(one for one in self._expected if one != smear_id)
        if smear_id in self._ready:
            then(self._ready.pop(smear_id))
            return
        self._wanted = (smear_id, then)
        self._open(desk, smear_id)

    def prefetch(self, desk: Desk, smear_id: int) -> None:
        """Have a smear open before it is wanted, in the place of the one longest expected."""
        self._turn_to(desk)
        others = tuple(one for one in self._expected if one != smear_id)
        self._expected = (*others, smear_id)[-MOST_READY:]
        for one in [*self._ready]:
            if one not in self._expected:
                self._ready.pop(one).image.close()
        if smear_id not in self._ready:
            self._open(desk, smear_id)

    def clear(self) -> None:
        """Close what is ready and want nothing."""
        self._wanted, self._expected, self._desk = None, (), None
        self._opening.clear()
        for pixels in self._ready.values():
            pixels.image.close()
        self._ready.clear()

    def _turn_to(self, desk: Desk) -> None:
        if desk is not self._desk:
            self.clear()
            self._desk = desk

    def _open(self, desk: Desk, smear_id: int) -> None:
        if smear_id in self._opening:
            return
        self._opening.add(smear_id)
        self._background.tell(
            lambda: desk.smears.pixels(smear_id) if self._has_use(desk, smear_id) else None,
            lambda pixels: self._on_opened(desk, smear_id, pixels),
            lane="pictures",
            failed=lambda: self._on_failed(desk, smear_id),
        )

    def _has_use(self, desk: Desk, smear_id: int) -> bool:
        """Asked on the other thread, too: reads what the main thread replaces as a whole."""
        wanted = self._wanted
        return desk is self._desk and (
            smear_id in self._expected or (wanted is not None and wanted[0] == smear_id)
        )

    def _on_opened(self, desk: Desk, smear_id: int, pixels: SmearPixels | NoPixels | None) -> None:
        if desk is self._desk:
            self._opening.discard(smear_id)
        if desk is self._desk and self._wanted is not None and self._wanted[0] == smear_id:
            if pixels is None:  # given up, and wanted again before the answer came
                self._open(desk, smear_id)
                return
            (_, then), self._wanted = self._wanted, None
            then(pixels)
        elif isinstance(pixels, SmearPixels):
            if desk is self._desk and smear_id in self._expected:
                self._ready[smear_id] = pixels
            else:
                pixels.image.close()

    def _on_failed(self, desk: Desk, smear_id: int) -> None:
        if desk is self._desk:
            self._opening.discard(smear_id)
