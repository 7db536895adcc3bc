"""A whole sweep with real pieces: two workers in turn, on each kind of database."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import select, update

from marrow.catalogue import account, jobs, models
from marrow.catalogue.schema import piece
from marrow.client import Client
from marrow.commands.sweep_words import cells_values
from marrow.records import Job, SegmentPayload, SweepSpec, TrainingSpec
from marrow.schemes import AA_MDS_AML
from marrow.study import Study
from marrow.sweeps import Grid, plan
from worker import claims, scheduler, segments
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
    board = client_of(study).board(job.id)
    assert Counter(cell.state for cell in board.cells) == {"chosen": 2, "done": 2}
    assert all(cell.metric and cell.metric.unit == "patients" for cell in board.cells)
    assert all(run.epochs == (1, 2) for run in board.runs)
    assert [run.validation is None for run in board.runs] == [True, False, False]
    values = cells_values(spec, made)
    assert all(one["model"] and one["metric"]["unit"] == "patients" for one in values)
    assert list((study.store / "runs").iterdir()) == []


def test_a_sweep_that_was_stopped_within_an_epoch_and_killed_makes_the_same_models(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A trunk that is trained is another one for each cell, and so is its model.
    undisturbed, spec = sweep(study, tune="full", augment="none")
    assert len(spec.runs) == 2
    job = client_of(study).sweep(spec)
    stop_at_a_batch(study, job.id, monkeypatch)
    assert work_off(study) == 1  # up to the batch after the stop
    with study.database.read() as connection:
        payloads = connection.execute(
            select(piece.c.payload).where(piece.c.job_id == job.id, piece.c.state == "new")
        ).scalars()
        marks = [SegmentPayload.model_validate(one).checkpoint for one in payloads]
    assert [(mark.epoch, mark.batch) for mark in marks if mark is not None] == [(0, 4)]
    client_of(study).resume_cells(job.id)
    lost = claims.claim_next(study, Owner("h", 9, 1.0))
    assert lost is not None
    with study.database.write() as connection:
        connection.execute(
            update(piece).where(piece.c.number == lost.number, piece.c.job_id == job.id)
            .values(lease_until=1.0)
        )  # fmt: skip
    scheduler.tick(study)
    client_of(study).stop_cells(job.id, [0, 1])
    assert work_off(study) == 1  # the other run
    assert client_of(study).job(job.id).state == "running"
    client_of(study).resume_cells(job.id, [1])
    assert work_off(study) == 2  # the rest, and the conclusion
    done = client_of(study).job(job.id)
    assert (done.state, done.done) == ("done", done.total)
    with study.database.read() as connection:
        made = [account.models_of(connection, one) for one in (undisturbed.id, job.id)]
        looks_at_test = models.looks(connection, "test")
    assert made[0] == made[1]
    assert len(made[0]) == 4
    assert looks_at_test == 8


def stop_at_a_batch(study: Study, job_id: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let all cells of a sweep be stopped when its worker looks for the fourth time."""
    looks: list[Study] = []

    def look(asking: Study) -> bool:
        looks.append(asking)
        if len(looks) == 4:
            client_of(study).stop_cells(job_id)
        return False

    monkeypatch.setattr(segments, "YIELD_LOOK_S", 0.0)
    monkeypatch.setattr(claims, "has_interactive_work", look)
