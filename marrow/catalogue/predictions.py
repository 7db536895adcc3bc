"""Predictions: stored once per smear and model; pages are sorted and filtered in the database."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from itertools import islice
from typing import Any, Final, Literal, NamedTuple

from sqlalchemy import ColumnElement, Connection, Row, Table, and_, insert, select, true
from sqlalchemy.dialects import postgresql, sqlite

from marrow.catalogue.result_filter import ResultFilter, Sort
from marrow.catalogue.schema import (
    CALLS,
    PROBABILITIES,
    job_smear,
    prediction,
    prediction_map,
    provenance,
)
from marrow.catalogue.selection import (
    Key,
    all_keys,
    count_keys,
    page_keys,
)
from marrow.catalogue.sight import Sight, scheme_of
from marrow.catalogue.smears import IN_LIMIT, standing_answers
from marrow.catalogue.smears import get as get_smears
from marrow.catalogue.worklist import worklist_place
from marrow.records import (
    Answer,
    AnswerMap,
    HeadAnswer,
    ModelRecord,
    Prediction,
    Provenance,
    Smear,
)
from marrow.schemes import Scheme

__all__ = [
    "ResultFilter",
    "ResultRow",
    "Sort",
    "count",
    "every",
    "map_columns",
    "map_of",
    "of_smear",
    "page",
    "provenance_id",
    "shown_to",
    "store",
]

MAP_KINDS: Final[tuple[Literal["activation"], Literal["tiles"]]] = ("activation", "tiles")
"""Names of the numbers in `prediction_map.kind`: as numbers, six maps fit into a page of
SQLite, as names five."""
_VALUE_BYTES = 2
"""Of a float16."""
ROWS_AT_ONCE = 1_000
"""Of an export, in memory; also values of an IN list."""


class ResultRow(NamedTuple):
    """A smear and what came of it: a prediction, an error, or nothing yet."""

    smear: Smear
    prediction: Prediction | None
    model_name: str
    label: dict[str, str]
    error: str | None


def store(
    connection: Connection,
    at: float,
    scheme: Scheme,
    made_by: ModelRecord,
    provenance_id: int,
    revisions: dict[int, int],
    answers: dict[int, tuple[Answer, AnswerMap | None]],
) -> dict[int, int]:
    """Store answers; returns prediction id by smear.

    What this model has said of a smear before (another worker may have been faster) stands, and
    its id is returned: a prediction is unique by smear, weights, preprocessing, precision and
    revision of the regions. `revisions` are those under which the answers were made.
    """
    if not answers:
        return {}
    rows: dict[int, dict[str, Any]] = {
        smear_id: {
            "smear_id": smear_id,
            "model_id": made_by.id,
            "precision": made_by.precision,
            "regions_revision": revisions[smear_id],
            "provenance_id": provenance_id,
            "at": at,
            "flags": " ".join(answer.flags),
            **_columns_of(scheme, answer),
        }
        for smear_id, (answer, _) in answers.items()
    }
    add = _insert(connection, prediction).on_conflict_do_nothing()
    added = connection.execute(
        add.returning(prediction.c.smear_id, prediction.c.id), [*rows.values()]
    )
    ids = {int(row.smear_id): int(row.id) for row in added}
    maps = [
        {"prediction_id": ids[smear_id], **map_columns(answer_map)}
        for smear_id, (_, answer_map) in answers.items()
        if smear_id in ids and answer_map is not None
    ]
    if maps:
        connection.execute(insert(prediction_map), maps)
    for smear_id in rows.keys() - ids.keys():  # another worker was faster
        ids[smear_id] = _id_of(connection, rows[smear_id])
    return ids


def _id_of(connection: Connection, row: dict[str, Any]) -> int:
    unique = ("smear_id", "model_id", "precision", "regions_revision")
    same = and_(*(prediction.c[name] == row[name] for name in unique))
    return int(connection.execute(select(prediction.c.id).where(same)).scalar_one())


def provenance_id(connection: Connection, made_by: Provenance) -> int:
    """The id under which this provenance is stored; it is stored once."""
    text = made_by.model_dump_json()
    found = select(provenance.c.id).where(provenance.c.text == text)
    known = connection.execute(found).scalar_one_or_none()
    if known is not None:
        return int(known)
    connection.execute(_insert(connection, provenance).values(text=text).on_conflict_do_nothing())
    return int(connection.execute(found).scalar_one())


def count(connection: Connection, scheme: Scheme, shown: ResultFilter) -> int:
    """How many rows the filter shows."""
    return count_keys(connection, scheme, shown)


def page(
    connection: Connection,
    scheme: Scheme,
    shown: ResultFilter,
    sort: Sort,
    offset: int,
    limit: int,
) -> list[ResultRow]:
    """`limit` rows from `offset` of the filtered and sorted results; those without a value in
    the sort column (not answered, no patient) come last."""
    keys = page_keys(connection, scheme, shown, sort, offset, limit)
    return _rows(connection, scheme, keys, shown.job_id, shown.sight)


def every(
    connection: Connection, scheme: Scheme, shown: ResultFilter, sort: Sort | None = None
) -> Iterator[ResultRow]:
    """All rows of the filter in this order, or in that of the smears, a thousand at a time."""
    keys = all_keys(connection, scheme, shown, sort or Sort())
    while part := list(islice(keys, ROWS_AT_ONCE)):
        yield from _rows(connection, scheme, part, shown.job_id, shown.sight)


def of_smear(
    connection: Connection, scheme: Scheme, smear_id: int, sight: Sight | None = None
) -> list[ResultRow]:
    """All predictions of a smear, newest first; none to a person to whom it is not open."""
    newest = prediction.c.at.desc(), prediction.c.id.desc()
    found = connection.execute(
        select(prediction.c.smear_id, prediction.c.id)
        .where(prediction.c.smear_id == smear_id, _is_open(scheme, sight))
        .order_by(*newest)
    )
    return _rows(connection, scheme, [Key(*row) for row in found], sight=sight)


def shown_to(
    connection: Connection, scheme: Scheme, ids: Sequence[int], sight: Sight
) -> frozenset[int]:
    """Those of these smears of which a model has said something that this person may see."""
    found: set[int] = set()
    for start in range(0, len(ids), IN_LIMIT):
        chunk = ids[start : start + IN_LIMIT]
        answered = select(prediction.c.smear_id).where(prediction.c.smear_id.in_(chunk))
        found.update(connection.execute(answered).scalars())
    return frozenset(found) - sight.hidden(connection, scheme, sorted(found))


def map_of(
    connection: Connection, prediction_id: int, sight: Sight | None = None
) -> AnswerMap | None:
    """The stored map of a prediction, None if it has none, or if its smear is not open."""
    stored_map = select(prediction_map).where(prediction_map.c.prediction_id == prediction_id)
    if sight is not None and sight.blind:
        stored_map = stored_map.join(
            prediction, prediction.c.id == prediction_map.c.prediction_id
        ).where(_is_open(scheme_of(connection), sight))
    row = connection.execute(stored_map).first()
    if row is None:
        return None
    values = row._mapping
    rows, columns, stored = values["rows"], values["columns"], values["values"]
    shape = (len(stored) // (_VALUE_BYTES * rows * columns), rows, columns)
    cell_px = (values["cell_height_px"], values["cell_width_px"])
    return AnswerMap(MAP_KINDS[values["kind"]], stored, shape, cell_px)


def map_columns(answer_map: AnswerMap) -> dict[str, Any]:
    """A map as a row of `prediction_map`; its depth follows from the number of values."""
    _, rows, columns = answer_map.shape
    height_px, width_px = answer_map.cell_px
    return {
        "kind": MAP_KINDS.index(answer_map.kind),
        "rows": rows,
        "columns": columns,
        "cell_height_px": height_px,
        "cell_width_px": width_px,
        "values": answer_map.values,
    }


def _columns_of(scheme: Scheme, answer: Answer) -> dict[str, float | int]:
    by_head = {one.head: one for one in answer.heads}
    top_p = max(by_head[scheme.primary].probabilities)
    values: dict[str, float | int] = {
        "top_p": top_p,
        "worklist": worklist_place(answer.flags, top_p),
    }
    output = 0
    for index, head in enumerate(scheme.heads):
        values[CALLS[index]] = head.classes.index(by_head[head.name].call)
        for probability in by_head[head.name].probabilities:
            values[PROBABILITIES[output]] = probability
            output += 1
    return values


def _answer_of(scheme: Scheme, row: Row[Any]) -> Answer:
    """The stored answer to the heads that apply under its own calls."""
    mapping = row._mapping
    heads = []
    output = 0
    for index, head in enumerate(scheme.heads):
        columns = PROBABILITIES[output : output + len(head.classes)]
        output += len(head.classes)
        heads.append(
            HeadAnswer(
                head=head.name,
                call=head.classes[mapping[prediction.c[CALLS[index]]]],
                probabilities=tuple(mapping[prediction.c[name]] for name in columns),
            )
        )
    applying = scheme.applying({answer.head: answer.call for answer in heads})
    names = {head.name for head in applying}
    shown = tuple(answer for answer in heads if answer.head in names)
    return Answer(heads=shown, flags=tuple(mapping[prediction.c.flags].split()))


def _is_open(scheme: Scheme, sight: Sight | None) -> ColumnElement[bool]:
    return true() if sight is None else sight.is_open(scheme, prediction.c.smear_id)


def _rows(
    connection: Connection,
    scheme: Scheme,
    keys: Sequence[Key],
    job_id: int | None = None,
    sight: Sight | None = None,
) -> list[ResultRow]:
    """What the catalogue holds under these keys, in their order."""
    found = {one.id: one for one in get_smears(connection, [key.smear_id for key in keys])}
    answers = _answers(connection, keys)
    errors = _errors(connection, job_id, found)
    labels = standing_answers(connection, list(found), sight)
    return [
        _result(
            scheme,
            found[key.smear_id],
            answers.get(key.prediction_id),
            labels.get(key.smear_id, {}),
            errors.get(key.smear_id),
        )
        for key in keys
    ]


def _answers(connection: Connection, keys: Sequence[Key]) -> dict[int | None, Row[Any]]:
    """Rows of `prediction` by id."""
    ids = [key.prediction_id for key in keys if key.prediction_id is not None]
    found: dict[int | None, Row[Any]] = {}
    for start in range(0, len(ids), IN_LIMIT):
        chunk = ids[start : start + IN_LIMIT]
        rows = connection.execute(select(prediction).where(prediction.c.id.in_(chunk)))
        found.update((row.id, row) for row in rows)
    return found


def _errors(
    connection: Connection, job_id: int | None, ids: Collection[int]
) -> dict[int, str | None]:
    """Reason by smear, where a job has failed to answer one of these."""
    if job_id is None:
        return {}
    wanted = list(ids)
    found: dict[int, str | None] = {}
    for start in range(0, len(wanted), IN_LIMIT):
        rows = connection.execute(
            select(job_smear.c.smear_id, job_smear.c.error).where(
                job_smear.c.job_id == job_id,
                job_smear.c.smear_id.in_(wanted[start : start + IN_LIMIT]),
            )
        )
        found.update((row.smear_id, row.error) for row in rows)
    return found


def _result(
    scheme: Scheme, one: Smear, row: Row[Any] | None, label: dict[str, str], error: str | None
) -> ResultRow:
    """`row` holds the columns of `prediction`; None: not answered."""
    if row is None:
        return ResultRow(one, None, "", label, error)
    mapping = row._mapping
    found = Prediction(
        id=mapping[prediction.c.id],
        smear_id=one.id,
        model_id=mapping[prediction.c.model_id],
        answer=_answer_of(scheme, row),
        precision=mapping[prediction.c.precision],
        at=mapping[prediction.c.at],
    )
    return ResultRow(one, found, f"m{found.model_id}", label, error)


def _insert(connection: Connection, table: Table) -> Any:
    """An INSERT that knows ON CONFLICT, which each dialect has for itself."""
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    return dialect.insert(table)
