"""Nine kills, and worse, in 200 pieces: nothing lost, nothing twice, in every machine room."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.configurations import CONFIGURATIONS, open_room
from tests.chaos.plan import plan
from tests.chaos.rooms import REDIS_SERVER, Room
from tests.chaos.run import Run
from tests.chaos.smears import register, write_smears
from tests.chaos.stub_options import StubOptions

PIECES, FIELDS, KILLS = 200, 16, 9
SEED = 4
"""With which the agent is killed once: its viewer looks after it every ten seconds."""
OPTIONS = StubOptions(smear_s=0.008, lease_s=5.0)
PATIENCE_S = 60.0

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="signals and the broker are POSIX"),
]


@pytest.fixture(params=CONFIGURATIONS)
def room(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Room]:
    if request.param == "postgresql+redis" and not Path(REDIS_SERVER).exists():
        pytest.skip("redis-server is not installed")
    opened = open_room(
        request.param, tmp_path / "room", OPTIONS, lambda: request.getfixturevalue("postgres_url")
    )
    yield opened
    opened.close()


def test_every_smear_ends_once_whatever_is_killed(room: Room, tmp_path: Path) -> None:
    ids = register(room.study, write_smears(tmp_path / "smears", PIECES * FIELDS))
    moments = plan(SEED, PIECES, KILLS, room.possible)
    result = Run(room, PATIENCE_S)(ids, moments)
    print(*result.deeds, f"{result.duration_s:.1f} s", result.account[1:6], sep="\n")
    assert result.faults == ()
    assert [deed.what for deed in result.deeds] == [moment.what for moment in moments]
