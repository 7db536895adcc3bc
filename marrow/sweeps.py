"""Planning a sweep: the fewest runs that fill a grid of loss weights, epochs and seeds."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from itertools import product

from marrow.errors import BadGrid
from marrow.records import Cell, Record, SweepSpec, TrainingSpec

ONE_RUN_FOR_ALL_WEIGHTS = (
    "Only heads are trained: they share no parameter and Adam ignores the scale of a loss, so "
    "the loss weights change nothing and one run serves them all."
)
NO_FOLDS = (
    "seed2022 splits images once, as the paper did, and leaves no folds out: nothing is chosen "
    "on patients that a model has not seen."
)


MOST_CELLS = 500
"""Ten seeds of a grid five times the paper's; a board of more says nothing, and a slip of the
keyboard, such as 30 seeds too many, would take the machine for weeks."""


class Grid(Record):
    """What a person asks of a sweep: every combination of these is a cell."""

    base: TrainingSpec
    """All else; its own loss weights, epochs, snapshots and seed do not count."""
    loss_weights: tuple[tuple[float, ...], ...] = ((),)
    """One number per head, in the scheme's order; () means equal."""
    epochs: tuple[int, ...] = (30,)
    seeds: tuple[int, ...] = (0,)


def plan(grid: Grid) -> SweepSpec:
    """The runs that fill a grid, each followed by the runs that leave out one of its folds.

    Runs that differ only in their length are one: the shorter ones are its snapshots. With a
    frozen trunk one run serves all loss weights.

    Raises
    ------
    BadGrid
        If the grid is empty or too large, a cell is asked for twice, or there is one fold.

    Source: SCIENCE.md, section 4; both are exact and not approximations.
    """
    _refuse(grid)
    base, notes = grid.base, []
    folds = base.folds
    if folds and base.protocol == "seed2022":
        folds = 0
        notes.append(NO_FOLDS)
    runs: list[TrainingSpec] = []
    first: dict[tuple[object, int], int] = {}
    for weights, seed in product(grid.loss_weights, grid.seeds):
        key = _trajectory(weights, base), seed
        if key in first:
            continue
        first[key] = len(runs)
        runs += [_run(grid, weights, seed, folds, fold) for fold in (None, *range(folds))]
    if len(first) < len(grid.loss_weights) * len(grid.seeds):
        notes.append(ONE_RUN_FOR_ALL_WEIGHTS)
    cells = []
    for weights, epochs, seed in product(grid.loss_weights, sorted(grid.epochs), grid.seeds):
        run = first[_trajectory(weights, base), seed]
        left_out = tuple(range(run + 1, run + 1 + folds))
        cells.append(
            Cell(loss_weights=weights, epochs=epochs, seed=seed, run=run, fold_runs=left_out)
        )
    return SweepSpec(runs=tuple(runs), cells=tuple(cells), notes=tuple(notes))


def epochs_of(spec: SweepSpec) -> tuple[int, int]:
    """Epochs that a sweep trains, and those that a separate run of each of its cells would."""
    shared = sum(run.epochs for run in spec.runs)
    separate = sum(cell.epochs * (1 + len(cell.fold_runs)) for cell in spec.cells)
    return shared, separate


def runs_of(spec: SweepSpec, cell: int) -> tuple[int, ...]:
    """Indices of all runs that a cell is made of, the one on all training patients first."""
    own = spec.cells[cell]
    return (own.run, *own.fold_runs)


def runs_to_stop(spec: SweepSpec, stopped_cells: Collection[int]) -> frozenset[int]:
    """The runs that no cell needs but these, which a person has stopped."""
    wanted = {
        run
        for cell in range(len(spec.cells))
        if cell not in stopped_cells
        for run in runs_of(spec, cell)
    }
    own = {run for cell in stopped_cells for run in runs_of(spec, cell)}
    return frozenset(own - wanted)


