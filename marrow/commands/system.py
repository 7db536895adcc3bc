"""`marrow doctor` and `demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from marrow.cli import REFUSED, AsJson, session_of, show
from marrow.doctor import Finding, examine


def register(app: typer.Typer) -> None:
    """Add these subcommands."""
    app.command("doctor")(doctor)
    app.command("demo")(demo)


def doctor(context: typer.Context, as_json: AsJson = False) -> None:
    """Look at the installation and the study; exit code 1 if anything needs a hand."""
    session = session_of(context)
    findings = examine(lambda: session.settings)
    text = "\n".join(map(_line, findings))
    show(as_json, [finding._asdict() for finding in findings], text)
    if not all(finding.is_well for finding in findings):
        raise typer.Exit(REFUSED)


def demo(
    folder: Annotated[Path, typer.Option(help="Where the demo's files go.")] = Path("demo"),
    patients: Annotated[int, typer.Option(help="Synthetic patients per diagnosis.")] = 30,
) -> None:
    """The main job from end to end on synthetic smears: train, classify, look."""
    from marrow.demo import run_demo  # draws and computes: not for every `marrow --help`

    run_demo(folder.absolute(), patients)


def _line(finding: Finding) -> str:
    mark = "ok" if finding.is_well else "!!"
    remedy = f" -> {finding.remedy}" if finding.remedy else ""
    return f"{mark} {finding.what:<22} {finding.found}{remedy}"
