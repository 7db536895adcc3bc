"""What must hold of a finished classification, whatever was killed: the database alone says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine, Row, create_engine, make_url, select

from marrow.catalogue.schema import (
    CALLS,
    PROBABILITIES,
    event,
    job,
    job_smear,
    model,
    piece,
    prediction,
    smear,
)
from marrow.catalogue.schema import study as study_table
from marrow.schemes import Scheme
from tests.chaos.stub import expected

SHOWN = 3
"""Examples that a sentence names."""


class Account(NamedTuple):
    """What the database says of a finished job."""

    faults: tuple[str, ...]
    """A sentence each; none when all invariants hold."""
    lost: int
    """Smears without any outcome."""
    doubled: int
    """Prediction rows beyond one for a smear."""
    missing_events: int
    lost_attempts: int
    """Pieces that were begun and not finished by the same worker: computing time lost."""
    pieces: int
    """Finished pieces."""
    counts: dict[int, tuple[int, int]]
    """(done, failed) as the events say after each seq; 0 is before the first."""


def read_only(url: str) -> Engine:
    """An engine of its own that cannot write."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        return create_engine(f"sqlite:///file:{parsed.database}?mode=ro&uri=true")
    return create_engine(
        parsed.set(drivername="postgresql+psycopg"),
        isolation_level="REPEATABLE READ",
        connect_args={"options": "-c default_transaction_read_only=on"},
    )


def account(url: str, job_id: int, allowed_losses: int | None) -> Account:
    """Check a job against what its smears' bytes say must be stored.

    Parameters
    ----------
    allowed_losses : int or None
        Attempts that kills can have cost, one for each kill that can have hit a worker; None:
        not counted.
    """
    engine = read_only(url)
    try:
        with engine.connect() as connection, connection.begin():
            return _account(connection, job_id, allowed_losses)
    finally:
        engine.dispose()


def _account(connection: Connection, job_id: int, allowed_losses: int | None) -> Account:
    told = connection.execute(
        select(event).where(event.c.job_id == job_id).order_by(event.c.seq)
    ).all()
    current = connection.execute(select(job).where(job.c.id == job_id)).one()
    pieces = connection.execute(select(piece).where(piece.c.job_id == job_id)).all()
    finished = sum(row.state == "done" for row in pieces)
    lost_attempts = sum(row.attempt for row in pieces) - finished
    outcomes = connection.execute(select(job_smear).where(job_smear.c.job_id == job_id)).all()
    rows = Counter(connection.execute(select(prediction.c.smear_id)).scalars())
    faults = [
        *_faults_of_job(current, pieces),
        *_faults_of_outcomes(connection, job_id),
        *_faults_of_events(told, current, {row.smear_id for row in outcomes}),
    ]
    doubled = sum(rows.values()) - len(rows)
    if doubled:
        faults.append(f"{doubled} predictions are stored twice")
    if allowed_losses is not None and lost_attempts > allowed_losses:
        faults.append(f"{lost_attempts} attempts are lost, and kills explain {allowed_losses}")
    return Account(
        faults=tuple(faults),
        lost=sum((row.prediction_id is None) and (row.error is None) for row in outcomes),
        doubled=doubled,
        missing_events=current.last_seq - len({row.seq for row in told}),
        lost_attempts=lost_attempts,
        pieces=finished,
        counts=_counts(told),
    )


def _faults_of_job(current: Row[Any], pieces: list[Row[Any]]) -> Iterator[str]:
    if current.state != "done":
        yield f"the job is {current.state}, not done"
    states = Counter(row.state for row in pieces)
    if set(states) - {"done", "split"}:
        yield f"pieces of the finished job are {dict(states)}"
    held = [row.number for row in pieces if row.owner is not None]
    if held:
        yield f"pieces {held[:SHOWN]} of the finished job have an owner"


