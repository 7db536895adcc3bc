"""How a page of results is found at once, whatever a person filters and sorts by.

A page is found as keys (smear, prediction); the rows are fetched for the few keys of the page.
Where an index gives the order and holds what the filter asks for, the page is read off it.
Otherwise the first rows in that order are looked through: mostly they hold a page that the
filter shows. Only if they do not, everything that the filter shows is sorted.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Select, exists, func, select

from marrow.catalogue.result_columns import call_column, p_column
from marrow.catalogue.result_filter import ResultFilter, Sort
from marrow.catalogue.result_terms import Asked, Read, hidden, is_flagged, parts_of, plain
from marrow.catalogue.schema import PROBABILITIES, job_smear, label, prediction, smear
from marrow.schemes import Scheme

LOOKED_THROUGH = 10_000
"""Rows in the order that are looked through before all that fits is sorted: 10 to 40 ms on
SQLite, and a page of 500 for every filter that lets 5% through."""
MANY_LABELS = 200_000
"""From so many standing labels on, to compare each with its predictions takes half a second."""
ROUNDED = 0.001
"""By how much the probabilities of a head may be more than 1 together."""
STREAMED = 1_000
"""Keys that are read at once where all are wanted."""


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
    shown = shown.simplified()
    found: list[Key] = []
    for part in parts_of(shown, sort):
        search = _Search(connection, scheme, shown, sort, part)
        keys = search.first_keys(offset, limit - len(found))
        found += keys
        if len(found) == limit:
            break
        # Keys that did not fill the page were the last of their part.
        offset = 0 if keys or not offset else max(0, offset - search.count())
    return found


def all_keys(
    connection: Connection, scheme: Scheme, shown: ResultFilter, sort: Sort
) -> Iterator[Key]:
    """Every key in order; they are streamed, so that a million need no memory here."""
    shown = shown.simplified()
    for part in parts_of(shown, sort):
        yield from _Search(connection, scheme, shown, sort, part).every_key()


def count_keys(connection: Connection, scheme: Scheme, shown: ResultFilter) -> int:
    """How many rows the filter shows."""
    shown = shown.simplified()
    by_p = shown.head is not None and shown.call is not None and shown.min_p is not None
    sort = Sort(column=f"p:{shown.head}:{shown.call}") if by_p else Sort()
    return _Search(connection, scheme, shown, sort).count()


def _asks_once(shown: ResultFilter) -> bool:
    """Whether the filter is a call or a model, whose indexes lie in the order of the smears."""
    return shown in (
        ResultFilter(model_id=shown.model_id),
        ResultFilter(head=shown.head, call=shown.call),
    )


class _Search(Asked):
    """The statements that find keys of one part of the order."""

    def first_keys(self, offset: int, limit: int) -> list[Key]:
        """`limit` keys from `offset`; fewer if there are no more."""
        if self._is_in_index():
            statements = [self._in_order()]
        elif self._is_narrow():
            statements = [self._all_sorted()]
        else:
            statements = [self._among_first(), self._all_sorted()]
        found: list[Key] = []
        for statement in statements:
            rows = self.connection.execute(statement.offset(offset).limit(limit))
            found = [Key(*row) for row in rows]
            if len(found) == limit:
                break
        return found

    def every_key(self) -> Iterator[Key]:
        """All keys, streamed."""
        statement = self._in_order() if self._is_in_index() else self._all_sorted()
        for row in self.connection.execute(statement.execution_options(yield_per=STREAMED)):
            yield Key(*row)

    def count(self) -> int:
        """How many keys there are."""
        terms = [*self.terms(prediction, smear, self.driver), *self.indexed()]
        if self.column != "smear":
            terms.append(self._has_value(prediction, smear, hidden))
        keys = self._keys(prediction, smear).where(*terms)
        counted = select(func.count()).select_from(keys.subquery())
        return int(self.connection.execute(counted).scalar_one())

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

    def _is_narrow(self) -> bool:
        """Whether looking through the first rows would find less than a page: few of many labelled
        predictions are called otherwise."""
        if self.driver != "disagrees":
            return False
        some = select(label.c.id).where(label.c.superseded_at.is_(None)).limit(MANY_LABELS)
        counted = select(func.count()).select_from(some.subquery())
        return int(self.connection.execute(counted).scalar_one()) < MANY_LABELS

    def _asked_columns(self) -> set[str]:
        # No more than that: mostly the index of the order holds them all.
        shown = self.shown
        asked = {"id", "smear_id", self.column}
        if shown.model_id is not None:
            asked.add("model_id")
        if shown.flagged or shown.flag is not None:
            asked.add("flags")
        if shown.head is not None and shown.call is not None and shown.min_p is not None:
            asked.add(p_column(self.scheme, shown.head, shown.call))
        if shown.call is not None or shown.disagrees is not None:
            asked.update(call_column(self.scheme, head.name) for head in self.scheme.heads)
        return asked

    def _keys(self, of: Any, who: Any) -> Select[Any]:
        by_patient = "patient" in {self.column, self.sort.column}
        needs_smear = bool(self.shown.text) or (who is not smear) or by_patient
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

    def _has_value(self, of: Any, who: Any, read: Read = plain) -> ColumnElement[bool]:
        has_value: ColumnElement[bool] = read(self._value(of, who)).is_not(None)
        return is_flagged(of, read) if self.column == "flags" else has_value

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
            terms = self.terms(prediction, smear, self.driver)
            return self._ordered(keys.where(*terms), *ties)
        terms = [self._has_value(prediction, smear), *self.terms(prediction, smear)]
        return self._ordered(keys.where(*terms), self._value(prediction, smear), *ties)

    def _all_sorted(self) -> Select[Any]:
        """Everything that is shown, found by the filter and then sorted."""
        terms = [*self.terms(prediction, smear, self.driver), *self.indexed()]
        keys, ties = self._keys(prediction, smear), (hidden(self._smear_id()), prediction.c.id)
        if self.column == "smear":
            return self._ordered(keys.where(*terms), *ties)
        # Few predictions have a flag: without another driver they are found by it.
        by_flags = self.column == "flags" and self.driver is None
        terms.append(self._has_value(prediction, smear, plain if by_flags else hidden))
        return self._ordered(keys.where(*terms), hidden(self._value(prediction, smear)), *ties)

    def _among_first(self) -> Select[Any]:
        """What is shown among the first rows of the order."""
        if self.column in {"smear", "patient"}:
            return self._among_first_smears()
        value, ties = prediction.c[self.column], (prediction.c.smear_id, prediction.c.id)
        # Not all 40 columns: what is looked through is written down first.
        asked = [one for one in prediction.c if one.key in self._asked_columns()]
        rows = select(*asked).where(self._has_value(prediction, smear), *self._possible_terms())
        first = self._ordered(rows, value, *ties).limit(LOOKED_THROUGH).subquery("first")
        keys = select(first.c.smear_id, first.c.id)
        if self.shown.text:
            keys = keys.join(smear, smear.c.id == first.c.smear_id)
        terms = self.terms(first, smear)
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

    def _possible_terms(self) -> list[ColumnElement[bool]]:
        """What a row must have that the filter shows, as far as the index of the order tells."""
        shown, terms = self.shown, []
        if shown.head is None or shown.call is None:
            return []
        head = self.scheme.head(shown.head)
        if self.has_call and self.column in {"at", "top_p", "worklist", *PROBABILITIES}:
            call = prediction.c[call_column(self.scheme, shown.head)]
            terms.append(hidden(call) == head.classes.index(shown.call))
        if shown.min_p is None:
            return terms
        others = {p_column(self.scheme, shown.head, name) for name in head.classes}
        if self.column in others - {p_column(self.scheme, shown.head, shown.call)}:
            terms.append(prediction.c[self.column] <= 1 - shown.min_p + ROUNDED)
        if self.column == "top_p" and shown.head == self.scheme.primary:
            terms.append(prediction.c.top_p >= shown.min_p)
        return terms

    def _among_first_smears(self) -> Select[Any]:
        rows = select(smear.c.id, smear.c.patient, smear.c.path)
        if self.column == "patient":
            rows = self._ordered(rows.where(smear.c.patient.is_not(None)), smear.c.patient)
        first = self._ordered(rows, smear.c.id).limit(LOOKED_THROUGH).subquery("first")
        keys = self._keys(prediction, first).where(*self.terms(prediction, first))
        if self.column == "patient":
            keys = self._ordered(keys, first.c.patient)
        return self._ordered(keys, first.c.id, prediction.c.id)
