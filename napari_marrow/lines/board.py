"""The board of a sweep and its curves, ready made."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from marrow.board import Board, CellState, Metric
from marrow.curves import Curve, State
from marrow.records import FINISHED
from marrow.sweeps import cell_text, runs_of, weights_text

Figure = Literal["balanced", "auc"]
"""What the upper plot shows: of the primary head, over views."""

FIGURES: dict[Figure, str] = {"balanced": "balanced accuracy", "auc": "AUC"}
MOST_CURVES = 8
"""More colours nobody tells apart."""

_MEANINGS: dict[State, str] = {
    "waiting": "waits",
    "running": "runs",
    "stopped": "stopped",
    "done": "trained, its model is still to be tested",
    "failed": "failed",
    "chosen": "chosen",
    "cancelled": "cancelled",
}


@dataclass(frozen=True)
class CellLine:
    """A cell of the grid: what stands in it."""

    cell: int
    """Index into the cells of the sweep."""
    state: State
    words: tuple[str, ...]
    """The state first."""
    share_done: float
    """Of the epochs of all its runs, 0 to 1."""
    hint: str
    can_stop: bool = False
    can_resume: bool = False


@dataclass(frozen=True)
class BoardLines:
    """The grid of a sweep at one moment: rows of loss weights, columns of epochs."""

    job_id: int
    words: str
    """How the job stands."""
    notes: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    cells: tuple[CellLine | None, ...]
    """Row by row; None where the sweep has no such cell."""
    is_finished: bool


@dataclass(frozen=True)
class CurveLine:
    """A line over the epochs."""

    name: str
    """In the legend."""
    colour: int
    """Which of the palette: the same for training and validation of the same cells."""
    is_validation: bool
    epochs: NDArray[np.float64]
    """float64 (n,), ascending."""
    values: NDArray[np.float64]
    """float64 (n,); NaN where it is not known."""


@dataclass(frozen=True)
class CurveLines:
    """Accuracy and loss for the chosen cells."""

    title: str = ""
    """Of the upper axis."""
    accuracy: tuple[CurveLine, ...] = ()
    """0 to 1, of the primary head."""
    loss: tuple[CurveLine, ...] = ()
    """Weighted sum of the heads' balanced cross-entropies, nats."""
    most_epochs: int = 1
    """Where the axis of epochs ends."""
    kept: tuple[int, ...] = ()
    """Epochs whose model is kept: a dotted line each."""
    words: str = ""
    """What the lines are, or why there is none."""


def board_lines(board: Board, words: str) -> BoardLines:
    """The board; `words` say how the job stands."""
    seeds = sorted({cell.seed for cell in board.spec.cells})
    weights = list(dict.fromkeys(cell.loss_weights for cell in board.spec.cells))
    columns = sorted({cell.epochs for cell in board.spec.cells})
    place = {(c.loss_weights, c.seed, c.epochs): c for c in board.cells}
    grid = [(own, seed) for own in weights for seed in seeds]
    return BoardLines(
        job_id=board.job_id,
        words=words,
        notes=" ".join(board.notes),
        rows=tuple(
            weights_text(own) + (f"\nseed {seed}" if len(seeds) > 1 else "") for own, seed in grid
        ),
        columns=tuple(f"{one} epoch{'s' * (one != 1)}" for one in columns),
        cells=tuple(
            None if cell is None else cell_line(board, cell)
            for own, seed in grid
            for cell in (place.get((own, seed, epochs)) for epochs in columns)
        ),
        is_finished=board.state in FINISHED,
    )


def cell_line(board: Board, cell: CellState) -> CellLine:
    """How a cell stands: its state, epoch and loss, and its AUC with n and interval when known."""
    is_over = board.state in FINISHED or board.state == "cancelling"
    is_stopped = cell.cell in board.stopped_cells
    words = [_state_words(cell)]
    if cell.loss is not None:
        words.append(f"loss {cell.loss:.3f}")
    if cell.validation_loss is not None:
        words.append(f"left out {cell.validation_loss:.3f}")
    return CellLine(
        cell=cell.cell,
        state=cell.state,
        words=(*words, *_figure_words(cell)),
        share_done=cell.done / cell.total,
        hint=_hint(board, cell),
        can_stop=not is_over and not is_stopped and cell.state in {"waiting", "running"},
        can_resume=not is_over and is_stopped,
    )


def curve_lines(board: Board, cells: Collection[int], figure: Figure) -> CurveLines:
    """The curves of these cells; cells that are made of the same runs share them.

    Validation is the mean over the runs that leave out a fold, as far as they have come.
    """
    most = max(cell.epochs for cell in board.spec.cells)
    kept = tuple(sorted({cell.epochs for cell in board.spec.cells}))
    groups: dict[tuple[int, ...], list[int]] = {}
    for cell in sorted(cells):
        groups.setdefault(runs_of(board.spec, cell), []).append(cell)
    accuracy: list[CurveLine] = []
    loss: list[CurveLine] = []
    for colour, (runs, own) in enumerate(list(groups.items())[:MOST_CURVES]):
        name = _names(board, own)
        ends = max(board.spec.cells[cell].epochs for cell in own)
        sides = (False, [board.runs[runs[0]]]), (True, [board.runs[run] for run in runs[1:]])
        for is_validation, members in sides:
            both = [(run.epochs, run.validation if is_validation else run.train) for run in members]
            told = f"{name}: {'left out' if is_validation else 'training'}"
            for kind, lines in ((figure, accuracy), ("loss", loss)):
                epochs, values = _mean([(at, _values(one, kind)) for at, one in both if one], ends)
                if epochs.size:
                    lines.append(CurveLine(told, colour, is_validation, epochs, values))
    return CurveLines(
        FIGURES[figure],
        tuple(accuracy),
        tuple(loss),
        most,
        kept,
        _curve_words(board, groups, bool(loss)),
    )


