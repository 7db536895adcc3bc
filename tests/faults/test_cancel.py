"""A cancel is confirmed within one batch, whatever the job does just then; batches are counted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sqlalchemy import update

from marrow.catalogue.schema import smear
from marrow.records import Night
from tests.faults.wards import Ward
from training import features, stages
from worker import claims, scheduler
from worker import lease as lease_module
from worker.claims import LEASE_S
from worker.forward import ForwardPass
from worker.owner import Owner


class Batches:
    """Counts calls of one function, and cancels the newest job during a given one."""

    def __init__(self, ward: Ward, during: int = 2) -> None:
        self.ward, self.during, self.count = ward, during, 0
        self.job_id = 0

    def counting(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **named: Any) -> Any:
            self.count += 1
            if self.count == self.during:
                assert self.ward.client.cancel(self.job_id).state == "cancelling"
            return function(*arguments, **named)

        return counted


@pytest.fixture(autouse=True)
def looks_after_each_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """As with batches that take longer than 0.2 s; these here are small."""
    monkeypatch.setattr(lease_module, "LOOK_EVERY_S", 0.0)


@pytest.fixture
def batches(ward: Ward) -> Batches:
    return Batches(ward)


def assert_confirmed(ward: Ward, batches: Batches) -> None:
    assert ward.bench().try_any()
    assert batches.count == batches.during
    assert ward.job(batches.job_id).state == "cancelled"
    assert not ward.bench().try_any()


def test_a_classification_of_fields(
    ward: Ward, batches: Batches, monkeypatch: pytest.MonkeyPatch
) -> None:
    ward.model()
    batches.job_id = ward.client.submit(ward.smears(40), priority="overnight").id
    monkeypatch.setattr(ForwardPass, "__call__", batches.counting(ForwardPass.__call__))
    assert_confirmed(ward, batches)


def test_a_slide_in_tiles(ward: Ward, batches: Batches, monkeypatch: pytest.MonkeyPatch) -> None:
    ward.model()
    folder = ward.folder / "slides"
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(0, 255, (320, 320, 3), dtype=np.uint8)
    Image.fromarray(pixels // 2 + np.array([70, 20, 70], np.uint8)).save(folder / "slide.png")
    ids = ward.client.import_smears([folder]).smear_ids
    with ward.study.database.write() as connection:
        connection.execute(update(smear).values(is_slide=True))
    batches.job_id = ward.client.submit(list(ids)).id
    monkeypatch.setattr(ForwardPass, "__call__", batches.counting(ForwardPass.__call__))
    assert_confirmed(ward, batches)


def test_a_training_of_heads_in_its_feature_stage(
    ward: Ward, batches: Batches, monkeypatch: pytest.MonkeyPatch
) -> None:
    ward.labelled()
    monkeypatch.setattr(features, "BATCH", 4)
    monkeypatch.setattr(features, "_forward", batches.counting(features._forward))
    batches.job_id = ward.train(tune="heads").id
    assert_confirmed(ward, batches)


def test_a_training_that_adapts_its_trunk(
    ward: Ward, batches: Batches, monkeypatch: pytest.MonkeyPatch
) -> None:
    ward.labelled(100)
    batches.job_id = ward.train(tune="heads").id
    monkeypatch.setattr(stages, "normalise", batches.counting(stages.normalise))
    assert_confirmed(ward, batches)


def test_a_full_training_in_an_epoch(
    ward: Ward, batches: Batches, monkeypatch: pytest.MonkeyPatch
) -> None:
    ward.labelled()
    monkeypatch.setattr(stages, "train_step", batches.counting(stages.train_step))
    batches.job_id = ward.train(tune="full").id
    assert_confirmed(ward, batches)


@pytest.mark.parametrize("kind", ["classify", "sweep"])
def test_a_job_that_nobody_has_begun_is_over_at_once(ward: Ward, kind: str) -> None:
    ward.model()
    job = ward.client.submit(ward.smears(3)) if kind == "classify" else ward.train()
    assert ward.client.cancel(job.id).state == "cancelled"
    assert not ward.bench().try_any()


def test_a_night_that_has_not_begun_is_over_at_once(ward: Ward) -> None:
    ward.model()
    never = Night(at="00:00", until="00:01", zone="Pacific/Kiritimati")
    job = ward.client.submit(ward.smears(3), priority="overnight", night=never)
    assert ward.client.cancel(job.id).state == "cancelled"


def test_a_job_of_a_dead_worker_is_over_with_its_lease(
    make_ward: Callable[..., Ward], clock: Any
) -> None:
    ward = make_ward(clock=clock)
    ward.model()
    job = ward.client.submit(ward.smears(3))
    assert claims.claim_next(ward.study, Owner("dead", 1, 1.0)) is not None
    assert ward.client.cancel(job.id).state == "cancelling"
    clock.forward(LEASE_S + 1)
    scheduler.tick(ward.study)
    assert ward.job(job.id).state == "cancelled"
