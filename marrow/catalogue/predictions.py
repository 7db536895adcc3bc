"""Predictions: stored once per smear and model; pages are sorted and filtered in the database."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    Table,
    and_,
    func,
    insert,
    select,
)
from sqlalchemy.dialects import postgresql, sqlite

from marrow.catalogue.schema import (
    CALLS,
    PROBABILITIES,
    job_smear,
    prediction,
    prediction_map,
    provenance,
    smear,
)
from marrow.catalogue.smears import COLUMNS as SMEAR_COLUMNS
from marrow.catalogue.smears import as_smear, matches, standing_answers
from marrow.records import (
    Answer,
    AnswerMap,
    HeadAnswer,
    ModelRecord,
    Prediction,
    Provenance,
    Record,
    Smear,
)
from marrow.schemes import Scheme


class ResultFilter(Record):
    """Which results a table shows; None means any."""

    text: str = ""
    job_id: int | None = None
    """Results of this job, its errors too; without it, all predictions."""
    piece: int | None = None
    """Of the job, those of this piece."""
    model_id: int | None = None
    head: str | None = None
    """The head that `call` and `min_p` are about."""
    call: str | None = None
    min_p: float | None = None
    """Smallest probability of `call`."""
    flag: str | None = None
    has_error: bool | None = None


class Sort(Record):
    """By which column: smear, patient, at, top_p, p:<head>:<class> or call:<head>."""

    column: str = "smear"
    descending: bool = False


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
    ids: dict[int, int] = {}
    for smear_id, (answer, answer_map) in answers.items():
        row = {
            "smear_id": smear_id,
            "model_id": made_by.id,
            "preprocessing": made_by.preprocessing,
            "precision": made_by.precision,
            "regions_revision": revisions[smear_id],
            "provenance_id": provenance_id,
            "at": at,
            "flags": " ".join(answer.flags),
            **_columns_of(scheme, answer),
        }
        created = connection.execute(
            _insert(connection, prediction)
            .values(row)
            .on_conflict_do_nothing()
            .returning(prediction.c.id)
        ).scalar_one_or_none()
        if created is None:
            unique = ("smear_id", "model_id", "preprocessing", "precision", "regions_revision")
            same = and_(*(prediction.c[name] == row[name] for name in unique))
            created = connection.execute(select(prediction.c.id).where(same)).scalar_one()
        elif answer_map is not None:
            connection.execute(
                insert(prediction_map),
                {
                    "prediction_id": created,
                    "kind": answer_map.kind,
                    "shape": list(answer_map.shape),
                    "cell_px": list(answer_map.cell_px),
                    "values": answer_map.values,
                },
            )
        ids[smear_id] = int(created)
    return ids


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
    statement = select(func.count()).select_from(_source(shown)).where(_condition(scheme, shown))
    return int(connection.execute(statement).scalar_one())


def page(
    connection: Connection,
    scheme: Scheme,
    shown: ResultFilter,
    sort: Sort,
    offset: int,
    limit: int,
) -> list[ResultRow]:
    """`limit` rows from `offset` of the filtered and sorted results."""
    column, used = _sort_column(scheme, sort)
    order = column.desc().nulls_last() if sort.descending else column.asc().nulls_last()
    tie = smear.c.id.desc() if sort.descending else smear.c.id.asc()
    terms = [_condition(scheme, shown)]
    if shown.job_id is None and used is not None:
        terms.append(used)  # lets the partial index of this column serve the order
        order = column.desc() if sort.descending else column.asc()
    statement = _rows(shown).where(*terms).order_by(order, tie).offset(offset).limit(limit)
    return _results(connection, scheme, connection.execute(statement).all())


def every(connection: Connection, scheme: Scheme, shown: ResultFilter) -> Iterator[ResultRow]:
    """All rows of the filter in the order of the smears, read a thousand at a time."""
    statement = _rows(shown).where(_condition(scheme, shown)).order_by(smear.c.id, prediction.c.id)
    for part in connection.execute(statement).partitions(1000):
        yield from _results(connection, scheme, part)


def of_smear(connection: Connection, scheme: Scheme, smear_id: int) -> list[ResultRow]:
    """All predictions of a smear, newest first."""
    statement = _rows(ResultFilter()).where(smear.c.id == smear_id).order_by(prediction.c.at.desc())
    return _results(connection, scheme, connection.execute(statement).all())


def map_of(connection: Connection, prediction_id: int) -> AnswerMap | None:
    """The stored map of a prediction, None if it has none."""
    row = connection.execute(
        select(prediction_map).where(prediction_map.c.prediction_id == prediction_id)
    ).first()
    if row is None:
        return None
    values = row._mapping
    depth, rows, columns = values["shape"]
    height, width = values["cell_px"]
    return AnswerMap(values["kind"], values["values"], (depth, rows, columns), (height, width))


def _columns_of(scheme: Scheme, answer: Answer) -> dict[str, float | int]:
    by_head = {one.head: one for one in answer.heads}
    values: dict[str, float | int] = {"top_p": max(by_head[scheme.primary].probabilities)}
    output = 0
    for index, head in enumerate(scheme.heads):
        values[CALLS[index]] = head.classes.index(by_head[head.name].call)
        for probability in by_head[head.name].probabilities:
            values[PROBABILITIES[output]] = probability
            output += 1
    return values


def _answer_of(scheme: Scheme, row: Row[Any]) -> Answer:
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
    return Answer(heads=tuple(heads), flags=tuple(mapping[prediction.c.flags].split()))


def _probability(scheme: Scheme, head_name: str, class_name: str) -> ColumnElement[float]:
    output = 0
    for head in scheme.heads:
        if head.name == head_name:
            return prediction.c[PROBABILITIES[output + head.classes.index(class_name)]]
        output += len(head.classes)
    raise KeyError(head_name)


def _call(scheme: Scheme, head_name: str) -> ColumnElement[int]:
    index = [head.name for head in scheme.heads].index(head_name)
    return prediction.c[CALLS[index]]


def _sort_column(
    scheme: Scheme, sort: Sort
) -> tuple[ColumnElement[Any], ColumnElement[bool] | None]:
    """The column to sort by, and the condition of its partial index if it has one."""
    kind, *names = sort.column.split(":")
    if kind == "p":
        column: ColumnElement[Any] = _probability(scheme, *names)
        return column, column.is_not(None)
    if kind == "call":
        column = _call(scheme, *names)
        return column, column.is_not(None)
    plain = {
        "smear": smear.c.id,
        "patient": smear.c.patient,
        "at": prediction.c.at,
        "top_p": prediction.c.top_p,
    }
    return plain[kind], None


def _source(shown: ResultFilter) -> Any:
    """With a job: its smears, answered or not. Without: all predictions."""
    if shown.job_id is not None:
        return job_smear.join(smear, smear.c.id == job_smear.c.smear_id).outerjoin(
            prediction, prediction.c.id == job_smear.c.prediction_id
        )
    return prediction.join(smear, smear.c.id == prediction.c.smear_id)


def _rows(shown: ResultFilter) -> Select[Any]:
    columns = [*SMEAR_COLUMNS, *prediction.c]
    if shown.job_id is not None:
        columns.append(job_smear.c.error)
    return select(*columns).select_from(_source(shown))


def _condition(scheme: Scheme, shown: ResultFilter) -> ColumnElement[bool]:
    terms: list[ColumnElement[bool]] = [smear.c.id > 0]
    if shown.text:
        terms.append(matches(shown.text.strip()))
    if shown.job_id is not None:
        terms.append(job_smear.c.job_id == shown.job_id)
    if shown.job_id is not None and shown.piece is not None:
        terms.append(job_smear.c.piece == shown.piece)
    if shown.model_id is not None:
        terms.append(prediction.c.model_id == shown.model_id)
    if shown.head is not None and shown.call is not None:
        classes = scheme.head(shown.head).classes
        if shown.min_p is None:
            terms.append(_call(scheme, shown.head) == classes.index(shown.call))
        else:
            terms.append(_probability(scheme, shown.head, shown.call) >= shown.min_p)
    if shown.flag is not None:
        terms.append(prediction.c.flags.contains(shown.flag, autoescape=True))
    if shown.has_error is not None and shown.job_id is not None:
        is_error = job_smear.c.error
        terms.append(is_error.is_not(None) if shown.has_error else is_error.is_(None))
    return and_(*terms)


def _results(connection: Connection, scheme: Scheme, rows: Any) -> list[ResultRow]:
    rows = list(rows)
    smears = [as_smear(row) for row in rows]
    labels = standing_answers(connection, [one.id for one in smears])
    results = []
    for row, one in zip(rows, smears, strict=True):
        mapping = row._mapping
        found = None
        if mapping[prediction.c.id] is not None:
            found = Prediction(
                id=mapping[prediction.c.id],
                smear_id=one.id,
                model_id=mapping[prediction.c.model_id],
                answer=_answer_of(scheme, row),
                precision=mapping[prediction.c.precision],
                at=mapping[prediction.c.at],
            )
        error = mapping.get(job_smear.c.error)
        name = "" if found is None else f"m{found.model_id}"
        results.append(ResultRow(one, found, name, labels.get(one.id, {}), error))
    return results


def _insert(connection: Connection, table: Table) -> Any:
    """An INSERT that knows ON CONFLICT, which each dialect has for itself."""
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    return dialect.insert(table)
