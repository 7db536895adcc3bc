"""Two models on the same patients: those that were scored with both and trained neither."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from sqlalchemy import Connection, func, select

from marrow.catalogue import labels, models, smears
from marrow.catalogue.cohorts import CohortSmear, patient_of, trained_on
from marrow.catalogue.schema import label, scoring
from marrow.catalogue.sight import hidden_smears
from marrow.paired import HeadComparison, PairedRows, compare_head
from marrow.records import ModelRecord, Record
from marrow.schemes import Head, Scheme

Answers = Mapping[int, Mapping[str, tuple[float, ...]]]


class Paired(NamedTuple):
    """The smears that both models were scored on and that neither was trained on."""

    smears: list[CohortSmear]
    said: tuple[Answers, Answers]
    """What champion and challenger say, by smear and head."""
    sides: dict[str, int]
    """How many smears are of each side."""
    trained_on: int
    """Patients of these sides that were left out because one of the two was trained on them."""

    @property
    def blind(self) -> list[CohortSmear]:
        """Those whose labels were given before a prediction was seen: these decide."""
        return [one for one in self.smears if one.is_blind]


class Change(Record):
    """A smear whose call is another under the challenger."""

    smear_id: int
    smear: str
    patient: str
    head: str
    before: str
    after: str
    truth: str | None
    """None: no reader's answer counts."""


class Comparison(Record):
    """A challenger against a champion, fit to be stored with the promotion."""

    champion: int
    challenger: int
    sides: dict[str, int]
    """Smears of each side that both were scored on and neither was trained on."""
    patients: int
    trained_on: int
    """Patients of these sides that were left out because one of the two was trained on them."""
    blind: tuple[HeadComparison, ...]
    """By labels given before a prediction was seen: these decide."""
    all: tuple[HeadComparison, ...] | None
    """By all labels, where that makes a difference."""
    changes: tuple[Change, ...]
    """Of smears that are open."""
    hidden: int = 0
    """Smears whose call changes and which blind reading hides."""

    def primary(self, scheme: Scheme) -> HeadComparison:
        """What decides: the scheme's primary head, by blind labels."""
        return next(one for one in self.blind if one.head == scheme.primary)


class Ground(NamedTuple):
    """How far scorings and labels have come. On the same ground two models compare as before,
    unless a patient was given another name: smears keep no record of that."""

    scoring: int | None
    """Number of the newest one; None: there is none."""
    label: int | None
    superseded_at: float | None
    """When a label last ceased to stand."""


def ground(connection: Connection) -> Ground:
    """What comparisons rest on now."""
    newest = select(func.max(scoring.c.id)).scalar_subquery()
    row = select(newest, func.max(label.c.id), func.max(label.c.superseded_at))
    return Ground(*connection.execute(row).one())


def compare(
    connection: Connection, scheme: Scheme, champion: ModelRecord, challenger: ModelRecord
) -> Comparison:
    """Both models on the patients of the test side and of sites that neither was trained on.

    The newest scoring of each side counts. AUC of a two-class head in the unit patient: paired
    DeLong; else, and for balanced accuracy, the patient bootstrap on shared draws.
    """
    found = pair(connection, scheme, champion, challenger)
    changes = _changes(scheme, found.smears, *found.said)
    hidden = hidden_smears(connection, scheme, [one.smear_id for one in changes])
    by_blind, by_all = (
        tuple(compare_head(head, paired_rows(head, scheme, these, found)) for head in scheme.heads)
        for these in (found.blind, found.smears)
    )
    return Comparison(
        champion=champion.id,
        challenger=challenger.id,
        sides=found.sides,
        patients=len({patient_of(one.smear) for one in found.smears}),
        trained_on=found.trained_on,
        blind=by_blind,
        all=None if by_all == by_blind else by_all,
        changes=tuple(one for one in changes if one.smear_id not in hidden),
        hidden=len(hidden),
    )


