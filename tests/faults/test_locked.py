"""A database that is locked, or restarted, in the middle: nothing lost, nothing computed twice."""

from __future__ import annotations

import os
import pwd
import sqlite3
import subprocess
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import text

from marrow.catalogue import database as database_module
from marrow.study import Study
from tests.faults.wards import Ward, wait_for
from worker import lease as lease_module
from worker.classify import Classifier
from worker.patience import NO_ANSWER

SMEARS = 6
LONG = [1.5, pytest.param(10.0, marks=pytest.mark.slow)]


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite gives up after 0.3 s instead of 30; a heart beats five times a second."""
    monkeypatch.setattr(database_module, "BUSY_TIMEOUT_S", 0.3)
    monkeypatch.setattr(lease_module, "HEARTBEAT_S", 0.2)


def lock(study: Study) -> Callable[[], None]:
    """Lock the ledger as another program would; what is given back lets go of it."""
    if study.database.is_sqlite:
        file = study.settings.home / "catalogue.sqlite"
        other = sqlite3.connect(file, isolation_level=None, check_same_thread=False, timeout=30)
        other.execute("BEGIN IMMEDIATE")
        return other.close
    url = study.database.engine.url.set(drivername="postgresql")
    connection = psycopg.connect(url.render_as_string(hide_password=False))
    connection.execute("LOCK TABLE piece, job IN ACCESS EXCLUSIVE MODE")
    return connection.close


@contextmanager
def locked_for(study: Study, seconds: float) -> Iterator[None]:
    """Locked from here on, for so long."""
    timer = threading.Timer(seconds, lock(study))
    timer.start()
    yield
    timer.join()


class Computed:
    """Counts the smears that were computed, and strikes when those of a piece are."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.smears = 0
        self.strike: Callable[[], object] = lambda: None
        classify = Classifier.classify

        def counting(classifier: Classifier, *arguments: Any) -> Iterator[Any]:
            for outcome in classify(classifier, *arguments):
                self.smears += 1
                yield outcome
            self.strike()

        monkeypatch.setattr(Classifier, "classify", counting)


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> Computed:
    return Computed(monkeypatch)


def assert_nothing_happened(ward: Ward, job_id: int, computed: Computed) -> None:
    ward.assert_whole(job_id)
    assert ward.job(job_id).failed == 0
    assert computed.smears == SMEARS
    assert ward.uncounted(job_id)
    assert [row.attempt for row in ward.pieces(job_id)] == [1]


@pytest.mark.parametrize("seconds", LONG)
def test_a_lock_while_a_piece_finishes(any_ward: Ward, computed: Computed, seconds: float) -> None:
    any_ward.model()
    job = any_ward.client.submit(any_ward.smears(SMEARS))
    release = threading.Event()

    def strike() -> None:
        unlock = lock(any_ward.study)
        threading.Timer(seconds, lambda: (unlock(), release.set())).start()

    computed.strike = strike
    assert any_ward.bench().try_any()
    assert release.is_set()
    assert_nothing_happened(any_ward, job.id, computed)


@pytest.mark.parametrize("seconds", LONG)
def test_a_lock_while_a_heart_beats(any_ward: Ward, computed: Computed, seconds: float) -> None:
    """The piece's work outlasts the lock, and meets it at its looks and heartbeats alone."""
    any_ward.model()
    job = any_ward.client.submit(any_ward.smears(SMEARS))

    def strike() -> None:
        with locked_for(any_ward.study, seconds):
            pass

    computed.strike = strike
    assert any_ward.bench().try_any()
    assert_nothing_happened(any_ward, job.id, computed)


@pytest.mark.parametrize("seconds", LONG)
def test_a_lock_at_the_claim(any_ward: Ward, computed: Computed, seconds: float) -> None:
    any_ward.model()
    job = any_ward.client.submit(any_ward.smears(SMEARS))
    bench = any_ward.bench()
    with locked_for(any_ward.study, seconds):
        wait_for(bench.try_any)
    assert_nothing_happened(any_ward, job.id, computed)


