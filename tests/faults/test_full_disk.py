"""A full disk: the work waits, a person is told once, and it goes on when there is space."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from tests.faults.wards import Ward, wait_for
from worker import claims
from worker import work as work_module

MIB = 1024**2


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work_module, "TROUBLE_PAUSE_S", 0.0)


class SmallDisk:
    """A real file system of its own, and a ballast that fills it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ballast = folder / "ballast"

    def fill(self, free_bytes: int = 0) -> None:
        """Leave no more than so much free."""
        with self._ballast.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, self.free() - free_bytes)

    def make_space(self) -> None:
        self._ballast.unlink(missing_ok=True)

    def free(self) -> int:
        found = os.statvfs(self.folder)
        return found.f_bavail * found.f_bsize


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[int], SmallDisk]]:
    """Mounts a file system of so many MiB in memory; only root may."""
    mounted: list[Path] = []

    def mount(size_mib: int) -> SmallDisk:
        if sys.platform != "linux" or os.getuid() != 0:
            pytest.skip("only root may mount a small disk")
        folder = tmp_path / "disk"
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={size_mib}m", "tmpfs", str(folder)]
        if subprocess.run(command, capture_output=True).returncode != 0:
            pytest.skip("no file system may be mounted here")
        mounted.append(folder)
        return SmallDisk(folder)

    yield mount
    for folder in mounted:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


class FullCatalogue:
    """Lets SQLite believe that its disk is full: the file may not grow by a page."""

    def __init__(self, ward: Ward) -> None:
        self.is_full = False
        engine = ward.study.database.engine
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.connection.execute("VACUUM")  # no free pages within the file either

        @event.listens_for(engine, "checkout")
        def _limit(connection: Any, *_: object) -> None:
            pages = connection.execute("PRAGMA page_count").fetchone()[0]
            most = pages if self.is_full else 1_000_000_000
            connection.execute(f"PRAGMA max_page_count = {most}")


def test_a_result_waits_in_memory_for_a_catalogue_that_is_full(
    ward: Ward, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ward.model()
    job = ward.client.submit(ward.smears(64), priority="overnight")
    catalogue = FullCatalogue(ward)
    finish, tries = claims.finish_smears, 0

    def at_the_end(*arguments: Any) -> None:
        nonlocal tries
        tries += 1
        catalogue.is_full = tries <= 2
        finish(*arguments)

    monkeypatch.setattr(claims, "finish_smears", at_the_end)
    assert ward.bench().try_any()
    assert tries == 3
    assert caplog.text.count("database or disk is full") == 2
    ward.assert_whole(job.id)
    assert ward.uncounted(job.id)
    assert [row.attempt for row in ward.pieces(job.id)] == [1]


def test_a_result_on_a_disk_that_is_really_full(
    make_study: Callable[..., Any],
    small_disk: Callable[[int], SmallDisk],
    tmp_path: Path,
    small_smears: Any,
    tiny_model: Any,
) -> None:
    """The whole home lies on the disk: the catalogue, its log and the store."""
    disk = small_disk(96)
    ward = Ward(make_study(name="disk/home"), tmp_path, small_smears, tiny_model)
    ward.model()
    job = ward.client.submit(ward.smears(64), priority="overnight")
    disk.fill()
    at_work = threading.Thread(target=ward.bench().try_any)
    at_work.start()
    at_work.join(2.0)
    assert at_work.is_alive() or ward.job(job.id).state == "waiting"
    disk.make_space()
    at_work.join(60)
    bench = ward.bench()
    wait_for(lambda: bench.try_any() or ward.job(job.id).is_finished)
    ward.assert_whole(job.id)
    assert ward.job(job.id).failed == 0
    assert ward.uncounted(job.id)


@pytest.mark.slow
def test_a_training_whose_store_is_full_waits_and_ends_as_if_nothing_had_been(
    make_study: Callable[..., Any],
    small_disk: Callable[[int], SmallDisk],
    tmp_path: Path,
    small_smears: Any,
    tiny_model: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """First no checkpoint can be written, then, when one counts, no model."""
    disk = small_disk(256)
    monkeypatch.setenv("MARROW_STORE", str(disk.folder / "store"))
    ward = Ward(make_study(), tmp_path, small_smears, tiny_model)
    ward.labelled()
    job = ward.train(epochs=1)
    is_wanted = True
    monkeypatch.setattr(claims, "has_interactive_work", lambda _: is_wanted)
    monkeypatch.setattr("worker.segments.YIELD_LOOK_S", 0.0)
    bench = ward.bench()

    disk.fill(free_bytes=MIB)
    for _ in range(3):
        assert bench.try_any()
        assert disk.free() >= MIB / 2  # a try that failed leaves nothing behind
    assert left_in(disk.folder / "store") == []
    told = ["here: the disk is full; the work waits until there is space"]
    assert ward.notes(job.id) == told
    assert ward.uncounted(job.id)
    assert ward.job(job.id).state == "running"

    disk.make_space()
    assert bench.try_any()  # leaves a checkpoint after one batch
    (checkpoint,) = left_in(disk.folder / "store")
    disk.fill(free_bytes=MIB)
    is_wanted = False
    for _ in range(2):
        assert bench.try_any()
    assert left_in(disk.folder / "store") == [checkpoint]
    assert ward.notes(job.id) == told
    disk.make_space()
    while bench.try_any():
        pass
    assert ward.job(job.id).state == "done"
    assert ward.uncounted(job.id)
    (weights,) = left_in(disk.folder / "store")
    assert weights.name == "weights.safetensors"


def left_in(store: Path) -> list[Path]:
    """Checkpoints, weights, and what was put aside for them."""
    return [
        path
        for path in sorted(store.rglob("*"))
        if path.is_file() and path.parent.name != "features" and path.name != "card.json"
    ]
