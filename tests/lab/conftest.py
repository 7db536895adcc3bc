"""A catalogue of the first schema; the lab that docker-compose.yml describes, without Docker."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis
import yaml
from sqlalchemy import func, make_url, select

from marrow.catalogue import jobs, models, smears
from marrow.catalogue.schema import event, job, job_smear, piece, prediction
from marrow.client import Client
from marrow.records import (
    Answer,
    AnswerMap,
    Claim,
    HarvestRef,
    HeadAnswer,
    Outcome,
    Provenance,
    SegmentPayload,
)
from marrow.settings import Settings
from marrow.study import Study
from worker import claims
from worker.owner import Owner
from worker.training_claims import NewModel, finish_conclusion, finish_run, payload_of

DUMP = Path(__file__).with_name("catalogue_0001.sql")
OWNER = Owner("new-life", 1, 1_700_000_000.0)
MADE_BY = Provenance(code_version="test", torch_version="none", device="cpu", host="new-life")


def _load_0001(file: Path) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(file)
    connection.executescript(DUMP.read_text(encoding="utf-8"))
    connection.close()
    return file


@pytest.fixture
def load_0001() -> Callable[[Path], Path]:
    """Writes the catalogue of schema 0001 into an SQLite file."""
    return _load_0001


def _finish(study: Study, held: Claim) -> None:
    """Answer a claimed piece at once: the first class of each head, or a model."""
    if held.kind == "sweep":
        payload, sha256 = payload_of(held), f"{held.job_id:064x}"
        if isinstance(payload, SegmentPayload):
            harvest = HarvestRef(path=f"runs/j{held.job_id}-r0/h", sha256="c" * 64, epoch=1)
            finish_run(study, held, payload, (harvest,))
        else:
            made = NewModel(sha256, f"models/{sha256[:16]}", "b" * 64, "fp32", {})
            finish_conclusion(study, held, [made])
        return
    with study.database.read() as connection:
        model_id = jobs.get(connection, held.job_id).spec["model_id"]
        made_by = models.get(connection, model_id)
        mine = select(job_smear.c.smear_id).where(
            job_smear.c.job_id == held.job_id, job_smear.c.piece == held.number
        )
        wanted = smears.get(connection, sorted(connection.execute(mine).scalars()))
    heads = tuple(
        HeadAnswer(
            head=head.name,
            call=head.classes[0],
            probabilities=(1.0,) + (0.0,) * (len(head.classes) - 1),
        )
        for head in study.scheme.heads
    )
    outputs = sum(len(head.classes) for head in study.scheme.heads)
    drawn = AnswerMap("activation", bytes(2 * outputs), (outputs, 1, 1), (64.0, 64.0))
    outcomes = [Outcome(one.id, Answer(heads=heads), drawn, None) for one in wanted]
    revisions = {one.id: one.regions_revision for one in wanted}
    claims.finish_smears(study, held, made_by, outcomes, revisions, MADE_BY)


def _work_off(study: Study, most: int | None = None) -> int:
    done = 0
    while done != most:
        held = claims.claim_next(study, OWNER)
        if held is None:
            break
        _finish(study, held)
        done += 1
    return done


@pytest.fixture
def work_off() -> Callable[..., int]:
    """Claims and answers what is ready, at most `most` pieces; returns how many."""
    return _work_off


def _assert_ledger_holds(study: Study) -> None:
    """Events are numbered without a gap; counts fit; what is over has one outcome a smear."""
    with study.database.read() as connection:
        for one in connection.execute(select(job)).all():
            mine = event.c.job_id == one.id
            numbers = connection.execute(select(event.c.seq).where(mine).order_by(event.c.seq))
            assert list(numbers.scalars()) == list(range(1, one.last_seq + 1))
            if one.kind != "classify":
                continue
            outcomes = connection.execute(select(job_smear).where(job_smear.c.job_id == one.id))
            rows = outcomes.all()
            assert len(rows) == one.total
            assert sum(row.prediction_id is not None for row in rows) == one.done
            assert sum(row.error is not None for row in rows) == one.failed
            assert not any(row.prediction_id and row.error for row in rows)
            if one.state == "done":
                assert one.done + one.failed == one.total
                is_open = piece.c.job_id == one.id, piece.c.state.in_(("new", "running"))
                assert connection.execute(select(piece).where(*is_open)).first() is None
        made_twice = (
            select(prediction.c.smear_id)
            .group_by(prediction.c.smear_id, prediction.c.model_id, prediction.c.regions_revision)
            .having(func.count() > 1)
        )
        assert connection.execute(made_twice).first() is None


@pytest.fixture
def assert_ledger_holds() -> Callable[[Study], None]:
    return _assert_ledger_holds


COMPOSE = Path(__file__).parents[2] / "docker-compose.yml"
START_TIMEOUT_S = 30.0


@pytest.fixture(scope="session")
def compose() -> dict[str, Any]:
    if not COMPOSE.exists():
        pytest.skip("an installed package has no compose file")
    loaded: dict[str, Any] = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))
    return loaded


def interpolated(node: Any, variables: Mapping[str, str]) -> Any:
    """A node of the compose file with its ${NAME:?...} and ${NAME:-...} replaced."""
    if isinstance(node, dict):
        return {key: interpolated(value, variables) for key, value in node.items()}
    if isinstance(node, list):
        return [interpolated(value, variables) for value in node]
    if not isinstance(node, str):
        return node

    def value_of(match: re.Match[str]) -> str:
        name, sign, other = match.groups()
        if sign == ":-":
            return variables.get(name) or other
        return variables[name]

    return re.sub(r"\$\{(\w+)(:[?-])?([^}]*)\}", value_of, node)


class RedisServer:
    """Debian's redis-server with the compose file's configuration, on a port of loopback."""

    def __init__(self, folder: Path, configuration: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = probe.getsockname()[1]
        said = dict(line.split(maxsplit=1) for line in configuration.splitlines())
        self.password = said["requirepass"]
        # Where the container has a volume and an address of its own.
        lines = said | {"dir": f'"{folder}"', "bind": "127.0.0.1", "port": str(self.port)}
        self._file = folder / "valkey.conf"
        self._file.write_text("\n".join(" ".join(line) for line in lines.items()))
        self._process: subprocess.Popen[bytes] | None = None
        self.log = folder / "redis.log"

    def start(self) -> str:
        """Start, and give back the URL once it answers."""
        return self._start(f"redis://:{self.password}@127.0.0.1:{self.port}/0")

    def start_tls(self, certificate: Path, key: Path) -> str:
        """Start with TLS alone, and give back the URL as docs/lab.md says it."""
        options = ["--port", "0", "--tls-port", str(self.port), "--tls-auth-clients", "no"]
        options += ["--tls-cert-file", str(certificate), "--tls-key-file", str(key)]
        verified = f"ssl_cert_reqs=required&ssl_check_hostname=true&ssl_ca_certs={certificate}"
        url = f"rediss://:{self.password}@127.0.0.1:{self.port}/0?{verified}"
        return self._start(url, *options)

    def _start(self, url: str, *options: str) -> str:
        program = shutil.which("redis-server")
        if program is None:
            pytest.skip("redis-server is not installed")
        with self.log.open("ab") as log:
            command = [program, str(self._file), *options]
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        until = time.monotonic() + START_TIMEOUT_S
        with redis.Redis.from_url(url) as client:
            while True:
                try:
                    client.ping()
                    return url
                except redis.ConnectionError:
                    assert self._process.poll() is None, self.log.read_text()
                    assert time.monotonic() < until, self.log.read_text()

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(timeout=START_TIMEOUT_S)


class Lab:
    """The services of the compose file as processes of this machine.

    What Docker would do is done by hand and nothing else: variables are replaced, service names
    become ports of loopback, and the volumes' inner paths become the host's folders.
    """

    def __init__(
        self, compose: dict[str, Any], folder: Path, postgres_url: str, redis_folder: Path
    ) -> None:
        self.folder = folder
        database = make_url(postgres_url)
        variables = {
            "POSTGRES_PASSWORD": str(database.password),
            "VALKEY_PASSWORD": secrets.token_hex(32),
            "STORE_FOLDER": str(folder / "store"),
            "SMEARS_FOLDER": str(folder / "worker-mount"),
        }
        whole = interpolated(compose, variables)
        self._services: dict[str, Any] = whole["services"]
        self.broker = RedisServer(redis_folder, whole["configs"]["valkey"]["content"])
        self.places = {
            "@postgres:5432/marrow": f"@127.0.0.1:{database.port}/{database.database}",
            "@valkey:6379": f"@127.0.0.1:{self.broker.port}",
        }
        self.smears = folder / "smears"
        self.smears.mkdir()
        for mount in ("worker-mount", "viewer-mount"):
            (folder / mount).symlink_to(self.smears)

    def command(self, service: str) -> list[str]:
        program, *arguments = self._services[service]["command"]
        assert program == "marrow"
        return [sys.executable, "-m", "marrow", *arguments]

    def environment(self, service: str) -> dict[str, str]:
        """MARROW_* of a service, as they read on this host."""
        settings: dict[str, str] = dict(self._services[service]["environment"])
        for name, value in settings.items():
            for inside, here in self.places.items():
                value = value.replace(inside, here)
            settings[name] = value
        mounts = [volume.split(":")[:2] for volume in self._services[service]["volumes"]]
        outside = {inside: host for host, inside in mounts}
        settings["MARROW_STORE"] = outside[settings["MARROW_STORE"]]
        roots = json.loads(settings["MARROW_ROOTS"])
        settings["MARROW_ROOTS"] = json.dumps({name: outside[path] for name, path in roots.items()})
        return settings | {"MARROW_THREADS": "1"}  # several workers share this host's cores

    @property
    def viewer(self) -> dict[str, str]:
        """MARROW_* of a viewer: another path to the smears, and never the broker."""
        settings = self.environment("worker-cpu")
        del settings["MARROW_BROKER"]
        roots = {"smears": str(self.folder / "viewer-mount")}
        return settings | {"MARROW_ROOTS": json.dumps(roots)}

    def run(self, service: str, *command: str, **changed: str) -> subprocess.CompletedProcess[str]:
        """A service that ends, or another `marrow` command in its container."""
        whole = [sys.executable, "-m", *command] if command else self.command(service)
        return subprocess.run(
            whole,
            env={**os.environ, **self._home(service), **self.environment(service), **changed},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    @contextmanager
    def running(self, service: str, name: str = "", **changed: str) -> Iterator[Path]:
        """A service that runs until the end of the block; gives back its log."""
        log = self.folder / f"{name or service}.log"
        environment = {**os.environ, **self._home(service), **self.environment(service), **changed}
        environment = {key: value for key, value in environment.items() if value}
        with log.open("ab") as output:
            process = subprocess.Popen(
                self.command(service), env=environment, stdout=output, stderr=output
            )
        try:
            yield log
            assert process.poll() is None, log.read_text()
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=60)

    def _home(self, service: str) -> dict[str, str]:
        return {"MARROW_HOME": str(self.folder / f"home-{service}")}


@pytest.fixture
def lab(
    compose: dict[str, Any],
    tmp_path: Path,
    postgres_url: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Lab]:
    """The compose file's lab on this host; its broker does not run yet."""
    made = Lab(compose, tmp_path, postgres_url, tmp_path_factory.mktemp("redis"))
    yield made
    made.broker.stop()


@pytest.fixture
def follow_to_the_end() -> Callable[[Study, int], str]:
    """Waits for a job's end and gives back its state."""

    def follow(study: Study, job_id: int) -> str:
        for _ in Client(study).follow(job_id):
            pass
        with study.database.read() as connection:
            return jobs.get(connection, job_id).state

    return follow


@pytest.fixture
def open_study(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Study]]:
    """Opens studies as a process with these MARROW_* would; closes them after the test."""
    opened: list[Study] = []

    def open_one(home: Path, environment: Mapping[str, str]) -> Study:
        with monkeypatch.context() as patch:
            for name, value in environment.items():
                patch.setenv(name, value)
            opened.append(Study.open(Settings.read(home)))
        return opened[-1]

    yield open_one
    for study in opened:
        study.close()
