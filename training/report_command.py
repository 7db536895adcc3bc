"""`marrow report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from marrow.cli import AsJson, console, session_of, show
from marrow.client import has_worker_installed
from marrow.commands.jobs import model_number
from marrow.errors import BadModel


def register(app: typer.Typer) -> None:
    """Add this subcommand."""
    app.command("report")(report)


def report(
    context: typer.Context,
    model: Annotated[str, typer.Argument(metavar="MODEL", help="m17")],
    out: Annotated[Path, typer.Option("--out", help="Folder of the report.")],
    as_json: AsJson = False,
) -> None:
    """Write a model's report: tables, figures, model card, and one HTML page."""
    if not has_worker_installed():
        raise BadModel('A report needs the extra: pip install "napari-marrow[worker]"')
    from training.report import make_report  # torch and matplotlib: not for every `marrow --help`

    session = session_of(context)
    number = model_number(model) or 0
    screen = console()
    with screen.status("Reading") as status:
        # Nobody sees a line that moves in a pipe: there each step is a line of its own.
        say = status.update if screen.is_terminal else screen.print
        made = make_report(session.study, number, out, lambda title: say(f"Making: {title}"))
    values = {
        "page": str(made.page),
        "files": [str(one) for one in made.files],
        "missing": made.missing,
    }
    text = f"{made.page}\n{len(made.files)} files"
    if made.missing:
        text += "\nNot in it:\n" + "\n".join(f"  {sentence}" for sentence in made.missing)
    show(as_json, values, text)
