"""The `marrow` command as a person calls it, its answer read as JSON."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any


def marrow(home: Path, *arguments: object) -> Any:
    """What a subcommand prints under --json; a refusal ends this program with its sentence."""
    command = [sys.executable, "-P", "-m", "marrow", "--home", str(home), *map(str, arguments)]
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"marrow {' '.join(map(str, arguments))}: {done.stderr.strip()}")
    return json.loads(done.stdout)


def cohort(home: Path, *folders: Path, scheme: Path | None = None) -> None:
    """A new study with the smears of folders that have a labels.csv."""
    marrow(home, "init", *(() if scheme is None else ("--scheme", scheme)))
    for folder in folders:
        marrow(home, "import", folder, "--labels", folder / "labels.csv")
