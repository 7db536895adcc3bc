"""Smears: registering, finding and describing them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    and_,
    column,
    exists,
    func,
    insert,
    or_,
    select,
    table,
    true,
    union_all,
    update,
)

from marrow.catalogue.locks import lock_study
from marrow.catalogue.schema import label, smear, test_patient
from marrow.records import NewSmear, Record, Smear
from marrow.settings import STORE_ROOT

IN_LIMIT = 10_000
"""Values of one IN list; SQLite takes 32,766 bound values in a statement."""


TRIGRAM = 3
_MOST_TRIGRAMS = 40
"""Of a longer text, its beginning chooses; `holds` reads the rest."""
_smear_text = table("smear_text", column("rowid"), column("smear_text"))

_PLACE = ("root", "path", "members")


class _Keep:
    """Marks a column that `describe` leaves as it is."""


KEEP: Final = _Keep()


class SmearFilter(Record):
    """Which smears a list shows; None means any."""

    text: str = ""
    """Part of the path, the patient, or the name S000148."""
    labelled: bool | None = None
    patient: str | None = None
    site: str | None = None


class SmearRow(NamedTuple):
    """A smear and the standing answers to it, by head."""

    smear: Smear
    answers: dict[str, str]


def register(connection: Connection, at: float, new: NewSmear) -> tuple[int, bool]:
    """(id, whether it is new) of a smear; one that is known only learns its new place."""
    known = connection.execute(
        select(smear.c.id, smear.c.root).where(smear.c.identity == new.identity)
    ).one_or_none()
    values = new.model_dump()
    if known is None:
        statement = insert(smear).values(**values, regions_revision=0, added_at=at)
        created = connection.execute(statement).inserted_primary_key
        assert created is not None  # noqa: S101 -- an INSERT of one row has one
        return int(created[0]), True
    learnt = {name: value for name, value in values.items() if value is not None}
    if known.root == STORE_ROOT:
        # The store's copy stays the place: every host sees it, the new folder perhaps one.
        learnt = {name: value for name, value in learnt.items() if name not in _PLACE}
    connection.execute(update(smear).where(smear.c.id == known.id).values(**learnt))
    return int(known.id), False


def get(connection: Connection, ids: Sequence[int]) -> list[Smear]:
    """The smears of these ids, in the order of the ids; unknown ids are left out."""
    found: dict[int, Smear] = {}
    for start in range(0, len(ids), IN_LIMIT):
        chunk = ids[start : start + IN_LIMIT]
        rows = connection.execute(select(*COLUMNS).where(smear.c.id.in_(chunk)))
        found.update((row.id, as_smear(row)) for row in rows)
    return [found[smear_id] for smear_id in ids if smear_id in found]


def ids_of(connection: Connection, identities: Sequence[str]) -> dict[str, int]:
    """Ids of those of these identities that the catalogue knows."""
    found: dict[str, int] = {}
    for start in range(0, len(identities), IN_LIMIT):
        chunk = identities[start : start + IN_LIMIT]
        rows = connection.execute(
            select(smear.c.identity, smear.c.id).where(smear.c.identity.in_(chunk))
        )
        found.update((row.identity, row.id) for row in rows)
    return found


def ids_at(connection: Connection, places: Sequence[tuple[str, str]]) -> dict[tuple[str, str], int]:
    """Ids of the smears that lie at these (root, path) places."""
    found: dict[tuple[str, str], int] = {}
    paths = [path for _, path in places]
    for start in range(0, len(paths), IN_LIMIT):
        rows = connection.execute(
            select(smear.c.root, smear.c.path, smear.c.id).where(
                smear.c.path.in_(paths[start : start + IN_LIMIT])
            )
        )
        found.update(((row.root, row.path), row.id) for row in rows)
    return {place: found[place] for place in places if place in found}


def all_ids(connection: Connection, shown: SmearFilter) -> list[int]:
    """Ids of all smears that the filter shows, in order."""
    statement = select(smear.c.id).where(_condition(connection, shown)).order_by(smear.c.id)
    return list(connection.execute(statement).scalars())


def count(connection: Connection, shown: SmearFilter) -> int:
    """How many smears the filter shows."""
    statement = select(func.count()).select_from(smear).where(_condition(connection, shown))
    return int(connection.execute(statement).scalar_one())


def page(connection: Connection, shown: SmearFilter, offset: int, limit: int) -> list[SmearRow]:
    """`limit` rows of the filtered list from `offset`, in the order of the ids."""
    statement: Select[Any] = (
        select(*COLUMNS)
        .where(_condition(connection, shown))
        .order_by(smear.c.id)
        .offset(offset)
        .limit(limit)
    )
    smears = [as_smear(row) for row in connection.execute(statement)]
    answers = standing_answers(connection, [one.id for one in smears])
    return [SmearRow(one, answers.get(one.id, {})) for one in smears]


def standing_answers(connection: Connection, ids: Sequence[int]) -> dict[int, dict[str, str]]:
    """Newest standing answer per smear and head, whoever gave it."""
    found: dict[int, dict[str, str]] = {}
    for start in range(0, len(ids), IN_LIMIT):
        statement = (
            select(label.c.smear_id, label.c.head, label.c.answer)
            .where(label.c.smear_id.in_(ids[start : start + IN_LIMIT]))
            .where(label.c.superseded_at.is_(None))
            .order_by(label.c.at, label.c.id)
        )
        for row in connection.execute(statement):
            found.setdefault(row.smear_id, {})[row.head] = row.answer
    return found


def describe(
    connection: Connection,
    ids: Sequence[int],
    *,
    patient: str | _Keep | None = KEEP,
    slide: str | _Keep | None = KEEP,
    site: str | _Keep | None = KEEP,
) -> None:
    """Set patient (pseudonym), slide or site of several smears; KEEP leaves one as it is."""
    given = {"patient": patient, "slide": slide, "site": site}
    values = {
        name: (value.strip() or None) if isinstance(value, str) else None
        for name, value in given.items()
        if not isinstance(value, _Keep)
    }
    if values:
        for start in range(0, len(ids), IN_LIMIT):
            chunk = ids[start : start + IN_LIMIT]
            if isinstance(patient, str):
                _follow_test_side(connection, chunk, patient.strip())
            connection.execute(update(smear).where(smear.c.id.in_(chunk)).values(**values))


def _follow_test_side(connection: Connection, ids: Sequence[int], patient: str) -> None:
    """A test patient who gets another name stays a test patient under it."""
    drawn = test_patients(connection)
    if not drawn or not patient or patient in drawn:
        return
    if any((one.patient or one.own_patient) in drawn for one in get(connection, ids)):
        connection.execute(insert(test_patient), {"patient": patient})


def test_patients(connection: Connection) -> frozenset[str]:
    """The study's test patients; empty before they are drawn."""
    return frozenset(connection.execute(select(test_patient.c.patient)).scalars())


