"""The permuted-label control on several synthetic cohorts, and how often it fails by chance.

    python tests/science/leakage.py [SEEDS] [--backbone NAME] [--weights FILE] [--augment NAME]

Of each seed the command `marrow audit --synthetic` with that seed: two lines, one a protocol.
An honest pipeline fails in one of twenty, as the 95% interval promises.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from typing import Any


def audited(seed: int, options: list[str]) -> list[dict[str, Any]]:
    """Both protocols of one seed, as the command's JSON has them."""
    command = [sys.executable, "-m", "marrow", "audit", "--synthetic", "--json"]
    done = subprocess.run(
        [*command, "--seed", str(seed), *options], capture_output=True, text=True, check=False
    )
    if done.returncode not in (0, 1) or not done.stdout:
        raise SystemExit(done.stderr)
    protocols: list[dict[str, Any]] = json.loads(done.stdout)["protocols"]
    return protocols


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("seeds", nargs="?", type=int, default=5)
    given, options = parser.parse_known_args()
    print("seed  protocol  true   permuted, 95% interval")
    failed = 0
    for seed in range(given.seeds):
        for one in audited(seed, options):
            true, permuted = one["true"]["value"], one["permuted"]
            mean = f"{permuted['value']:.3f} ({permuted['low']:.3f}-{permuted['high']:.3f})"
            print(f"{seed:4}  {one['protocol']:8}  {true:.3f}  {mean}")
            failed += one["protocol"] == "honest" and not one["is_sound"]
    print(f"the honest pipeline failed in {failed} of {given.seeds}")


if __name__ == "__main__":
    main()
