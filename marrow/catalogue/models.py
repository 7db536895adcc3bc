"""The registry of trained models, and how often each was scored."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row, func, insert, select, update

from marrow.catalogue.locks import lock_study
from marrow.catalogue.schema import model, scoring
from marrow.errors import NotFound
from marrow.records import ModelRecord, Precision


def register(
    connection: Connection,
    at: float,
    *,
    sha256: str,
    path: str,
    preprocessing: str,
    precision: Precision,
    card: dict[str, Any],
    job_id: int | None,
) -> ModelRecord:
    """Add a model, or find the one with the same weights; the study's first is its champion."""
    lock_study(connection)
    known = connection.execute(select(model).where(model.c.sha256 == sha256)).first()
    if known is not None:
        return _record(known)
    is_first = connection.execute(select(func.count()).select_from(model)).scalar_one() == 0
    values = {
        "sha256": sha256,
        "path": path,
        "preprocessing": preprocessing,
        "precision": precision,
        "card": card,
        "job_id": job_id,
        "is_champion": is_first,
        "created_at": at,
    }
    row = connection.execute(insert(model).values(**values).returning(*model.c)).one()
    return _record(row)


def get(connection: Connection, model_id: int) -> ModelRecord:
    """The model of that id; NotFound if there is none."""
    row = connection.execute(select(model).where(model.c.id == model_id)).first()
    if row is None:
        raise NotFound(f"There is no model m{model_id}: `marrow models` lists them")
    return _record(row)


def champion(connection: Connection) -> ModelRecord | None:
    """The model that answers when none is named; None before the first is trained."""
    row = connection.execute(select(model).where(model.c.is_champion)).first()
    return None if row is None else _record(row)


def all_models(connection: Connection) -> list[ModelRecord]:
    """All models, newest first."""
    return [_record(row) for row in connection.execute(select(model).order_by(model.c.id.desc()))]


def promote(connection: Connection, model_id: int) -> ModelRecord:
    """Make a model the champion; NotFound if there is none of that id."""
    lock_study(connection)
    get(connection, model_id)
    connection.execute(update(model).values(is_champion=model.c.id == model_id))
    return get(connection, model_id)


def record_scoring(
    connection: Connection, at: float, model_id: int, side: str, figures: dict[str, Any]
) -> int:
    """Note one look at a side's patients; returns how often that side was looked at in all."""
    connection.execute(
        insert(scoring), {"model_id": model_id, "side": side, "at": at, "figures": figures}
    )
    looks = select(func.count()).select_from(scoring).where(scoring.c.side == side)
    return int(connection.execute(looks).scalar_one())


def _record(row: Row[Any]) -> ModelRecord:
    return ModelRecord(**{name: row._mapping[name] for name in ModelRecord.model_fields})
