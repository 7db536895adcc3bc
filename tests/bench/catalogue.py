"""How large and how fast the catalogue is with a million predictions.

A part of `python -m tests.bench`. By itself it says more:

    python -m tests.bench.catalogue --rows 1000000 --home FOLDER

It makes a study with that many predictions (kept in FOLDER, so that a second run only
measures), and prints its size, the slowest first pages of the results and the smears, the
time a large submit takes, and what the ledger's steps cost on a job of 100,000 smears.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Table, func, insert, select, text

from marrow.catalogue import jobs, models, predictions, smears
from marrow.catalogue.predictions import ResultFilter, Sort
from marrow.catalogue.schema import (
    event,
    job,
    job_smear,
    label,
    piece,
    prediction,
    prediction_map,
    smear,
)
from marrow.catalogue.smears import SmearFilter
from marrow.catalogue.worklist import worklist_place
from marrow.records import AnswerMap, Provenance
from marrow.schemes import AA_MDS_AML
from marrow.settings import Settings
from marrow.study import Study
from tests.bench.figures import Figure

MAP_SHAPE = (5, 8, 8)
"""Five classes over all heads; a 256 px square through a ResNet is an 8 x 8 map."""
NIGHT = 100_000
"""Smears of one night's job."""
SMEARS_OF_PATIENT = 20
PAGE = 500
"""As the Results tab reads."""
PAGE_GOAL_MS = 150.0
CHUNK = 20_000
UNSURE_BELOW = 0.5
UNLIKE_SHARE = 0.05
AGREEING = 0.9
"""Share of labels that are the model's call whatever it is; the others are drawn."""
FIRST_AT = 1_800_000_000.0


def fill(study: Study, rows: int) -> None:
    """Store `rows` predictions with maps, and all else that made them, as nights of work leave."""
    made = []
    with study.database.write() as connection:
        for number in range(4):
            made.append(
                models.register(
                    connection,
                    FIRST_AT,
                    sha256=f"{number:064x}",
                    path=f"models/{number:016x}",
                    preprocessing="b" * 64,
                    precision="fp32",
                    card={},
                    job_id=None,
                ).id
            )
        by = Provenance(code_version="1", torch_version="2", device="cpu", host="h")
        provenance_id = predictions.provenance_id(connection, by)
    random = np.random.default_rng(0)
    for night, start in enumerate(range(0, rows, NIGHT)):
        count = min(NIGHT, rows - start)
        with study.database.write() as connection:
            _fill_night(connection, random, night, start, count, made[night % 4], provenance_id)


