"""Backup and restore: the whole study, at one moment, from either database into either."""

from __future__ import annotations

import json
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
from sqlalchemy import select, update
from typer.testing import CliRunner

from marrow import backup, restore
from marrow.archive import CATALOGUE, ArchiveWriter
from marrow.backup import write_backup
from marrow.catalogue import jobs, smears
from marrow.catalogue.migrate import HEAD
from marrow.catalogue.schema import metadata, piece, worker
from marrow.catalogue.transfer import sqlite_at
from marrow.cli import build
from marrow.errors import BadBackup, MarrowError, NoStudy
from marrow.records import ModelRecord, NewSmear
from marrow.restore import restore_backup
from marrow.settings import Settings
from marrow.study import Study
from worker import scheduler

KINDS = ("sqlite", "postgresql")
CHECKPOINT = "runs/j8-r0/segment-00000-attempt-1.safetensors"
COPY = f"smears/00/{7:064x}.png"
IN_STORE = {
    f"models/{'a' * 16}/weights.safetensors": b"weights",
    f"models/{'a' * 16}/card.json": b"{}",
    COPY: b"pixels",
    CHECKPOINT: b"checkpoint",
}
"""What the old catalogue names."""
LEFT_OUT = ("features/x.safetensors", "models/.0a.part/weights.safetensors", "runs/j1-r0/old")


class Clock:
    now = 1_700_000_200.0

    def __call__(self) -> float:
        return self.now


def settings_of(home: Path, url: str | None = None) -> Settings:
    settings = Settings.read(home)
    changed = {} if url is None else {"database": url}
    return Settings.model_validate({**settings.model_dump(), **changed})


@pytest.fixture
def old_study(tmp_path: Path, load_0001: Callable[[Path], Path]) -> Iterator[Study]:
    """The old catalogue at this version's schema, and a store that fits it."""
    home = tmp_path / "old"
    load_0001(home / CATALOGUE)
    assert CliRunner().invoke(build(), ["--home", str(home), "upgrade"]).exit_code == 0
    for name in (*IN_STORE, *LEFT_OUT):
        path = home / "store" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(IN_STORE.get(name, b"never backed up"))
    study = Study.open(Settings.read(home), clock=Clock())
    yield study
    study.close()


@pytest.fixture
def new_home(tmp_path: Path, request: pytest.FixtureRequest) -> Callable[[str, str], Settings]:
    """Settings of a home without a study, for each kind of database."""

    def make(kind: str, name: str) -> Settings:
        url = request.getfixturevalue("make_postgres_url")() if kind == "postgresql" else None
        return settings_of(tmp_path / name, url)

    return make


def rows_of(study: Study) -> dict[str, list[dict[str, Any]]]:
    with study.database.read() as connection:
        return {
            table.name: [
                dict(row._mapping)
                for row in connection.execute(select(table).order_by(*table.primary_key))
            ]
            for table in metadata.sorted_tables
        }


def files_in(folder: Path) -> dict[str, bytes]:
    found = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


@pytest.mark.slow
@pytest.mark.parametrize("source", KINDS)
@pytest.mark.parametrize("target", KINDS)
def test_a_study_moves_whole_between_databases(
    old_study: Study,
    new_home: Callable[[str, str], Settings],
    tmp_path: Path,
    source: str,
    target: str,
    work_off: Callable[..., int],
    assert_ledger_holds: Callable[[Study], None],
) -> None:
    first, second = new_home(source, "first"), new_home(target, "second")
    before = rows_of(old_study)
    written = write_backup(old_study, tmp_path / "old.zip")
    assert (written.files, written.missing) == (1 + len(IN_STORE), ())
    restored = restore_backup(first, tmp_path / "old.zip")
    assert (restored.requeued, restored.unfinished) == (2, 4)
    middle = Study.open(first)
    write_backup(middle, tmp_path / "middle.zip")
    middle.close()
    assert restore_backup(second, tmp_path / "middle.zip").requeued == 0
    study = Study.open(second)

    after = rows_of(study)
    assert after.pop("worker") == []
    assert files_in(study.store) == IN_STORE
    in_motion = ("worker", "piece", "job", "event")
    for name, rows in before.items():
        if name not in in_motion:
            assert after[name] == rows, name
    with study.database.read() as connection:
        open_pieces = connection.execute(select(piece).where(piece.c.state == "new")).all()
        assert jobs.get(connection, 7).state == "cancelled"  # nobody was left to confirm
    assert {row.owner for row in open_pieces} == {row.sent_at for row in open_pieces} == {None}
    was_running = next(row for row in open_pieces if (row.job_id, row.number) == (3, 1))
    assert (was_running.attempt, was_running.lost_leases, was_running.exceptions) == (1, 0, 0)
    assert_ledger_holds(study)

    # It goes on: ids count on, and the unfinished jobs are finished.
    with study.database.write() as connection:
        new = NewSmear(
            identity="f" * 64, root="local", path="/x", height_px=9, width_px=9, is_slide=False
        )
        assert smears.register(connection, 1.0, new)[0] == 11
        model = jobs.get(connection, 3).spec["model_id"]
        assert model == 1
    assert work_off(study) > 0
    assert_ledger_holds(study)
    with study.database.read() as connection:
        assert {jobs.get(connection, number).state for number in (3, 8)} == {"done"}
    study.close()


