"""Hostile messages in our queues: refused in a line, removed, nothing run, and the work goes on."""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
import redis
from celery import Celery
from kombu import Connection

from marrow.queue import QUEUES, TASK, make_app
from worker.refusals import LARGEST_NUMBER, hint_in

slow = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="no embedded broker here"),
]

SECRET = "Mustermann-in-a-body"  # noqa: S105 -- invented
NOTHING_MORE = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
HEADERS = {"task": TASK, "id": "4711", "lang": "py"}
HINT = [[1, 1], {}, NOTHING_MORE]
BOMB_BYTES = 400_000_000
"""What a small compressed body would become."""


@cache
def bomb() -> bytes:
    """Nothing but zeros, compressed."""
    return zlib.compress(bytes(BOMB_BYTES), 9)


class Touch:
    """A pickle of this makes a file where it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return os.mkdir, (str(self.path),)


def as_json(body: object, **headers: object) -> dict[str, object]:
    return {
        "body": json.dumps(body).encode(),
        "content_type": "application/json",
        "content_encoding": "utf-8",
        "headers": {**HEADERS, **headers},
    }


def as_other(body: bytes, content_type: str, encoding: str, **headers: object) -> dict[str, object]:
    return {
        "body": body,
        "content_type": content_type,
        "content_encoding": encoding,
        "headers": {**HEADERS, **headers},
    }


def hostile(trap: Path) -> dict[str, dict[str, object]]:
    """Messages by name; each is refused, and none may make `trap`."""
    pickled = pickle.dumps(Touch(trap))
    yaml = f"!!python/object/apply:os.mkdir ['{trap}']".encode()
    kind = "application/x-python-serialize"
    return {
        "a pickle": as_other(pickled, kind, "binary"),
        "a pickle without headers": as_other(pickled, kind, "binary") | {"headers": {}},
        "a pickle called JSON": as_other(pickled, "application/json", "utf-8"),
        "yaml": as_other(yaml, "application/x-yaml", "utf-8"),
        "msgpack": as_other(b"\x93\x92\x01\x01\x80\x80", "application/x-msgpack", "binary"),
        "no JSON": as_other(f"{{{SECRET}".encode(), "application/json", "utf-8"),
        "a number": as_json(5),  # ends an unguarded worker of Celery 5.7, and comes back
        "null": as_json(None),
        "deep": as_other(b"[" * 1000, "application/json", "utf-8"),
        "long": as_json([[1, 1], {}, {"callbacks": [SECRET * 1000]}]),
        "strings": as_json([[SECRET, "1"], {}, NOTHING_MORE]),
        "a table": as_json([[{"a": SECRET}, 1], {}, NOTHING_MORE]),
        "truth": as_json([[True, 1], {}, NOTHING_MORE]),
        "a huge number": as_json([[10**30, 1], {}, NOTHING_MORE]),
        "beyond INTEGER": as_json([[LARGEST_NUMBER + 1, 1], {}, NOTHING_MORE]),
        "a negative number": as_json([[1, -1], {}, NOTHING_MORE]),
        "too few": as_json([[1], {}, NOTHING_MORE]),
        "too many": as_json([[1, 1, 1], {}, NOTHING_MORE]),
        "by name": as_json([[], {"job_id": 1, "number": 1}, NOTHING_MORE]),
        "a foreign task": as_json(HINT, task=f"os.{SECRET}"),
        "a task of Celery's own": as_json(
            [["a", None], {}, NOTHING_MORE], task="celery.chord_unlock"
        ),
        "a task that is no name": as_json(HINT, task=[SECRET]),
        "no id": as_json(HINT, id=None),
        "another encoding": as_json(HINT) | {"content_encoding": "no-such"},
        "damaged compression": as_json(HINT, compression="application/x-gzip"),
        "a bomb": as_other(
            bomb(),
            "application/json",
            "utf-8",
            compression="application/x-gzip",
        ),
    }


def harmless_extras() -> dict[str, dict[str, object]]:
    """Hints that ask for more than work: the worker looks at the numbers and nothing else."""
    return {
        "an ETA": as_json(HINT, eta="9999-01-01T00:00:00"),
        "an ETA that is none": as_json(HINT, eta={"a": 1}),
        "an expiry that is none": as_json(HINT, expires="garbage"),
        "a limit that is none": as_json(HINT, timelimit="x"),
        "a name for the log": as_json(HINT, shadow=SECRET, argsrepr=SECRET, origin=SECRET),
        "a chain": as_json([[1, 1], {}, {"chain": [{"task": SECRET}]}]),
        "callbacks": as_json([[1, 1], {}, {"callbacks": [5]}]),
    }


NO_MESSAGES = {
    "bytes": b"\xff\xfe" + SECRET.encode(),
    "a number": b"5",
    "no properties": json.dumps({"body": SECRET}).encode(),
    "no base64": json.dumps(
        {"body": "!", "headers": {}, "properties": {"body_encoding": "base64", "delivery_tag": "t"}}
    ).encode(),
    "headers that are none": json.dumps(
        {"body": "W10=", "headers": ["a"], "properties": {"delivery_tag": "u"}}
    ).encode(),
}
"""Entries of a queue that kombu itself cannot read."""


def as_message(message: dict[str, Any]) -> SimpleNamespace:
    return SimpleNamespace(delivery_info={"routing_key": QUEUES[0]}, **message)


NEVER_MESSAGES = {"damaged compression", "a bomb"}
"""Refused before they are unpacked."""


@pytest.mark.parametrize("name", sorted(set(hostile(Path())) - NEVER_MESSAGES))
def test_only_two_numbers_are_a_hint(name: str) -> None:
    reason = hint_in(as_message(hostile(Path("/nowhere"))[name]))
    assert isinstance(reason, str)
    assert SECRET not in reason


@pytest.mark.parametrize("name", harmless_extras())
def test_what_else_a_hint_carries_is_not_looked_at(name: str) -> None:
    found = hint_in(as_message(harmless_extras()[name]))
    assert found == (1, 1) or (isinstance(found, str) and SECRET not in found)


def publish(url: str, message: dict[str, Any], queue: str) -> None:
    """Put a message into a queue with plain kombu, as any program with the password can."""
    with Connection(url) as connection:
        connection.Producer().publish(exchange="", routing_key=queue, serializer=None, **message)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no embedded broker here")
def test_a_worker_refuses_every_hostile_message_and_goes_on(
    room: Any, wait_until: Callable[..., None], tmp_path: Path
) -> None:
    trap = tmp_path / "trap"
    worker = room.start("worker")
    room.start("scheduler")
    wait_until(lambda: room.workers() == 1, "the worker is there")
    peak_before = psutil.Process(worker.pid).memory_info().rss
    attacks = hostile(trap)
    with redis.Redis.from_url(room.url) as broker:
        for number, message in enumerate(attacks.values()):
            publish(room.url, message, QUEUES[number % 2])
        for message in harmless_extras().values():
            publish(room.url, message, QUEUES[0])

        def is_empty() -> bool:
            waiting = sum(broker.llen(queue) for queue in QUEUES)
            return waiting + broker.hlen("unacked") + broker.zcard("unacked_index") == 0

        wait_until(is_empty, "all messages are gone, and none is kept to be delivered again")
    assert worker.poll() is None
    assert _peak_bytes(worker) - peak_before < BOMB_BYTES / 2

    lines = [line for line in room.said().splitlines() if "refused a message" in line]
    assert len(lines) >= len(attacks)
    assert "Traceback" not in room.said()
    assert SECRET not in room.said()
    assert not trap.exists()

    job = room.work_is_done()
    assert (job.state, job.done) == ("done", len(room.ids))
    assert worker.poll() is None


def _peak_bytes(process: subprocess.Popen[bytes]) -> int:
    """Largest resident memory so far (VmHWM of Linux; elsewhere that of this moment)."""
    status = Path(f"/proc/{process.pid}/status")
    if not status.exists():
        return int(psutil.Process(process.pid).memory_info().rss)
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no embedded broker here")
def test_an_entry_that_is_no_message_costs_no_worker(
    room: Any, wait_until: Callable[..., None]
) -> None:
    worker = room.start("worker")
    room.start("scheduler")
    wait_until(lambda: room.workers() == 1, "the worker is there")
    with redis.Redis.from_url(room.url) as broker:
        for entry in NO_MESSAGES.values():
            broker.lpush(QUEUES[0], entry)
        wait_until(lambda: broker.llen(QUEUES[0]) == 0, "the entries are gone")
    refused = "refused an entry of a queue"
    wait_until(lambda: room.said().count(refused) == len(NO_MESSAGES), "all are refused")
    job = room.work_is_done()
    assert (job.state, job.done) == ("done", len(room.ids))
    assert worker.poll() is None
    assert SECRET not in room.said()
    assert "Traceback" not in room.said()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no embedded broker here")
def test_a_stranger_with_the_password_may_ask_but_not_steer(
    room: Any, wait_until: Callable[..., None]
) -> None:
    worker = room.start("worker")
    room.start("scheduler")
    wait_until(lambda: room.workers() == 1, "the worker is there")
    stock = Celery("stranger", broker=room.url, set_as_current=False)
    with stock.connection() as connection:
        control = stock.control
        wait_until(lambda: control.ping(timeout=1, connection=connection), "the worker answers")
        for command, arguments in {
            "shutdown": {},
            "pool_restart": {"reload": True},
            "pool_grow": {"n": 64},
            "rate_limit": {"task_name": TASK, "rate_limit": "1/h"},
            "cancel_consumer": {"queue": QUEUES[0]},
            "add_consumer": {"queue": SECRET},
            "revoke": {"task_id": "4711", "terminate": True},
            "objgraph": {},
        }.items():
            control.broadcast(command, arguments=arguments, connection=connection)
        inspect = control.inspect(timeout=5, connection=connection)
        (asked,) = (inspect.active_queues() or {}).values()
        assert {queue["name"] for queue in asked} == set(QUEUES)
        (tasks,) = (inspect.registered() or {}).values()
        assert TASK in tasks
        told = json.dumps([inspect.stats(), inspect.conf(with_defaults=True), inspect.report()])
    assert room.url.split(":")[2].split("@")[0] not in told
    assert SECRET not in room.said()
    job = room.work_is_done()
    assert (job.state, job.done) == ("done", len(room.ids))
    assert worker.poll() is None


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no embedded broker here")
def test_our_messages_carry_two_numbers_and_where_from(
    room: Any, wait_until: Callable[..., None]
) -> None:
    client = room.client
    job = client.submit(room.ids)
    scheduler = room.start("scheduler")
    with redis.Redis.from_url(room.url) as broker:
        wait_until(lambda: broker.llen(QUEUES[0]) > 0, "a hint is sent")
        scheduler.send_signal(signal.SIGTERM)
        scheduler.wait(30)
        entry = json.loads(broker.lindex(QUEUES[0], 0))
    app = make_app(room.url)
    with app.connection() as connection:
        message = connection.SimpleQueue(QUEUES[0]).get(timeout=5)
        assert message.payload == [[job.id, 0], {}, NOTHING_MORE]
    assert set(entry) == {"body", "content-encoding", "content-type", "headers", "properties"}
    headers = {name: value for name, value in entry["headers"].items() if value}
    assert set(headers) == {
        *("argsrepr", "id", "kwargsrepr", "lang", "origin", "root_id", "task", "timelimit"),
    } | ({"ignore_result"} & set(headers))
    assert headers["argsrepr"] == f"({job.id}, 0)"
    assert headers["kwargsrepr"] == "{}"
    assert headers["timelimit"] == [None, None]
    assert headers["origin"] == f"gen{scheduler.pid}@{os.uname().nodename}"
    assert set(entry["properties"]) == {
        "body_encoding",
        "correlation_id",
        "delivery_info",
        "delivery_mode",
        "delivery_tag",
        "priority",
        "reply_to",
    }
