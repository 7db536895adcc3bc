"""`marrow models`: the registry, its champion, and models as files."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from marrow.catalogue import models
from marrow.cli import AsJson, session_of, show
from marrow.commands.comparison_values import facts_values
from marrow.commands.jobs import model_number
from marrow.commands.model_words import cell_text, comparison_text, refusal_text
from marrow.comparing import without_hidden
from marrow.comparison_facts import comparison_facts
from marrow.figure_words import (
    ALL_FIGURES,
    figure_lines,
    figures_text,
    interval,
    protocol_text,
)
from marrow.model_files import export_model
from marrow.promotion import Promoted, champion_id, compare_models, promote, refusal, rollback

__all__ = [
    "ALL_FIGURES",
    "Model",
    "Reason",
    "figure_lines",
    "figures_text",
    "group",
    "interval",
    "promoted_text",
    "promoted_values",
    "register",
]

group = typer.Typer(help="The study's trained models.", invoke_without_command=True)
Model = Annotated[str, typer.Argument(metavar="MODEL", help="m17")]
Reason = Annotated[str, typer.Option(help="Why; it is stored.")]


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
    table = Table("model", "", "backbone", "tune", "cell", "protocol", "test figures")
    for one in found:
        table.add_row(
            one.name,
            "*" if one.is_champion else "",
            str(one.card.get("backbone", "")),
            str(one.card.get("training", {}).get("tune", "")),
            cell_text(one),
            protocol_text(one),
            figures_text(one),
        )
    Console().print(table if found else "No models yet: `marrow train` makes one")


@group.command("show")
def show_model(context: typer.Context, model: Model, as_json: AsJson = False) -> None:
    """A model's card, whole."""
    with session_of(context).study.database.read() as connection:
        found = models.get(connection, model_number(model) or 0)
    if as_json:
        show(True, found.card, "")
        return
    Console().print_json(data=found.card)


@group.command("compare")
def compare_two(
    context: typer.Context, champion: Model, challenger: Model, as_json: AsJson = False
) -> None:
    """Two models on the patients that neither was trained on, and whether the second would be
    refused as champion; --json has ROC curves, confusion matrices and tables too."""
    study = session_of(context).study
    pair = [model_number(one) or 0 for one in (champion, challenger)]
    found = compare_models(study, pair[0], pair[1])
    refused = refusal(study, found)
    text = f"{comparison_text(found, study.scheme)}\n{refusal_text(found, refused)}"
    values: dict[str, Any] = {}
    if as_json:
        with study.database.read() as connection:
            both = [models.get(connection, one) for one in pair]
            facts = comparison_facts(connection, study.scheme, both[0], both[1])
        values = found.model_dump(mode="json") | facts_values(facts) | {"refusal": refused}
    show(as_json, values, text)


@group.command("promote")
def promote_model(
    context: typer.Context,
    model: Model,
    reason: Reason,
    force: Annotated[
        bool, typer.Option("--force", help="Also if it is worse, or cannot be compared.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make a model the champion, unless it is shown to be worse where neither was trained."""
    study = session_of(context).study
    done = promote(study, model_number(model) or 0, champion_id(study), reason, force=force)
    show(as_json, promoted_values(done), promoted_text(done, study.scheme))


@group.command("rollback")
def rollback_model(
    context: typer.Context, reason: Reason = "rolled back", as_json: AsJson = False
) -> None:
    """Make the previous champion champion again."""
    study = session_of(context).study
    done = rollback(study, champion_id(study), reason)
    show(as_json, promoted_values(done), promoted_text(done, study.scheme))


@group.command("history")
def history(context: typer.Context, as_json: AsJson = False) -> None:
    """Every change of the champion, newest first, and why."""
    study = session_of(context).study
    with study.database.read() as connection:
        found = models.promotions(connection)[::-1]
        compared = [without_hidden(connection, study.scheme, one.comparison) for one in found]
    if as_json:
        rows = [
            one.model_dump() | {"comparison": its} for one, its in zip(found, compared, strict=True)
        ]
        show(True, rows, "")
        return
    table = Table("when (UTC)", "champion", "before", "how", "reason")
    for one in found:
        when = datetime.fromtimestamp(one.at, UTC).strftime("%Y-%m-%d %H:%M")
        how = "rollback" if one.is_rollback else "forced" if one.is_forced else ""
        before = "" if one.previous_id is None else f"m{one.previous_id}"
        table.add_row(when, f"m{one.model_id}", before, how, one.reason)
    Console().print(table if found else "No change of the champion is on record")


@group.command("export")
def export(
    context: typer.Context,
    model: Model,
    file: Annotated[Path, typer.Argument(metavar="FILE.zip")],
    force: Annotated[bool, typer.Option("--force", help="Replace the file.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write a model into one file, with checksums."""
    study = session_of(context).study
    made = export_model(study, model_number(model) or 0, file, force=force)
    text = (
        f"{made.name} is in {file} (SHA-256 of its weights {made.sha256[:12]}); "
        "its card lists the pseudonyms of its patients"
    )
    show(as_json, {"file": str(file), "model": made.name, "sha256": made.sha256}, text)


def promoted_values(done: Promoted) -> dict[str, Any]:
    """A change of the champion, fit for JSON."""
    return {
        "champion": done.champion.name,
        "previous": None if done.previous is None else done.previous.name,
        "is_forced": done.is_forced,
        "comparison": None if done.comparison is None else done.comparison.model_dump(mode="json"),
    }


def promoted_text(done: Promoted, scheme: Any) -> str:
    """A change of the champion in words."""
    instead = "" if done.previous is None else f", instead of {done.previous.name}"
    forced = " (forced: this is on record)" if done.is_forced else ""
    text = f"{done.champion.name} is the champion{instead}{forced}"
    if done.comparison is None:
        return text
    return f"{text}\n{comparison_text(done.comparison, scheme)}"