def distinct_cells(board: Board) -> tuple[int, ...]:
    """A cell for each run on all training patients, the longest: they show every curve once."""
    longest: dict[int, int] = {}
    for number, cell in enumerate(board.spec.cells):
        known = longest.get(cell.run)
        if known is None or board.spec.cells[known].epochs < cell.epochs:
            longest[cell.run] = number
    return tuple(longest.values())


def _state_words(cell: CellState) -> str:
    at = f"epoch {cell.epoch} of {cell.epochs}"
    if cell.epoch == cell.epochs and cell.folds:
        at = f"fold {cell.folds} of {cell.total // cell.epochs - 1}"
    if cell.model is not None:
        return f"{cell.model}, chosen" if cell.state == "chosen" else cell.model
    if cell.state == "done":
        return "trained"
    words = _MEANINGS[cell.state]
    if cell.state == "stopped" and cell.goes_on:
        return "stopped, others go on"
    return f"{words} · {at}" if cell.epoch or cell.state == "running" else words


def _figure_words(cell: CellState) -> tuple[str, ...]:
    if cell.metric is not None:
        metric = cell.metric
        ends = "no interval"
        if metric.low is not None and metric.high is not None:
            ends = f"{metric.low:.2f}–{metric.high:.2f}"
        return f"AUC {metric.value:.2f} ({ends})", f"n = {metric.n} {metric.unit}"
    if cell.auc is None:
        return ()
    folds = f"{cell.folds} fold{'s' * (cell.folds != 1)}"
    return f"AUC so far {cell.auc:.2f}", f"views of {folds}"


def _hint(board: Board, cell: CellState) -> str:
    lines = [f"Cell {cell_text(board.spec, cell.cell)}: {_MEANINGS[cell.state]}"]
    if cell.model is not None:
        lines = [f"Cell {cell_text(board.spec, cell.cell)}: model {cell.model}"]
    lines.append(f"{cell.done} of {cell.total} epochs of its runs are done")
    runs = set(runs_of(board.spec, cell.cell))
    sharing = [
        cell_text(board.spec, other)
        for other in range(len(board.cells))
        if other != cell.cell and runs & set(runs_of(board.spec, other))
    ]
    if sharing:
        lines.append(f"Shares its runs with {'; '.join(sharing)}")
    if cell.goes_on:
        lines.append("It is stopped, but other cells need its runs, which go on")
    if cell.metric is not None:
        lines.append(_metric_text(cell.metric))
    return "\n".join(lines)


def _metric_text(metric: Metric) -> str:
    ends = ""
    if metric.low is not None and metric.high is not None:
        ends = f" (95% interval {metric.low:.3f} to {metric.high:.3f})"
    return (
        f"{metric.name} {metric.value:.3f}{ends}, n = {metric.n} {metric.unit}, of training "
        "patients while they were left out"
    )


def _names(board: Board, cells: Sequence[int]) -> str:
    """`5:5 = 2:8 = 1:9`, with the seed where there are several."""
    own = [board.spec.cells[cell] for cell in cells]
    name = " = ".join(dict.fromkeys(weights_text(one.loss_weights) for one in own))
    if len({cell.seed for cell in board.spec.cells}) > 1:
        name += f", seed {own[0].seed}"
    return name


def _values(curve: Curve, kind: str) -> tuple[float | None, ...]:
    return {"balanced": curve.balanced, "auc": curve.auc, "loss": curve.loss}[kind]


def _mean(
    curves: Sequence[tuple[tuple[int, ...], tuple[float | None, ...]]], ends: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Epochs up to `ends` that any curve has, and the mean over those that have each."""
    sums = np.zeros(ends + 1)
    counts = np.zeros(ends + 1)
    for epochs, values in curves:
        known = [(at, one) for at, one in zip(epochs, values, strict=True) if one is not None]
        at = np.array([epoch for epoch, _ in known if epoch <= ends], dtype=np.intp)
        sums[at] += np.array([one for epoch, one in known if epoch <= ends])
        counts[at] += 1
    found = np.flatnonzero(counts)
    return found.astype(np.float64), sums[found] / counts[found]


def _curve_words(board: Board, groups: dict[tuple[int, ...], list[int]], has_any: bool) -> str:
    if not groups:
        return "Choose cells of the board: their curves are drawn here."
    if not has_any:
        return "No epoch is done yet."
    words = (
        f"Of {board.primary}, counted over views, not patients: how training goes, not how good a "
        "model is."
    )
    if not any(len(runs) > 1 for runs in groups):
        words += " No fold is left out, so there is no validation curve."
    if len(groups) > MOST_CURVES:
        words += f" Of {len(groups)} runs the first {MOST_CURVES} are drawn."
    return words
