"""Smears: registering, finding and describing them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, Row, Select, func, insert, select, update

from marrow.catalogue import flags
from marrow.catalogue.database import IN_LIMIT
from marrow.catalogue.locks import lock_study
from marrow.catalogue.schema import CALLS, label, model, prediction, smear, test_patient
from marrow.catalogue.sight import Sight, is_read_by, scheme_of, seen_by
from marrow.catalogue.smear_filter import SmearFilter, condition
from marrow.records import NewSmear, Smear
from marrow.schemes import Scheme
from marrow.settings import STORE_ROOT

__all__ = [
    "COLUMNS",
    "IN_LIMIT",
    "KEEP",
    "SmearFilter",
    "SmearRow",
    "all_ids",
    "as_smear",
    "count",
    "describe",
    "get",
    "ids_at",
    "ids_of",
    "keep_test_patients",
    "next_unread",
    "page",
    "register",
    "standing_answers",
    "test_patients",
]

_PLACE = ("root", "path", "members")


class _Keep:
    """Marks a column that `describe` leaves as it is."""


KEEP: Final = _Keep()


class SmearRow(NamedTuple):
    """A smear as the Cases list shows it."""

    smear: Smear
    answers: dict[str, str]
    """Standing answers by head; see `standing_answers`."""
    flagged: bool = False
    """Whether a person's flag stands."""
    model_call: str = ""
    """The champion's call of the primary head and its probability, `MDS .71`; empty where it has
    said nothing, or where it is hidden."""


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
    statement = select(smear.c.id).where(condition(connection, shown)).order_by(smear.c.id)
    return list(connection.execute(statement).scalars())


def count(connection: Connection, shown: SmearFilter, after_id: int = 0) -> int:
    """How many smears the filter shows behind the one of `after_id`; 0: in all."""
    statement = select(func.count()).select_from(smear).where(condition(connection, shown))
    statement = statement.where(smear.c.id > after_id)
    return int(connection.execute(statement).scalar_one())


def page(connection: Connection, shown: SmearFilter, after_id: int, limit: int) -> list[SmearRow]:
    """The `limit` rows of the filtered list behind the smear of `after_id`, 0: from the top.

    In the order of the ids. By id and not by number: rows that the filter has ceased to show
    since the page before make no gap.
    """
    statement: Select[Any] = (
        select(*COLUMNS)
        .where(condition(connection, shown), smear.c.id > after_id)
        .order_by(smear.c.id)
        .limit(limit)
    )
    smears = [as_smear(row) for row in connection.execute(statement)]
    ids, sight = [one.id for one in smears], shown.sight
    answers = standing_answers(connection, ids, sight)
    flagged = flags.standing(connection, ids, sight)
    calls = _champion_calls(connection, ids, sight)
    return [
        SmearRow(one, answers.get(one.id, {}), one.id in flagged, calls.get(one.id, ""))
        for one in smears
    ]


def next_unread(
    connection: Connection, scheme: Scheme, shown: SmearFilter, reader: str, after_id: int
) -> int | None:
    """The first smear after this one that the filter shows and the reader has not read.

    After the last smear comes the first, up to and including the one of `after_id`; None: he
    has read all.
    """
    wanted = condition(connection, shown), ~is_read_by(scheme, reader, smear.c.id)
    first = select(smear.c.id).where(*wanted).order_by(smear.c.id).limit(1)
    for part in (smear.c.id > after_id, smear.c.id <= after_id):
        found = connection.execute(first.where(part)).scalar_one_or_none()
        if found is not None:
            return int(found)
    return None


def standing_answers(
    connection: Connection, ids: Sequence[int], sight: Sight | None = None
) -> dict[int, dict[str, str]]:
    """The answer that counts per smear and head: the adjudicated one, else the newest standing
    one, whoever gave it.

    Parameters
    ----------
    sight : Sight or None
        Who looks: of a smear that is not open, his own answers. None: no person.
    """
    found: dict[int, dict[str, str]] = {}
    is_seen = seen_by(connection, sight, label)
    for start in range(0, len(ids), IN_LIMIT):
        statement = (
            select(label.c.smear_id, label.c.head, label.c.answer)
            .where(label.c.smear_id.in_(ids[start : start + IN_LIMIT]))
            .where(label.c.superseded_at.is_(None), is_seen)
            .order_by(label.c.is_adjudicated, label.c.at, label.c.id)
        )
        for row in connection.execute(statement):
            found.setdefault(row.smear_id, {})[row.head] = row.answer
    return found


def _champion_calls(
    connection: Connection, ids: Sequence[int], sight: Sight | None
) -> dict[int, str]:
    """What the champion calls each smear, as `SmearRow.model_call`; its newest answer counts."""
    scheme = scheme_of(connection)
    place = [head.name for head in scheme.heads].index(scheme.primary)
    classes = scheme.heads[place].classes
    seen = [] if sight is None else [sight.is_open(scheme, prediction.c.smear_id)]
    found: dict[int, str] = {}
    for start in range(0, len(ids), IN_LIMIT):
        statement = (
            select(prediction.c.smear_id, prediction.c[CALLS[place]], prediction.c.top_p)
            .join(model, model.c.id == prediction.c.model_id)
            .where(prediction.c.smear_id.in_(ids[start : start + IN_LIMIT]))
            .where(model.c.is_champion, *seen)
            .order_by(prediction.c.id)
        )
        for smear_id, call, top_p in connection.execute(statement):
            found[smear_id] = f"{classes[call]} {f'{top_p:.2f}'.removeprefix('0')}"
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


COLUMNS = tuple(smear.c[name] for name in Smear.model_fields)


def as_smear(row: Row[Any]) -> Smear:
    """The record of a row that holds `COLUMNS`."""
    mapping = row._mapping
    return Smear(**{name: mapping[smear.c[name]] for name in Smear.model_fields})
