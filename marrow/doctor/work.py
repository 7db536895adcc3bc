"""Who works, and whether anything waits for nobody."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import select

from marrow.catalogue import jobs
from marrow.catalogue.schema import worker
from marrow.doctor.finding import Finding, ill, well
from marrow.queue import WORKER_ALIVE_S
from marrow.records import WorkerRecord
from marrow.study import Study
from marrow.times import duration_text


def examine(study: Study) -> Iterator[Finding]:
    """Each worker's last word, then the jobs that nobody can work on."""
    columns = [worker.c[name] for name in WorkerRecord.model_fields]
    with study.database.read() as connection:
        now = study.database.now(connection)
        rows = connection.execute(select(*columns).order_by(worker.c.seen_at.desc()))
        workers = [WorkerRecord(**row._mapping) for row in rows]
        waiting = [
            one.id
            for one in jobs.unfinished(connection)
            if one.opens_at is None or one.opens_at <= now
        ]
    alive = [one for one in workers if one.seen_at > now - WORKER_ALIVE_S]
    hosts = {one.host for one in alive}
    for one in workers:
        yield _worker(one, now, one in alive, bool(waiting) and one.host not in hosts)
    yield _jobs(waiting, bool(alive), study.settings.is_single_machine)


def _worker(one: WorkerRecord, now: float, is_alive: bool, is_missed: bool) -> Finding:
    what = f"worker {one.host}:{one.pid}"
    ago = f"{one.device}, heard of {duration_text(max(0.0, now - one.seen_at))} ago"
    if is_alive:
        return well(what, ago)
    if not is_missed:
        return well(what, f"{ago}; ended without a word, and nothing waits for it")
    remedy = "start it again there (`marrow worker`); its work was taken back"
    return ill(what, f"{ago}: dead, or cut off from the database", remedy)


def _jobs(waiting: list[int], is_anybody: bool, is_single_machine: bool) -> Finding:
    if not waiting:
        return well("jobs", "none waits")
    numbers = ", ".join(map(str, waiting[:10])) + (" ..." if waiting[10:] else "")
    if is_anybody:
        return well("jobs", f"at work or waiting for their turn: {numbers}")
    start = "`marrow agent start`" if is_single_machine else "start `marrow worker` on a host"
    return ill("jobs", f"wait, and no worker is alive: {numbers}", start)
