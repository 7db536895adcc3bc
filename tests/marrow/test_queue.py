"""Hints over a real broker: how many are sent, when again, and what they carry."""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from sqlalchemy import insert, update

from marrow import queue
from marrow.catalogue import jobs
from marrow.catalogue.schema import piece
from marrow.catalogue.schema import worker as worker_table
from marrow.queue import HINTS_PER_WORKER, LOST_S, QUEUES, RESEND_S, TASK, make_app, wake
from marrow.records import Job, ModelRecord, SweepSpec, TrainingSpec
from marrow.study import Study
from worker.broker import Broker

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no embedded broker here")


@pytest.fixture(scope="module")
def broker_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    broker = Broker(tmp_path_factory.mktemp("broker"))
    yield broker.start()
    broker.stop()


@pytest.fixture
def server(broker_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(broker_url) as connection:
        connection.flushall()
        yield connection


class Sent:
    """A study whose hints go to the real broker, and a clock to move."""

    def __init__(self, study: Study, model: ModelRecord, ids: list[int], url: str) -> None:
        self.study, self.model, self.ids = study, model, ids
        self.app = make_app(url)

    def submit(self, ids: list[int], priority: str = "interactive") -> Job:
        with self.study.database.write() as connection:
            at = self.study.database.now(connection)
            return jobs.submit_classify(connection, at, self.model, ids, priority=priority)

    def wake(self) -> int:
        return wake(self.study, self.app)

    def add_workers(self, count: int) -> None:
        with self.study.database.write() as connection:
            at = self.study.database.now(connection)
            for number in range(count):
                row = {"id": f"w{number}", "host": "h", "pid": number, "device": "cpu"}
                connection.execute(insert(worker_table), row | {"started_at": at, "seen_at": at})


@pytest.fixture
def sent(
    make_study: Callable[..., Study],
    add_smears: Callable[..., list[int]],
    add_model: Callable[..., ModelRecord],
    broker_url: str,
    server: redis.Redis,
    clock: Callable[[], float],
) -> Iterator[Sent]:
    study = make_study(clock=clock)
    made = Sent(study, add_model(study), add_smears(study, 200), broker_url)
    yield made
    made.app.close()


def messages(server: redis.Redis, queue: str) -> list[list[int]]:
    """(job, piece) of each message in a queue, in the order in which it was sent."""
    raw = [json.loads(one) for one in server.lrange(queue, 0, -1)[::-1]]
    assert all(one["headers"]["task"] == TASK for one in raw)
    assert all(one["content-type"] == "application/json" for one in raw)
    return [json.loads(base64.b64decode(one["body"]))[0] for one in raw]


def test_a_hint_carries_two_numbers_and_goes_where_its_job_belongs(
    sent: Sent, server: redis.Redis
) -> None:
    night = sent.submit(sent.ids[:1], "overnight")
    person = sent.submit(sent.ids[1:2])
    assert sent.wake() == 2
    assert messages(server, "overnight") == [[night.id, 0]]
    assert messages(server, "interactive") == [[person.id, 0]]


def test_never_more_than_two_hints_per_live_worker(sent: Sent) -> None:
    sent.submit(sent.ids)
    sent.add_workers(3)
    assert sent.wake() == 3 * HINTS_PER_WORKER
    assert sent.wake() == 0


def test_a_person_is_served_before_the_night(sent: Sent, server: redis.Redis) -> None:
    sent.submit(sent.ids, "overnight")
    sent.submit(sent.ids[:20])
    assert sent.wake() == HINTS_PER_WORKER
    assert messages(server, "overnight") == []


def test_a_person_finds_room_though_the_night_has_all_its_hints_out(
    sent: Sent, server: redis.Redis
) -> None:
    sent.submit(sent.ids, "overnight")
    assert sent.wake() == HINTS_PER_WORKER
    person = sent.submit(sent.ids[:1])
    assert sent.wake() == 1
    assert messages(server, "interactive") == [[person.id, 0]]


def test_an_unclaimed_hint_is_sent_again_and_then_ever_more_seldom(
    sent: Sent, clock: Callable[[], float]
) -> None:
    sent.submit(sent.ids[:1])
    assert sent.wake() == 1
    moves = []
    for _ in range(3):
        waited = 0.0
        while sent.wake() == 0:
            clock.forward(1.0)  # type: ignore[attr-defined]
            waited += 1.0
        moves.append(waited)
    assert moves == [RESEND_S + 1, 2 * RESEND_S + 1, 4 * RESEND_S + 1]


def test_a_wiped_broker_is_noticed_within_seconds(
    sent: Sent, server: redis.Redis, clock: Callable[[], float]
) -> None:
    job = sent.submit(sent.ids[:1])
    assert sent.wake() == 1
    server.flushall()
    clock.forward(LOST_S + 0.1)  # type: ignore[attr-defined]
    assert sent.wake() == 1
    assert messages(server, "interactive") == [[job.id, 0]]


def test_nothing_is_sent_for_work_that_is_taken_or_called_off(sent: Sent) -> None:
    one, two = sent.submit(sent.ids[:1]), sent.submit(sent.ids[1:2])
    with sent.study.database.write() as connection:
        at = sent.study.database.now(connection)
        jobs.cancel(connection, at, one.id)
        connection.execute(update(piece).where(piece.c.job_id == two.id).values(state="running"))
    assert sent.wake() == 0


def test_a_training_waits_in_the_overnight_queue(sent: Sent, server: redis.Redis) -> None:
    with sent.study.database.write() as connection:
        at = sent.study.database.now(connection)
        jobs.submit_sweep(connection, at, SweepSpec(runs=(TrainingSpec(),)))
    sent.wake()
    assert len(messages(server, "overnight")) == 1


def test_without_a_broker_the_work_just_waits(sent: Sent, tmp_path: Path) -> None:
    sent.submit(sent.ids[:1])
    nobody = make_app("redis://127.0.0.1:1/0")
    assert wake(sent.study, nobody) == 0
    nobody.close()
    assert sent.wake() == 1


def test_a_broker_that_dies_and_comes_back_while_a_hint_is_sent_costs_that_hint_at_most(
    sent: Sent, tmp_path: Path, clock: Callable[[], float], monkeypatch: pytest.MonkeyPatch
) -> None:
    sent.submit(sent.ids[:1])
    broker = Broker(tmp_path)
    app = make_app(broker.start())
    choose = queue._take_hints

    def and_die(*arguments: Any) -> list[queue.Hint]:
        broker.kill()
        return choose(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(queue, "_take_hints", and_die)
        # A broker that is away at the first retry and there at the second one breaks kombu 5.7.
        patch.setattr("kombu.utils.functional.sleep", lambda _seconds: broker.start())
        assert wake(sent.study, app) == 0
    with redis.Redis.from_url(broker.start()) as server:
        clock.forward(LOST_S + 0.1)  # type: ignore[attr-defined]
        assert wake(sent.study, app) == 1
        assert len(messages(server, "interactive")) == 1
    app.close()
    broker.stop()


def test_only_json_is_accepted() -> None:
    app = make_app("redis://127.0.0.1:1/0")
    assert app.conf.accept_content == ["json"]
    assert app.conf.result_backend is None
    assert [queue.name for queue in app.conf.task_queues] == list(QUEUES)
    app.close()
