"""Regions: polygons on a smear; each change raises the smear's revision."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, insert, select, update

from marrow.catalogue.schema import region, smear
from marrow.records import Polygon, Record, Region, Role


class NewRegion(Record):
    """A polygon as it was drawn; (row, column) in level-0 px."""

    role: Role
    class_name: str | None = None
    polygon: Polygon


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
    """Store what is drawn on a smear now; returns the smear's new revision of its regions."""
    connection.execute(
        update(region)
        .where(region.c.smear_id == smear_id, region.c.superseded_at.is_(None))
        .values(superseded_at=at)
    )
    if drawn:
        rows = [one.model_dump(mode="json") for one in drawn]
        common = {"smear_id": smear_id, "reader": reader, "at": at}
        connection.execute(insert(region), [row | common for row in rows])
    revision = connection.execute(
        update(smear)
        .where(smear.c.id == smear_id)
        .values(regions_revision=smear.c.regions_revision + 1)
        .returning(smear.c.regions_revision)
    ).scalar_one()
    return int(revision)