def _fill_night(
    connection: Connection,
    random: np.random.Generator,
    night: int,
    start: int,
    count: int,
    model_id: int,
    provenance_id: int,
) -> None:
    """One finished job; every hundredth smear failed with a reason and has no prediction."""
    at = FIRST_AT + night * 86_400.0
    failed = count // 100
    total = count + failed
    first = start + start // 100 + 1
    pieces = -(-total // 64)
    values = {"id": night + 1, "kind": "classify", "state": "done", "priority": "overnight"}
    values |= {"spec": {"model_id": model_id}, "last_seq": pieces + 2, "total": total}
    values |= {"done": count, "failed": failed, "created_at": at, "finished_at": at + 3600}
    connection.execute(insert(job), values)
    _store(connection, piece, (_piece_row(night + 1, n, at) for n in range(pieces)))
    _store(connection, event, (_event_row(night + 1, n, first, total, at) for n in range(pieces)))
    _store(connection, smear, (_smear_row(n, night, at) for n in range(first, first + total)))
    answered = range(first, first + count)
    diagnosis = random.dirichlet((0.3, 0.3, 0.3), count)
    common = {"model_id": model_id, "provenance_id": provenance_id}
    rows = _prediction_rows(random, diagnosis, answered, start + 1, at)
    _store(connection, prediction, (row | common for row in rows))
    _store(connection, prediction_map, _map_rows(random, range(start + 1, start + 1 + count)))
    _store(connection, job_smear, _outcome_rows(night + 1, first, count, total, start + 1))
    _store(connection, label, _label_rows(random, diagnosis, answered, at))


def _store(connection: Connection, table: Table, rows: Iterator[dict[str, Any]]) -> None:
    while chunk := list(itertools.islice(rows, CHUNK)):
        connection.execute(insert(table), chunk)


def _piece_row(job_id: int, number: int, at: float) -> dict[str, Any]:
    counts = {"attempt": 1, "sends": 1, "exceptions": 0, "lost_leases": 0}
    times = {"started_at": at + number, "finished_at": at + number + 0.9}
    return {"job_id": job_id, "number": number, "state": "done", **counts, **times}


def _event_row(job_id: int, number: int, first: int, total: int, at: float) -> dict[str, Any]:
    members = list(range(first + number * 64, min(first + total, first + number * 64 + 64)))
    payload = {"piece": number, "smears": members, "done": number * 64, "failed": 0}
    payload["total"] = total
    when = at + number
    return {"job_id": job_id, "seq": number + 1, "kind": "piece", "payload": payload, "at": when}


def _smear_row(number: int, night: int, at: float) -> dict[str, Any]:
    patient = f"P{number // SMEARS_OF_PATIENT:06d}"
    return {
        "id": number,
        # An odd multiplier: hashes come in no order.
        "identity": f"{(number * 0x9E3779B97F4A7C15F39CC0605CEDC834) % 2**256:064x}",
        "root": "smears",
        "path": f"2026/night-{night:03d}/{patient}/slide-1/field_{number:07d}.jpg",
        "members": [],
        "height_px": 1024,
        "width_px": 1024,
        "is_slide": False,
        "patient": patient,
        "slide": f"{patient}-1",
        "site": f"site {number // SMEARS_OF_PATIENT % 4}",
        "regions_revision": 0,
        "added_at": at,
    }


def _prediction_rows(
    random: np.random.Generator,
    diagnosis: NDArray[np.float64],
    answered: range,
    first_id: int,
    at: float,
) -> Iterator[dict[str, Any]]:
    mds = np.clip(diagnosis[:, 1] + random.normal(0, 0.02, len(answered)), 0, 1)
    strangeness = random.random(len(answered))
    for k, smear_id in enumerate(answered):
        p_mds, answer = float(mds[k]), diagnosis[k].tolist()
        calls = int(p_mds > 0.5), int(diagnosis[k].argmax())
        flags = _flags(calls, max(answer), float(strangeness[k]))
        row = {
            "id": first_id + k,
            "smear_id": smear_id,
            "precision": "fp32",
            "regions_revision": 0,
            "at": at + k // 64,
            "flags": " ".join(flags),
            "top_p": max(answer),
            "worklist": worklist_place(flags, max(answer)),
            "call_0": calls[0],
            "call_1": calls[1],
            "p_00": 1 - p_mds,
            "p_01": p_mds,
            **{f"p_{2 + index:02d}": p for index, p in enumerate(answer)},
        }
        yield row


def _map_rows(random: np.random.Generator, ids: range) -> Iterator[dict[str, Any]]:
    size = 2 * int(np.prod(MAP_SHAPE))
    noise = random.bytes(size + len(ids))
    for k, prediction_id in enumerate(ids):
        stored = predictions.map_columns(
            AnswerMap("activation", noise[k : k + size], MAP_SHAPE, (128.0, 128.0))
        )
        yield {"prediction_id": prediction_id, **stored}


def _outcome_rows(
    job_id: int, first: int, count: int, total: int, first_id: int
) -> Iterator[dict[str, Any]]:
    reason = "field.jpg: cannot be read (truncated JPEG)"
    for k in range(total):
        outcome = {"prediction_id": first_id + k if k < count else None}
        outcome |= {"error": None if k < count else reason}
        yield {"job_id": job_id, "smear_id": first + k, "piece": k // 64, **outcome}


def _flags(calls: tuple[int, int], top_p: float, strangeness: float) -> list[str]:
    """About 1 in 9 predictions has one: most are unsure, few have two."""
    carried = {
        "heads-disagree": calls[0] != (calls[1] == 1),
        "unsure": top_p < UNSURE_BELOW,
        "unlike-training": strangeness < UNLIKE_SHARE,
    }
    return [name for name, is_so in carried.items() if is_so]


def _label_rows(
    random: np.random.Generator, diagnosis: NDArray[np.float64], answered: range, at: float
) -> Iterator[dict[str, Any]]:
    """Of every tenth smear, and of one in 200 a second reader's; most say what the model says."""
    classes = AA_MDS_AML.heads[1].classes
    for k, smear_id in enumerate(answered):
        readers = ["jk"] * (k % 10 == 0) + ["mw"] * (k % 200 == 0)
        for reader in readers:
            is_call = random.random() < AGREEING
            answer = classes[int(diagnosis[k].argmax()) if is_call else int(random.integers(3))]
            said = {"head": "diagnosis", "answer": answer, "reader": reader}
            yield {"smear_id": smear_id, **said, "seen_prediction": False, "at": at}


class Timing(NamedTuple):
    """One thing that was measured, in time of this process: SQLite works in it."""

    what: str
    milliseconds: float
    rows: int


def table_bytes(study: Study) -> dict[str, int]:
    """Bytes of the database, by table and index, the largest first."""
    if study.database.is_sqlite:
        query = "SELECT name, sum(pgsize) AS size FROM dbstat GROUP BY name ORDER BY 2 DESC"
    else:
        query = (
            "SELECT relname, pg_total_relation_size(oid) AS size FROM pg_class "
            "WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace ORDER BY 2 DESC"
        )
    with study.database.read() as connection:
        return {name: int(size) for name, size in connection.execute(text(query))}


FILTERS: dict[str, dict[str, Any]] = {
    "all": {},
    "a call": {"head": "diagnosis", "call": "MDS"},
    "a call, p 0.5": {"head": "diagnosis", "call": "MDS", "min_p": 0.5},
    "a call, p 0.99": {"head": "diagnosis", "call": "MDS", "min_p": 0.99},
    "a call, p 0.9": {"head": "diagnosis", "call": "MDS", "min_p": 0.9},
    "a model": {"model_id": 2},
    "a flag": {"flag": "unsure"},
    "a rare flag": {"flag": "heads-disagree"},
    "a flag that is nowhere": {"flag": "few-tiles"},
    "flagged": {"flagged": True},
    "disagrees": {"disagrees": True},
    "does not disagree": {"disagrees": False},
    "disagrees, a call": {"disagrees": True, "head": "diagnosis", "call": "MDS"},
    "disagrees, p 0.9": {"disagrees": True, "head": "diagnosis", "call": "MDS", "min_p": 0.9},
    "disagrees, flagged": {"disagrees": True, "flagged": True},
    "disagrees, a model": {"disagrees": True, "model_id": 2},
    "disagrees, one night": {"disagrees": True, "text": "night-000"},
    "flagged, a call": {"flagged": True, "head": "diagnosis", "call": "MDS"},
    "flagged, a model": {"flagged": True, "model_id": 2},
    "a model, a call": {"model_id": 2, "head": "diagnosis", "call": "MDS"},
    "a model, p 0.9": {"model_id": 2, "head": "diagnosis", "call": "MDS", "min_p": 0.9},
    "blind": {"sight": {"reader": "jk", "blind": ("jk", "mw")}},
    "one file": {"text": "field_0000921"},
    "one patient": {"text": "P00049"},
    "one night": {"text": "night-000"},
    "a text of all": {"text": "field"},
    "a text of none": {"text": "zebra"},
    "a job": {"job_id": 1},
    "a job's calls": {"job_id": 1, "head": "diagnosis", "call": "MDS"},
    "a job's errors": {"job_id": 1, "has_error": True},
    "a job, so far": {"job_id": 1, "has_ended": True},
    "a job, flagged": {"job_id": 1, "has_ended": True, "flagged": True},
    "a job, disagrees": {"job_id": 1, "has_ended": True, "disagrees": True},
    "a job, p 0.9": {"job_id": 1, "head": "diagnosis", "call": "MDS", "min_p": 0.9},
    "a job, a patient": {"job_id": 1, "text": "P00049"},
    "a night's calls": {"text": "night-000", "head": "diagnosis", "call": "MDS"},
}


def sorts() -> list[Sort]:
    """Every column of the table, rising and falling."""
    columns = ["smear", "patient", "at", "top_p", "flags", "model", "worklist"]
    for head in AA_MDS_AML.heads:
        columns += [f"call:{head.name}", *(f"p:{head.name}:{name}" for name in head.classes)]
    return [Sort(column=name, descending=down) for name in columns for down in (False, True)]


def first_pages(study: Study, times: int = 2) -> list[Timing]:
    """First pages of the results, each filter by each order, the slowest first."""
    figures = []
    for name, values in FILTERS.items():
        for sort in sorts():
            shown = ResultFilter(**values)
            ask = _reader(
                study, lambda c, f=shown, s=sort: predictions.page(c, AA_MDS_AML, f, s, 0, PAGE)
            )
            rising = "falling" if sort.descending else "rising"
            figures.append(_fastest(f"{name}, {sort.column} {rising}", ask, times))
    return sorted(figures, key=lambda figure: -figure.milliseconds)


def smear_pages(study: Study, times: int = 2) -> list[Timing]:
    """First pages of the list of smears."""
    asked = [{}, {"text": "field_0000921"}, {"text": "zebra"}, {"labelled": True}]
    asked += [{"labelled": False}, {"patient": "P000049"}, {"site": "site 2"}]
    blind = {"sight": {"reader": "jk", "blind": ("jk", "mw")}}
    asked += [blind, {**blind, "labelled": False}, {**blind, "unread_by": "jk"}]
    figures = []
    for values in asked:
        shown = SmearFilter(**values)
        ask = _reader(study, lambda c, f=shown: smears.page(c, f, 0, PAGE))
        figures.append(_fastest(f"smears {values}", ask, times))
    return figures


def one_scan(study: Study) -> Timing:
    """Reading every prediction once: what the pages are to be compared with."""
    query = text("SELECT count(*) FROM prediction WHERE p_01 + p_02 < 0")
    return _fastest("a scan", _reader(study, lambda c: [c.execute(query).scalar_one()]), 3)


def submit_and_ledger(study: Study, count: int = NIGHT) -> list[Timing]:
    """A submit of `count` smears, and what the ledger's steps cost while that job is open."""
    with study.database.read() as connection:
        ids = smears.all_ids(connection, SmearFilter())[:count]
    with study.database.write() as connection:
        model = models.register(
            connection, FIRST_AT, sha256=f"{time.time_ns():064x}", path="models/bench",
            preprocessing="b" * 64, precision="fp32", card={}, job_id=None,
        )  # fmt: skip
    made: list[int] = []

    def submit(connection: Connection) -> list[int]:
        job = jobs.submit_classify(connection, FIRST_AT, model, ids, priority="overnight")
        made.append(job.id)
        return ids

    figures = [_fastest("submit", _writer(study, submit), 1)]
    job_id = made[0]
    steps: dict[str, Callable[[Connection], Any]] = {
        "close_if_over": lambda c: jobs.close_if_over(c, FIRST_AT, job_id) or [],
        "events": lambda c: jobs.events(c, 1, 1000),
        "cancel": lambda c: [jobs.cancel(c, FIRST_AT, job_id)],
        "retry": lambda c: [jobs.retry(c, FIRST_AT, job_id)],
        "close_if_over, single pieces": lambda c: jobs.close_if_over(c, FIRST_AT, job_id) or [],
    }
    figures += [_fastest(name, _writer(study, step), 1) for name, step in steps.items()]
    return figures


def _reader(study: Study, ask: Callable[[Connection], Any]) -> Callable[[], Any]:
    def run() -> Any:
        with study.database.read() as connection:
            return ask(connection)

    return run


def _writer(study: Study, ask: Callable[[Connection], Any]) -> Callable[[], Any]:
    def run() -> Any:
        with study.database.write() as connection:
            return ask(connection)

    return run


def _fastest(what: str, ask: Callable[[], Any], times: int) -> Timing:
    best, rows = float("inf"), 0
    for _ in range(times):
        begun = time.process_time()
        rows = len(ask())
        best = min(best, time.process_time() - begun)
    return Timing(what, best * 1000, rows)


BROAD = ("a call, p", "one night", "a night's calls", "disagrees")
"""Filters for which no index holds both filter and order, and that leave, or find among, 100,000
rows and more."""


def catalogue(home: Path, rows: int) -> list[Figure]:
    """The figures of the catalogue with so many predictions, on SQLite."""
    study = Study.create(Settings.read(home), AA_MDS_AML)
    fill(study, rows)
    size = sum(table_bytes(study).values())
    scan = one_scan(study).milliseconds
    pages = first_pages(study)
    broad = [page for page in pages if page.what.startswith(BROAD)]
    columns = [page for page in pages if page.what.startswith("all, ")]
    others = [page for page in pages if page not in broad and page not in columns]
    kinds = {"no filter": columns, "narrow filters": others, "broad filters": broad}
    submit = submit_and_ledger(study)[0]
    study.close()
    return [
        *(_slowest(kind, of, scan) for kind, of in kinds.items()),
        Figure(
            f"submit of {submit.rows} smears", submit.milliseconds, 3000, "ms", False,
            f"{submit.milliseconds / scan:.2f} scans of {rows} predictions",
        ),
        Figure(
            f"{rows} predictions with maps", size / 1e6, 1.5e-3 * rows, "MB", False,
            f"{size / rows:.0f} bytes a prediction, {2 * int(np.prod(MAP_SHAPE))} of them the map",
        ),
    ]  # fmt: skip


def _slowest(kind: str, pages: list[Timing], scan_ms: float) -> Figure:
    worst, middle = pages[0].milliseconds, pages[len(pages) // 2].milliseconds
    good = sum(page.milliseconds <= PAGE_GOAL_MS for page in pages)
    of = f"median {middle:.0f}; {good} of {len(pages)} within; a scan takes {scan_ms:.0f} ms"
    of = f"{pages[0].what}; {of}"
    return Figure(f"slowest first page, {kind}", worst, PAGE_GOAL_MS, "ms", False, of)


def counts(study: Study) -> list[Timing]:
    """How long it takes to count the rows of each filter, the slowest first."""
    figures = []
    for name, values in FILTERS.items():
        shown = ResultFilter(**values)
        ask = _reader(study, lambda c, f=shown: [predictions.count(c, AA_MDS_AML, f)])
        figures.append(_fastest(f"count of {name}", ask, 2))
    return sorted(figures, key=lambda figure: -figure.milliseconds)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--database", help="URL of an empty PostgreSQL database")
    chosen = parser.parse_args()
    settings = Settings.read(chosen.home)
    if chosen.database:
        settings = Settings(home=settings.home, database=chosen.database)
    if chosen.database or not (settings.home / "catalogue.sqlite").exists():
        study = Study.create(settings, AA_MDS_AML)
        begun = time.perf_counter()
        fill(study, chosen.rows)
        print(f"{chosen.rows} predictions stored in {time.perf_counter() - begun:.0f} s")
    else:
        study = Study.open(settings)
    sizes = table_bytes(study)
    with study.database.read() as connection:
        stored = int(connection.execute(select(func.count()).select_from(prediction)).scalar_one())
    total = sum(sizes.values())
    print(f"{total / 1e6:.0f} MB, {total / stored:.0f} bytes a prediction")
    for name, size in list(sizes.items())[:8]:
        print(f"  {size / 1e6:7.0f} MB {name}")
    scan = one_scan(study)
    pages = first_pages(study)
    slow = [figure for figure in pages if figure.milliseconds > PAGE_GOAL_MS]
    middle = pages[len(pages) // 2]
    print(
        f"{len(pages)} first pages, {len(slow)} above {PAGE_GOAL_MS:.0f} ms, "
        f"median {middle.milliseconds:.0f} ms"
    )
    shown = [scan, *pages[:40], *counts(study)[:6]]
    for figure in [*shown, *smear_pages(study), *submit_and_ledger(study)]:
        ratio = figure.milliseconds / scan.milliseconds
        print(
            f"{figure.milliseconds:8.1f} ms = {ratio:6.2f} scans  {figure.rows:7d}  {figure.what}"
        )
    study.close()


if __name__ == "__main__":
    main()
