"""Labels: one reader's answers, superseded and never overwritten."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import Connection, insert, select, update

from marrow.catalogue.schema import label
from marrow.errors import BadLabels
from marrow.records import Label
from marrow.schemes import NOT_CLASSES, Scheme


class Consensus(NamedTuple):
    """What the readers agree on for one smear."""

    answers: dict[str, str]
    """Answer by asked head, where all standing answers are one class."""
    excluded: dict[str, str]
    """Reason by head: `unsure` or `conflict`."""
    is_blind: bool
    """Whether no answer was given after a prediction had been seen."""


NOTHING_GIVEN = Consensus({}, {}, is_blind=True)
"""Of a smear that nobody has labelled."""


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

    Raises
    ------
    BadLabels
        If a head is not asked, or an answer is none of its classes nor `unsure`.
    """
    for head, answer in answers.items():
        check_answer(scheme, head, answer)
        connection.execute(
            update(label)
            .where(label.c.smear_id == smear_id, label.c.head == head, label.c.reader == reader)
            .where(label.c.superseded_at.is_(None))
            .values(superseded_at=at)
        )
        if answer:
            row = {"smear_id": smear_id, "head": head, "answer": answer, "reader": reader}
            connection.execute(insert(label), row | {"seen_prediction": seen_prediction, "at": at})


def check_answer(scheme: Scheme, head: str, answer: str) -> None:
    """Raise BadLabels unless `answer` may be given to `head`."""
    asked = {one.name: one for one in scheme.asked}
    if head not in asked:
        raise BadLabels(f"{head!r} is not asked in {scheme.name}; asked: {', '.join(asked)}")
    if answer not in asked[head].classes and answer not in NOT_CLASSES:
        allowed = ", ".join(asked[head].classes)
        raise BadLabels(f"{answer!r} is no answer to {head}; use {allowed}, unsure or nothing")


def history(connection: Connection, smear_id: int) -> list[Label]:
    """All labels of a smear, superseded ones too, oldest first."""
    columns = [label.c[name] for name in Label.model_fields]
    statement = select(*columns).where(label.c.smear_id == smear_id).order_by(label.c.at)
    return [Label(**row._mapping) for row in connection.execute(statement)]


def consensus(
    connection: Connection, smear_ids: Sequence[int] | None = None
) -> dict[int, Consensus]:
    """What the readers agree on, for each smear that has a standing label."""
    statement = select(label).where(label.c.superseded_at.is_(None))
    wanted = None if smear_ids is None else set(smear_ids)
    given: dict[int, dict[str, set[str]]] = {}
    seen: set[int] = set()
    for row in connection.execute(statement):
        if wanted is not None and row.smear_id not in wanted:
            continue
        given.setdefault(row.smear_id, {}).setdefault(row.head, set()).add(row.answer)
        if row.seen_prediction:
            seen.add(row.smear_id)
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
