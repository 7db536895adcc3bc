"""How far the readers of a study agree: equal answers, kappa, and where they differ.

A row is a smear that all the readers have answered, and that is open. Smears of one patient are
not independent, so that every interval is over patients. `unsure` is an answer of its own here:
to leave out what one reader found hard would flatter the agreement. Adjudicated answers are shown
beside a disagreement and count in no figure: the readers' own labels stay as they were given.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, select

from marrow.catalogue.schema import label, smear
from marrow.catalogue.sight import Sight, blind_readers
from marrow.errors import BadReaders
from marrow.records import Record, own_patient
from marrow.schemes import Head, Scheme
from marrow.statistics import (
    Interval,
    cohen_kappa,
    fleiss_kappa,
    mean_metric,
    patient_bootstrap,
    wilson,
)

Numbers = NDArray[np.int64]
UNSURE = "unsure"
_FEWEST = 2
"""Patients, below which nothing is estimated."""


class Figure(Record):
    """A figure with what it rests on."""

    value: float | None
    low: float | None
    high: float | None
    n: int
    unit: str
    method: str
    reason: str | None = None
    """Why there is no value, or no interval."""


class Disagreement(Record):
    """A smear that the readers answer differently."""

    smear_id: int
    smear: str
    patient: str
    answers: dict[str, str]
    """By reader."""
    adjudicated: str | None
    """None: nobody has decided yet."""


class PairAgreement(Record):
    """Two of the readers."""

    readers: tuple[str, str]
    counts: tuple[tuple[int, ...], ...]
    """Smears: a row for each answer of the first reader, a column for each of the second."""
    equal: Figure
    """Share of smears with equal answers."""
    kappa: Figure
    """Cohen's."""


class Agreement(Record):
    """What the readers make of one head."""

    head: str
    readers: tuple[str, ...]
    answers: tuple[str, ...]
    """The head's classes, then `unsure`: the rows and columns of `counts`."""
    smears: int
    """That all the readers have answered."""
    patients: int
    """Of these smears."""
    unsure: dict[str, int]
    """Smears of which a reader was unsure, by reader."""
    pairs: tuple[PairAgreement, ...]
    fleiss: Figure | None
    """Kappa of all readers together; None where there are two."""
    disagreements: tuple[Disagreement, ...]
    """In the order of the smears."""


class _Reading(NamedTuple):
    """One smear's answers to one head."""

    smear_id: int
    patient: str
    answers: dict[str, str]
    adjudicated: str | None


def agreements(
    connection: Connection, scheme: Scheme, readers: Sequence[str] = ()
) -> list[Agreement]:
    """How far these readers agree, head by head of those that are asked.

    Parameters
    ----------
    readers : sequence of str
        Two or more; (): the study's blind readers, or in an open study all who have labelled.

    Raises
    ------
    BadReaders
        If there are fewer than two.
    """
    named = tuple(dict.fromkeys(readers)) or blind_readers(connection) or _everyone(connection)
    if len(named) < _FEWEST:
        who = f"only {named[0]!r}" if named else "nobody"
        raise BadReaders(f"agreement needs two readers, and {who} has labelled; let another label")
    readings = _readings(connection, scheme)
    return [_agreement(head, named, readings.get(head.name, [])) for head in scheme.asked]


def _everyone(connection: Connection) -> tuple[str, ...]:
    own = label.c.superseded_at.is_(None), ~label.c.is_adjudicated
    names = connection.execute(select(label.c.reader).where(*own).distinct()).scalars()
    return tuple(sorted(names))


