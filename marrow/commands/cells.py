"""`marrow board`, `stop` and `resume`: the cells of a sweep while it goes on."""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from marrow.board import Board, CellState
from marrow.catalogue.stops import Stopped
from marrow.cli import AsJson, session_of, show
from marrow.client import Client
from marrow.commands.jobs import PIPE_WIDTH, JobId
from marrow.errors import printable
from marrow.sweeps import weights_text

CellNumbers = Annotated[
    list[int] | None,
    typer.Option("--cell", min=1, help="Number on the board, several times; default: all cells."),
]


def register(app: typer.Typer) -> None:
    """Add these subcommands."""
    app.command("board")(board)
    app.command("stop")(stop)
    app.command("resume")(resume)


def board(context: typer.Context, job_id: JobId, as_json: AsJson = False) -> None:
    """The cells of a sweep: how far each is, its loss, and how it does on left-out patients."""
    found = session_of(context).client.board(job_id)
    if as_json:
        show(True, found.model_dump(mode="json", exclude={"spec"}), "")
        return
    Console(width=None if sys.stdout.isatty() else PIPE_WIDTH).print(_table(found))


def stop(
    context: typer.Context, job_id: JobId, cell: CellNumbers = None, as_json: AsJson = False
) -> None:
    """Let cells of a sweep wait, each run with a checkpoint, until `marrow resume`."""
    client = session_of(context).client
    _tell(client, job_id, client.stop_cells(job_id, _indices(cell)), as_json)


def resume(
    context: typer.Context, job_id: JobId, cell: CellNumbers = None, as_json: AsJson = False
) -> None:
    """Let stopped cells of a sweep go on where they ended."""
    client = session_of(context).client
    _tell(client, job_id, client.resume_cells(job_id, _indices(cell)), as_json)


def _indices(numbers: list[int] | None) -> list[int] | None:
    return None if numbers is None else [number - 1 for number in numbers]


def _tell(client: Client, job_id: int, stopped: Stopped, as_json: bool) -> None:
    job = client.job(job_id)
    numbers = ", ".join(str(cell + 1) for cell in stopped.cells)
    text = f"Job {job_id} is {job.state}: "
    runs = len(job.spec["runs"])
    if stopped.cells:
        text += f"cell {numbers} stopped; {len(stopped.runs)} of {runs} runs wait for a person"
    else:
        text += "nothing is stopped"
    values = {"cells": [cell + 1 for cell in stopped.cells], "runs": list(stopped.runs)}
    show(as_json, {**job.model_dump(), "stopped": values}, text)


def _table(found: Board) -> Table:
    """A row for each cell; its number is what `--cell` takes."""
    columns = ("cell", "loss weights", "epochs", "seed", "state", "epoch", "loss")
    table = Table(*columns, *_SIDES, "model", "out of fold", box=SIMPLE_HEAD, pad_edge=False)
    for cell in found.cells:
        table.add_row(*map(escape, _row(cell)))
    table.caption = escape(
        "\n".join([*found.notes, *([printable(found.news)] if found.news else [])])
    )
    table.caption_justify = "left"
    return table


_SIDES = ("left-out loss", "balanced accuracy", "AUC", "folds")


def _row(cell: CellState) -> list[str]:
    state = "stopped; others need its runs" if cell.goes_on else cell.state
    metric = cell.metric
    chosen_by = "" if metric is None else f"{metric.value:.3f}"
    if metric is not None and metric.low is not None and metric.high is not None:
        chosen_by += f" ({metric.low:.3f}-{metric.high:.3f})"
    return [
        str(cell.cell + 1),
        weights_text(cell.loss_weights),
        str(cell.epochs),
        str(cell.seed),
        state,
        f"{cell.epoch} of {cell.epochs}",
        *map(_number, (cell.loss, cell.validation_loss, cell.balanced, cell.auc)),
        str(cell.folds or ""),
        cell.model or "",
        chosen_by if metric is None else f"{chosen_by}, n = {metric.n} {metric.unit}",
    ]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
