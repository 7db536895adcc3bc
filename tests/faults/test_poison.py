"""A smear that kills or hangs its worker fails alone, last, and in words; the worker returns."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

import psutil
import pytest

from marrow.catalogue import jobs
from marrow.records import ModelRecord
from marrow.study import Study
from tests.faults.wards import ROOT, WAIT_S, Ward
from worker import classify
from worker.lease import STUCK_EXIT
from worker.owner import Owner
from worker.recovery import release_leases_of

STALLED_S = 1.0


class Life(NamedTuple):
    """What a worker decoded, and how it ended."""

    decoded: list[int]
    code: int
    said: str


def live(study: Study, poison: int, how: str) -> Life:
    """One life of a worker; when it is over, its leases are freed, as the agent does."""
    command = [sys.executable, "-m", "tests.faults.poisoned_worker", str(study.settings.home)]
    process = subprocess.Popen(
        [*command, str(poison), how, str(STALLED_S)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    started = psutil.Process(process.pid).create_time()
    try:
        decoded, said = process.communicate(timeout=WAIT_S)
    finally:
        process.kill()
        process.wait()
    release_leases_of(study, Owner(Owner.of_this_process().host, process.pid, started))
    return Life([int(line) for line in decoded.split()], process.returncode, said)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX")
@pytest.mark.parametrize(
    ("how", "deaths", "code", "reason"),
    [
        ("dies", 11, -9, "the worker died 10 times while it had this: a file may be damaged"),
        ("hangs", 4, STUCK_EXIT, "no progress for 1 s: a file may be damaged"),
        (
            "hangs with the lock",
            11,
            1,
            "the worker died 10 times while it had this: a file may be damaged",
        ),
    ],
)
def test_a_poison_fails_alone_and_last(
    make_study: Callable[..., Study],
    add_smears: Callable[..., list[int]],
    add_model: Callable[..., ModelRecord],
    how: str,
    deaths: int,
    code: int,
    reason: str,
) -> None:
    study = make_study()
    ids, model = add_smears(study, 64), add_model(study)
    poison = ids[5]
    with study.database.write() as connection:
        at = study.database.now(connection)
        job = jobs.submit_classify(connection, at, model, ids, priority="overnight")
    lives: list[Life] = []
    while not lives or lives[-1].code != 0:
        lives.append(live(study, poison, how))
        assert len(lives) < 20
    assert [one.code for one in lives] == [code] * deaths + [0]
    if how == "hangs with the lock":
        assert "Timeout" in lives[0].said  # of the watchdog, with where the thread hung
        assert "poisoned_worker.py" in lives[0].said
    with study.database.read() as connection:
        assert dict(jobs.errors(connection, job.id)) == {poison: reason}
        ended = jobs.get(connection, job.id)
    assert (ended.state, ended.done, ended.failed) == ("done", 63, 1)
    # The first death splits the piece; after the second one, all others are done first.
    assert [one.decoded[-1] for one in lives[:-1]] == [poison] * deaths
    assert lives[2].decoded == [*ids[6:], poison]
    assert all(one.decoded == [poison] for one in lives[3:-1])


def test_a_decoder_that_hangs_in_its_thread_ends_the_worker(
    ward: Ward, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real classifier: one of its threads hangs, and the others cannot go on without it."""
    ward.model()
    ids = ward.smears(6)
    job = ward.client.submit(ids)
    ended, open_smear, hung = threading.Event(), classify.open_smear, 0

    def hanging(path: Any) -> Any:
        nonlocal hung
        if path.name == "00002.png":
            hung += 1
            assert ended.wait(WAIT_S)  # then the process would be gone, and this thread with it
        return open_smear(path)

    monkeypatch.setattr(classify, "open_smear", hanging)
    while ward.bench(exit_worker=ended.set, stalled_s=STALLED_S).try_any():
        ended.clear()
    ward.assert_whole(job.id)
    assert ward.errors(job.id) == {ids[2]: "no progress for 1 s: a file may be damaged"}
    assert hung == 4
