"""A viewer that follows a job and notes what it shows, so that it can be killed at any moment.

    python -m tests.chaos.viewer --home DIR --job N --shown FILE [--anew] ...

Each line of FILE is `event SEQ`, or `snapshot SEQ DONE FAILED`: the state that a viewer takes in
one read when it opens, and the number of the last event that is in it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from marrow.catalogue import jobs
from marrow.catalogue.database import Database
from marrow.client import Client
from marrow.settings import Settings
from marrow.study import Study
from tests.chaos import stub_agent, stub_options


def shown_in(file: Path) -> list[tuple[int, ...]]:
    """(seq,) of each event and (seq, done, failed) of each snapshot, in the order shown."""
    lines = file.read_text().splitlines() if file.exists() else []
    return [tuple(int(word) for word in line.split()[1:]) for line in lines]


def faults_in(shown: Iterable[tuple[int, ...]], counts: dict[int, tuple[int, int]]) -> list[str]:
    """What a person would have seen twice, or never.

    Parameters
    ----------
    counts : dict
        (done, failed) as the events say after each seq, from 0 to the last.
    """
    faults, last = [], 0
    for seq, *snapshot in shown:
        if snapshot and (seq < last or counts.get(seq) != tuple(snapshot)):
            faults.append(f"a viewer's snapshot at event {seq} says {snapshot}: {counts.get(seq)}")
        if not snapshot and seq != last + 1:
            faults.append(f"a viewer has shown event {seq} after event {last}")
        last = seq
    if last != max(counts):
        faults.append(f"a viewer has shown {last} of {max(counts)} events")
    return faults


def snapshot_of(database: Database, job_id: int) -> tuple[int, int, int]:
    """(last seq, done, failed) in one read."""
    with database.read() as connection:
        job = jobs.get(connection, job_id)
    return job.last_seq, job.done, job.failed


def main() -> None:
    """Follow from the last event shown to the job's end."""
    parser = stub_options.parser()
    parser.add_argument("--job", type=int, required=True)
    parser.add_argument("--shown", type=Path, required=True)
    parser.add_argument("--anew", action="store_true")
    arguments = parser.parse_args()
    study = Study.open(Settings.read(arguments.home))
    client = Client(study, stub_agent.starter(stub_options.options_in(arguments)))
    before = shown_in(arguments.shown)
    note = os.open(arguments.shown, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    last = before[-1][0] if before else 0
    if arguments.anew:
        last, done, failed = snapshot_of(study.database, arguments.job)
        os.write(note, f"snapshot {last} {done} {failed}\n".encode())
    for event in client.follow(arguments.job, after=last):
        os.write(note, f"event {event.seq}\n".encode())
    study.close()


if __name__ == "__main__":
    main()
