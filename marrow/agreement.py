"""How far the readers of a study agree: equal answers, kappa, and where they differ.

A row is an open smear. Two readers are compared over those that both have answered, all together
over those that all have; a disagreement is two different answers, whoever else has still to read.
Where no readers are named, an answer of somebody who is none of the blind readers makes a
disagreement too, for it keeps the smear from training, but counts in no figure.
Smears of one patient are not independent, so that every interval is over patients. `unsure` is an
answer of its own here: to leave out what one reader found hard would flatter the agreement.
Adjudicated answers are shown beside a disagreement and count in no figure: the readers' own
labels stay as they were given.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
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
NOT_SAID = -1
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
    """A smear of which two readers or more say different things."""

    smear_id: int
    smear: str
    patient: str
    answers: dict[str, str]
    """By reader, of those who have answered: first the readers of the figures, then others."""
    adjudicated: str | None
    """None: nobody has decided yet."""


class PairAgreement(Record):
    """Two of the readers."""

    readers: tuple[str, str]
    smears: int
    """That both have answered; of how many patients they are, the figures say."""
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
    answered: dict[str, int]
    """Smears that a reader has answered, by reader."""
    unsure: dict[str, int]
    """Of these, smears of which the reader was unsure."""
    pairs: tuple[PairAgreement, ...]
    fleiss: Figure | None
    """Kappa of all readers together, over the smears that all have answered; None where there
    are two."""
    disagreements: tuple[Disagreement, ...]
    """In the order of the smears; of everybody, or of the readers that were named."""


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
    readings = _readings(connection, scheme, set(readers))
    return [_agreement(head, named, readings.get(head.name, [])) for head in scheme.asked]


def _everyone(connection: Connection) -> tuple[str, ...]:
    own = label.c.superseded_at.is_(None), ~label.c.is_adjudicated
    names = connection.execute(select(label.c.reader).where(*own).distinct()).scalars()
    return tuple(sorted(names))


def _readings(
    connection: Connection, scheme: Scheme, readers: Collection[str]
) -> dict[str, list[_Reading]]:
    """All standing answers to open smears, by head; in the order of the smears.

    Answers of these readers alone, or of everybody where there are none.
    """
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
        elif not readers or reader in readers:
            found[key].answers[reader] = answer
    by_head: dict[str, list[_Reading]] = {}
    for (head, _), one in found.items():
        by_head.setdefault(head, []).append(one)
    return by_head


def _agreement(head: Head, readers: tuple[str, ...], readings: Sequence[_Reading]) -> Agreement:
    answers = (*head.classes, UNSURE)
    said = _said(answers, readers, readings)
    patients = np.unique([one.patient for one in readings], return_inverse=True)[1]
    is_said = said != NOT_SAID
    is_shared = is_said.all(axis=1)
    pairs = tuple(
        _pair((readers[first], readers[second]), said[:, [first, second]], patients, len(answers))
        for first, second in combinations(range(len(readers)), 2)
    )
    is_unsure = said == answers.index(UNSURE)
    return Agreement(
        head=head.name,
        readers=readers,
        answers=answers,
        smears=int(is_shared.sum()),
        patients=len(np.unique(patients[is_shared])),
        answered=dict(zip(readers, is_said.sum(axis=0).tolist(), strict=True)),
        unsure=dict(zip(readers, is_unsure.sum(axis=0).tolist(), strict=True)),
        pairs=pairs,
        fleiss=None if len(pairs) == 1 else _fleiss(said[is_shared], patients[is_shared]),
        disagreements=tuple(
            _disagreement(one, readers) for one in readings if len(set(one.answers.values())) > 1
        ),
    )


def _said(
    answers: Sequence[str], readers: Sequence[str], readings: Sequence[_Reading]
) -> NDArray[np.int64]:
    """(smears, readers): the place of each answer, NOT_SAID where there is none."""
    places = {name: place for place, name in enumerate(answers)}
    rows = [
        [places[one.answers[name]] if name in one.answers else NOT_SAID for name in readers]
        for one in readings
    ]
    return np.array(rows, dtype=np.int64).reshape(-1, len(readers))


def _disagreement(one: _Reading, readers: Sequence[str]) -> Disagreement:
    others = sorted(set(one.answers) - set(readers))
    return Disagreement(
        smear_id=one.smear_id,
        smear=f"S{one.smear_id:06d}",
        patient=one.patient,
        answers={name: one.answers[name] for name in (*readers, *others) if name in one.answers},
        adjudicated=one.adjudicated,
    )


def _pair(
    readers: tuple[str, str], said: Numbers, patients: Numbers, answers: int
) -> PairAgreement:
    is_shared = (said != NOT_SAID).all(axis=1)
    (first, second), own = said[is_shared].T, patients[is_shared]
    counts = np.zeros((answers, answers), dtype=np.int64)
    np.add.at(counts, (first, second), 1)
    return PairAgreement(
        readers=readers,
        smears=len(own),
        counts=tuple(tuple(row) for row in counts.tolist()),
        equal=_figure(own, lambda: _share(first == second, own)),
        kappa=_figure(own, lambda: cohen_kappa(first, second, own)),
    )


def _share(is_equal: NDArray[np.bool_], patients: Numbers) -> Interval:
    """Wilson's interval where each smear is a patient, else the bootstrap of patients."""
    if len(set(patients.tolist())) == len(patients):
        return wilson(int(is_equal.sum()), len(is_equal))
    return patient_bootstrap(mean_metric(is_equal), patients)


def _fleiss(said: Numbers, patients: Numbers) -> Figure:
    def estimate() -> Interval:
        votes = (said[:, :, None] == np.arange(said.max() + 1)).sum(axis=1)  # (smears, answers)
        return fleiss_kappa(votes, patients)

    return _figure(patients, estimate)


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
