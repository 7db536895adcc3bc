"""A person's smear comes between the batches of a training, which then goes on bit for bit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from marrow.catalogue import models
from marrow.client import Client
from tests.faults.wards import Ward, wait_for
from training import stages
from worker import lease as lease_module
from worker.forward import ForwardPass

MakeWard = Callable[..., Ward]
SPEC = {"tune": "full", "epochs": 2, "dropout": 0.2}


def trained(ward: Ward, job_id: int) -> str:
    """SHA-256 of the weights that the job has made."""
    assert ward.job(job_id).state == "done"
    with ward.study.database.read() as connection:
        (name,) = (e.payload["model"] for e in ward.events(job_id) if e.kind == "model")
        return models.get(connection, int(name[1:])).sha256


def undisturbed(make_ward: MakeWard) -> str:
    ward = make_ward("undisturbed")
    ward.labelled()
    job = ward.train(**SPEC)
    bench = ward.bench()
    while bench.try_any():
        pass
    return trained(ward, job.id)


@pytest.mark.slow
@pytest.mark.parametrize("smears", [1, 16])
def test_the_first_answer_comes_within_two_batches(
    make_ward: MakeWard, monkeypatch: pytest.MonkeyPatch, smears: int
) -> None:
    wanted = undisturbed(make_ward)
    ward = make_ward()
    ward.labelled()
    ward.model()
    training = ward.train(**SPEC)
    monkeypatch.setattr("worker.segments.YIELD_LOOK_S", 0.0)
    monkeypatch.setattr(lease_module, "LOOK_EVERY_S", 0.0)
    log: list[str] = []
    step, forward = stages.train_step, ForwardPass.__call__

    def stepping(*arguments: Any) -> None:
        log.append("step")
        if log.count("step") == 3:  # a person comes in the middle of this batch
            ward.client.submit(range(1, smears + 1))
            log.append("submit")
        step(*arguments)

    def answering(*arguments: Any, **named: Any) -> Any:
        log.append("answer")
        return forward(*arguments, **named)

    monkeypatch.setattr(stages, "train_step", stepping)
    monkeypatch.setattr(ForwardPass, "__call__", answering)
    bench = ward.bench()
    while bench.try_any():
        pass
    after = log[log.index("submit") + 1 :]
    assert after[: after.index("step")] == ["answer"] * (1 if smears == 1 else 2)
    assert trained(ward, training.id) == wanted
    assert len(ward.pieces(training.id)) == 3  # two segments and the conclusion
    ward.assert_whole(training.id + 1)


@pytest.mark.slow
def test_a_person_goes_first_through_the_real_broker_as_well(
    make_ward: MakeWard, agents: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One worker, a training of many epochs: the answer comes while it is running."""
    monkeypatch.setenv("MARROW_THREADS", "1")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    long = SPEC | {"epochs": 16}
    ward = make_ward()
    agents.append(ward.study)
    ward.labelled()
    ward.model()
    client = Client(ward.study)
    training = client.train(ward.spec(**long))
    wait_for(lambda: [e for e in ward.events(training.id) if e.kind == "epoch"])
    begun = sum(e.kind == "epoch" for e in ward.events(training.id))
    job = client.submit([1])
    wait_for(lambda: ward.job(job.id).is_finished)
    told = [e for e in ward.events(training.id) if e.kind == "epoch"]
    answered = next(e.at for e in ward.events(job.id) if e.kind == "piece")
    between = [e for e in told if ward.job(job.id).created_at < e.at < answered]
    assert len(between) <= 2, f"{len(between)} epochs passed after epoch {begun}"
    wait_for(lambda: ward.job(training.id).is_finished, timeout_s=180)
    assert len(ward.pieces(training.id)) >= 2

    alone = make_ward("alone")
    agents.append(alone.study)
    alone.labelled()
    again = Client(alone.study).train(alone.spec(**long))
    wait_for(lambda: alone.job(again.id).is_finished, timeout_s=180)
    assert trained(ward, training.id) == trained(alone, again.id)
