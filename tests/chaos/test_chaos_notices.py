"""The suite fails when a part of the ledger is switched off: so it would notice its loss."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.chaos.configurations import open_room
from tests.chaos.plan import Moment
from tests.chaos.rooms import Lab
from tests.chaos.run import Result, Run
from tests.chaos.smears import register, write_smears
from tests.chaos.stub_options import StubOptions

PIECES, FIELDS = 40, 16
STANDSTILL_S = 15.0
FREEZE = [Moment(3, "freeze", 0)]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX"),
]

MakeLab = Callable[..., Lab]


@pytest.fixture
def make_lab(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[MakeLab]:
    """Makes labs whose workers poll a SQLite file; closes them after the test."""
    made: list[Lab] = []

    def make(without: str | None = None, lease_s: float = 3.0, kind: str = "sqlite") -> Lab:
        options = StubOptions(smear_s=0.01, lease_s=lease_s, without=without)
        room = open_room(
            kind,
            tmp_path / f"room-{len(made)}",
            options,
            lambda: request.getfixturevalue("postgres_url"),
        )
        assert isinstance(room, Lab)
        made.append(room)
        return room

    yield make
    for room in made:
        room.close()


def run(room: Lab, folder: Path, moments: list[Moment]) -> Result:
    ids = register(room.study, write_smears(folder / "smears", PIECES * FIELDS))
    return Run(room, STANDSTILL_S)(ids, moments)


def test_a_zombie_is_fenced(make_lab: MakeLab, tmp_path: Path) -> None:
    room = make_lab()
    result = run(room, tmp_path, FREEZE)
    assert result.faults == ()
    assert (room.fenced(), result.account.lost_attempts) == (1, 1)


def test_without_the_fence_a_zombie_is_noticed(make_lab: MakeLab, tmp_path: Path) -> None:
    """A worker stopped before it read what is in its piece finds none left, and tells that."""
    result = run(make_lab("fence"), tmp_path, FREEZE)
    faults = "; ".join(result.faults)
    assert "smears are told twice" in faults or "pieces are told without a smear" in faults
    assert "of whom 0 were fenced" in faults


def test_without_leases_the_lost_work_is_noticed(make_lab: MakeLab, tmp_path: Path) -> None:
    """Each worker takes what the other works on."""
    result = run(make_lab("lease"), tmp_path, [])
    assert any("attempts are lost, and kills explain 0" in fault for fault in result.faults)


def test_without_the_scheduler_the_standstill_is_noticed(make_lab: MakeLab, tmp_path: Path) -> None:
    """Workers that poll take lost pieces themselves; those that wait for hints never hear."""
    room = make_lab(kind="postgresql+redis")

    def kill_both(_moment: Moment) -> bool:
        is_done = room.freezer.kill_one(0)
        if is_done:
            room.processes.forget("scheduler-1")
        return is_done

    room.do = kill_both  # type: ignore[method-assign]
    result = run(room, tmp_path, [Moment(3, "holder", 0)])
    assert any("the job is running, not done" in fault for fault in result.faults)
    assert result.account.lost == FIELDS


def test_a_clock_that_is_five_minutes_ahead_doubles_nothing(
    make_lab: MakeLab, tmp_path: Path
) -> None:
    """It finds all leases of others over, and takes their work: a waste, and nothing worse."""
    room = make_lab()
    room.add_worker("worker-ahead", "--clock-ahead-s", "300")
    result = run(room, tmp_path, [])
    assert [fault for fault in result.faults if "attempts are lost" not in fault] == []


def test_in_a_lab_the_clock_of_a_host_is_nothing(make_lab: MakeLab, tmp_path: Path) -> None:
    room = make_lab(kind="postgresql+redis")
    room.add_worker("worker-ahead", "--clock-ahead-s", "300")
    result = run(room, tmp_path, [])
    assert result.faults == ()
    assert result.account.lost_attempts == 0
