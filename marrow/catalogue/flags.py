"""Flags: a person's mark on a smear that somebody should look at; cleared, never deleted."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, insert, select, update

from marrow.catalogue.database import IN_LIMIT
from marrow.catalogue.schema import smear_flag
from marrow.catalogue.sight import Sight, seen_by


def give(connection: Connection, at: float, smear_id: int, reader: str) -> None:
    """Flag a smear for this reader, unless his flag stands already."""
    own = select(smear_flag.c.id).where(
        smear_flag.c.smear_id == smear_id,
        smear_flag.c.reader == reader,
        smear_flag.c.cleared_at.is_(None),
    )
    if connection.execute(own).first() is None:
        row = {"smear_id": smear_id, "reader": reader, "at": at}
        connection.execute(insert(smear_flag), row)


def clear(connection: Connection, at: float, smear_id: int, sight: Sight) -> int:
    """Clear the flags of a smear that this person sees, others' too; returns how many."""
    statement = (
        update(smear_flag)
        .where(smear_flag.c.smear_id == smear_id, smear_flag.c.cleared_at.is_(None))
        .where(seen_by(connection, sight, smear_flag))
        .values(cleared_at=at)
    )
    return connection.execute(statement).rowcount


def standing(
    connection: Connection, ids: Sequence[int], sight: Sight | None = None
) -> dict[int, tuple[str, ...]]:
    """Who has flagged these smears, by smear, in the order of time; unflagged ones are left out.

    Parameters
    ----------
    sight : Sight or None
        Who looks: of a smear that is not open, his own flag. None: no person.
    """
    is_seen = seen_by(connection, sight, smear_flag)
    found: dict[int, tuple[str, ...]] = {}
    for start in range(0, len(ids), IN_LIMIT):
        statement = (
            select(smear_flag.c.smear_id, smear_flag.c.reader)
            .where(smear_flag.c.smear_id.in_(ids[start : start + IN_LIMIT]))
            .where(smear_flag.c.cleared_at.is_(None), is_seen)
            .order_by(smear_flag.c.at, smear_flag.c.id)
        )
        for smear_id, reader in connection.execute(statement):
            found[smear_id] = (*found.get(smear_id, ()), reader)
    return found
