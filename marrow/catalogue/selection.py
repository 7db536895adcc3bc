"""Which results a table shows and in which order, and how a page of them is found at once.

A page is found as keys (smear, prediction); the rows are fetched for the few keys of the page.
Where an index gives the order and holds what the filter asks for, the page is read off it.
Otherwise the first rows in that order are looked through: mostly they hold a page that the
filter shows. Only if they do not, everything that the filter shows is sorted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    and_,
    exists,
    func,
    null,
    select,
    text,
    true,
)

from marrow.catalogue.schema import CALLS, PROBABILITIES, job_smear, prediction, smear
from marrow.catalogue.smears import holds, may_hold
from marrow.records import Record
from marrow.schemes import Scheme

LOOKED_THROUGH = 4_000
"""Rows in the order that are looked through before all that fits is sorted: 6 ms on SQLite, and
a page of 200 for every filter that lets 5% through."""


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


class Key(NamedTuple):
    """A row of the results: a smear, and a prediction unless there is none (yet)."""

    smear_id: int
    prediction_id: int | None


def page_keys(
    connection: Connection,
    scheme: Scheme,
    shown: ResultFilter,
    sort: Sort,
    offset: int,
    limit: int,
) -> list[Key]:
    """`limit` keys from `offset`: first those with a value to sort by, then those without."""
    valued = _Search(connection, scheme, shown, sort)
    found = valued.first_keys(offset, limit)
    if len(found) == limit or not valued.leaves_some:
        return found
    before = offset + len(found)
    if offset and not found:
        before = int(connection.execute(valued.counted()).scalar_one())
    rest = _Search(connection, scheme, shown, sort, is_valued=False)
    return found + rest.first_keys(max(0, offset - before), limit - len(found))


def count_keys(connection: Connection, scheme: Scheme, shown: ResultFilter) -> int:
    """How many rows the filter shows."""
    statement = _Search(connection, scheme, shown, Sort()).counted()
    return int(connection.execute(statement).scalar_one())


def condition(connection: Connection, scheme: Scheme, shown: ResultFilter) -> ColumnElement[bool]:
    """What the filter asks of the rows of `source`."""
    search = _Search(connection, scheme, shown, Sort())
    return and_(true(), *search.job_terms(), *search.terms(prediction, smear))


def source(shown: ResultFilter) -> Any:
    """With a job: its smears, answered or not. Without: all predictions."""
    if shown.job_id is None:
        return prediction.join(smear, smear.c.id == prediction.c.smear_id)
    with_smear = job_smear.join(smear, smear.c.id == job_smear.c.smear_id)
    return with_smear.outerjoin(prediction, prediction.c.id == job_smear.c.prediction_id)


def call_column(scheme: Scheme, head_name: str) -> str:
    """Name of the column that holds a head's call."""
    return CALLS[[head.name for head in scheme.heads].index(head_name)]


def p_column(scheme: Scheme, head_name: str, class_name: str) -> str:
    """Name of the column that holds the probability of a class."""
    output = 0
    for head in scheme.heads:
        if head.name == head_name:
            return PROBABILITIES[output + head.classes.index(class_name)]
        output += len(head.classes)
    raise KeyError(head_name)


_Read = Callable[[Any], Any]


def _plain(column: Any) -> Any:
    return column


def _hidden(column: Any) -> Any:
    """The column's value, in a form for which the database takes no index."""
    return func.coalesce(column, null())


def _asks_once(shown: ResultFilter) -> bool:
    """Whether the filter is a call or a model, whose indexes lie in the order of the smears."""
    return shown in (
        ResultFilter(model_id=shown.model_id),
        ResultFilter(head=shown.head, call=shown.call),
    )


