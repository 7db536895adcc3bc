"""`make bench`: what stands between the bare model and a person, as a table of ratios.

    python -m tests.bench [--quick] [--json FILE] [--only engine,latency,...]

Each figure compares two things that were measured in turn in this run; none is a time limit.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

import torch

from tests.bench.catalogue import catalogue
from tests.bench.figures import Figure, table
from tests.bench.material import write_fields
from tests.bench.path import latency, throughput
from tests.bench.training import training
from tests.bench.viewer import viewer
from tests.bench.workers import two_workers

PARTS = ("engine", "latency", "workers", "catalogue", "training", "viewer")


def main() -> int:
    """Measure, print, and tell by the exit code whether every goal is met."""
    arguments = _arguments()
    for name in [name for name in os.environ if name.startswith("MARROW_")]:
        del os.environ[name]  # a study of this machine is not the bench's
    begun = time.monotonic()
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="marrow-bench-") as name:
        folder = Path(name)
        for part in arguments.only:
            print(f"measuring: {part} ...", file=sys.stderr, flush=True)
            figures += _measure(part, folder / part, arguments.quick)
    taken_s = time.monotonic() - begun
    print(f"{_machine()}; {taken_s / 60:.1f} min; load of others at the end: {_load()}\n")
    print(table(figures))
    if arguments.json is not None:
        rows = [figure.as_json() for figure in figures]
        arguments.json.write_text(json.dumps({"machine": _machine(), "figures": rows}, indent=1))
    return 0 if all(figure.is_met for figure in figures) else 1


def _measure(part: str, folder: Path, is_quick: bool) -> list[Figure]:
    # A batch to warm up with comes on top: 8 fields on a CPU, 64 on a GPU.
    warm_up = 64 if torch.cuda.is_available() else 8
    folder.mkdir()
    if part == "engine":
        count, rounds = (128, 2) if is_quick else (512, 4)
        fields = write_fields(folder / "fields", count + warm_up)
        return throughput(folder / "home", fields, rounds)
    if part == "latency":
        rounds = 7 if is_quick else 31
        fields = write_fields(folder / "fields", 8 * (rounds + 1))
        return latency(folder / "home", fields, rounds)
    if part == "catalogue":
        return catalogue(folder / "home", 100_000 if is_quick else 1_000_000)
    if part == "training":
        fields_count, rounds = (24, 2) if is_quick else (64, 5)
        return training(folder, fields_count, rounds)
    if part == "viewer":
        stored = folder.parent / "catalogue" / "home"  # where that part was measured before
        return viewer(folder, is_quick, stored if stored.exists() else None)
    rounds = 1 if is_quick else 3
    fields = write_fields(folder / "fields", 64 * (rounds + 1))
    return two_workers(folder, fields, rounds)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer fields, fewer rounds")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here too")
    parser.add_argument(
        "--only", type=_parts, default=PARTS, metavar="PARTS", help=f"some of {','.join(PARTS)}"
    )
    return parser.parse_args()


def _parts(text: str) -> tuple[str, ...]:
    parts = tuple(text.split(","))
    if unknown := set(parts) - set(PARTS):
        raise argparse.ArgumentTypeError(f"{sorted(unknown)} are none of {PARTS}")
    return parts


def _machine() -> str:
    device = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "no GPU"
    cores = f"{os.cpu_count()} cores ({torch.backends.cpu.get_cpu_capability()})"
    return f"{cores}, torch {torch.__version__}, {torch.get_num_threads()} threads, {device}"


def _load() -> str:
    return f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"


if __name__ == "__main__":
    raise SystemExit(main())