def test_a_lock_while_an_error_is_given_back_counts_it_once(
    any_ward: Ward, monkeypatch: pytest.MonkeyPatch
) -> None:
    any_ward.model()
    job = any_ward.client.submit(any_ward.smears(1))

    def fail(*_: object) -> None:
        unlock = lock(any_ward.study)
        threading.Timer(1.0, unlock).start()
        raise RuntimeError

    with monkeypatch.context() as patch:
        patch.setattr(Classifier, "classify", fail)
        assert any_ward.bench().try_any()
    assert [(p.state, p.exceptions) for p in any_ward.pieces(job.id)] == [("new", 1)]
    assert any_ward.bench().try_any()
    any_ward.assert_whole(job.id)


def restart_postgresql(study: Study) -> None:
    """Restart the server of the tests, as an administrator would: open connections break."""
    with study.database.engine.connect() as connection:
        data = connection.execute(text("SHOW data_directory")).scalar_one()
    control = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"))[-1]
    as_user: dict[str, Any] = {}
    if os.getuid() == 0:
        account = pwd.getpwnam("postgres")
        as_user = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
    log = Path(data).parent / "log"
    subprocess.run(
        [control, "-D", data, "-m", "fast", "-w", "-l", log, "restart"],
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=Path(data).parent,
        timeout=60,
        **as_user,
    )


@pytest.fixture
def postgres_ward(make_ward: Callable[..., Ward], postgres_server: str) -> Iterator[Ward]:
    """On a database of its own, made and dropped by connections that no restart has broken."""
    server = postgres_server.replace("+psycopg", "")
    name = f"m{uuid.uuid4().hex}"
    with psycopg.connect(f"{server}/postgres", autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}".encode())
    ward = make_ward(database=f"{postgres_server}/{name}")
    yield ward
    ward.study.close()
    with psycopg.connect(f"{server}/postgres", autocommit=True) as admin:
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def test_a_restart_of_postgresql_while_a_piece_finishes(
    postgres_ward: Ward, computed: Computed
) -> None:
    ward = postgres_ward
    ward.model()
    job = ward.client.submit(ward.smears(SMEARS))
    computed.strike = lambda: restart_postgresql(ward.study)
    assert ward.bench().try_any()
    assert_nothing_happened(ward, job.id, computed)


def test_postgresql_ends_connections_while_results_are_being_written(
    postgres_ward: Ward, computed: Computed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The transaction of the results breaks in its middle; the next try begins anew."""
    from worker import claims

    ward = postgres_ward
    ward.model()
    job = ward.client.submit(ward.smears(SMEARS))
    settle, tries = claims.settle, 0

    def breaking(*arguments: Any) -> None:
        nonlocal tries
        tries += 1
        settle(*arguments)
        if tries == 1:
            others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> "
            url = ward.study.database.engine.url.set(drivername="postgresql")
            with psycopg.connect(url.render_as_string(hide_password=False)) as admin:
                admin.execute(others + "pg_backend_pid() AND datname = current_database()")

    monkeypatch.setattr(claims, "settle", breaking)
    assert ward.bench().try_any()
    assert tries == 2
    assert_nothing_happened(ward, job.id, computed)


def test_a_restart_of_postgresql_in_the_middle_of_a_training_segment(
    postgres_ward: Ward, monkeypatch: pytest.MonkeyPatch
) -> None:
    from training import stages

    ward = postgres_ward
    ward.labelled()
    job = ward.train(tune="full", epochs=1)
    monkeypatch.setattr(lease_module, "LOOK_EVERY_S", 0.0)
    step, steps = stages.train_step, 0

    def striking(*arguments: Any) -> None:
        nonlocal steps
        steps += 1
        if steps == 2:
            restart_postgresql(ward.study)
        step(*arguments)

    monkeypatch.setattr(stages, "train_step", striking)
    for _ in range(2):  # the segment and the conclusion
        assert ward.bench().try_any()
    assert ward.job(job.id).state == "done"
    assert ward.uncounted(job.id)
    assert [e.payload["epoch"] for e in ward.events(job.id) if e.kind == "epoch"] == [1]


def test_a_locked_database_is_no_answer_and_not_a_fault_of_the_piece(ward: Ward) -> None:
    unlock = lock(ward.study)
    with pytest.raises(NO_ANSWER), ward.study.database.write():
        pass
    unlock()