def _faults_of_outcomes(connection: Connection, job_id: int) -> Iterator[str]:
    """Each smear has the outcome that its bytes ask for, and the job counts them."""
    stored = connection.execute(
        select(study_table.c.value).where(study_table.c.key == "scheme")
    ).scalar_one()
    scheme = Scheme.model_validate(stored)
    joined = (
        job_smear.join(smear, smear.c.id == job_smear.c.smear_id)
        .outerjoin(prediction, prediction.c.id == job_smear.c.prediction_id)
        .outerjoin(model, model.c.id == prediction.c.model_id)
    )
    rows = connection.execute(
        select(
            job_smear.c.smear_id,
            job_smear.c.error,
            smear.c.identity,
            prediction.c.id.label("predicted_as"),
            *(prediction.c[name] for name in (*CALLS, *PROBABILITIES)),
            prediction.c.smear_id.label("predicted"),
            prediction.c.precision.label("made_in"),
            model.c.precision.label("model_is"),
        )
        .select_from(joined)
        .where(job_smear.c.job_id == job_id)
    )
    wrong = []
    done = failed = 0
    for row in rows:
        is_answered = row.predicted_as is not None
        done += is_answered
        failed += row.error is not None
        is_own = row.predicted == row.smear_id and row.made_in == row.model_is
        if (is_answered and not is_own) or _outcome(row) != _wanted(scheme, row.identity):
            wrong.append(row.smear_id)
    if wrong:
        yield f"{len(wrong)} smears have another outcome than their bytes ask for: {wrong[:SHOWN]}"
    current = connection.execute(select(job).where(job.c.id == job_id)).one()
    if (current.done, current.failed) != (done, failed):
        said = f"{current.done} done and {current.failed} failed"
        yield f"the job counts {said}, its rows say {done} and {failed}"


def _outcome(row: Row[Any]) -> tuple[Any, ...]:
    """(error, calls, probabilities) as stored."""
    values = row._mapping
    return (
        row.error,
        [values[name] for name in CALLS],
        [values[name] for name in PROBABILITIES],
    )


def _wanted(scheme: Scheme, sha256: str) -> tuple[Any, ...]:
    """As `_outcome`, from the bytes."""
    answer = expected(scheme, sha256)
    if isinstance(answer, str):
        return (answer, [None] * len(CALLS), [None] * len(PROBABILITIES))
    calls = [head.classes.index(answer.calls[head.name]) for head in scheme.heads]
    shares = [share for one in answer.heads for share in one.probabilities]
    return (
        None,
        calls + [None] * (len(CALLS) - len(calls)),
        shares + [None] * (len(PROBABILITIES) - len(shares)),
    )


def _faults_of_events(told: list[Row[Any]], current: Row[Any], wanted: set[int]) -> Iterator[str]:
    """Numbered without gaps, each piece and each smear told once, counts that add up."""
    if [row.seq for row in told] != list(range(1, current.last_seq + 1)):
        yield f"events are not numbered 1 to {current.last_seq}: there are {len(told)}"
    states = [row.payload["state"] for row in told if row.kind == "state"]
    if states != ["waiting", "running", "done"]:
        yield f"the events tell the states {states}"
    news = [row.payload for row in told if row.kind == "piece"]
    twice = [number for number, n in Counter(one["piece"] for one in news).items() if n > 1]
    if twice:
        yield f"{len(twice)} pieces are told twice: {twice[:SHOWN]}"
    empty = [one["piece"] for one in news if not one["smears"]]
    if empty:
        yield f"{len(empty)} pieces are told without a smear: {empty[:SHOWN]}"
    smears = Counter(smear_id for one in news for smear_id in one["smears"])
    again = [smear_id for smear_id, n in smears.items() if n > 1]
    if again:
        yield f"{len(again)} smears are told twice: {again[:SHOWN]}"
    never = wanted - set(smears)
    if never or set(smears) - wanted:
        yield f"{len(never)} smears are never told: {sorted(never)[:SHOWN]}"
    settled = 0
    for one in news:
        settled += len(one["smears"])
        if one["done"] + one["failed"] != settled or one["total"] != current.total:
            said = f"{one['done']} + {one['failed']} of {one['total']}"
            yield f"the event of piece {one['piece']} counts {said}, not {settled}"
            return
    last = (news[-1]["done"], news[-1]["failed"]) if news else (0, 0)
    if last != (current.done, current.failed):
        yield f"the last event says {last}, the job ({current.done}, {current.failed})"


def _counts(told: list[Row[Any]]) -> dict[int, tuple[int, int]]:
    counts = {0: (0, 0)}
    last = (0, 0)
    for row in told:
        if row.kind == "piece":
            last = (row.payload["done"], row.payload["failed"])
        counts[row.seq] = last
    return counts