def test_the_cancelled_and_the_waiting_keep_their_history(
    old_study: Study, new_home: Callable[[str, str], Settings], tmp_path: Path
) -> None:
    before = rows_of(old_study)
    write_backup(old_study, tmp_path / "b.zip")
    restore_backup(new_home("sqlite", "new"), tmp_path / "b.zip")
    study = Study.open(settings_of(tmp_path / "new"))
    after = rows_of(study)
    added = [row for row in after["event"] if row not in before["event"]]
    assert [(row["job_id"], row["payload"]) for row in added] == [(7, {"state": "cancelled"})]
    assert [row for row in before["event"] if row not in after["event"]] == []
    changed = [
        row["id"] for row, old in zip(after["job"], before["job"], strict=True) if row != old
    ]
    assert changed == [7]
    study.close()


@pytest.mark.slow
def test_an_older_schema_is_restored_and_upgraded(
    tmp_path: Path,
    load_0001: Callable[[Path], Path],
    new_home: Callable[[str, str], Settings],
) -> None:
    with (tmp_path / "old.zip").open("wb") as file, ArchiveWriter(file, 0, None) as writer:
        with load_0001(tmp_path / "aside" / "c.sqlite").open("rb") as catalogue:
            writer.add(CATALOGUE, catalogue)
        writer.finish("0001")
    for kind in KINDS:
        settings = new_home(kind, kind)
        assert restore_backup(settings, tmp_path / "old.zip").revision == "0001"
        study = Study.open(settings)
        assert len(rows_of(study)["smear"]) == 10
        study.close()


@pytest.fixture(params=KINDS)
def busy_study(
    request: pytest.FixtureRequest,
    make_study: Callable[..., Study],
    add_model: Callable[[Study], ModelRecord],
    add_smears: Callable[..., list[int]],
    monkeypatch: pytest.MonkeyPatch,
) -> Study:
    """A study with a job of 300 smears in 150 pieces."""
    url = None if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    study = make_study(database=url)
    monkeypatch.setitem(jobs.PIECE_SIZE, "interactive", 2)
    with study.database.write() as connection:
        at = study.database.now(connection)
        connection.execute(
            worker.insert(),
            {"id": "w", "host": "h", "pid": 1, "device": "cpu", "started_at": at, "seen_at": at},
        )
    model, ids = add_model(study), add_smears(study, 300)
    with study.database.write() as connection:
        jobs.submit_classify(connection, study.database.now(connection), model, ids)
    return study


