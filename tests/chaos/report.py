"""What the seeds of a long run have shown, as a table."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from tests.chaos.run import Result

CRITERION_S = 5.0
CRITERION_KINDS = ("worker", "holder", "broker")
"""Kills after which the next piece is to be finished within CRITERION_S (95%)."""


def line_of(seed: int, configuration: str, smears: int, result: Result) -> dict[str, Any]:
    """A seed's result as one JSON line."""
    stated = result.account
    return {
        "seed": seed,
        "configuration": configuration,
        "smears": smears,
        "pieces": stated.pieces,
        "deeds": [deed._asdict() for deed in result.deeds],
        "lost": stated.lost,
        "doubled": stated.doubled,
        "missing_events": stated.missing_events,
        "lost_attempts": stated.lost_attempts,
        "faults": list(result.faults),
        "duration_s": result.duration_s,
    }


def table(lines: Sequence[dict[str, Any]]) -> str:
    """All seeds, a line each, then what each kind of deed has cost."""
    head = "seed  configuration     smears  deeds  lost  doubled  missing  attempts lost  minutes"
    rows = [head]
    for line in lines:
        rows.append(
            f"{line['seed']:>4}  {line['configuration']:<16}{line['smears']:>8}"
            f"{len(line['deeds']):>7}{line['lost']:>6}{line['doubled']:>9}"
            f"{line['missing_events']:>9}{line['lost_attempts']:>15}{line['duration_s'] / 60:>9.1f}"
        )
        rows += [f"      FAULT: {fault}" for fault in line["faults"]]
    rows += ["", *_recoveries(lines)]
    return "\n".join(rows)


def _recoveries(lines: Iterable[dict[str, Any]]) -> list[str]:
    """Seconds from each kind of deed to the next piece, and of the longest pause after it."""
    found: dict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
    for line in lines:
        for deed in line["deeds"]:
            if deed["recovery_s"] is not None and deed["pause_s"] is not None:
                key = line["configuration"], deed["what"]
                found[key].append((deed["recovery_s"], deed["pause_s"]))
    rows = [
        "configuration     what           n   to the next piece, s    longest pause after it, s",
        "                                      p50    p95    max       p50    p95    max",
    ]
    for (configuration, what), both in sorted(found.items()):
        figures = np.percentile(np.array(both), (50, 95, 100), axis=0)
        recovery, pause = ("".join(f"{one:7.1f}" for one in column) for column in figures.T)
        rows.append(f"{configuration:<16}  {what:<11}{len(both):>5}  {recovery}   {pause}")
    return rows


def slow_kinds(lines: Iterable[dict[str, Any]]) -> list[str]:
    """Sentences: kills of workers and brokers after which the next piece came too late."""
    times: dict[str, list[float]] = defaultdict(list)
    for line in lines:
        for deed in line["deeds"]:
            if deed["what"] in CRITERION_KINDS and deed["recovery_s"] is not None:
                times[deed["what"]].append(deed["recovery_s"])
    late = {what: float(np.percentile(of, 95)) for what, of in times.items()}
    return [
        f"{what}: the next piece came after {p95:.1f} s (p95), wanted: {CRITERION_S:.0f} s"
        for what, p95 in late.items()
        if p95 > CRITERION_S
    ]


def kills_in(lines: Iterable[dict[str, Any]]) -> Counter[str]:
    """How often each thing was done."""
    return Counter(deed["what"] for line in lines for deed in line["deeds"])
