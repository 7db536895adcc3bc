"""The doctor names each fault with its remedy, and never falls ill itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import insert, update

from marrow.catalogue import jobs, models
from marrow.catalogue.schema import job as job_table
from marrow.catalogue.schema import job_smear, worker
from marrow.doctor import Finding, catalogue, examine, home, installation, services, work
from marrow.doctor import models as weights
from marrow.errors import BadSettings
from marrow.records import ModelRecord
from marrow.settings import Settings
from marrow.statefile import private_folder, write_private, write_state
from marrow.study import Study

ROOT = Path(__file__).parents[2]
posix = pytest.mark.skipif(os.name != "posix", reason="modes and signals of Unix")


def by_name(findings: object) -> dict[str, Finding]:
    return {one.what: one for one in findings}  # type: ignore[attr-defined]


def assert_ill(finding: Finding, *words: str) -> None:
    assert not finding.is_well, finding
    assert finding.remedy
    for word in words:
        assert word in finding.found + finding.remedy


@pytest.fixture
def study(make_study: Callable[..., Study]) -> Study:
    return make_study()


def test_a_new_study_is_well(study: Study) -> None:
    ill = [one for one in examine(lambda: study.settings) if not one.is_well]
    assert ill == []


def test_without_any_study_the_installation_is_looked_at(tmp_path: Path) -> None:
    found = by_name(examine(lambda: Settings.read(tmp_path / "none")))
    assert found["study"].is_well
    assert "marrow init" in found["study"].remedy
    assert found["package marrow"].is_well
    assert "celery" in found["versions"].found


def test_broken_settings_are_a_finding_beside_the_installation() -> None:
    def read() -> Settings:
        raise BadSettings("MARROW_threads: a number is wanted")

    found = by_name(examine(read))
    assert_ill(found["settings"], "MARROW_threads")
    assert found["python"].is_well


def test_a_package_of_the_same_name_elsewhere_is_named(tmp_path: Path) -> None:
    (tmp_path / "worker").mkdir()
    (tmp_path / "worker" / "__init__.py").touch()
    code = (
        "from marrow.doctor import installation\n"
        "print([one for one in installation.examine() if one.what == 'package worker'][0])"
    )
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n{code}"],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    assert "is_well=False" in done.stdout
    assert str(tmp_path) in done.stdout


def test_a_missing_extra_is_a_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installation, "EXTRAS", {"worker": ("no-such-package",)})
    found = by_name(installation.examine())["extra worker"]
    assert found.is_well
    assert found.remedy == 'optional: pip install "napari-marrow[worker]"'


def test_a_damaged_database_is_told_and_the_rest_is_looked_at(study: Study) -> None:
    study.close()
    file = study.settings.home / "catalogue.sqlite"
    damaged = bytearray(file.read_bytes())
    for page in range(8, len(damaged) // 4096):
        damaged[page * 4096 : page * 4096 + 64] = b"\xff" * 64
    file.write_bytes(damaged)
    found = by_name(examine(lambda: study.settings))
    told = [one for one in found.values() if not one.is_well]
    assert any("restore" in one.remedy for one in told), told
    assert "agent" in found


def test_no_database_at_all_is_told(study: Study) -> None:
    study.close()
    (study.settings.home / "catalogue.sqlite").write_text("not a database")
    assert_ill(by_name(examine(lambda: study.settings))["study"], "not a database", "restore")


def test_rows_that_point_to_nothing_are_named(study: Study) -> None:
    with study.database.engine.connect() as connection:
        connection.exec_driver_sql("COMMIT")
        connection.exec_driver_sql("PRAGMA foreign_keys=OFF")
        connection.exec_driver_sql("BEGIN")
        connection.execute(insert(job_smear), {"job_id": 9, "smear_id": 9})
        connection.commit()
    assert_ill(by_name(catalogue.examine(study))["database"], "job_smear", "restore")


def test_a_clock_that_runs_behind_is_told(study: Study) -> None:
    with study.database.write() as connection:
        at = study.database.now(connection) + 3600
        row = {"id": "w", "host": "far", "pid": 1, "device": "cpu", "started_at": at}
        connection.execute(insert(worker), row | {"seen_at": at})
    assert_ill(by_name(catalogue.examine(study))["clock"], "behind", "NTP")


def test_postgresql_says_its_version_and_clock(
    make_study: Callable[..., Study], postgres_url: str
) -> None:
    found = by_name(catalogue.examine(make_study(database=postgres_url)))
    assert found["database"].found.startswith("PostgreSQL ")
    assert found["clock"].is_well


def test_a_network_mount_is_refused_by_name(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    class Mount:
        mountpoint, fstype = "/", "nfs4"

    monkeypatch.setattr("marrow.study.psutil.disk_partitions", lambda all: [Mount])
    assert_ill(by_name(home.examine(study.settings))["file system"], "nfs4")


def test_a_full_disk_and_a_missing_store_are_told(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = study.settings.model_copy(
        update={"store": tmp_path / "none", "roots": {"smears": tmp_path / "no-mount"}}
    )
    monkeypatch.setattr(home, "MIN_FREE_GB", 1e9)
    found = by_name(home.examine(settings))
    assert_ill(found["disk of home"], "GB free")
    assert_ill(found["store"], "MARROW_STORE")
    assert_ill(found["root"], "smears", "MARROW_ROOTS")


@posix
def test_a_read_only_home_is_told(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(home.tempfile, "TemporaryFile", refuse)
    assert_ill(by_name(home.examine(study.settings))["home"], "Read-only file system")


@posix
def test_files_that_others_may_read_are_named(study: Study) -> None:
    folder = private_folder(study.settings.agent_folder)
    write_private(folder / "broker.json", "{}")
    assert by_name(home.examine(study.settings))["file modes"].is_well
    (folder / "broker.json").chmod(0o644)
    assert_ill(by_name(home.examine(study.settings))["file modes"], "broker.json", "chmod")


@posix
def test_a_password_in_a_readable_file_is_named(study: Study) -> None:
    toml = study.settings.home / "marrow.toml"
    toml.write_text("threads = 1")
    toml.chmod(0o644)
    assert by_name(home.examine(study.settings))["file modes"].is_well
    toml.write_text('broker = "redis://:geheim@broker.lab:6379/0"')
    found = by_name(home.examine(study.settings))["file modes"]
    assert_ill(found, "marrow.toml")
    assert "geheim" not in str(found)


def test_a_worker_that_fell_silent_is_named(
    study: Study, add_smears: Callable[..., list[int]], add_model: Callable[..., ModelRecord]
) -> None:
    with study.database.write() as connection:
        at = study.database.now(connection)
        row = {"device": "cpu", "started_at": at - 900}
        rows = [
            {"id": "a", "host": "north", "pid": 11, "seen_at": at - 1, **row},
            {"id": "b", "host": "north", "pid": 12, "seen_at": at - 300, **row},
            {"id": "c", "host": "south", "pid": 13, "seen_at": at - 300, **row},
        ]
        connection.execute(insert(worker), rows)
    assert all(one.is_well for one in work.examine(study))  # nothing waits for it
    ids, model = add_smears(study, 3), add_model(study)
    with study.database.write() as connection:
        jobs.submit_classify(connection, at, model, ids)
    found = by_name(work.examine(study))
    assert found["worker north:11"].is_well
    assert found["worker north:12"].is_well  # another one took its place
    assert_ill(found["worker south:13"], "5 min ago", "marrow worker")


def test_work_that_nobody_does_is_told(
    study: Study, add_smears: Callable[..., list[int]], add_model: Callable[..., ModelRecord]
) -> None:
    ids, model = add_smears(study, 3), add_model(study)
    with study.database.write() as connection:
        at = study.database.now(connection)
        job = jobs.submit_classify(connection, at, model, ids)
    assert_ill(by_name(work.examine(study))["jobs"], str(job.id), "marrow agent start")
    with study.database.write() as connection:
        tonight = {"opens_at": at + 3600}
        connection.execute(update(job_table).values(**tonight))
    assert by_name(work.examine(study))["jobs"].is_well  # it waits for tonight


def test_weights_that_are_missing_or_altered_are_named(study: Study) -> None:
    def add(content: bytes, sha256: str) -> ModelRecord:
        folder = study.store / "models" / sha256[:16]
        folder.mkdir(parents=True)
        (folder / "card.json").write_text("{}")
        (folder / "weights.safetensors").write_bytes(content)
        with study.database.write() as connection:
            return models.register(
                connection,
                0.0,
                sha256=sha256,
                path=f"models/{sha256[:16]}",
                preprocessing="b" * 64,
                precision="fp32",
                card={},
                job_id=None,
            )

    good = add(b"x", "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881")
    altered, gone = add(b"y", "a" * 64), add(b"z", "c" * 64)
    (study.store / gone.path / "weights.safetensors").unlink()
    found = by_name(weights.examine(study))
    assert found[f"model {good.name}"].is_well
    assert_ill(found[f"model {altered.name}"], "altered", "aaaaaaaaaaaa")
    assert_ill(found[f"model {gone.name}"], "No such file")


def test_a_killed_agent_is_told(study: Study) -> None:
    folder = private_folder(study.settings.agent_folder)
    assert by_name(services.examine(study.settings))["agent"].is_well
    write_private(folder / "agent.json", json.dumps({"pid": 2**22 + 1, "started": 1.0}))
    assert_ill(by_name(services.examine(study.settings))["agent"], "marrow agent start")


def test_a_child_that_does_not_run_is_named(study: Study) -> None:
    folder = private_folder(study.settings.agent_folder)
    children = {"worker-0": {"pid": 2**22 + 1, "started": 1.0, "holds_leases": True}}
    write_state(folder / "agent.json", os.getpid(), children=children)
    assert_ill(by_name(services.examine(study.settings))["agent"], "worker-0")


def test_a_broker_that_is_not_there_is_told_without_its_password(study: Study) -> None:
    settings = Settings.model_validate(
        study.settings.model_dump() | {"broker": "redis://:geheim@127.0.0.1:1/0"}
    )
    found = by_name(services.examine(settings))["broker"]
    assert_ill(found, "does not answer", "MARROW_BROKER")
    assert "geheim" not in str(found)


@pytest.mark.slow
def test_doctor_is_a_line_a_finding(study: Study) -> None:
    command = [sys.executable, "-m", "marrow", "--home", str(study.settings.home), "doctor"]
    quiet = {"capture_output": True, "text": True, "cwd": ROOT, "timeout": 120}
    lines = subprocess.run(command, **quiet)  # type: ignore[call-overload]
    assert lines.returncode == 0, lines.stdout
    findings = json.loads(subprocess.run([*command, "--json"], **quiet).stdout)  # type: ignore[call-overload]
    assert len(lines.stdout.splitlines()) == len(findings)
    assert {"python", "database", "agent", "torch"} <= {one["what"] for one in findings}
