"""How fast work went, and from that how long the rest will take; pure functions on times."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

from marrow.records import Night
from marrow.windows import opening

BRIDGE_S = 2.0
"""A pause of up to so long between two pieces belongs to the work: sending and claiming. A
longer one is a night, a break or a dead worker."""
MOST_NIGHTS = 366
"""More nights than that are not counted: the answer would be "never" anyway."""


class PieceRun(NamedTuple):
    """A finished piece of a classification: when it was worked on, and how many smears it held."""

    started_at: float
    """Seconds since 1970, as are all times here."""
    finished_at: float
    smears: int
    is_slide: bool
    device: str = ""
    """What computed its first smear, as in its provenance; empty where that one failed."""


class Pace(NamedTuple):
    """What was measured on finished pieces; None where there was none of that kind."""

    field_s: float | None
    """Seconds of one worker per field."""
    slide_s: float | None
    """Seconds of one worker per slide."""
    at_once: float
    """Mean number of workers while anything was worked on, pauses between pieces included: one
    worker that waits a twentieth of its time for the next piece counts 0.95."""


class End(NamedTuple):
    """When work is expected to be over."""

    at: float
    nights: int
    """Windows that it needs, this one included; 1 without a window."""


def busy_s(spans: Iterable[tuple[float, float]], bridge_s: float = BRIDGE_S) -> float:
    """Seconds in which at least one (start, end) was going on; pauses up to `bridge_s` count."""
    total, begun, until = 0.0, 0.0, float("-inf")
    for start, end in sorted(spans):
        if start > until + bridge_s:
            total += until - begun if until > begun else 0.0
            begun, until = start, end
        until = max(until, end)
    return total + (until - begun if until > begun else 0.0)


def pace_of(runs: Sequence[PieceRun]) -> Pace | None:
    """What these pieces say; None without any.

    The overall rate of one kind of smear is at_once / seconds, that is smears / busy_s.
    """
    busy = busy_s((run.started_at, run.finished_at) for run in runs)
    worked = sum(run.finished_at - run.started_at for run in runs)
    if not runs or busy <= 0 or worked <= 0:
        return None
    return Pace(_seconds_each(runs, False), _seconds_each(runs, True), worked / busy)


def work_s(fields: int, slides: int, pace: Pace, workers: float) -> float | None:
    """Seconds that so many workers take; None if a kind that is left was never measured."""
    if (fields and pace.field_s is None) or (slides and pace.slide_s is None):
        return None
    return (fields * (pace.field_s or 0.0) + slides * (pace.slide_s or 0.0)) / workers


def end_of(
    seconds: float, now: float, opens_at: float | None, closes_at: float | None, night: Night | None
) -> End | None:
    """When work of so many seconds is over that may go on only while its window is open.

    Parameters
    ----------
    seconds : float
        Of uninterrupted work.
    opens_at, closes_at : float or None
        The window that is open or comes next; None: at once, and without an end.
    night : Night or None
        Says when the later windows are.

    Returns
    -------
    End or None
        None if it would take more than `MOST_NIGHTS` nights.
    """
    begins = now if opens_at is None else max(now, opens_at)
    left = seconds
    for nights in range(1, MOST_NIGHTS + 1):
        if closes_at is None or begins + left <= closes_at:
            return End(begins + left, nights)
        left -= max(0.0, closes_at - begins)
        if night is None:
            return None
        begins, closes_at = opening(night, max(closes_at, begins))
    return None


def epochs_s(
    told: Iterable[tuple[int, float]], leads: Iterable[float], left: int, runs_left: int
) -> float | None:
    """Seconds that the rest of a training takes, from the epochs that were told so far.

    Parameters
    ----------
    told : iterable of (int, float)
        Run and time of each epoch, in order. Quick ones are told some at a time: those of one
        run and time share the time since the run's last one.
    leads : iterable of float
        Seconds from the start of a run to its first epoch (features, the first epoch), of
        each run that has one.
    left, runs_left : int
        Epochs and runs that are not done; a run that has begun is not left.

    Returns
    -------
    float or None
        None before epochs of one run have been told at two times.
    """
    times: dict[int, Counter[float]] = {}
    for run, at in told:
        times.setdefault(run, Counter())[at] += 1
    gaps = [
        (at - before) / count
        for counts in times.values()
        for (before, _), (at, count) in pairwise(counts.items())
        for _ in range(count)
    ]
    known_leads = sorted(leads)
    if not gaps:
        return None
    usual_gap = sorted(gaps)[len(gaps) // 2]
    usual_lead = known_leads[len(known_leads) // 2] if known_leads else usual_gap
    return max(0, left - runs_left) * usual_gap + runs_left * usual_lead


def _seconds_each(runs: Sequence[PieceRun], is_slide: bool) -> float | None:
    same = [run for run in runs if run.is_slide == is_slide]
    smears = sum(run.smears for run in same)
    return sum(run.finished_at - run.started_at for run in same) / smears if smears else None
