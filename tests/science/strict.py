"""Strict synthetic smears at the seed paper's shape: the 3 x 3 sweep of heads, then the report.

115 development patients (26 AA, 32 MDS, 57 AML) and 432 external ones (115, 214, 103) of
another site. Everything goes through the `marrow` command, as a lab would call it.
"""

from __future__ import annotations

import time
from pathlib import Path

from marrow.synthetic import cohort as patients
from marrow.synthetic import write_cohort
from tests.science.command import cohort, marrow

DEVELOPMENT = {"AA": 26, "MDS": 32, "AML": 57}
EXTERNAL = {"AA": 115, "MDS": 214, "AML": 103}


def strict(folder: Path, weights: Path, share: float) -> None:
    """Draw, import, sweep and report below `folder`, and print what each step took.

    `share` of the patients of each class, for a trial.
    """
    _draw(folder / "smears", share)
    home = folder / "home"
    cohort(home, folder / "smears" / "own", folder / "smears" / "external")
    try:
        began = time.monotonic()
        marrow(
            home, "sweep", "--tune", "heads", "--backbone", "mobilenet_v2", "--weights", weights,
            "--hold-out-site", "external", "--wait",
        )  # fmt: skip
        swept = time.monotonic()
        chosen = next(one for one in marrow(home, "models", "list") if one["is_champion"])
        marrow(home, "report", f"m{chosen['id']}", "--out", folder / "report")
        reported = time.monotonic()
    finally:
        marrow(home, "agent", "stop")
    print(f"sweep {swept - began:.0f} s, report {reported - swept:.0f} s, ", end="")
    print(f"together {(reported - began) / 60:.1f} min: {folder / 'report'}")


def _draw(folder: Path, share: float) -> None:
    for name, counts, seed in (("own", DEVELOPMENT, 0), ("external", EXTERNAL, 1)):
        if not (folder / name / "labels.csv").exists():
            wanted = {diagnosis: max(4, round(share * n)) for diagnosis, n in counts.items()}
            write_cohort(folder / name, patients(wanted, "strict", seed, sites=(name,)))
