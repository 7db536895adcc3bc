"""How the workers are, in one line: how many are up, what waits, and when one was last heard of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from marrow.records import WorkerRecord

SILENT_AFTER_S = 10.0
"""A worker of which nothing was heard for so long is shown as silent; it tells every 3 s."""
FORGOTTEN_AFTER_S = 3600.0
"""A worker that was silent for longer is not expected back, and not counted."""


@dataclass(frozen=True)
class WorkerWords:
    """The state of the workers in words, and whether somebody should look."""

    text: str
    is_alarming: bool
    news: tuple[str, ...] = ()
    """What has just happened to a process, the newest first: a sentence each."""


@dataclass(frozen=True)
class Waiting:
    """What the workers have to do now; what waits for a night is not counted."""

    smears: int = 0
    """Without an answer, in the classifications that are due."""
    trainings: int = 0
    since: float | None = None
    """When the oldest of these jobs was submitted or its night began, seconds since 1970."""

    @property
    def is_due(self) -> bool:
        """Whether there is anything to do."""
        return self.smears > 0 or self.trainings > 0


def worker_words(workers: Sequence[WorkerRecord], now: float, waiting: Waiting) -> WorkerWords:
    """How many workers are up, and when one was last heard of.

    Parameters
    ----------
    now : float
        The catalogue's clock, seconds since 1970.
    waiting : Waiting
        Silence is alarming only where something is due.
    """
    known = [one for one in workers if now - one.seen_at <= FORGOTTEN_AFTER_S]
    up = [one for one in known if now - one.seen_at <= SILENT_AFTER_S]
    silent = [one for one in known if one not in up]
    parts = [_up(up), *_waiting(waiting, now)]
    if known:
        parts.append(f"last contact {_ago(now - max(one.seen_at for one in known))}")
    if silent and up:
        hosts = ", ".join(sorted({one.host for one in silent}))
        parts.append(f"{len(silent)} silent ({hosts})")
    return WorkerWords(" · ".join(parts), is_alarming=waiting.is_due and not up)


def _up(up: Sequence[WorkerRecord]) -> str:
    if not up:
        return "workers: none is up"
    devices = ", ".join(sorted({one.device for one in up}))
    return f"workers: {len(up)} up ({devices})"


def _waiting(waiting: Waiting, now: float) -> list[str]:
    if not waiting.is_due:
        return ["nothing waits"]
    counts = [f"{waiting.smears:,} smears"] if waiting.smears else []
    if waiting.trainings:
        counts.append(f"{waiting.trainings} training{'' if waiting.trainings == 1 else 's'}")
    parts = [f"waiting {' and '.join(counts)}"]
    if waiting.since is not None:
        parts.append(f"oldest {stopwatch(now - waiting.since)}")
    return parts


def stopwatch(seconds: float) -> str:
    """`0:41`, `12:03`, `1:02:05`: minutes and seconds, and hours where there are any."""
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def _ago(seconds: float) -> str:
    whole = max(0.0, seconds)
    if whole < 120:
        return f"{whole:.0f} s"
    return f"{whole / 60:.0f} min" if whole < 7200 else f"{whole / 3600:.0f} h"