def _readings(connection: Connection, scheme: Scheme) -> dict[str, list[_Reading]]:
    """All standing answers to open smears, by head; in the order of the smears."""
    is_open = Sight.of(connection, "").is_open(scheme, label.c.smear_id)
    columns = (label.c.smear_id, label.c.head, label.c.answer, label.c.reader)
    rows = connection.execute(
        select(*columns, label.c.is_adjudicated, smear.c.patient, smear.c.identity)
        .join(smear, smear.c.id == label.c.smear_id)
        .where(label.c.superseded_at.is_(None), is_open)
        .order_by(label.c.smear_id)
    )
    found: dict[tuple[str, int], _Reading] = {}
    for smear_id, head, answer, reader, is_adjudicated, patient, identity in rows:
        key = head, smear_id
        if key not in found:
            found[key] = _Reading(smear_id, patient or own_patient(identity), {}, None)
        if is_adjudicated:
            found[key] = found[key]._replace(adjudicated=answer)
        else:
            found[key].answers[reader] = answer
    by_head: dict[str, list[_Reading]] = {}
    for (head, _), one in found.items():
        by_head.setdefault(head, []).append(one)
    return by_head


def _agreement(head: Head, readers: tuple[str, ...], readings: Sequence[_Reading]) -> Agreement:
    shared = [one for one in readings if all(name in one.answers for name in readers)]
    answers = (*head.classes, UNSURE)
    places = {name: place for place, name in enumerate(answers)}
    # (smears, readers)
    said = np.array(
        [[places[one.answers[name]] for name in readers] for one in shared], dtype=np.int64
    ).reshape(-1, len(readers))
    patients = np.unique([one.patient for one in shared], return_inverse=True)[1]
    pairs = tuple(
        _pair((readers[first], readers[second]), said[:, [first, second]], patients, len(answers))
        for first, second in combinations(range(len(readers)), 2)
    )
    differing = [one for one, row in zip(shared, said, strict=True) if len(set(row.tolist())) > 1]
    return Agreement(
        head=head.name,
        readers=readers,
        answers=answers,
        smears=len(shared),
        patients=len(set(patients.tolist())),
        unsure={
            name: int(np.sum(said[:, place] == places[UNSURE]))
            for place, name in enumerate(readers)
        },
        pairs=pairs,
        fleiss=None if len(pairs) == 1 else _figure(patients, lambda: _fleiss(said, patients)),
        disagreements=tuple(
            Disagreement(
                smear_id=one.smear_id,
                smear=f"S{one.smear_id:06d}",
                patient=one.patient,
                answers={name: one.answers[name] for name in readers},
                adjudicated=one.adjudicated,
            )
            for one in differing
        ),
    )


def _pair(
    readers: tuple[str, str], said: Numbers, patients: Numbers, answers: int
) -> PairAgreement:
    counts = np.zeros((answers, answers), dtype=np.int64)
    np.add.at(counts, (said[:, 0], said[:, 1]), 1)
    return PairAgreement(
        readers=readers,
        counts=tuple(tuple(row) for row in counts.tolist()),
        equal=_figure(patients, lambda: _share(said[:, 0] == said[:, 1], patients)),
        kappa=_figure(patients, lambda: cohen_kappa(said[:, 0], said[:, 1], patients)),
    )


def _share(is_equal: NDArray[np.bool_], patients: Numbers) -> Interval:
    """Wilson's interval where each smear is a patient, else the bootstrap of patients."""
    if len(set(patients.tolist())) == len(patients):
        return wilson(int(is_equal.sum()), len(is_equal))
    return patient_bootstrap(mean_metric(is_equal), patients)


def _fleiss(said: Numbers, patients: Numbers) -> Interval:
    votes = (said[:, :, None] == np.arange(said.max() + 1)).sum(axis=1)  # (smears, answers)
    return fleiss_kappa(votes, patients)


def _figure(patients: Numbers, estimate: Callable[[], Interval]) -> Figure:
    count = len(set(patients.tolist()))
    if count < _FEWEST:
        who = "1 patient has" if count == 1 else f"{count} patients have"
        reason = f"{who} smears that all have read; at least {_FEWEST} are needed"
        found = Interval(None, None, None, count, "none", reason=reason)
    else:
        found = estimate()
    return Figure(
        value=found.value,
        low=found.low,
        high=found.high,
        n=found.n,
        unit="patients",
        method=found.method,
        reason=found.reason,
    )
