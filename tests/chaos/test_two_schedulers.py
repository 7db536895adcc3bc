"""Of two schedulers one works; the other waits, and follows when the first is killed."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import select, update

from marrow.catalogue.schema import piece
from tests.chaos.processes import kill
from tests.chaos.rooms import Lab
from tests.chaos.smears import register, write_smears
from tests.chaos.stub_options import StubOptions
from worker import claims
from worker.owner import Owner

DEAD = Owner("elsewhere", 1, 1.0)
DEADLINE_S = 60.0
LOOKS_S = 3.0
"""A scheduler looks every second."""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX"),
]


@pytest.fixture(params=["sqlite", "postgresql"])
def lab(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Lab]:
    """One piece, one scheduler, and nobody who works."""
    folder = tmp_path / "room"
    folder.mkdir()
    is_sqlite = request.param == "sqlite"
    url = f"sqlite:///{folder / 'db'}" if is_sqlite else request.getfixturevalue("postgres_url")
    lab = Lab(folder, StubOptions(), url, has_broker=False)
    for number in range(Lab.WORKERS):
        lab.processes.forget(f"worker-{number}")
    lab.client.submit(register(lab.study, write_smears(tmp_path / "smears", 1)))
    yield lab
    lab.close()


def lose_piece(lab: Lab) -> None:
    """Let a worker that is gone have held the piece until long ago."""
    assert claims.claim_next(lab.study, DEAD) is not None
    with lab.study.database.write() as connection:
        connection.execute(update(piece).values(lease_until=1.0))


def is_recovered(lab: Lab) -> bool:
    with lab.study.database.read() as connection:
        return connection.execute(select(piece.c.state)).scalar_one() == "new"


def wait_until(is_so: Callable[[], bool], timeout_s: float = DEADLINE_S) -> bool:
    until = time.monotonic() + timeout_s
    while not is_so():
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True


def test_the_second_waits_for_the_end_of_the_first(lab: Lab) -> None:
    lose_piece(lab)
    assert wait_until(lambda: is_recovered(lab))
    (first,) = lab.pids("scheduler")
    lab.add_scheduler("scheduler-2")
    log = lab.folder / "scheduler-2.log"
    assert wait_until(lambda: "another scheduler works" in log.read_text())

    os.kill(first, signal.SIGSTOP)
    lose_piece(lab)
    assert not wait_until(lambda: is_recovered(lab), LOOKS_S)
    assert kill(first)
    assert wait_until(lambda: is_recovered(lab))
