"""Real cells: one site held out, the last block tuned, and whether the flags find wrong calls."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tests.science.command import cohort, marrow

SCHEME = Path(__file__).parents[2] / "examples" / "cells.toml"


def cells(folder: Path, data: Path, weights: Path, options: Sequence[str]) -> None:
    """Import, sweep with bccd held out, and report below `folder`.

    `options` are handed on to `marrow sweep`.
    """
    home = folder / "home"
    cohort(home, data / "cells", scheme=SCHEME)
    try:
        marrow(
            home, "sweep", "--hold-out-site", "bccd", "--tune", "last-block",
            "--backbone", "mobilenet_v2", "--weights", weights, "--wait", *options,
        )  # fmt: skip
        chosen = next(one for one in marrow(home, "models", "list") if one["is_champion"])
        marrow(home, "report", f"m{chosen['id']}", "--out", folder / "report")
    finally:
        marrow(home, "agent", "stop")
    for name in ("sites", "flags"):
        for path in sorted((folder / "report").rglob(f"*{name}*.csv")):
            print(path.read_text())
