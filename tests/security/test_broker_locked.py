"""The embedded broker for somebody without the password, and for somebody with it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import redis

from worker.broker import Broker

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no Valkey for Windows")

CLOSED = [
    ("CONFIG", "SET", "dir", "/tmp"),  # noqa: S108 -- never written
    ("CONFIG", "SET", "requirepass", ""),
    ("CONFIG", "REWRITE"),
    ("DEBUG", "SLEEP", "1"),
    ("MODULE", "LOAD", "/nowhere.so"),
    ("REPLICAOF", "127.0.0.1", "6379"),
    ("SLAVEOF", "127.0.0.1", "6379"),
    ("SAVE",),
    ("BGSAVE",),
    ("BGREWRITEAOF",),
    ("SHUTDOWN", "NOSAVE"),
    ("MONITOR",),
    ("ACL", "SETUSER", "stranger", "on", "nopass", "+@all"),
    ("CLIENT", "KILL", "TYPE", "normal"),
    ("MIGRATE", "127.0.0.1", "6379", "key", "0", "10"),
    ("RESTORE", "key", "0", "x"),
    ("SLOWLOG", "GET"),
]


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    broker = Broker(tmp_path / "agent")
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture
def url(broker: Broker) -> str:
    return broker.start()


def without_password(url: str) -> str:
    return f"redis://{url.partition('@')[2]}"


@pytest.mark.parametrize(
    "command",
    [("PING",), ("INFO",), ("LPUSH", "interactive", "x"), ("EVAL", "return 1", "0"), *CLOSED],
    ids=" ".join,
)
def test_nothing_is_answered_without_the_password(url: str, command: tuple[str, ...]) -> None:
    with (
        redis.Redis.from_url(without_password(url)) as stranger,
        pytest.raises(redis.AuthenticationError),
    ):
        stranger.execute_command(*command)


def test_a_wrong_password_opens_nothing(url: str) -> None:
    wrong = url.replace(url.split(":")[2].split("@")[0], "0" * 64)
    with redis.Redis.from_url(wrong) as stranger, pytest.raises(redis.AuthenticationError):
        stranger.ping()


@pytest.mark.parametrize("command", CLOSED, ids=" ".join)
def test_the_password_opens_the_queues_and_not_the_machine(
    url: str, broker: Broker, command: tuple[str, ...]
) -> None:
    with redis.Redis.from_url(url) as member:
        with pytest.raises(redis.exceptions.ResponseError):
            member.execute_command(*command)
        assert member.lpush("interactive", "x") == 1
    assert broker.is_alive()


def test_no_socket_is_open_beyond_the_loopback(broker: Broker) -> None:
    process = psutil.Process(broker.pid)
    connections = process.net_connections(kind="all")
    listening = [one for one in connections if one.status == psutil.CONN_LISTEN]
    assert [one.laddr.ip for one in listening] == ["127.0.0.1"]
    assert not process.net_connections(kind="unix")
    with redis.Redis.from_url(broker.start()) as member:
        assert member.config_get("protected-mode") == {"protected-mode": "yes"}


def test_the_password_is_in_one_file(broker: Broker, url: str, tmp_path: Path) -> None:
    password = url.split(":")[2].split("@")[0].encode()
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {path.name for path in files if password in path.read_bytes()} == {"broker.json"}
    assert password.decode() not in " ".join(psutil.Process(broker.pid).cmdline())