@dataclass
class _Search:
    """The statements that find keys: of rows with a value to sort by, or of those without."""

    connection: Connection
    scheme: Scheme
    shown: ResultFilter
    sort: Sort
    is_valued: bool = True

    @property
    def column(self) -> str:
        """The column to sort by, of `prediction` unless it is smear or patient."""
        kind, *names = self.sort.column.split(":", 2)  # a class may hold colons: PML::RARA
        if kind == "p":
            return p_column(self.scheme, *names)
        return call_column(self.scheme, *names) if kind == "call" else kind

    @property
    def leaves_some(self) -> bool:
        """Whether rows may have no value to sort by."""
        is_of_prediction = self.column not in {"smear", "patient"}
        return self.column == "patient" or (is_of_prediction and self.shown.job_id is not None)

    def first_keys(self, offset: int, limit: int) -> list[Key]:
        """`limit` keys from `offset`; fewer if there are no more."""
        if not self.is_valued or self._is_in_index():
            statements = [self._in_order()]
        else:
            statements = [self._among_first(), self._all_sorted()]
        found: list[Key] = []
        for statement in statements:
            rows = self.connection.execute(statement.offset(offset).limit(limit))
            found = [Key(*row) for row in rows]
            if len(found) == limit:
                break
        return found

    def counted(self) -> Select[Any]:
        """How many keys there are, as one row."""
        terms = self.terms(prediction, smear)
        if self.leaves_some:
            terms.append(self._value(prediction, smear).is_not(None))
        keys = self._keys(prediction, smear).where(*terms, *self._text_index())
        return select(func.count()).select_from(keys.subquery())

    def terms(self, of: Any, who: Any, read: _Read = _plain) -> list[ColumnElement[bool]]:
        """What is asked of a prediction (or `of`) and its smear (or `who`)."""
        shown = self.shown
        terms: list[ColumnElement[bool]] = []
        if shown.text:
            terms.append(holds(who, shown.text.strip()))
        if shown.model_id is not None:
            terms.append(read(of.c.model_id) == shown.model_id)
        if shown.head is not None and shown.call is not None:
            if shown.min_p is None:
                classes = self.scheme.head(shown.head).classes
                call = of.c[call_column(self.scheme, shown.head)]
                terms.append(read(call) == classes.index(shown.call))
            else:
                p = of.c[p_column(self.scheme, shown.head, shown.call)]
                terms.append((p if self.column == p.key else _hidden(p)) >= shown.min_p)
            terms += self._asked_terms(of, shown.head)
        if shown.flag is not None:
            # In these words, because the index of the flags has them.
            terms.append(of.c.flags != text("''"))
            terms.append(of.c.flags.contains(shown.flag, autoescape=True))
        return terms

    def _asked_terms(self, of: Any, head_name: str) -> list[ColumnElement[bool]]:
        """That the head applies under the prediction's other calls."""
        conditions = self.scheme.head(head_name).asked_when.items()
        return [
            of.c[call_column(self.scheme, name)].in_(
                [self.scheme.head(name).classes.index(answer) for answer in allowed]
            )
            for name, allowed in conditions
        ]

    def job_terms(self) -> list[ColumnElement[bool]]:
        """What is asked of the job's rows."""
        shown = self.shown
        if shown.job_id is None:
            return []
        terms: list[ColumnElement[bool]] = [job_smear.c.job_id == shown.job_id]
        if shown.piece is not None:
            terms.append(job_smear.c.piece == shown.piece)
        if shown.has_error is not None:
            error = job_smear.c.error
            terms.append(error.is_not(None) if shown.has_error else error.is_(None))
        return terms

    def _text_index(self) -> list[ColumnElement[bool]]:
        asked = self.shown.text.strip()
        return [may_hold(self.connection, smear.c.id, asked)] if asked else []

    def _is_in_index(self) -> bool:
        """Whether the index of the sort column holds all that the filter asks for."""
        shown = self.shown
        head, call, min_p = shown.head, shown.call, shown.min_p
        if self.column == "smear" and shown.job_id is not None:
            return True  # a job's rows lie in the order of the smears
        if shown == ResultFilter() or (self.column == "smear" and _asks_once(shown)):
            return True
        if self.column in {"smear", "patient"} or shown != ResultFilter(
            head=head, call=call, min_p=min_p
        ):
            return False
        if head is None or call is None or min_p is None:
            return True
        return p_column(self.scheme, head, call) == self.column

    def _asked_columns(self) -> set[str]:
        shown = self.shown
        asked = {"id", "smear_id", "model_id", "flags", self.column}
        if shown.head is not None and shown.call is not None:
            asked.add(call_column(self.scheme, shown.head))
            asked.add(p_column(self.scheme, shown.head, shown.call))
            conditions = self.scheme.head(shown.head).asked_when
            asked.update(call_column(self.scheme, name) for name in conditions)
        return asked

    def _keys(self, of: Any, who: Any) -> Select[Any]:
        needs_smear = bool(self.shown.text) or (who is not smear) or self.column == "patient"
        if self.shown.job_id is None:
            rows = of.join(who, who.c.id == of.c.smear_id) if needs_smear else of
            return select(of.c.smear_id, of.c.id).select_from(rows)
        rows = job_smear.outerjoin(of, of.c.id == job_smear.c.prediction_id)
        if needs_smear:
            rows = rows.join(who, who.c.id == job_smear.c.smear_id)
        keys = select(job_smear.c.smear_id, job_smear.c.prediction_id).select_from(rows)
        return keys.where(*self.job_terms())

    def _value(self, of: Any, who: Any) -> Any:
        if self.column in {"smear", "patient"}:
            return who.c["id" if self.column == "smear" else "patient"]
        return of.c[self.column]

    def _ordered(self, statement: Select[Any], *columns: Any) -> Select[Any]:
        return statement.order_by(*(c.desc() if self.sort.descending else c for c in columns))

    def _smear_id(self) -> Any:
        if self.shown.job_id is not None:
            return job_smear.c.smear_id
        return smear.c.id if self.column == "patient" else prediction.c.smear_id

    def _in_order(self) -> Select[Any]:
        """The whole order from its beginning, off an index."""
        keys, ties = self._keys(prediction, smear), (self._smear_id(), prediction.c.id)
        if self.column == "smear":
            return self._ordered(keys.where(*self.terms(prediction, smear)), *ties)
        if not self.is_valued:
            terms = self.terms(prediction, smear)
            has_none = smear.c.patient if self.column == "patient" else job_smear.c.prediction_id
            return self._ordered(keys.where(has_none.is_(None), *terms), *ties)
        value = self._value(prediction, smear)
        terms = [value.is_not(None), *self.terms(prediction, smear, _hidden)]
        return self._ordered(keys.where(*terms), value, *ties)

    def _all_sorted(self) -> Select[Any]:
        """Everything that is shown, found by the filter and then sorted."""
        terms = [*self.terms(prediction, smear), *self._text_index()]
        ties = (_hidden(self._smear_id()), prediction.c.id)
        if self.column == "smear":
            return self._ordered(self._keys(prediction, smear).where(*terms), *ties)
        value = _hidden(self._value(prediction, smear))
        if self.leaves_some:
            terms.append(value.is_not(None))
        return self._ordered(self._keys(prediction, smear).where(*terms), value, *ties)

    def _among_first(self) -> Select[Any]:
        """What is shown among the first rows of the order."""
        if self.column in {"smear", "patient"}:
            return self._among_first_smears()
        value, ties = prediction.c[self.column], (prediction.c.smear_id, prediction.c.id)
        # Not all 39 columns: what is looked through is written down first.
        asked = [one for one in prediction.c if one.key in self._asked_columns()]
        rows = self._ordered(select(*asked).where(value.is_not(None)), value, *ties)
        first = rows.limit(LOOKED_THROUGH).subquery("first")
        keys = select(first.c.smear_id, first.c.id)
        if self.shown.text:
            keys = keys.join(smear, smear.c.id == first.c.smear_id)
        terms = self.terms(first, smear, _hidden)
        if self.shown.job_id is not None:
            # As a question about each row: a join would begin with the whole job.
            is_in_job = exists().where(
                *self.job_terms(),
                job_smear.c.smear_id == first.c.smear_id,
                job_smear.c.prediction_id == first.c.id,
            )
            terms.append(is_in_job)
        of_first = (first.c[self.column], first.c.smear_id, first.c.id)
        return self._ordered(keys.where(*terms), *of_first)

    def _among_first_smears(self) -> Select[Any]:
        rows = select(smear.c.id, smear.c.patient, smear.c.path)
        if self.column == "patient":
            rows = self._ordered(rows.where(smear.c.patient.is_not(None)), smear.c.patient)
        first = self._ordered(rows, smear.c.id).limit(LOOKED_THROUGH).subquery("first")
        keys = self._keys(prediction, first).where(*self.terms(prediction, first, _hidden))
        if self.column == "patient":
            keys = self._ordered(keys, first.c.patient)
        return self._ordered(keys, first.c.id, prediction.c.id)