def pair(
    connection: Connection, scheme: Scheme, champion: ModelRecord, challenger: ModelRecord
) -> Paired:
    """What both models say of the test side and of sites that neither was trained on."""
    before, after = _scored(connection, champion), _scored(connection, challenger)
    side_of = {
        smear_id: side
        for side in sorted(before.keys() & after.keys())
        for smear_id in before[side].keys() & after[side].keys()
    }
    seen = trained_on(connection, champion) | trained_on(connection, challenger)
    known = _truth(connection, scheme, sorted(side_of))
    own = [one for one in known if patient_of(one.smear) not in seen]
    left = {patient_of(one.smear) for one in known} & seen
    first, second = (
        {one.smear.id: scored[side_of[one.smear.id]][one.smear.id] for one in own}
        for scored in (before, after)
    )
    sides = dict(Counter(side_of[one.smear.id] for one in own))
    return Paired(own, (first, second), sides, len(left))


def without_hidden(
    connection: Connection, scheme: Scheme, stored: Mapping[str, Any]
) -> dict[str, Any]:
    """A comparison as it was stored with a promotion, without the changes that are hidden now."""
    changes = stored.get("changes", ())
    hidden = hidden_smears(connection, scheme, [one["smear_id"] for one in changes])
    open_ones = [one for one in changes if one["smear_id"] not in hidden]
    return {**stored, "changes": open_ones} if hidden else dict(stored)


def _scored(connection: Connection, one: ModelRecord) -> dict[str, Answers]:
    """The answers of the newest scoring of each side that outsiders stand on."""
    return {
        look.side: look.answers
        for look in models.scorings(connection, one.id)
        if look.answers and (look.side == "test" or look.side.startswith("site:"))
    }


def _truth(connection: Connection, scheme: Scheme, ids: Sequence[int]) -> list[CohortSmear]:
    """The smears and what the readers say today."""
    agreed = labels.consensus(connection, ids)
    return [
        CohortSmear(one, scheme.complete(known.answers), known.is_blind)
        for one in smears.get(connection, ids)
        for known in (agreed.get(one.id, labels.NOTHING_GIVEN),)
    ]


def paired_rows(
    head: Head, scheme: Scheme, own: Sequence[CohortSmear], found: Paired
) -> PairedRows:
    """The rows of one head; `own` are those of the smears that count.

    Unit patient: mean probability over the smears, and the class that most of them have.
    """
    known = [one for one in own if one.answers[head.name] is not None]
    keys = [patient_of(s.smear) if scheme.unit == "patient" else s.smear.name for s in known]
    groups: dict[str, list[CohortSmear]] = {}
    for key, one in zip(keys, known, strict=True):
        groups.setdefault(key, []).append(one)
    truth, said = [], []
    for members in groups.values():
        votes = Counter(head.classes.index(str(one.answers[head.name])) for one in members)
        truth.append(min(votes, key=lambda index: (-votes[index], index)))
        both = [[scored[one.smear.id][head.name] for one in members] for scored in found.said]
        said.append(np.asarray(both, dtype=np.float64).mean(axis=1))
    stacked = np.array(said, dtype=np.float64).reshape(-1, 2, len(head.classes))
    patients = [patient_of(members[0].smear) for members in groups.values()]
    return PairedRows(
        f"{scheme.unit}s", patients, np.array(truth, dtype=np.int64), stacked[:, 0], stacked[:, 1]
    )


def _changes(
    scheme: Scheme, own: Sequence[CohortSmear], before: Answers, after: Answers
) -> list[Change]:
    changes = []
    for one in own:
        calls = [_calls(scheme, said[one.smear.id]) for said in (before, after)]
        for head in scheme.heads:
            if calls[0].get(head.name) == calls[1].get(head.name):
                continue
            changes.append(
                Change(
                    smear_id=one.smear.id,
                    smear=one.smear.name,
                    patient=patient_of(one.smear),
                    head=head.name,
                    before=calls[0].get(head.name, "does not apply"),
                    after=calls[1].get(head.name, "does not apply"),
                    truth=one.answers[head.name],
                )
            )
    return changes


def _calls(scheme: Scheme, said: Mapping[str, Sequence[float]]) -> dict[str, str]:
    """The called class of each head that makes sense under these calls."""
    calls = {head.name: head.classes[int(np.argmax(said[head.name]))] for head in scheme.heads}
    return {head.name: calls[head.name] for head in scheme.applying(calls)}
