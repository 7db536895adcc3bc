"""`marrow models`: the registry."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from marrow.catalogue import models
from marrow.cli import AsJson, session_of, show
from marrow.commands.jobs import model_number
from marrow.records import ModelRecord

group = typer.Typer(help="The study's trained models.", invoke_without_command=True)


def register(app: typer.Typer) -> None:
    """Add the group."""
    app.add_typer(group, name="models")


@group.callback()
def _default(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        list_models(context)


@group.command("list")
def list_models(context: typer.Context, as_json: AsJson = False) -> None:
    """All models, newest first; * marks the champion."""
    with session_of(context).study.database.read() as connection:
        found = models.all_models(connection)
    if as_json:
        show(True, [one.model_dump() for one in found], "")
        return
    table = Table("model", "", "backbone", "tune", "epochs", "test figures")
    for one in found:
        training = one.card.get("training", {})
        table.add_row(
            one.name,
            "*" if one.is_champion else "",
            str(one.card.get("backbone", "")),
            str(training.get("tune", "")),
            str(training.get("epochs", "")),
            figures_text(one),
        )
    Console().print(table if found else "No models yet: `marrow train` makes one")


@group.command("show")
def show_model(
    context: typer.Context,
    model: Annotated[str, typer.Argument(metavar="MODEL", help="m17")],
    as_json: AsJson = False,
) -> None:
    """A model's card, whole."""
    with session_of(context).study.database.read() as connection:
        found = models.get(connection, model_number(model) or 0)
    if as_json:
        show(True, found.card, "")
        return
    Console().print_json(data=found.card)


def figures_text(model: ModelRecord) -> str:
    """The test figures of a card in a few lines, each with its n, unit and interval."""
    lines = []
    for head, figures in model.card.get("figures", {}).get("heads", {}).items():
        for name in ("accuracy", "auc"):
            figure = figures.get(name)
            if isinstance(figure, dict):
                lines.append(f"{head} {name.upper() if name == 'auc' else name} {interval(figure)}")
    return "\n".join(lines)


def interval(figure: dict[str, object]) -> str:
    """A stored figure as text: 0.912 (0.85-0.96), n = 40 patients."""
    value, low, high = figure.get("value"), figure.get("low"), figure.get("high")
    if value is None:
        return f"not estimable ({figure.get('reason', 'no cases')})"
    text = f"{value:.3f}"
    if low is not None and high is not None:
        text += f" ({low:.3f}-{high:.3f})"
    else:
        text += f" (no interval: {figure.get('reason') or 'not estimable'})"
    if "n" in figure:
        text += f", n = {figure['n']} {figure.get('unit', '')}".rstrip()
    return text
