"""Labels: one reader's answers, superseded and never overwritten.

A smear's head may also be adjudicated. That answer stands beside the readers' own, which stay
as they are, and counts in their place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import ColumnElement, Connection, func, insert, select, update

from marrow.catalogue.database import IN_LIMIT
from marrow.catalogue.schema import label, smear
from marrow.catalogue.sight import (
    Sight,
    blind_readers,
    is_answered,
    is_read_by,
    must_answer,
    seen_by,
)
from marrow.errors import BadLabels, NotFound, NotOpen
from marrow.records import Label, Record
from marrow.schemes import NOT_CLASSES, Scheme


class Consensus(NamedTuple):
    """What the readers agree on for one smear."""

    answers: dict[str, str]
    """Answer by asked head, where it is adjudicated or all standing answers are one class."""
    excluded: dict[str, str]
    """Reason by head: `unsure` or `conflict`."""
    is_blind: bool
    """Whether no answer, the adjudicated one included, was given after a prediction was seen."""


NOTHING_GIVEN = Consensus({}, {}, is_blind=True)
"""Of a smear that nobody has labelled."""


class Progress(Record):
    """How far a reader has come."""

    reader: str
    read: int
    """Smears that he has read: each head that is always asked has an answer of his."""
    total: int
    """Smears of the study."""
    is_blind: bool
    """Whether he is one of the study's blind readers."""


def give(
    connection: Connection,
    at: float,
    scheme: Scheme,
    smear_id: int,
    answers: Mapping[str, str],
    reader: str,
    seen_prediction: bool,
) -> None:
    """Store a reader's answers to the asked heads; his earlier ones are superseded.

    An empty answer takes the reader's earlier one back.

    Parameters
    ----------
    seen_prediction : bool
        Whether he had seen a prediction of this smear. Who had when he gave an earlier label, in
        whatever program, has seen it now too.

    Raises
    ------
    BadLabels
        If a head is not asked, or an answer is none of its classes nor `unsure`.
    """
    seen_prediction = seen_prediction or _has_seen(connection, smear_id, reader)
    for head, answer in answers.items():
        check_answer(scheme, head, answer)
        _supersede(
            connection, at, smear_id, head, label.c.reader == reader, ~label.c.is_adjudicated
        )
        if answer:
            row = {"smear_id": smear_id, "head": head, "answer": answer, "reader": reader}
            connection.execute(insert(label), row | {"seen_prediction": seen_prediction, "at": at})


def _has_seen(connection: Connection, smear_id: int, reader: str) -> bool:
    own = label.c.smear_id == smear_id, label.c.reader == reader, label.c.seen_prediction
    return connection.execute(select(label.c.id).where(*own).limit(1)).first() is not None


def adjudicate(
    connection: Connection,
    at: float,
    scheme: Scheme,
    smear_id: int,
    answers: Mapping[str, str],
    reader: str,
    seen_prediction: bool,
) -> None:
    """Store the answers that count for this smear, whatever its readers say.

    They supersede earlier adjudicated ones, whoever gave those; an empty answer takes the
    earlier one back. The readers' own labels stay.

    Parameters
    ----------
    reader : str
        Who decides.

    Raises
    ------
    NotFound
        If there is no such smear.
    NotOpen
        If a blind reader has still to read it.
    BadLabels
        As in `give`.
    """
    for head, answer in answers.items():
        check_answer(scheme, head, answer)
    # Held until the commit: two who decide at once would leave two answers that count.
    held = select(smear.c.id).where(smear.c.id == smear_id).with_for_update()
    if connection.execute(held).scalar_one_or_none() is None:
        raise NotFound(f"There is no smear S{smear_id:06d} in this study")
    _require_open(connection, scheme, smear_id)
    seen_prediction = seen_prediction or _has_seen(connection, smear_id, reader)
    for head, answer in answers.items():
        _supersede(connection, at, smear_id, head, label.c.is_adjudicated)
        if answer:
            row = {"smear_id": smear_id, "head": head, "answer": answer, "reader": reader}
            row |= {"seen_prediction": seen_prediction, "at": at, "is_adjudicated": True}
            connection.execute(insert(label), row)


def _supersede(
    connection: Connection, at: float, smear_id: int, head: str, *whose: ColumnElement[bool]
) -> None:
    connection.execute(
        update(label)
        .where(label.c.smear_id == smear_id, label.c.head == head, *whose)
        .where(label.c.superseded_at.is_(None))
        .values(superseded_at=at)
    )


