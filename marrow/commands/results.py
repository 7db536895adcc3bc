"""`marrow export` and `marrow worklist`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from marrow.catalogue import models, predictions
from marrow.catalogue.predictions import ResultFilter, Sort
from marrow.catalogue.sight import count_hidden
from marrow.cli import AsJson, console, session_of, show
from marrow.commands.job_words import hidden_text
from marrow.commands.result_options import (
    Call,
    Disagrees,
    Falling,
    Flag,
    JobOption,
    MinP,
    ModelOption,
    Search,
    SortBy,
    filter_of,
    sort_of,
)
from marrow.commands.worklist_words import worklist_table, worklist_values
from marrow.errors import NotFound
from marrow.exporting import (
    write_patient_sheets,
    write_patients_csv,
    write_results_csv,
    write_results_geojson,
    write_results_parquet,
)
from marrow.records import ModelRecord
from marrow.study import Study

SUFFIXES = (".csv", ".parquet", ".geojson", ".html")


def register(app: typer.Typer) -> None:
    """Add these subcommands."""
    app.command("export")(export)
    app.command("worklist")(worklist)


def export(
    context: typer.Context,
    target: Annotated[Path, typer.Argument(metavar="FILE.csv|.parquet|.geojson|.html")],
    by: Annotated[
        Literal["smear", "patient"],
        typer.Option(help="Of .csv: a row per smear and model, or per patient of a model."),
    ] = "smear",
    job: JobOption = None,
    model: ModelOption = None,
    search: Search = "",
    call: Call = None,
    min_p: MinP = None,
    flag: Flag = None,
    disagrees: Disagrees = False,
    sort: SortBy = "smear",
    descending: Falling = False,
    tiles: Annotated[bool, typer.Option("--tiles", help="Of .geojson: slides' tile maps.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write results as a table, regions for QuPath, or a printable sheet per patient."""
    suffix = target.suffix.lower()
    if suffix not in SUFFIXES:
        raise typer.BadParameter(
            f"{target.name}: the form is told by the suffix; use {', '.join(SUFFIXES)}"
        )
    study = session_of(context).study
    shown = filter_of(study, job, model, search, call, min_p, flag, disagrees)
    order = sort_of(study.scheme, sort, descending)
    if by == "patient":
        others = shown.model_copy(update={"model_id": None, "sight": None})
        if suffix != ".csv" or others != ResultFilter():
            raise typer.BadParameter("--by patient is a .csv of all patients: use --model alone")
        written = write_patients_csv(study, _model(study, shown.model_id), target)
        text, place = f"{written} patients", target
    else:
        with _bar(study, shown, as_json or suffix == ".html") as on_row:
            written, text, place = _write(study, shown, order, target, tiles, as_json, on_row)
    with study.database.read() as connection:
        hidden = count_hidden(connection, study.scheme)
    text += f" in {place}" + (f"\n{hidden_text(hidden)}" if hidden else "")
    show(as_json, {"rows": written, "file": str(place), "hidden": hidden}, text)


def worklist(
    context: typer.Context,
    job: JobOption = None,
    model: ModelOption = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="So many, the first.")] = 50,
    as_json: AsJson = False,
) -> None:
    """The morning worklist: what failed (of a job), what is flagged, then the most uncertain."""
    study = session_of(context).study
    shown, order = filter_of(study, job, model), Sort(column="worklist")
    with study.database.read() as connection:
        rows = predictions.page(connection, study.scheme, shown, order, 0, limit)
        total = predictions.count(connection, study.scheme, shown)
        hidden = count_hidden(connection, study.scheme)
    if as_json:
        values = [worklist_values(row) for row in rows]
        show(True, {"rows": values, "total": total, "hidden": hidden}, "")
        return
    if rows:
        Console().print(worklist_table(study.scheme, rows))
    text = f"{len(rows)} of {total} results, the most urgent first" if rows else "No results yet"
    show(False, None, text + (f"\n{hidden_text(hidden)}" if hidden else ""))


def _write(
    study: Study,
    shown: ResultFilter,
    sort: Sort,
    target: Path,
    with_tiles: bool,
    is_quiet: bool,
    on_row: Callable[[], None],
) -> tuple[int, str, Path]:
    """How much was written, in words, and where."""
    suffix = target.suffix.lower()
    if suffix == ".geojson":
        done = write_results_geojson(study, shown, sort, target, with_tiles, on_row)
        place = done.files[0] if len(done.files) == 1 else done.files[0].parent
        return done.features, f"{done.features} features of {len(done.files)} smears", place
    if suffix == ".html":
        with _progress(is_quiet) as progress:
            bar = progress.add_task("patients", total=None)
            written = write_patient_sheets(
                study,
                target,
                shown,
                lambda done, total: progress.update(bar, completed=done, total=total),
            )
        return written, f"{written} patients", target
    write = write_results_csv if suffix == ".csv" else write_results_parquet
    written = write(study, shown, sort, target, on_row)
    return written, f"{written} predictions", target


@contextmanager
def _bar(study: Study, shown: ResultFilter, is_quiet: bool) -> Iterator[Callable[[], None]]:
    """A bar that goes on by a row with each call of what it gives."""
    if is_quiet:
        yield lambda: None
        return
    with study.database.read() as connection:
        total = predictions.count(connection, study.scheme, shown)
    with _progress(is_quiet) as progress:
        bar = progress.add_task("rows", total=total)
        yield lambda: progress.advance(bar)


def _progress(is_quiet: bool) -> Progress:
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn())
    return Progress(*columns, console=console(), disable=is_quiet, transient=True)


def _model(study: Study, model_id: int | None) -> ModelRecord:
    with study.database.read() as connection:
        if model_id is not None:
            return models.get(connection, model_id)
        found = models.champion(connection)
    if found is None:
        raise NotFound("There is no model yet: `marrow train` makes one")
    return found
