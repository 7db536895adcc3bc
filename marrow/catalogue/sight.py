"""Blind reading: what a person may see of a smear before all blind readers have read it.

A study may name its blind readers. A reader has read a smear when a label of his stands for each
head that is always asked; `unsure` is an answer too. A smear is open when all of them have read
it. Before that everybody, also who is no blind reader, sees of it only his own labels and flags,
and no prediction. This is a workflow and no access control: whoever reads the database's file
reads everything.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

from sqlalchemy import (
    ColumnElement,
    Connection,
    and_,
    delete,
    exists,
    func,
    insert,
    or_,
    select,
    true,
)

from marrow.catalogue.database import IN_LIMIT
from marrow.catalogue.locks import lock_study
from marrow.catalogue.schema import label, smear
from marrow.catalogue.schema import study as study_table
from marrow.errors import BadReaders
from marrow.records import Record
from marrow.schemes import Scheme

_BLIND = "blind_readers"


class Sight(Record):
    """Who looks, and who must have read a smear before anybody sees what others say of it."""

    reader: str
    """Name under which the person labels."""
    blind: tuple[str, ...] = ()
    """The study's blind readers; () where everything is open."""

    @classmethod
    def of(cls, connection: Connection, reader: str) -> Self:
        """What this person may see now."""
        return cls(reader=reader, blind=blind_readers(connection))

    def is_open(self, scheme: Scheme, smear_id: Any) -> ColumnElement[bool]:
        """SQL condition: all blind readers have read the smear of this id (or column)."""
        return and_(true(), *(is_read_by(scheme, name, smear_id) for name in self.blind))

    def sees(self, scheme: Scheme, given: Any) -> ColumnElement[bool]:
        """SQL condition on `given`, labels or flags: it is this person's own, or its smear open."""
        if not self.blind:
            return true()
        return or_(given.c.reader == self.reader, self.is_open(scheme, given.c.smear_id))

    def hidden(self, connection: Connection, scheme: Scheme, ids: Sequence[int]) -> frozenset[int]:
        """Those of these smears that are not open."""
        if not self.blind:
            return frozenset()
        found: set[int] = set()
        for start in range(0, len(ids), IN_LIMIT):
            chunk = ids[start : start + IN_LIMIT]
            rows = select(smear.c.id).where(
                smear.c.id.in_(chunk), ~self.is_open(scheme, smear.c.id)
            )
            found.update(connection.execute(rows).scalars())
        return frozenset(found)


def seen_by(connection: Connection, sight: Sight | None, given: Any) -> ColumnElement[bool]:
    """As `Sight.sees`; None, no person, sees all."""
    if sight is None or not sight.blind:
        return true()
    return sight.sees(scheme_of(connection), given)


def hidden_smears(connection: Connection, scheme: Scheme, ids: Sequence[int]) -> frozenset[int]:
    """Those of these smears whose predictions nobody may see yet."""
    return Sight.of(connection, "").hidden(connection, scheme, ids)


def count_hidden(connection: Connection, scheme: Scheme) -> int:
    """Smears of the study that are not open."""
    sight = Sight.of(connection, "")
    if not sight.blind:
        return 0
    closed = select(func.count()).select_from(smear).where(~sight.is_open(scheme, smear.c.id))
    return int(connection.execute(closed).scalar_one())


def must_answer(scheme: Scheme) -> tuple[str, ...]:
    """Names of the heads that a reader answers of every smear: those asked on no condition."""
    return tuple(head.name for head in scheme.asked if not head.asked_when)


def is_read_by(scheme: Scheme, reader: str, smear_id: Any) -> ColumnElement[bool]:
    """SQL condition: this reader has read the smear of this id (or column)."""
    return and_(*(is_answered(head, reader, smear_id) for head in must_answer(scheme)))


def is_answered(head: str, reader: Any, smear_id: Any) -> ColumnElement[bool]:
    """SQL condition: an own answer of this reader (or column) to the head stands."""
    own = label.alias()
    # Row by row, each a look into the index of the standing labels.
    return exists().where(
        own.c.smear_id == smear_id,
        own.c.head == head,
        own.c.reader == reader,
        ~own.c.is_adjudicated,
        own.c.superseded_at.is_(None),
    )


def blind_readers(connection: Connection) -> tuple[str, ...]:
    """Names of the study's blind readers; () where everything is open."""
    return tuple(_fact(connection, _BLIND) or ())


def set_blind_readers(connection: Connection, names: Sequence[str]) -> tuple[str, ...]:
    """Make these the study's blind readers, () opens the study; returns the names as stored.

    Raises
    ------
    BadReaders
        If there is one name alone, a name is blank, or one stands twice.
    """
    wanted = tuple(name.strip() for name in names)
    if not all(wanted):
        raise BadReaders("a blind reader's name is blank; give each reader a name")
    if len(set(wanted)) < len(wanted):
        twice = next(name for name in wanted if wanted.count(name) > 1)
        raise BadReaders(f"{twice!r} stands twice; name each blind reader once")
    if len(wanted) == 1:
        raise BadReaders(
            f"{wanted[0]!r} alone cannot be blind to others; name two readers or more, or none"
        )
    lock_study(connection)
    connection.execute(delete(study_table).where(study_table.c.key == _BLIND))
    if wanted:
        connection.execute(insert(study_table), {"key": _BLIND, "value": list(wanted)})
    return wanted


def scheme_of(connection: Connection) -> Scheme:
    """What the study asks, for those who have a connection and no study."""
    return Scheme.model_validate(_fact(connection, "scheme"))


def _fact(connection: Connection, key: str) -> Any:
    value = select(study_table.c.value).where(study_table.c.key == key)
    return connection.execute(value).scalar_one_or_none()