def _require_open(connection: Connection, scheme: Scheme, smear_id: int) -> None:
    lacking = [
        name
        for name in blind_readers(connection)
        if not connection.execute(select(is_read_by(scheme, name, smear_id))).scalar_one()
    ]
    if lacking:
        raise NotOpen(
            f"S{smear_id:06d} is hidden by blind reading: {' and '.join(lacking)} must read it "
            "before it can be adjudicated"
        )


def check_answer(scheme: Scheme, head: str, answer: str) -> None:
    """Raise BadLabels unless `answer` may be given to `head`."""
    asked = {one.name: one for one in scheme.asked}
    if head not in asked:
        raise BadLabels(f"{head!r} is not asked in {scheme.name}; asked: {', '.join(asked)}")
    if answer not in asked[head].classes and answer not in NOT_CLASSES:
        allowed = ", ".join(asked[head].classes)
        raise BadLabels(f"{answer!r} is no answer to {head}; use {allowed}, unsure or nothing")


def history(connection: Connection, smear_id: int, sight: Sight | None = None) -> list[Label]:
    """All labels of a smear, superseded and adjudicated ones too, oldest first.

    Parameters
    ----------
    sight : Sight or None
        Who looks: of a smear that is not open, his own labels. None: no person.
    """
    columns = [label.c[name] for name in Label.model_fields]
    statement = (
        select(*columns)
        .where(label.c.smear_id == smear_id, seen_by(connection, sight, label))
        .order_by(label.c.at, label.c.id)
    )
    return [Label(**row._mapping) for row in connection.execute(statement)]


def of_reader(
    connection: Connection, reader: str, smear_ids: Sequence[int]
) -> dict[int, dict[str, str]]:
    """This reader's own standing answers to these smears, by smear and head."""
    own = label.c.reader == reader, ~label.c.is_adjudicated, label.c.superseded_at.is_(None)
    found: dict[int, dict[str, str]] = {}
    for start in range(0, len(smear_ids), IN_LIMIT):
        chunk = smear_ids[start : start + IN_LIMIT]
        statement = select(label.c.smear_id, label.c.head, label.c.answer)
        rows = connection.execute(statement.where(label.c.smear_id.in_(chunk), *own))
        for smear_id, head, answer in rows:
            found.setdefault(smear_id, {})[head] = answer
    return found


def consensus(
    connection: Connection, smear_ids: Sequence[int] | None = None
) -> dict[int, Consensus]:
    """What the readers agree on, for each smear that has a standing label.

    Where a head is adjudicated, that answer counts alone. Smears that are not open count too:
    this is for training and statistics, and is shown to no person smear by smear.
    """
    statement = select(label).where(label.c.superseded_at.is_(None))
    wanted = None if smear_ids is None else set(smear_ids)
    given: dict[int, dict[str, set[str]]] = {}
    ruled: dict[tuple[int, str], set[str]] = {}
    seen: set[int] = set()
    for row in connection.execute(statement):
        if wanted is not None and row.smear_id not in wanted:
            continue
        given.setdefault(row.smear_id, {}).setdefault(row.head, set()).add(row.answer)
        if row.is_adjudicated:
            ruled[row.smear_id, row.head] = {row.answer}
        if row.seen_prediction:
            seen.add(row.smear_id)
    for (smear_id, head), answer in ruled.items():
        given[smear_id][head] = answer
    return {smear_id: _agree(heads, smear_id not in seen) for smear_id, heads in given.items()}


def _agree(heads: dict[str, set[str]], is_blind: bool) -> Consensus:
    answers: dict[str, str] = {}
    excluded: dict[str, str] = {}
    for head, given in heads.items():
        if len(given) > 1:
            excluded[head] = "conflict"
        elif given & NOT_CLASSES:
            excluded[head] = "unsure"
        else:
            answers[head] = next(iter(given))
    return Consensus(answers, excluded, is_blind)


def progress_by_reader(connection: Connection, scheme: Scheme, sight: Sight) -> list[Progress]:
    """How far everybody has come: first who looks, then the blind readers, then the others.

    Tells no answer, and so nothing that is hidden.
    """
    first, *others = must_answer(scheme)
    has_others = (is_answered(head, label.c.reader, label.c.smear_id) for head in others)
    counted = (
        select(label.c.reader, func.count())
        .where(label.c.head == first, label.c.superseded_at.is_(None), ~label.c.is_adjudicated)
        .where(*has_others)
        .group_by(label.c.reader)
    )
    read = {name: int(count) for name, count in connection.execute(counted)}
    total = int(connection.execute(select(func.count()).select_from(smear)).scalar_one())
    names = dict.fromkeys([sight.reader, *sight.blind, *sorted(read)])
    return [
        Progress(reader=name, read=read.get(name, 0), total=total, is_blind=name in sight.blind)
        for name in names
    ]
