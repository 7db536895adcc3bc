"""A host that does not see the store keeps its hands off the night's work."""

from __future__ import annotations

import shutil

import pytest

from tests.faults.wards import Ward
from worker import claims
from worker import work as work_module


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work_module, "TROUBLE_PAUSE_S", 0.0)


def test_a_store_that_is_not_mounted_lets_the_work_wait(ward: Ward) -> None:
    ward.model()
    job = ward.client.submit(ward.smears(3))
    away = ward.study.store.rename(ward.study.store.with_name("unmounted"))
    ward.study.store.mkdir()  # the empty folder that a mount covers
    for _ in range(3):
        assert ward.bench().try_any()
    assert ward.notes(job.id) == [
        f"here: {ward.study.store / 'models'} is not there: mount the store; the work waits"
    ]
    assert ward.errors(job.id) == {}
    assert ward.uncounted(job.id)
    ward.study.store.rmdir()
    away.rename(ward.study.store)
    assert ward.bench().try_any()
    ward.assert_whole(job.id)
    assert ward.job(job.id).failed == 0


def test_a_model_that_was_removed_is_named_for_each_smear(ward: Ward) -> None:
    """The store is there and the model is not: waiting would never end."""
    ward.model()
    job = ward.client.submit(ward.smears(3))
    shutil.rmtree(ward.study.store / "models" / "tiny")
    assert ward.bench().try_any()
    ward.assert_whole(job.id)
    assert len(ward.errors(job.id)) == 3
    assert all("tiny" in reason for reason in ward.errors(job.id).values())


def test_a_training_that_has_begun_waits_for_its_store(
    ward: Ward, monkeypatch: pytest.MonkeyPatch
) -> None:
    ward.labelled()
    job = ward.train(epochs=1)
    monkeypatch.setattr("worker.segments.YIELD_LOOK_S", 0.0)
    with monkeypatch.context() as patch:
        patch.setattr(claims, "has_interactive_work", lambda _: True)
        assert ward.bench().try_any()
    away = ward.study.store.rename(ward.study.store.with_name("unmounted"))
    assert ward.bench().try_any()
    assert ward.job(job.id).state == "running"
    assert ward.uncounted(job.id)
    assert "mount the store" in ward.notes(job.id)[0]
    away.rename(ward.study.store)
    while ward.bench().try_any():
        pass
    assert ward.job(job.id).state == "done"
