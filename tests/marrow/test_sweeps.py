"""A grid becomes the fewest runs, which together fill every cell of it."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from rich.console import Console

from marrow.commands.sweep_words import cells_table, cells_values, plan_text
from marrow.errors import BadGrid
from marrow.records import ModelRecord, SweepSpec, TrainingSpec
from marrow.sweeps import NO_FOLDS, ONE_RUN_FOR_ALL_WEIGHTS, Grid, epochs_of, plan

PAPER = ((5.0, 5.0), (2.0, 8.0), (1.0, 9.0))
EPOCHS = (30, 50, 200)


def grid(
    weights: tuple[tuple[float, ...], ...] = PAPER,
    epochs: tuple[int, ...] = EPOCHS,
    seeds: tuple[int, ...] = (0,),
    **base: Any,
) -> Grid:
    spec = TrainingSpec(**{"tune": "full"} | base)
    return Grid(base=spec, loss_weights=weights, epochs=epochs, seeds=seeds)


def assert_fills(spec: SweepSpec, asked: Grid) -> None:
    """Each cell of the grid is there once, and its runs train just what it says."""
    wanted = set(itertools.product(asked.loss_weights, asked.epochs, asked.seeds))
    found = [(cell.loss_weights, cell.epochs, cell.seed) for cell in spec.cells]
    assert set(found) == wanted
    assert len(found) == len(wanted)
    for cell in spec.cells:
        runs = [spec.runs[number] for number in (cell.run, *cell.fold_runs)]
        assert [run.fold for run in runs] == [None, *range(asked.base.folds)]
        for run in runs:
            assert (cell.epochs in run.kept_epochs, run.seed) == (True, cell.seed)
            assert run.epochs == max(asked.epochs)
            if asked.base.tune != "heads":
                assert run.loss_weights == cell.loss_weights


def test_the_papers_grid_takes_600_epochs_instead_of_840() -> None:
    asked = grid()
    spec = plan(asked)
    assert_fills(spec, asked)
    assert len(spec.runs) == 3
    assert [run.kept_epochs for run in spec.runs] == [EPOCHS] * 3
    assert epochs_of(spec) == (600, 840)
    assert spec.notes == ()


def test_each_fold_of_each_trajectory_is_a_run_of_its_own() -> None:
    asked = grid(seeds=(0, 1), folds=5)
    spec = plan(asked)
    assert_fills(spec, asked)
    assert len(spec.runs) == 3 * 2 * (1 + 5)
    assert epochs_of(spec) == (3 * 2 * 6 * 200, 2 * 6 * 840)
    assert all(run.folds == 5 for run in spec.runs)  # the same patients in the same folds
    assert len({run.data_seed for run in spec.runs}) == 1


def test_heads_alone_need_one_run_for_all_weights_and_the_plan_says_why() -> None:
    asked = grid(tune="heads", folds=5)
    spec = plan(asked)
    assert_fills(spec, asked)
    assert len(spec.runs) == 6
    assert epochs_of(spec) == (6 * 200, 6 * 840)
    assert spec.notes == (ONE_RUN_FOR_ALL_WEIGHTS,)
    one = plan(grid(((1.0, 9.0),), tune="heads"))
    assert (len(one.runs), one.notes) == (1, ())


def test_a_head_with_weight_0_is_not_trained_and_needs_its_own_run() -> None:
    spec = plan(grid(((0.0, 1.0), (1.0, 1.0), (1.0, 9.0)), tune="heads"))
    assert [cell.run for cell in spec.cells] == [0] * 3 + [1] * 6
    assert [run.loss_weights for run in spec.runs] == [(0.0, 1.0), (1.0, 1.0)]


def test_seed2022_has_no_folds_and_says_so() -> None:
    spec = plan(grid(protocol="seed2022", folds=5))
    assert (len(spec.runs), spec.notes) == (3, (NO_FOLDS,))
    assert {(run.folds, run.fold) for run in spec.runs} == {(0, None)}
    assert plan(grid(protocol="seed2022")).notes == ()


def test_the_base_own_cell_does_not_count() -> None:
    base = TrainingSpec(tune="full", epochs=7, snapshots=(3,), seed=9, loss_weights=(1, 2))
    spec = plan(Grid(base=base, loss_weights=((1, 1),), epochs=(5, 2), seeds=(4,)))
    (run,) = spec.runs
    assert (run.kept_epochs, run.seed, run.loss_weights) == ((2, 5), 4, (1.0, 1.0))


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (grid(weights=()), "no loss weights"),
        (grid(epochs=()), "no numbers of epochs"),
        (grid(seeds=()), "no seeds"),
        (grid(((5, 5), (1, 1))), "5:5 and 1:1, which are the same"),
        (grid(((1, 9), (0.1, 0.9))), "1:9 and 0.1:0.9, which are the same"),
        (grid(((), (2, 2))), "equal and 2:2, which are the same"),
        (grid(epochs=(30, 50, 30)), "epochs 30 twice: leave one out"),
        (grid(seeds=(1, 1)), "seed 1 twice"),
        (grid(((1, 9), (1, 1, 8))), "1:9 and 1:1:8 differ in length"),
        (grid(((-1, 2),)), "-1:2 are no shares"),
        (grid(((0, 0),)), "0:0 are no shares"),
        (grid(((float("nan"), 1),)), "nan:1 are no shares"),
        (grid(((1e308, 1.5e308),)), "1e+308:1.5e+308 are no shares"),
        (grid(seeds=tuple(range(56))), "504 cells, and a sweep 500 at most"),
        (grid(epochs=(0, 30)), "0 epochs train nothing"),
        (grid(folds=1), "1 fold would leave out all"),
    ],
)
def test_a_grid_that_cannot_be_trained_is_refused_in_one_sentence(asked: Grid, said: str) -> None:
    with pytest.raises(BadGrid) as refused:
        plan(asked)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_job_of_version_0_1_is_a_cell_for_each_run() -> None:
    spec = SweepSpec.model_validate({"runs": [{"epochs": 3}, {"seed": 1, "loss_weights": [1, 9]}]})
    assert [(cell.epochs, cell.seed, cell.run) for cell in spec.cells] == [(3, 0, 0), (30, 1, 1)]
    assert spec.cells[1].loss_weights == (1.0, 9.0)
    assert SweepSpec.model_validate_json(spec.model_dump_json()) == spec


def test_the_plan_is_told_before_it_is_queued() -> None:
    text = plan_text(plan(grid(tune="heads", folds=5)))
    assert text.splitlines() == [
        "9 cells (loss weights 5:5, 2:8, 1:9; epochs 30, 50, 200; seed 0) in 6 runs, of which 5 "
        "leave out one of 5 folds each: 1200 epochs instead of 5040",
        ONE_RUN_FOR_ALL_WEIGHTS,
    ]
    single = plan_text(plan(grid(((),), (30,))))
    assert single == "1 cell (loss weights equal; epochs 30; seed 0) in 1 run: 30 epochs"


def figure(value: float | None, **others: Any) -> dict[str, Any]:
    return {"value": value, "low": 0.8, "high": 0.95, "n": 40, "unit": "patients"} | others


def model(spec: SweepSpec, number: int, cells: list[int], chosen: bool) -> ModelRecord:
    heads = {"diagnosis": {"accuracy": figure(0.9), "auc": figure(0.97)}}
    card = {
        "cells": [spec.cells[one].model_dump(mode="json") for one in cells],
        "selection": {
            "cells": len(spec.cells),
            "chosen": chosen,
            "why": "the best [of all]",
            "metric": figure(0.91, n=80, name="macro AUC"),
        },
        "figures": {"heads": heads},
    }
    return ModelRecord(
        id=number,
        sha256=f"{number:064x}",
        path="models/x",
        preprocessing="p" * 64,
        precision="fp32",
        job_id=1,
        is_champion=chosen,
        created_at=0.0,
        card=card,
    )


def printed(spec: SweepSpec, made: list[ModelRecord]) -> str:
    console = Console(width=200)
    with console.capture() as shown:
        console.print(cells_table(spec, made))
    return shown.get()


def test_the_table_shows_each_model_with_its_cells_and_marks_the_chosen_one() -> None:
    spec = plan(grid(tune="heads", folds=5))
    made = [model(spec, 2, [1, 4, 7], True), model(spec, 1, [0, 3, 6], False)]
    text = printed(spec, made)
    rows = [line for line in text.splitlines() if "5:5 2:8 1:9" in line]
    assert ["m1" in rows[0], "m2" in rows[1]] == [True, True]  # in the grid's order
    assert [row.lstrip().startswith("*") for row in rows] == [False, True]
    assert "out of fold: macro AUC" in text
    assert "0.910 (0.800-0.950), n = 80 patients" in rows[0]
    told = " ".join(text.split())
    assert "by all labels:" in rows[0]  # as an earlier version stored them
    assert told.count("diagnosis accuracy 0.900 (0.800-0.950), n = 40 patients") == 2
    assert "* the best [of all]" in text
    assert ONE_RUN_FOR_ALL_WEIGHTS in " ".join(text.split())
    values = cells_values(spec, made)
    assert [(one["model"], one["is_chosen"]) for one in values][:3] == [
        ("m1", False),
        ("m2", True),
        (None, False),
    ]


def test_a_card_without_a_choice_still_gives_a_row() -> None:
    spec = plan(grid(((1.0, 9.0),), (30,)))
    bare = model(spec, 3, [0], False).model_copy(update={"card": {}})
    assert "m3" in printed(spec, [bare])
    assert cells_values(spec, [bare])[0]["model"] is None


def test_figures_of_seed2022_carry_a_banner() -> None:
    spec = plan(grid(protocol="seed2022"))
    text = " ".join(printed(spec, [model(spec, 1, [0], True)]).split())
    assert "replication" in text
    assert "optimistic" in text
