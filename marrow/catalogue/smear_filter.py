"""Which smears a list shows, as a condition of the database."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    and_,
    exists,
    func,
    or_,
    select,
    true,
)

from marrow.catalogue.schema import CALLS, label, model, prediction, smear, smear_flag
from marrow.catalogue.sight import Sight, is_read_by, scheme_of
from marrow.catalogue.text_search import holds, may_hold
from marrow.records import Record
from marrow.schemes import Scheme


class SmearFilter(Record):
    """Which smears a list shows; None means any."""

    text: str = ""
    """Part of the path, the patient, or the name S000148."""
    labelled: bool | None = None
    patient: str | None = None
    site: str | None = None
    unread_by: str | None = None
    """Smears that this reader has not read: a head that is always asked has no answer of his."""
    flagged: bool | None = None
    """Whether a person's flag stands."""
    answer: tuple[str, str] | None = None
    """(head, answer) that a reader gives; where the head is adjudicated, that answer alone."""
    has_patient: bool | None = None
    disagrees: bool | None = None
    """Whether the champion calls the primary head otherwise than a label that may be seen."""
    sight: Sight | None = None
    """Who looks: labels and flags of others count where the smear is open; None: no person."""


def condition(connection: Connection, shown: SmearFilter) -> ColumnElement[bool]:
    """What the filter asks of a row of `smear`."""
    terms: list[ColumnElement[bool]] = [true()]
    if shown.text:
        asked = shown.text.strip()
        terms += [holds(smear, asked), may_hold(connection, smear.c.id, asked)]
    if shown.patient is not None:
        terms.append(smear.c.patient == shown.patient)
    if shown.site is not None:
        terms.append(smear.c.site == shown.site)
    if shown.has_patient is not None:
        named = smear.c.patient.is_not(None)
        terms.append(named if shown.has_patient else ~named)
    if any(asked is not None for asked in _asked_of_readers(shown)):
        terms += _of_readers(scheme_of(connection), shown)
    return and_(*terms)


def _asked_of_readers(shown: SmearFilter) -> tuple[object, ...]:
    return shown.labelled, shown.unread_by, shown.flagged, shown.answer, shown.disagrees


def _of_readers(scheme: Scheme, shown: SmearFilter) -> list[ColumnElement[bool]]:
    terms: list[ColumnElement[bool]] = []
    if shown.unread_by is not None:
        terms.append(~is_read_by(scheme, shown.unread_by, smear.c.id))
    if shown.labelled is not None:
        has_label = exists().where(*_standing(scheme, shown.sight, label.alias()))
        terms.append(has_label if shown.labelled else ~has_label)
    if shown.flagged is not None:
        mark = smear_flag.alias()
        own = [mark.c.smear_id == smear.c.id, mark.c.cleared_at.is_(None)]
        if shown.sight is not None:
            own.append(shown.sight.sees(scheme, mark))
        terms.append(exists().where(*own) if shown.flagged else ~exists().where(*own))
    if shown.answer is not None:
        terms += _given(scheme, shown.sight, *shown.answer)
    if shown.disagrees is not None:
        is_called_otherwise = _called_otherwise(scheme, shown.sight)
        terms.append(is_called_otherwise if shown.disagrees else ~is_called_otherwise)
    return terms


def _standing(scheme: Scheme, sight: Sight | None, given: Any) -> list[ColumnElement[bool]]:
    """Of `given`: a standing label of the smear that may be seen."""
    terms = [given.c.smear_id == smear.c.id, given.c.superseded_at.is_(None)]
    return terms if sight is None else [*terms, sight.sees(scheme, given)]


def _given(
    scheme: Scheme, sight: Sight | None, head: str, answer: str
) -> list[ColumnElement[bool]]:
    """That somebody gives this answer, and that it is not adjudicated otherwise."""
    given, ruling = label.alias(), label.alias()
    says = [*_standing(scheme, sight, given), given.c.head == head, given.c.answer == answer]
    rules_otherwise = [
        *_standing(scheme, sight, ruling),
        ruling.c.head == head,
        ruling.c.answer != answer,
        ruling.c.is_adjudicated,
    ]
    return [exists().where(*says), ~exists().where(*rules_otherwise)]


def _called_otherwise(scheme: Scheme, sight: Sight | None) -> ColumnElement[bool]:
    """That the champion's newest answer is another class than a label that may be seen; where
    the smear's answer was adjudicated, than that one alone."""
    place = [head.name for head in scheme.heads].index(scheme.primary)
    given, call = label.alias(), prediction.c[CALLS[place]]
    newer = prediction.alias()
    newest = (
        select(func.max(newer.c.id))
        .join(model, model.c.id == newer.c.model_id)
        .where(newer.c.smear_id == given.c.smear_id, model.c.is_champion)
        .scalar_subquery()
    )
    differs = or_(
        *(
            and_(given.c.answer == name, call != index)
            for index, name in enumerate(scheme.heads[place].classes)
        )
    )
    ruling = label.alias()
    is_ruled = exists().where(
        *_standing(scheme, sight, ruling), ruling.c.head == scheme.primary, ruling.c.is_adjudicated
    )
    is_seen = [] if sight is None else [sight.is_open(scheme, smear.c.id)]
    return exists().where(
        *_standing(scheme, sight, given),
        given.c.head == scheme.primary,
        or_(given.c.is_adjudicated, ~is_ruled),
        prediction.c.smear_id == given.c.smear_id,
        prediction.c.id == newest,
        differs,
        *is_seen,
    )
