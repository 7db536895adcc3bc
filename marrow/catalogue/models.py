"""The registry of trained models, and how often each was scored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row, func, insert, select, update

from marrow.catalogue.locks import lock_study
from marrow.catalogue.schema import model, promotion, scoring
from marrow.errors import NotFound
from marrow.records import ModelRecord, Precision, Promotion, Scoring

Answers = Mapping[int, Mapping[str, Sequence[float]]]
"""Calibrated probabilities by smear id and head, in the order of the head's classes."""

LEARNED = ("train", "out-of-fold", "seed2022")
"""Sides whose smears train: under seed2022 images are split, and a smear lies on both sides."""

FIRST = "the study's first model"
"""The reason of a champion that nobody had to promote."""


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
    is_foreign: bool = False,
) -> ModelRecord:
    """Add a model, or find the one with the same weights.

    Weights that are trained once more, bit for bit, keep their number and take the newer card,
    as their folder does: other folds may have calibrated them anew. The first that the study
    trains is its champion; a foreign one, made elsewhere, never becomes that by being
    registered.
    """
    lock_study(connection)
    known = of_weights(connection, sha256)
    if known is not None and is_foreign:
        return known
    made: dict[str, Any] = {"path": path, "preprocessing": preprocessing, "precision": precision}
    made |= {"card": card, "job_id": job_id}
    if known is not None:
        same = update(model).where(model.c.id == known.id)
        return _record(connection.execute(same.values(**made).returning(*model.c)).one())
    values = {**made, "sha256": sha256, "is_champion": False, "created_at": at}
    row = connection.execute(insert(model).values(**values).returning(*model.c)).one()
    if not is_foreign and champion(connection) is None:
        return promote(connection, at, row.id, FIRST)
    return _record(row)


def of_weights(connection: Connection, sha256: str) -> ModelRecord | None:
    """The model whose weights have this hash; None if there is none."""
    row = connection.execute(select(model).where(model.c.sha256 == sha256)).first()
    return None if row is None else _record(row)


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


def promote(
    connection: Connection,
    at: float,
    model_id: int,
    reason: str,
    *,
    is_forced: bool = False,
    is_rollback: bool = False,
    comparison: dict[str, Any] | None = None,
) -> ModelRecord:
    """Make a model the champion, and note why; `marrow.promotion` decides whether it may be.

    Raises
    ------
    NotFound
        If there is none of that id.
    """
    lock_study(connection)
    get(connection, model_id)
    previous = champion(connection)
    connection.execute(update(model).values(is_champion=model.c.id == model_id))
    row = {
        "model_id": model_id,
        "previous_id": None if previous is None else previous.id,
        "reason": reason,
        "is_forced": is_forced,
        "is_rollback": is_rollback,
        "comparison": comparison or {},
        "at": at,
    }
    connection.execute(insert(promotion), row)
    return get(connection, model_id)


def promotions(connection: Connection) -> list[Promotion]:
    """All changes of the champion, oldest first."""
    rows = connection.execute(select(promotion).order_by(promotion.c.id))
    return [Promotion(**row._mapping) for row in rows]


def predecessor(changes: Sequence[Promotion]) -> int | None:
    """The champion before the present one; rollbacks undo, so that two of them go two back.

    Parameters
    ----------
    changes : sequence of Promotion
        All of the study's, oldest first.
    """
    line: list[int] = []
    for one in changes:
        if not line and one.previous_id is not None:
            line.append(one.previous_id)  # champion since before promotions were noted
        if one.is_rollback:
            line.pop()
        else:
            line.append(one.model_id)
    return line[-2] if len(line) > 1 else None


def record_scoring(
    connection: Connection,
    at: float,
    model_id: int,
    side: str,
    figures: dict[str, Any],
    answers: Answers | None = None,
    facts: dict[str, Any] | None = None,
) -> int:
    """Note one look at a side's patients; returns how often all models looked there by now.

    Parameters
    ----------
    side : str
        As in `Scoring`.
    figures, facts : dict
        Fit for JSON; `facts` as in `Scoring`.
    answers : dict
        Calibrated probabilities by smear id and head.
    """
    row = {"model_id": model_id, "side": side, "at": at, "figures": figures}
    kept = {str(smear_id): heads for smear_id, heads in (answers or {}).items()}
    connection.execute(insert(scoring), row | {"answers": kept, "facts": facts or {}})
    return looks(connection, side)


def looks(connection: Connection, side: str) -> int:
    """How often all models together were scored on a side."""
    rows = select(func.count()).select_from(scoring).where(scoring.c.side == side)
    return int(connection.execute(rows).scalar_one())


def scorings(connection: Connection, model_id: int) -> list[Scoring]:
    """All looks with a model, oldest first."""
    rows = select(scoring).where(scoring.c.model_id == model_id).order_by(scoring.c.id)
    return [Scoring(**row._mapping) for row in connection.execute(rows)]


def learned_from(connection: Connection, model_id: int) -> list[int]:
    """Ids of the smears that trained a model, as far as its scorings name them; ascending.

    None for a model that was made elsewhere, nor for one of seed2022 before this was noted.
    """
    mine = scoring.c.model_id == model_id, scoring.c.side.in_(LEARNED)
    rows = connection.execute(select(scoring.c.answers, scoring.c.facts).where(*mine))
    return sorted(
        {int(one) for answers, facts in rows for one in (*answers, *facts.get("smears", ()))}
    )


def _record(row: Row[Any]) -> ModelRecord:
    return ModelRecord(**{name: row._mapping[name] for name in ModelRecord.model_fields})
