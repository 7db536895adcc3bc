"""When something was last said of a smear: the next word must be later, whatever a clock says."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, func, select, union_all

from marrow.catalogue.database import IN_LIMIT
from marrow.catalogue.schema import label, smear, smear_flag


def newest(connection: Connection, smear_ids: Sequence[int]) -> dict[int, float]:
    """When each smear was added, or its labels or flags were last changed, by anybody.

    Seconds since 1970 (UTC), of the clocks of several machines.
    """
    ended = func.coalesce(label.c.superseded_at, label.c.at)
    cleared = func.coalesce(smear_flag.c.cleared_at, smear_flag.c.at)
    found: dict[int, float] = {}
    for start in range(0, len(smear_ids), IN_LIMIT):
        ids = smear_ids[start : start + IN_LIMIT]
        marks = union_all(
            select(smear.c.id, smear.c.added_at).where(smear.c.id.in_(ids)),
            select(label.c.smear_id, func.max(ended))
            .where(label.c.smear_id.in_(ids))
            .group_by(label.c.smear_id),
            select(smear_flag.c.smear_id, func.max(cleared))
            .where(smear_flag.c.smear_id.in_(ids))
            .group_by(smear_flag.c.smear_id),
        )
        for smear_id, at in connection.execute(marks):
            found[smear_id] = max(at, found.get(smear_id, 0.0))
    return found
