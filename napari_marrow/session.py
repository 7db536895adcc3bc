"""What the panels share: the open study, the smear that is shown, and how it is shown."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from psygnal import SignalGroupDescriptor

from napari_marrow.desk import Desk


@dataclass(frozen=True)
class Evidence:
    """Which heatmap is drawn: a class of a head."""

    head: str
    class_name: str


@dataclass
class Session:
    """Evented state of one viewer; only the main thread touches it.

    `session.events.<name>` is emitted when a field gets another value, and not when it gets
    the same value again.
    """

    desk: Desk | None = None
    """The open study, None before one is opened."""
    smear_id: int | None = None
    """The smear on the canvas."""
    prediction_id: int | None = None
    """The prediction whose heatmap is on the canvas."""
    evidence: Evidence | None = None
    """The class of the heatmap; None: the called class of the primary head."""
    opacity: float = 0.7
    """Of the heatmap, 0 to 1."""
    is_heatmap_shown: bool = True
    """Whether the heatmap is drawn where there is one."""
    reader: str = ""
    """Name under which labels and regions are stored."""
    is_labelling: bool = False
    """Whether label mode is on."""
    blind: tuple[str, ...] = ()
    """The study's blind readers; () where everything is open."""
    seen: frozenset[int] = field(default_factory=frozenset)
    """Smears of which a prediction was on the screen; their labels are not blind."""

    unfinished: tuple[int, ...] = ()
    """Classifications that are not over: what the results table follows."""
    result_job: int | None = None
    """The job whose results are listed; None: all predictions."""

    events: ClassVar[SignalGroupDescriptor] = SignalGroupDescriptor()

    def note_seen(self, smear_ids: frozenset[int]) -> None:
        """Remember that predictions of these smears were on the screen."""
        if not smear_ids <= self.seen:
            self.seen = self.seen | smear_ids
