"""A bench that works on real pieces: real files, a tiny real model, no broker."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from marrow.catalogue import jobs, models, predictions
from marrow.catalogue.predictions import ResultFilter, Sort
from marrow.client import Client
from marrow.records import ModelRecord, TrainingSpec
from marrow.schemes import AA_MDS_AML
from marrow.study import Study
from worker import poll
from worker.equipment import equip
from worker.owner import Owner
from worker.work import Bench

pytestmark = pytest.mark.slow

MakeStudy = Callable[..., Study]
TinyModel = Callable[[Study], ModelRecord]
SmallSmears = Callable[[Study, Path, int], list[int]]


@pytest.fixture
def study(make_study: MakeStudy) -> Study:
    return make_study()


@pytest.fixture
def client(study: Study) -> Client:
    return Client(study, start_agent=lambda _: None)


def bench(study: Study) -> Bench:
    stopping = threading.Event()
    return Bench(study, Owner("here", 1, 1.0), equip(study, stopping, "cpu"), stopping)


def test_one_unreadable_smear_fails_alone(
    study: Study,
    client: Client,
    tiny_model: TinyModel,
    small_smears: SmallSmears,
    tmp_path: Path,
) -> None:
    tiny_model(study)
    ids = small_smears(study, tmp_path / "smears", 5)
    (tmp_path / "smears" / "00001.png").unlink()
    torn = tmp_path / "smears" / "00003.png"
    torn.write_bytes(torn.read_bytes()[:200])
    job = client.submit(ids)
    while bench(study).try_any():
        pass
    with study.database.read() as connection:
        found = dict(jobs.errors(connection, job.id))
        rows = predictions.page(connection, study.scheme, ResultFilter(job_id=job.id), Sort(), 0, 9)
        assert found.keys() == {ids[1], ids[3]}
        assert "not there" in found[ids[1]]
        assert "00003.png" in found[ids[3]]
        answered = [row.prediction for row in rows if row.prediction is not None]
        assert len(answered) == 3
        heatmap = predictions.map_of(connection, answered[0].id)
    assert heatmap is not None
    assert heatmap.shape == (5, 1, 1)
    assert heatmap.cell_px == (40.0, 50.0)
    assert client.job(job.id).state == "done"


def test_another_image_in_the_place_of_a_smear_gets_no_answer_in_its_name(
    study: Study,
    client: Client,
    tiny_model: TinyModel,
    small_smears: SmallSmears,
    tmp_path: Path,
) -> None:
    tiny_model(study)
    ids = small_smears(study, tmp_path / "smears", 3)
    replaced = tmp_path / "smears" / "00001.png"
    replaced.write_bytes((tmp_path / "smears" / "00002.png").read_bytes())
    job = client.submit(ids)
    assert bench(study).try_any()
    with study.database.read() as connection:
        found = dict(jobs.errors(connection, job.id))
    assert found.keys() == {ids[1]}
    assert "replaced by another image" in found[ids[1]]


def test_an_altered_model_is_refused_with_its_name(
    study: Study,
    client: Client,
    tiny_model: TinyModel,
    small_smears: SmallSmears,
    tmp_path: Path,
) -> None:
    tiny_model(study)
    weights = study.store / "models" / "tiny" / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"!")
    job = client.submit(small_smears(study, tmp_path / "smears", 3))
    assert bench(study).try_any()
    with study.database.read() as connection:
        reasons = set(dict(jobs.errors(connection, job.id)).values())
    assert len(reasons) == 1
    assert client.job(job.id).failed == 3


def test_training_makes_a_model_that_answers(
    study: Study, client: Client, small_smears: SmallSmears, tmp_path: Path
) -> None:
    ids = small_smears(study, tmp_path / "smears", 30)
    table = tmp_path / "smears" / "labels.csv"
    answers = AA_MDS_AML.head("diagnosis").classes
    table.write_text(
        "file,patient,diagnosis\n"
        + "\n".join(f"{n:05d}.png,P{n % 10},{answers[n % 10 % 3]}" for n in range(30))
    )
    client.import_smears([tmp_path / "smears"], table)
    job = client.train(TrainingSpec(backbone="resnet18", epochs=2, input_px=32, batch_size=4))
    poll_until_idle(study)
    assert client.job(job.id).state == "done", client.job(job.id).error
    with study.database.read() as connection:
        model = models.champion(connection)
        assert model is not None
        assert model.job_id == job.id
        assert set(model.card["split"]["train"]) & set(model.card["split"]["test"]) == set()
        kinds = [event.kind for event in jobs.events(connection, job.id, 0)]
    assert kinds.count("epoch") == 2
    answered = client.submit(ids)
    poll_until_idle(study)
    assert client.job(answered.id).done == 30


def test_training_without_patients_says_what_to_do(
    study: Study, client: Client, small_smears: SmallSmears, tmp_path: Path
) -> None:
    small_smears(study, tmp_path / "smears", 6)
    table = tmp_path / "smears" / "labels.csv"
    lines = [f"{n:05d}.png,,{('AA', 'MDS', 'AML')[n % 3]}" for n in range(6)]
    table.write_text("file,patient,diagnosis\n" + "\n".join(lines))
    with study.database.write() as connection:
        from marrow.catalogue import smears

        smears.describe(connection, list(range(1, 7)), patient=None)
    client.import_smears([tmp_path / "smears"], table)
    job = client.train(TrainingSpec(backbone="resnet18", epochs=1, input_px=32))
    poll_until_idle(study)
    assert client.job(job.id).state == "failed"
    assert "smear-is-patient" in (client.job(job.id).error or "")


def poll_until_idle(study: Study) -> None:
    """The polling loop itself, until there is nothing left to claim."""
    stop = threading.Event()
    at_work = bench(study)

    class Last:
        def try_any(self) -> bool:
            found = at_work.try_any()
            if not found:
                stop.set()
            return found

    poll.run(Last(), stop)
