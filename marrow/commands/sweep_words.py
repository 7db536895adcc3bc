"""A sweep as a person reads it: what will be trained, and the table of what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from marrow.commands.models import figures_text, interval
from marrow.records import Cell, ModelRecord, SweepSpec
from marrow.sweeps import epochs_of, weights_text

SEED2022 = "seed2022: a replication whose images of one patient lie on both sides; optimistic"


def plan_text(spec: SweepSpec) -> str:
    """What a sweep trains, before it is queued, a line for each thing that there is to say."""
    cells, runs = spec.cells, spec.runs
    shared, separate = epochs_of(spec)
    weights = ", ".join(dict.fromkeys(weights_text(cell.loss_weights) for cell in cells))
    epochs = ", ".join(dict.fromkeys(str(cell.epochs) for cell in cells))
    seeds = ", ".join(dict.fromkeys(str(cell.seed) for cell in cells))
    parts = f"loss weights {weights}; epochs {epochs}; seed {seeds}"
    text = f"{len(cells)} {'cell' if len(cells) == 1 else 'cells'} ({parts})"
    text += f" in {len(runs)} {'run' if len(runs) == 1 else 'runs'}"
    left_out = sum(run.fold is not None for run in runs)
    if left_out:
        text += f", of which {left_out} leave out one of {runs[0].folds} folds each"
    text += f": {shared} epochs"
    if separate > shared:
        text += f" instead of {separate}"
    return "\n".join([text, *spec.notes])


def cells_table(spec: SweepSpec, made: Sequence[ModelRecord]) -> Table:
    """A row for each model with the cells that it serves; * marks the chosen one."""
    has_seeds = len({cell.seed for cell in spec.cells}) > 1
    columns = ["", "loss weights", "epochs", *(["seed"] if has_seeds else []), "model"]
    is_honest = spec.runs[0].protocol == "honest"
    metric = next((_metric(one)["name"] for one in made if _metric(one).get("name")), "")
    sides = [f"out of fold: {metric}" if metric else "out of fold"]
    sides.append("test" if is_honest else "test images")
    table = Table(*columns, *sides, box=SIMPLE_HEAD, pad_edge=False, leading=1)
    table.caption = escape("\n".join(caption_lines(spec, made)))
    table.caption_justify = "left"
    for one in sorted(made, key=lambda model: _first(spec, model)):
        cells = cells_of(one)
        shown = " ".join(dict.fromkeys(weights_text(cell.loss_weights) for cell in cells))
        row = ["*" if is_chosen(one) else "", shown, str(cells[0].epochs) if cells else ""]
        row += [str(cells[0].seed) if cells else ""] if has_seeds else []
        out_of_fold = interval(_metric(one)) if _metric(one) else ""
        row += [one.name, out_of_fold, figures_text(one)]
        table.add_row(*map(escape, row))
    return table


def caption_lines(spec: SweepSpec, made: Sequence[ModelRecord]) -> list[str]:
    """Below the table: why this cell was chosen, and what else must be known to read it."""
    why = next((_selection(one).get("why") for one in made if is_chosen(one)), None)
    banner = [] if spec.runs[0].protocol == "honest" else [SEED2022]
    return [*banner, *([f"* {why}"] if why else []), *spec.notes]


def cells_values(spec: SweepSpec, made: Sequence[ModelRecord]) -> list[dict[str, Any]]:
    """The cells of the grid with their models and figures, fit for JSON."""
    by_cell = {cell: one for one in made for cell in cells_of(one)}
    return [
        {
            **cell.model_dump(mode="json", exclude={"run", "fold_runs"}),
            "model": by_cell[cell].name if cell in by_cell else None,
            "is_chosen": cell in by_cell and is_chosen(by_cell[cell]),
            "metric": _metric(by_cell[cell]) if cell in by_cell else None,
            "figures": by_cell[cell].card.get("figures", {}) if cell in by_cell else None,
        }
        for cell in spec.cells
    ]


def metric_text(model: ModelRecord) -> str:
    """The figure that the choice rests on, with its interval; empty where there are no folds."""
    metric = _metric(model)
    return f"{metric.get('name', '')} {interval(metric)}".lstrip() if metric else ""


def is_chosen(model: ModelRecord) -> bool:
    """Whether the sweep chose this model."""
    return bool(_selection(model).get("chosen"))


def cells_of(model: ModelRecord) -> tuple[Cell, ...]:
    """The cells that a model serves, from its card."""
    return tuple(Cell.model_validate(cell) for cell in model.card.get("cells", ()))


def _selection(model: ModelRecord) -> dict[str, Any]:
    found: dict[str, Any] = model.card.get("selection", {})
    return found


def _metric(model: ModelRecord) -> dict[str, Any]:
    return _selection(model).get("metric") or {}


def _first(spec: SweepSpec, model: ModelRecord) -> int:
    cells = cells_of(model)
    return min((spec.cells.index(cell) for cell in cells if cell in spec.cells), default=0)