@pytest.mark.slow
def test_a_backup_of_a_running_job_is_one_moment_of_it(
    busy_study: Study,
    tmp_path: Path,
    work_off: Callable[..., int],
    assert_ledger_holds: Callable[[Study], None],
) -> None:
    done = threading.Event()

    def work() -> None:
        while work_off(busy_study, most=1):
            pass
        done.set()

    worker_thread = threading.Thread(target=work)
    worker_thread.start()
    taken = []
    while not done.is_set():
        taken.append(tmp_path / f"{len(taken)}.zip")
        write_backup(busy_study, taken[-1])
    worker_thread.join(timeout=60)
    counts = []
    for number, file in enumerate((taken[0], taken[len(taken) // 2], taken[-1])):
        settings = settings_of(tmp_path / f"restored{number}")
        restore_backup(settings, file)
        study = Study.open(settings)
        assert_ledger_holds(study)
        with study.database.read() as connection:
            counts.append(jobs.get(connection, 1).done)
        scheduler.tick(study)
        work_off(study)
        assert_ledger_holds(study)
        with study.database.read() as connection:
            job = jobs.get(connection, 1)
        assert (job.state, job.done, job.failed) == ("done", 300, 0)
        assert rows_of(study)["worker"] == []
        study.close()
    assert counts == sorted(counts)
    assert counts[0] < 300, "the first backup was taken while the job ran"


def test_a_checkpoint_that_is_removed_meanwhile_gives_another_moment(
    old_study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    following = CHECKPOINT.replace("00000", "00001")
    copy = backup._copy_catalogue
    moments = []

    def copy_and_go_on(study: Study, file: Path) -> None:
        copy(study, file)
        if not moments:  # the training goes on as soon as the catalogue is copied
            old = study.store / CHECKPOINT
            old.rename(study.store / following)
            with study.database.write() as connection:
                same = piece.c.job_id == 8, piece.c.number == 1
                payload = connection.execute(select(piece.c.payload).where(*same)).scalar_one()
                payload["checkpoint"]["path"] = following
                connection.execute(update(piece).where(*same).values(payload=payload))
        moments.append(file)

    monkeypatch.setattr(backup, "_copy_catalogue", copy_and_go_on)
    report = write_backup(old_study, tmp_path / "b.zip")
    assert (len(moments), report.missing) == (2, ())
    with ZipFile(tmp_path / "b.zip") as archive:
        assert f"store/{following}" in archive.namelist()
        assert f"store/{CHECKPOINT}" not in archive.namelist()


def test_a_missing_file_is_named_and_the_others_are_kept(old_study: Study, tmp_path: Path) -> None:
    for name in (COPY, CHECKPOINT):
        (old_study.store / name).unlink()
    command = ["--home", str(old_study.settings.home), "backup", str(tmp_path / "b.zip")]
    done = CliRunner().invoke(build(), [*command, "--json"])
    said = json.loads(done.stdout)
    assert (done.exit_code, sorted(said["missing"])) == (1, [CHECKPOINT, COPY])
    assert said["files"] == 1 + len(IN_STORE) - 2
    assert CliRunner().invoke(build(), [*command, "--force"]).stdout.count("\n  ") == 2


def test_a_backup_is_private_and_replaces_nothing_unasked(old_study: Study, tmp_path: Path) -> None:
    file = tmp_path / "b.zip"
    write_backup(old_study, file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    before = file.read_bytes()
    with pytest.raises(
        BadBackup, match=r"b\.zip is there already: choose another name, or --force"
    ):
        write_backup(old_study, file)
    assert file.read_bytes() == before
    (old_study.store / COPY).write_bytes(b"other pixels")
    write_backup(old_study, file, force=True)
    assert file.read_bytes() != before


def test_a_failing_backup_leaves_the_last_one_and_nothing_else(
    old_study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "backups"
    folder.mkdir()
    file = folder / "b.zip"
    write_backup(old_study, file)
    before, at_home = file.read_bytes(), set(old_study.settings.home.iterdir())

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(ArchiveWriter, "finish", full)
    with pytest.raises(BadBackup, match=r"b\.zip: .* \(No space left on device\)"):
        write_backup(old_study, file, force=True)
    assert (file.read_bytes(), list(folder.iterdir())) == (before, [file])
    assert set(old_study.settings.home.iterdir()) == at_home
    with pytest.raises(BadBackup, match="No such file or directory"):
        write_backup(old_study, tmp_path / "nowhere" / "b.zip")


@pytest.mark.parametrize("kind", KINDS)
def test_a_study_is_never_overwritten(
    old_study: Study, new_home: Callable[[str, str], Settings], tmp_path: Path, kind: str
) -> None:
    write_backup(old_study, tmp_path / "b.zip")
    settings = new_home(kind, "new")
    restore_backup(settings, tmp_path / "b.zip")
    elsewhere = settings.model_copy(update={"home": tmp_path / "third"})
    again = settings if kind == "sqlite" else elsewhere
    with pytest.raises(NoStudy, match="choose an"):
        restore_backup(again, tmp_path / "b.zip")
    assert not (tmp_path / "third").exists()


def test_a_left_over_journal_is_not_played_into_the_new_catalogue(
    old_study: Study, tmp_path: Path
) -> None:
    write_backup(old_study, tmp_path / "b.zip")
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / f"{CATALOGUE}-wal").write_bytes(b"of another catalogue")
    with pytest.raises(NoStudy, match="-wal is there already"):
        restore_backup(settings_of(tmp_path / "new"), tmp_path / "b.zip")


def test_a_store_that_has_the_files_keeps_them(old_study: Study, tmp_path: Path) -> None:
    """As when a study moves into a lab's database and its store stays where it is."""
    write_backup(old_study, tmp_path / "b.zip")
    settings = settings_of(tmp_path / "new").model_copy(update={"store": old_study.store})
    untouched = (old_study.store / COPY).stat().st_mtime_ns
    restore_backup(settings, tmp_path / "b.zip")
    assert (old_study.store / COPY).stat().st_mtime_ns == untouched
    (old_study.store / COPY).write_bytes(b"other pixels")
    third = settings.model_copy(update={"home": tmp_path / "third"})
    with pytest.raises(BadBackup, match=f"has another {COPY}: move it away"):
        restore_backup(third, tmp_path / "b.zip")
    assert not (tmp_path / "third").exists()
    assert {path.name for path in old_study.store.iterdir()} == {
        "features",
        "models",
        "runs",
        "smears",
    }


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_what_fails_at_the_last_step_leaves_nothing(
    old_study: Study,
    new_home: Callable[[str, str], Settings],
    tmp_path: Path,
    kind: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write_backup(old_study, tmp_path / "b.zip")
    settings = new_home(kind, "new")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        if kind == "sqlite":
            patch.setattr(restore, "_place_catalogue", full)
        else:
            copy_rows = restore.copy_rows

            def copied_and_full(*connections: Any) -> None:
                copy_rows(*connections)
                full()

            patch.setattr(restore, "copy_rows", copied_and_full)
        with pytest.raises(BadBackup, match="No space left on device"):
            restore_backup(settings, tmp_path / "b.zip")
    assert not (tmp_path / "new").exists()
    restore_backup(settings, tmp_path / "b.zip")  # and so it can be done again
    Study.open(settings).close()


def test_the_commands_say_what_they_did(old_study: Study, tmp_path: Path) -> None:
    def run(home: Path, *arguments: str) -> Any:
        done = CliRunner().invoke(build(), ["--home", str(home), *arguments])
        assert done.exit_code == 0, done.output
        return done.stdout

    file = tmp_path / "b.zip"
    said = run(old_study.settings.home, "backup", str(file))
    assert said.startswith(f"{file}: the catalogue and {len(IN_STORE)} files, ")
    said = json.loads(run(tmp_path / "new", "restore", str(file), "--json"))
    assert (said["revision"], said["requeued"], said["unfinished"]) == (HEAD, 2, 4)
    said = run(tmp_path / "third", "restore", str(file))
    assert "4 unfinished jobs go on with the next worker" in said


def test_every_error_of_a_backup_is_refused_input() -> None:
    assert issubclass(BadBackup, MarrowError)
    assert issubclass(BadBackup, ValueError)


def test_the_snapshot_needs_no_writer(old_study: Study, tmp_path: Path) -> None:
    """A backup waits for nobody: it is taken while another connection holds the write lock."""
    other = sqlite_at(old_study.settings.home / CATALOGUE)
    with other.write() as connection:
        connection.execute(update(piece).values(sends=99))
        write_backup(old_study, tmp_path / "b.zip")
    other.close()
    restore_backup(settings_of(tmp_path / "new"), tmp_path / "b.zip")
    study = Study.open(settings_of(tmp_path / "new"))
    assert {row["sends"] for row in rows_of(study)["piece"]} == {0}
    study.close()