def keep_test_patients(connection: Connection, patients: Iterable[str]) -> frozenset[str]:
    """Store the study's one draw; returns the one that counts: an earlier one never moves."""
    lock_study(connection)
    drawn = test_patients(connection)
    if drawn:
        return drawn
    rows = [{"patient": name} for name in sorted(patients)]
    connection.execute(insert(test_patient), rows)
    return frozenset(row["patient"] for row in rows)


def _condition(connection: Connection, shown: SmearFilter) -> ColumnElement[bool]:
    terms: list[ColumnElement[bool]] = [true()]
    if shown.text:
        asked = shown.text.strip()
        terms += [holds(smear, asked), may_hold(connection, smear.c.id, asked)]
    if shown.labelled is not None:
        has_label = exists().where(
            and_(label.c.smear_id == smear.c.id, label.c.superseded_at.is_(None))
        )
        terms.append(has_label if shown.labelled else ~has_label)
    if shown.patient is not None:
        terms.append(smear.c.patient == shown.patient)
    if shown.site is not None:
        terms.append(smear.c.site == shown.site)
    return and_(*terms)


def holds(who: Any, asked: str) -> ColumnElement[bool]:
    """Whether the path, the patient or the name (S000148) of `who`, a smear, holds this text."""
    terms = [
        who.c.path.icontains(asked, autoescape=True),
        who.c.patient.icontains(asked, autoescape=True),
    ]
    number = _number(asked)
    if number is not None:
        terms.append(who.c.id == number)
    return or_(*terms)


def may_hold(connection: Connection, smear_id: Any, asked: str) -> ColumnElement[bool]:
    """True of every smear that holds this text, and of few others; quick, where `holds` reads
    each path. Always true of a short text, and on PostgreSQL, which reads a million in 0.5 s.
    """
    if connection.dialect.name != "sqlite" or len(asked) < TRIGRAM:
        return true()
    starts = range(min(len(asked) - TRIGRAM + 1, _MOST_TRIGRAMS))
    trigrams = {asked[start : start + TRIGRAM].replace('"', '""') for start in starts}
    wanted = " AND ".join(f'"{one}"' for one in sorted(trigrams))
    found: Any = select(_smear_text.c.rowid).where(_smear_text.c.smear_text.op("MATCH")(wanted))
    number = _number(asked)
    if number is not None:
        found = union_all(found, select(smear.c.id).where(smear.c.id == number))
    is_found: ColumnElement[bool] = smear_id.in_(found)
    return is_found


def _number(asked: str) -> int | None:
    """148 of `S000148` or `148`, None of what is no smear's name."""
    digits = asked.upper().removeprefix("S").lstrip("0")
    return int(digits) if digits.isdigit() and len(digits) < 10 else None


COLUMNS = tuple(smear.c[name] for name in Smear.model_fields)


def as_smear(row: Row[Any]) -> Smear:
    """The record of a row that holds `COLUMNS`."""
    mapping = row._mapping
    return Smear(**{name: mapping[smear.c[name]] for name in Smear.model_fields})