def cell_text(spec: SweepSpec, cell: int) -> str:
    """A cell as a person names it: `1:9, 30 epochs`, with its seed where there are several."""
    own = spec.cells[cell]
    text = f"{weights_text(own.loss_weights)}, {own.epochs} epoch{'s' * (own.epochs != 1)}"
    has_seeds = len({one.seed for one in spec.cells}) > 1
    return f"{text}, seed {own.seed}" if has_seeds else text


def _run(
    grid: Grid, weights: tuple[float, ...], seed: int, folds: int, fold: int | None
) -> TrainingSpec:
    *shorter, longest = sorted(grid.epochs)
    own = {"loss_weights": weights, "epochs": longest, "snapshots": tuple(shorter), "seed": seed}
    # Not model_copy, which checks nothing.
    return TrainingSpec.model_validate(
        {**grid.base.model_dump(), **own, "folds": folds, "fold": fold}
    )


def _trajectory(weights: Sequence[float], base: TrainingSpec) -> object:
    """What of the loss weights a run depends on: of heads alone, which of them is trained."""
    if base.tune == "heads":
        return tuple(weight > 0 for weight in weights) if 0 in weights else True
    return _shares(weights)


def _shares(weights: Sequence[float]) -> tuple[float, ...]:
    """The weights with sum 1, () where all are equal; 1:9 and 2:18 are the same."""
    if len(set(weights)) <= 1:
        return ()
    # Twelve digits: what a sum of decimal fractions is off by is no other weight.
    return tuple(round(weight / math.fsum(weights), 12) for weight in weights)


def _refuse(grid: Grid) -> None:
    for name, given in (
        ("loss weights", grid.loss_weights),
        ("numbers of epochs", grid.epochs),
        ("seeds", grid.seeds),
    ):
        if not given:
            raise BadGrid(f"The grid has no {name}: give at least one")
    cells = len(grid.loss_weights) * len(grid.epochs) * len(grid.seeds)
    if cells > MOST_CELLS:
        raise BadGrid(
            f"The grid has {cells:,} cells, and a sweep {MOST_CELLS} at most: give fewer loss "
            "weights, epochs or seeds, or queue several sweeps"
        )
    for weights in grid.loss_weights:
        if weights and not are_shares(weights):
            raise BadGrid(
                f"The loss weights {weights_text(weights)} are no shares: give numbers, none "
                "negative and one above 0"
            )
    longer = {len(weights): weights for weights in grid.loss_weights if weights}
    if len(longer) > 1:
        shown = " and ".join(weights_text(weights) for weights in longer.values())
        raise BadGrid(f"The loss weights {shown} differ in length: give one number per head")
    if min(grid.epochs) < 1:
        raise BadGrid(f"{min(grid.epochs)} epochs train nothing: give 1 or more")
    _refuse_twice("loss weights", [_shares(one) for one in grid.loss_weights], grid.loss_weights)
    _refuse_twice("epochs", grid.epochs, grid.epochs)
    _refuse_twice("seed", grid.seeds, grid.seeds)
    if grid.base.folds == 1:
        raise BadGrid("1 fold would leave out all training patients: give 2 or more, or 0 for none")


def are_shares(weights: Sequence[float]) -> bool:
    """Whether each is a part of a sum, and there is one."""
    return all(one >= 0 for one in weights) and 0 < sum(weights) < math.inf


def _refuse_twice(name: str, compared: Sequence[object], given: Sequence[object]) -> None:
    seen: dict[object, object] = {}
    for key, one in zip(compared, given, strict=True):
        if key in seen:
            both = [
                weights_text(value) if isinstance(value, tuple) else str(value)
                for value in (seen[key], one)
            ]
            said = "{} twice" if both[0] == both[1] else "{} and {}, which are the same"
            raise BadGrid(f"The grid names the {name} {said.format(*both)}: leave one out")
        seen[key] = one


def weights_text(weights: Sequence[float]) -> str:
    """Loss weights as they are typed: `1:9`, or `equal`."""
    return ":".join(f"{weight:g}" for weight in weights) or "equal"
