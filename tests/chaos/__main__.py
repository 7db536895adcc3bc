"""The long form: python -m tests.chaos --seeds 0-19 --smears 100000 --kills 50 --folder DIR.

Each finished seed leaves a line in <folder>/results.jsonl; started again, the program goes on
with the seeds that are missing. At the end it prints a table, and its exit code is 1 if any
invariant was violated or if work went on too late after the kill of a worker or a broker.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import sys
from collections.abc import Callable
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Any

from marrow.catalogue.jobs import PIECE_SIZE
from tests.chaos import report
from tests.chaos.configurations import CONFIGURATIONS, open_room
from tests.chaos.plan import plan
from tests.chaos.run import Run
from tests.chaos.servers import new_database, postgres_server
from tests.chaos.smears import register, write_smears
from tests.chaos.stub_options import StubOptions

LEAST_KILLS = 3
"""Of a seed."""
PATIENCE_S = 180.0


def seeds_in(stated: str) -> range:
    """`0-19` or `7`."""
    first, _, last = stated.partition("-")
    return range(int(first), int(last or first) + 1)


def main() -> int:
    """Run what is missing, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seeds", type=seeds_in, default=range(20), help="FIRST-LAST")
    parser.add_argument("--smears", type=int, default=100_000)
    parser.add_argument("--kills", type=int, default=50, help="over all seeds; 3 a seed at least")
    parser.add_argument(
        "--config", choices=CONFIGURATIONS, action="append", help="default: they take turns"
    )
    parser.add_argument("--smear-s", type=float, default=0.0, help="pretended computing time")
    parser.add_argument("--folder", type=Path, default=Path("chaos"))
    chosen = parser.parse_args()
    folder: Path = chosen.folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    results = folder / "results.jsonl"
    kills = max(LEAST_KILLS, math.ceil(chosen.kills / len(chosen.seeds)))
    kinds = chosen.config or CONFIGURATIONS
    wanted = [(seed, kinds[seed % len(kinds)]) for seed in chosen.seeds]
    with ExitStack() as stack:
        server = cache(lambda: stack.enter_context(postgres_server()))
        for seed, kind in wanted:
            if (seed, kind, chosen.smears) in {_key(line) for line in _lines(results)}:
                continue
            print(f"seed {seed}, {kind} ...", flush=True)
            line = _run(folder, seed, kind, chosen, kills, server)
            with results.open("a") as file:
                file.write(json.dumps(line) + "\n")
    lines = [line for line in _lines(results) if line["smears"] == chosen.smears]
    late = report.slow_kinds(lines)
    print(report.table(lines), *late, sep="\n")
    return 1 if late or any(line["faults"] for line in lines) else 0


def _run(
    folder: Path,
    seed: int,
    kind: Any,
    chosen: argparse.Namespace,
    kills: int,
    server: Callable[[], str],
) -> dict[str, Any]:
    """One seed, in a new room; the room of a seed without faults is not kept."""
    place = folder / f"seed-{seed}-{kind}"
    shutil.rmtree(place, ignore_errors=True)
    options = StubOptions(smear_s=chosen.smear_s)
    room = open_room(kind, place, options, lambda: new_database(server(), f"seed{seed}"))
    try:
        ids = register(room.study, write_smears(folder / "smears", chosen.smears))
        moments = plan(seed, chosen.smears // PIECE_SIZE["overnight"], kills, room.possible)
        result = Run(room, PATIENCE_S)(ids, moments, priority="overnight")
    finally:
        room.close()
    if not result.faults:
        shutil.rmtree(place)
    return report.line_of(seed, kind, chosen.smears, result)


def _lines(results: Path) -> list[dict[str, Any]]:
    text = results.read_text() if results.exists() else ""
    return [json.loads(line) for line in text.splitlines()]


def _key(line: dict[str, Any]) -> tuple[int, str, int]:
    return line["seed"], line["configuration"], line["smears"]


if __name__ == "__main__":
    sys.exit(main())
