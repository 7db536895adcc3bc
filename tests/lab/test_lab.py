"""The lab of docker-compose.yml on one machine: its very commands, redis-server, PostgreSQL."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import redis
from sqlalchemy import func, select

from marrow.catalogue import jobs, smears
from marrow.catalogue.schema import piece, prediction
from marrow.client import Client
from marrow.records import Event, Job, ModelRecord
from marrow.settings import Settings
from marrow.study import Study

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="no redis-server here"),
]

SMEARS = 128
WAIT_S = 120.0


def no_agent(_: Path) -> None:
    raise AssertionError("a lab's viewer starts no agent")


def wait_until(holds: Callable[[], bool], what: str) -> None:
    until = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < until, f"not within {WAIT_S:.0f} s: {what}"
        time.sleep(0.02)


def finished(client: Client, job: Job) -> Job:
    """The job at its end."""
    wait_until(lambda: client.job(job.id).is_finished, f"the end of job {job.id}")
    return client.job(job.id)


@pytest.fixture
def viewer(lab: Any, open_study: Callable[..., Study]) -> Client:
    """A viewer of a new study, made as the compose file's head says."""
    made = lab.run("upgrade", "marrow", "init")
    assert made.returncode == 0, made.stderr
    return Client(open_study(lab.folder / "viewer", lab.viewer), start_agent=no_agent)


def test_two_viewers_and_two_workers_meet_in_one_study(
    lab: Any,
    viewer: Client,
    open_study: Callable[..., Study],
    tiny_model: Callable[[Study], ModelRecord],
    small_smears: Callable[[Study, Path, int], list[int]],
    assert_ledger_holds: Callable[[Study], None],
) -> None:
    second = Client(open_study(lab.folder / "viewer-2", lab.viewer), start_agent=no_agent)
    assert viewer.study.settings.broker is second.study.settings.broker is None
    tiny_model(viewer.study)
    ids = small_smears(viewer.study, lab.folder / "viewer-mount", SMEARS)
    with viewer.study.database.read() as connection:
        assert {one.root for one in smears.get(connection, ids)} == {"smears"}
    seen: dict[Client, list[Event]] = {viewer: [], second: []}
    owners: set[str] = set()
    with ExitStack() as stack:
        url = lab.broker.start()
        upgrade = lab.run("upgrade")
        assert upgrade.returncode == 0, upgrade.stderr
        stack.enter_context(lab.running("scheduler"))
        for number in range(2):
            stack.enter_context(lab.running("worker-cpu", f"worker-{number}"))
        wait_until(lambda: len(viewer.workers()) == 2, "both workers")
        job = viewer.submit(ids)
        followers = [
            threading.Thread(target=lambda one=one: seen[one].extend(one.follow(job.id)))
            for one in seen
        ]
        for thread in followers:
            thread.start()
        working = select(piece.c.owner).where(piece.c.state == "running").distinct()

        def is_over() -> bool:
            with viewer.study.database.read() as connection:
                owners.update(connection.execute(working).scalars())
                return jobs.get(connection, job.id).is_finished

        wait_until(is_over, "the job")
        for thread in followers:
            thread.join(timeout=WAIT_S)
            assert not thread.is_alive()
        with redis.Redis.from_url(url) as broker:
            assert broker.config_get("appendonly") == {"appendonly": "yes"}
            assert broker.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
    over = viewer.job(job.id)
    assert (over.state, over.done, over.failed) == ("done", SMEARS, 0)
    assert len(owners) == 2, "both workers had pieces"
    for events in seen.values():
        assert [one.seq for one in events] == list(range(1, over.last_seq + 1))
    with viewer.study.database.read() as connection:
        stored = connection.execute(
            select(func.count(), func.count(prediction.c.smear_id.distinct()))
        ).one()
    assert tuple(stored) == (SMEARS, SMEARS)
    assert_ledger_holds(viewer.study)
    assert viewer.workers() == []  # both took their leave
    for log in lab.folder.glob("*.log"):
        assert lab.broker.password not in log.read_text()


