"""`marrow export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from marrow.catalogue import models
from marrow.catalogue.sight import count_hidden
from marrow.cli import AsJson, session_of, show
from marrow.commands.job_words import hidden_text
from marrow.commands.jobs import model_number
from marrow.errors import NotFound
from marrow.exporting import write_all_csv, write_patients_csv
from marrow.records import ModelRecord
from marrow.study import Study


def register(app: typer.Typer) -> None:
    """Add this subcommand."""
    app.command("export")(export)


def export(
    context: typer.Context,
    target: Annotated[Path, typer.Argument(metavar="FILE.csv")],
    by: Annotated[
        Literal["smear", "patient"], typer.Option(help="A row per smear and model, or per patient.")
    ] = "smear",
    model: Annotated[
        str | None, typer.Option(help="m17; of --by patient (default: the champion).")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write the predictions of the study as CSV."""
    if target.suffix.lower() != ".csv":
        raise typer.BadParameter(f"{target.name}: the form is told by the suffix; use .csv")
    if by == "smear" and model is not None:
        raise typer.BadParameter("--model needs --by patient: a row per smear names its model")
    study, model_id = session_of(context).study, model_number(model)
    if by == "smear":
        written, what = write_all_csv(study, target), "predictions"
    else:
        written, what = write_patients_csv(study, _model(study, model_id), target), "patients"
    with study.database.read() as connection:
        hidden = count_hidden(connection, study.scheme)
    text = f"{written} {what} in {target}" + (f"\n{hidden_text(hidden)}" if hidden else "")
    show(as_json, {"rows": written, "file": str(target), "hidden": hidden}, text)


def _model(study: Study, model_id: int | None) -> ModelRecord:
    with study.database.read() as connection:
        if model_id is not None:
            return models.get(connection, model_id)
        found = models.champion(connection)
    if found is None:
        raise NotFound("There is no model yet: `marrow train` makes one")
    return found
