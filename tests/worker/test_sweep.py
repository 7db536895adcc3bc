"""A whole sweep with real pieces: two workers in turn, on each kind of database."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from marrow.catalogue import account, jobs, models
from marrow.client import Client
from marrow.commands.sweep_words import cells_values
from marrow.records import Job, SweepSpec, TrainingSpec
from marrow.schemes import AA_MDS_AML
from marrow.study import Study
from marrow.sweeps import Grid, plan
from worker.equipment import equip
from worker.owner import Owner
from worker.work import Bench

pytestmark = pytest.mark.slow
PATIENTS, SMEARS = 18, 36


@pytest.fixture
def study(
    any_study: Study, small_smears: Callable[[Study, Path, int], list[int]], tmp_path: Path
) -> Study:
    """Two small smears of each of 18 patients, with a diagnosis."""
    folder = tmp_path / "smears"
    small_smears(any_study, folder, SMEARS)
    answers = AA_MDS_AML.head("diagnosis").classes
    rows = [f"{n:05d}.png,P{n % PATIENTS},{answers[n % PATIENTS % 3]}" for n in range(SMEARS)]
    table = folder / "labels.csv"
    table.write_text("file,patient,diagnosis\n" + "\n".join(rows))
    client_of(any_study).import_smears([folder], table)
    return any_study


def client_of(study: Study) -> Client:
    return Client(study, start_agent=lambda _: None)


def work_off(study: Study) -> int:
    """Two workers take pieces in turn until there is none; returns how many there were."""
    crafts = equip(study, threading.Event(), "cpu")
    benches = [Bench(study, Owner("h", n, 1.0), crafts, threading.Event()) for n in (1, 2)]
    pieces = 0
    while benches[pieces % 2].try_any():
        pieces += 1
    return pieces


def sweep(study: Study, **base: object) -> tuple[Job, SweepSpec]:
    tiny = {"backbone": "resnet18", "input_px": 32, "batch_size": 4, "augment": "gentle"}
    spec = TrainingSpec.model_validate({**tiny, "copies": 1} | base)
    weights = ((5.0, 5.0), (1.0, 9.0))
    planned = plan(Grid(base=spec, loss_weights=weights, epochs=(1, 2)))
    job = client_of(study).sweep(planned)
    assert work_off(study) == len(planned.runs) + 1
    done = client_of(study).job(job.id)
    assert (done.state, done.error) == ("done", None)
    assert done.done == done.total == 2 * len(planned.runs)
    return done, planned


def test_a_sweep_of_heads_fills_its_grid_with_a_model_for_each_number_of_epochs(
    study: Study,
) -> None:
    job, spec = sweep(study, tune="heads", folds=2)
    assert len(spec.runs) == 3
    with study.database.read() as connection:
        made = [models.get(connection, one) for one in account.models_of(connection, job.id)]
        champion = models.champion(connection)
        sides = [[look.side for look in models.scorings(connection, one.id)] for one in made]
        events = jobs.events(connection, job.id, 0)
    assert len(made) == 2
    assert champion == made[0]
    assert all({"train", "test", "out-of-fold"} <= set(own) for own in sides)
    told = [(e.payload["run"], e.payload["epoch"]) for e in events if e.kind == "epoch"]
    assert sorted(told) == [(run, epoch) for run in range(3) for epoch in (1, 2)]
    (chosen, other) = [e.payload for e in events if e.kind == "model"]
    assert (chosen["chosen"], other["chosen"]) == (True, False)
    assert sorted(chosen["cells"] + other["cells"]) == [0, 1, 2, 3]
    assert other["looks_at_test"] == 2
    values = cells_values(spec, made)
    assert all(one["model"] and one["metric"]["unit"] == "patients" for one in values)
    assert list((study.store / "runs").iterdir()) == []


def test_where_a_trunk_is_trained_each_cell_has_its_own_model(study: Study) -> None:
    job, spec = sweep(study, tune="full", augment="none")
    with study.database.read() as connection:
        made = account.models_of(connection, job.id)
    assert (len(spec.runs), len(made)) == (2, 4)
    again, _ = sweep(study, tune="full", augment="none")  # bit for bit the same: none is new
    with study.database.read() as connection:
        assert account.models_of(connection, again.id) == made
        assert models.looks(connection, "test") == 8
