"""Noticing that a process of this machine died or was started again, from one look to the next."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

NEWS_S = 120.0
"""So long a person can read what has happened."""
MOST_NEWS = 3


@dataclass(frozen=True)
class Machine:
    """The processes of one moment."""

    agent: int | None
    """Pid; None: no agent runs on this machine."""
    broker: int | None
    workers: frozenset[str]
    """Ids of the workers that were heard of lately."""
    is_due: bool
    """Whether there is work; without any the agent goes by itself."""
    lost: Mapping[int, int] = field(default_factory=dict)
    """How often a worker died with a part of a job, by job."""


class MachineWatch:
    """Compares each look with the one before; of the first there is nothing to say."""

    def __init__(self) -> None:
        self._before: Machine | None = None
        self._gone: set[str] = set()
        self._news: list[tuple[float, str]] = []

    def look(self, now: Machine, at: float) -> tuple[str, ...]:
        """What is to be said, the newest first.

        Parameters
        ----------
        at : float
            Seconds since 1970.
        """
        if self._before is not None:
            self._news[:0] = [(at, sentence) for sentence in self._changes(self._before, now)]
        self._before = now
        self._news = [one for one in self._news if at - one[0] < NEWS_S][:MOST_NEWS]
        said = [f"{_clock(when)} {sentence}" for when, sentence in self._news]
        return (*self._standing(now), *said)

    def _standing(self, now: Machine) -> list[str]:
        if not now.is_due:
            return []
        if now.agent is None:
            return ["No agent runs: it is being started. What was done is stored."]
        if "broker" in self._gone:
            return ["The broker is gone: the agent starts it again. What waits is not lost."]
        return []

    def _changes(self, before: Machine, now: Machine) -> list[str]:
        said = []
        if before.is_due and before.agent is not None and now.agent != before.agent:
            self._gone.add("agent")
        elif before.is_due and before.broker is not None and now.broker != before.broker:
            self._gone.add("broker")
        if "agent" in self._gone and now.agent is not None:
            said.append("The agent had died and was started again.")
            self._gone.clear()  # its broker and its workers are new as well
        elif "broker" in self._gone and now.broker is not None:
            said.append("The broker had died and was started again.")
            self._gone.discard("broker")
        if any(count > before.lost.get(job, count) for job, count in now.lost.items()):
            said.append("A worker died; what it had in hand is done again.")
        elif before.is_due and before.workers - now.workers and now.agent == before.agent:
            said.append("A worker has ended; another one takes its place.")
        return said


def _clock(at: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(at))