def test_a_host_that_lacks_a_root_says_so_and_a_retry_with_it_succeeds(
    lab: Any,
    viewer: Client,
    tiny_model: Callable[[Study], ModelRecord],
    small_smears: Callable[[Study, Path, int], list[int]],
    assert_ledger_holds: Callable[[Study], None],
) -> None:
    tiny_model(viewer.study)
    ids = small_smears(viewer.study, lab.folder / "viewer-mount", 3)
    job = viewer.submit(ids)
    polling = {"MARROW_BROKER": ""}
    with lab.running("worker-cpu", MARROW_ROOTS="{}", **polling):
        failed = finished(viewer, job)
    assert (failed.state, failed.done, failed.failed) == ("done", 0, 3)
    with viewer.study.database.read() as connection:
        assert dict(jobs.errors(connection, job.id)) == {
            smear_id: f"{number:05d}.png: this host does not know the root 'smears': "
            "set MARROW_ROOTS"
            for number, smear_id in enumerate(ids)
        }
    with lab.running("worker-cpu", **polling):
        viewer.retry(job.id)
        again = finished(viewer, job)
    assert (again.state, again.done, again.failed) == ("done", 3, 0)
    assert_ledger_holds(viewer.study)


def test_a_copy_in_the_store_reaches_every_host(
    lab: Any,
    open_study: Callable[..., Study],
    viewer: Client,
    tiny_model: Callable[[Study], ModelRecord],
    small_smears: Callable[[Study, Path, int], list[int]],
) -> None:
    desk = lab.folder / "a desk"
    settings = lab.viewer | {"MARROW_ROOTS": f'{{"desk": "{desk}"}}'}
    study = open_study(lab.folder / "viewer-2", settings)
    client = Client(study, start_agent=no_agent)
    tiny_model(study)
    ids = small_smears(study, desk, 2)
    job = client.submit(ids)
    with lab.running("worker-cpu", MARROW_BROKER=""):
        assert finished(client, job).failed == 2
        with study.database.read() as connection:
            assert all("the root 'desk'" in text for _, text in jobs.errors(connection, job.id))
        report = client.import_smears([desk], copy=True)
        assert sorted(report.smear_ids) == ids
        client.retry(job.id)
        again = finished(client, job)
    assert (again.state, again.done, again.failed) == ("done", 2, 0)
    with study.database.read() as connection:
        found = smears.get(connection, ids)
    assert {one.root for one in found} == {"store"}
    assert all(viewer.study.file_of(one).is_file() for one in found)  # the other viewer, too


def test_a_wrong_database_password_is_one_sentence_without_it(lab: Any) -> None:
    wrong = "not-the-password"
    database = lab.environment("worker-cpu")["MARROW_DATABASE"]
    user, _, place = database.partition("@")
    url = f"{user.rpartition(':')[0]}:{wrong}@{place}"
    for command in (("jobs",), ("upgrade",), ("worker",), ("scheduler",), ("restore", "x.zip")):
        said = lab.run("worker-cpu", "marrow", *command, MARROW_DATABASE=url)
        assert said.returncode == 1, command
        assert said.stderr.count("\n") == 1, said.stderr
        assert "password authentication failed" in said.stderr
        assert wrong not in said.stderr + said.stdout
        assert user.rpartition(":")[2] not in said.stderr + said.stdout


def test_a_wrong_broker_password_is_told_without_it_and_the_work_waits(
    lab: Any,
    viewer: Client,
    tiny_model: Callable[[Study], ModelRecord],
    small_smears: Callable[[Study, Path, int], list[int]],
) -> None:
    tiny_model(viewer.study)
    url = lab.broker.start()
    wrong = {"MARROW_BROKER": url.replace(lab.broker.password, "not-the-password")}
    job = viewer.submit(small_smears(viewer.study, lab.folder / "viewer-mount", 2))
    with lab.running("scheduler", **wrong) as log:
        wait_until(lambda: "broker does not answer" in log.read_text(), "a line in the log")
        first = next(line for line in log.read_text().splitlines() if "broker" in line)
    assert "Traceback" not in log.read_text()
    assert "not-the-password" not in log.read_text()
    assert "hints are sent again later" in first
    assert viewer.job(job.id).state == "waiting"
    with lab.running("scheduler"), lab.running("worker-cpu"):
        assert finished(viewer, job).done == 2


def test_a_worker_without_any_broker_polls(
    make_study: Callable[..., Study],
    lab: Any,
    tiny_model: Callable[[Study], ModelRecord],
    small_smears: Callable[[Study, Path, int], list[int]],
) -> None:
    """One host, SQLite, no service at all."""
    study = make_study()
    client = Client(
        Study(
            Settings.model_validate(
                study.settings.model_dump() | {"database": study.settings.database_url}
            ),
            study.database,
            study.scheme,
        ),
        start_agent=no_agent,
    )
    tiny_model(study)
    job = client.submit(small_smears(study, lab.smears, 40))
    here = {"MARROW_DATABASE": study.settings.database_url, "MARROW_STORE": str(study.store)}
    with lab.running("worker-cpu", MARROW_BROKER="", **here):
        assert (finished(client, job).state, client.job(job.id).done) == ("done", 40)
