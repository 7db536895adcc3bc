"""`marrow export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from marrow.cli import AsJson, session_of, show
from marrow.exporting import write_all_csv


def register(app: typer.Typer) -> None:
    """Add this subcommand."""
    app.command("export")(export)


def export(
    context: typer.Context,
    target: Annotated[Path, typer.Argument(metavar="FILE.csv")],
    as_json: AsJson = False,
) -> None:
    """Write all predictions of the study as CSV."""
    if target.suffix.lower() != ".csv":
        raise typer.BadParameter(f"{target.name}: the form is told by the suffix; use .csv")
    written = write_all_csv(session_of(context).study, target)
    show(as_json, {"rows": written, "file": str(target)}, f"{written} predictions in {target}")
