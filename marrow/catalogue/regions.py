"""Regions: polygons on a smear; each change raises the smear's revision."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from sqlalchemy import Connection, and_, insert, or_, select, update

from marrow.catalogue.schema import region, smear
from marrow.records import Polygon, Record, Region, Role


class NewRegion(Record):
    """A polygon as it was drawn; (row, column) in level-0 px."""

    role: Role
    class_name: str | None = None
    polygon: Polygon


class Redrawn(Record):
    """What a person changed of a smear's regions; what is not named here stays as it is."""

    erased: tuple[NewRegion, ...] = ()
    """As they are stored."""
    drawn: tuple[NewRegion, ...] = ()


def plain(one: Region | NewRegion) -> NewRegion:
    """What a region says, whoever drew it."""
    return NewRegion(role=one.role, class_name=one.class_name, polygon=one.polygon)


def of(connection: Connection, smear_id: int) -> list[Region]:
    """The standing regions of a smear, in the order in which they were drawn."""
    return of_many(connection, [smear_id]).get(smear_id, [])


def of_many(connection: Connection, smear_ids: Sequence[int]) -> dict[int, list[Region]]:
    """The standing regions of several smears, at most 10,000; those without are left out."""
    columns = [region.c[name] for name in Region.model_fields]
    statement = (
        select(*columns)
        .where(region.c.smear_id.in_(smear_ids), region.c.superseded_at.is_(None))
        .order_by(region.c.id)
    )
    found: dict[int, list[Region]] = {}
    for row in connection.execute(statement):
        found.setdefault(row.smear_id, []).append(Region(**row._mapping))
    return found


def replace(
    connection: Connection, at: float, smear_id: int, drawn: Sequence[NewRegion], reader: str
) -> int:
    """Let exactly this stand on a smear; returns the smear's new revision of its regions.

    What stands already keeps its reader and its time.
    """
    stands, wanted = Counter(map(plain, of(connection, smear_id))), Counter(drawn)
    erased, new = (stands - wanted).elements(), (wanted - stands).elements()
    return change(connection, at, smear_id, Redrawn(erased=erased, drawn=new), reader)


def change(connection: Connection, at: float, smear_id: int, redrawn: Redrawn, reader: str) -> int:
    """Store what was changed on a smear; returns the smear's new revision of its regions.

    What others have drawn meanwhile stands; what they have erased is erased once.
    """
    ended = _ids_of(connection, smear_id, redrawn.erased)
    if ended:
        connection.execute(update(region).where(region.c.id.in_(ended)).values(superseded_at=at))
    if redrawn.drawn:
        rows = [one.model_dump(mode="json") for one in redrawn.drawn]
        common = {"smear_id": smear_id, "reader": reader, "at": at}
        connection.execute(insert(region), [row | common for row in rows])
    is_changed = bool(ended or redrawn.drawn)
    revision = connection.execute(
        update(smear)
        .where(smear.c.id == smear_id)
        .values(regions_revision=smear.c.regions_revision + int(is_changed))
        .returning(smear.c.regions_revision)
    ).scalar_one()
    return int(revision)


def is_stored(connection: Connection, at: float, smear_id: int, reader: str) -> bool:
    """Whether what this reader changed at this moment is stored: its rows know the moment."""
    marks = or_(and_(region.c.at == at, region.c.reader == reader), region.c.superseded_at == at)
    found = select(region.c.id).where(region.c.smear_id == smear_id, marks)
    return connection.execute(found).first() is not None


def _ids_of(connection: Connection, smear_id: int, wanted: Sequence[NewRegion]) -> list[int]:
    """Standing regions that say this, one for each that is wanted; fewer where some are gone."""
    left = Counter(wanted)
    found = []
    for one in of(connection, smear_id) if left else ():
        if left[plain(one)]:
            left[plain(one)] -= 1
            found.append(one.id)
    return found
