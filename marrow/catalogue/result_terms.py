"""What a filter asks of a row of the results, in terms that lead to the right index."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, Select, exists, func, null, or_, select, text

from marrow.catalogue.result_columns import applies, call_column, differs, p_column
from marrow.catalogue.result_filter import ResultFilter, Sort
from marrow.catalogue.schema import job_smear, label, prediction, smear
from marrow.catalogue.text_search import TRIGRAM, holds, may_hold
from marrow.schemes import Scheme

MORE_THAN_HALF = 0.501
"""Probabilities of a head sum to 1, or to what rounding leaves of it."""

Part = Literal["failed", "valued", "rest"]


def parts_of(shown: ResultFilter, sort: Sort) -> tuple[Part, ...]:
    """In which order rows come: those with a value to sort by, and those without."""
    of_job = shown.job_id is not None
    if sort.column == "worklist" and of_job:
        return ("valued", "failed", "rest") if sort.descending else ("failed", "valued", "rest")
    has_rest = sort.column in {"patient", "flags"} or (sort.column != "smear" and of_job)
    return ("valued", "rest") if has_rest else ("valued",)


Read = Callable[[Any], Any]


def plain(column: Any) -> Any:
    return column


def hidden(column: Any) -> Any:
    """The column's value, in a form for which the database takes no index."""
    return func.coalesce(column, null())


def is_flagged(of: Any, read: Read = plain) -> ColumnElement[bool]:
    """That a prediction has a flag, in the words of the index of the flags."""
    is_flagged: ColumnElement[bool] = read(of.c.flags) != text("''")
    return is_flagged


def _labelled_by_all(readers: Sequence[str]) -> Select[Any]:
    """Smears of which each of these readers has labelled something."""
    return (
        select(label.c.smear_id)
        .where(label.c.superseded_at.is_(None), label.c.reader.in_(readers))
        .group_by(label.c.smear_id)
        .having(func.count(label.c.reader.distinct()) == len(readers))
    )


@dataclass
class Asked:
    """What is asked of the rows of one part of an order.

    Parameters
    ----------
    part : Part
        `valued`: rows with a value to sort by. `failed`, `rest`: those without.
    """

    connection: Connection
    scheme: Scheme
    shown: ResultFilter
    sort: Sort
    part: Part = "valued"

    @property
    def column(self) -> str:
        """The column to sort by, of `prediction` unless it is smear or patient."""
        if self.part != "valued":
            return "smear"
        kind, *names = self.sort.column.split(":", 2)  # a class may hold colons: PML::RARA
        if kind == "p":
            return p_column(self.scheme, *names)
        is_one = (kind == "model" and self.shown.model_id is not None) or (
            kind == "call" and names == [self.shown.head] and self.has_call
        )
        if is_one and self.shown.job_id is None:
            return "smear"  # all rows have the same: what is left of this order are its ties
        if kind == "call":
            return call_column(self.scheme, *names)
        return "model_id" if kind == "model" else kind

    @property
    def has_call(self) -> bool:
        """Whether all that is shown has the call that is asked for: no two classes have more than
        a half."""
        shown = self.shown
        return shown.call is not None and (shown.min_p is None or shown.min_p > MORE_THAN_HALF)

    @property
    def driver(self) -> str | None:
        """What finds the rows where all that is shown is sorted. One index alone is offered to the
        database: it would choose the largest as gladly as the smallest."""
        shown, of_job = self.shown, self.shown.job_id is not None
        asked = {
            "disagrees": bool(shown.disagrees),
            "text": len(shown.text.strip()) >= TRIGRAM,
            # Of a job's smears those that have failed are shown, read or not.
            "sight": not of_job and shown.sight is not None and bool(shown.sight.blind),
            "flags": not of_job and (shown.flagged or shown.flag is not None),
            "min_p": not of_job and shown.call is not None and shown.min_p is not None,
            "model": not of_job and shown.model_id is not None,
            "call": not of_job and shown.call is not None,
        }
        return next((name for name, is_asked in asked.items() if is_asked), None)

    def terms(self, of: Any, who: Any, driver: str | None = None) -> list[ColumnElement[bool]]:
        """What is asked of a prediction (or `of`) and its smear (or `who`); only for `driver` may
        the database take an index."""
        shown = self.shown
        terms: list[ColumnElement[bool]] = []
        if shown.text:
            terms.append(holds(who, shown.text.strip()))
        if shown.model_id is not None:
            model_id = of.c.model_id if driver == "model" else hidden(of.c.model_id)
            terms.append(model_id == shown.model_id)
        terms += self._call_terms(of, driver)
        if shown.flag is not None:
            terms.append(of.c.flags.contains(shown.flag, autoescape=True))
        if shown.flag is not None or shown.flagged:
            terms.append(is_flagged(of, plain if driver == "flags" else hidden))
        terms += self._reader_terms(of, driver)
        return [*terms, *self._part_terms(of, who)]

    def _call_terms(self, of: Any, driver: str | None) -> list[ColumnElement[bool]]:
        """What is asked of the chosen head: its call, its probability, and that it applies."""
        shown = self.shown
        if shown.head is None or shown.call is None:
            return []
        terms = applies(self.scheme, of, shown.head)
        if shown.min_p is not None:
            p = of.c[p_column(self.scheme, shown.head, shown.call)]
            terms.append((p if self.column == p.key else hidden(p)) >= shown.min_p)
        if self.has_call:
            call = of.c[call_column(self.scheme, shown.head)]
            index = self.scheme.head(shown.head).classes.index(shown.call)
            terms.append((call if driver == "call" else hidden(call)) == index)
        return terms

    def _reader_terms(self, of: Any, driver: str | None) -> list[ColumnElement[bool]]:
        """What is asked of the readers' labels: what they say, and whether all have spoken."""
        shown, smear_id = self.shown, self.smear_of(of)
        terms: list[ColumnElement[bool]] = []
        # Of a job the driver finds smears, and another model's answer to one may agree.
        is_found = driver == "disagrees" and shown.job_id is None
        if shown.disagrees is not None and not is_found:
            otherwise = exists().where(label.c.smear_id == smear_id, differs(self.scheme, of))
            terms.append(otherwise if shown.disagrees else ~otherwise)
        if shown.sight is not None and shown.sight.blind:
            is_open = shown.sight.is_open(self.scheme, smear_id)
            # What has failed, or is still to come, tells nothing that is hidden.
            terms.append(is_open if shown.job_id is None else or_(of.c.id.is_(None), is_open))
        return terms

    def _part_terms(self, of: Any, who: Any) -> list[ColumnElement[bool]]:
        """What makes a row one of a part that has no value to sort by."""
        if self.part == "valued":
            return []
        if self.part == "failed":
            return [job_smear.c.prediction_id.is_(None), job_smear.c.error.is_not(None)]
        if self.sort.column == "patient":
            return [who.c.patient.is_(None)]
        if self.sort.column == "flags":
            return [or_(of.c.flags == "", of.c.id.is_(None))]
        terms: list[ColumnElement[bool]] = [job_smear.c.prediction_id.is_(None)]
        if self.sort.column == "worklist":
            terms.append(job_smear.c.error.is_(None))
        return terms

    def job_terms(self) -> list[ColumnElement[bool]]:
        """What is asked of the job's rows."""
        shown = self.shown
        if shown.job_id is None:
            return []
        terms: list[ColumnElement[bool]] = [job_smear.c.job_id == shown.job_id]
        error, answer = job_smear.c.error, job_smear.c.prediction_id
        if shown.piece is not None:
            terms.append(job_smear.c.piece == shown.piece)
        if shown.has_error is not None:
            terms.append(error.is_not(None) if shown.has_error else error.is_(None))
        if shown.has_ended is not None:
            has_ended = or_(answer.is_not(None), error.is_not(None))
            terms.append(has_ended if shown.has_ended else ~has_ended)
        return terms

    def indexed(self) -> list[ColumnElement[bool]]:
        """What is true of all that is shown and of little else, found at once by the driver."""
        shown, driver = self.shown, self.driver
        said = prediction.alias()
        if driver == "disagrees":
            labelled = label.join(said, said.c.smear_id == label.c.smear_id)
            of_smear = shown.job_id is not None
            found = select(said.c.smear_id if of_smear else said.c.id).select_from(labelled)
            own = job_smear.c.smear_id if of_smear else prediction.c.id
            return [own.in_(found.where(differs(self.scheme, said)))]
        if driver == "text":
            return [may_hold(self.connection, smear.c.id, shown.text.strip())]
        if driver == "sight" and shown.sight is not None:
            return [self.smear_of(prediction).in_(_labelled_by_all(shown.sight.blind))]
        if driver == "min_p" and shown.head is not None and shown.call is not None:
            # As ids, in whose order the rows are read in two thirds of the time.
            p = said.c[p_column(self.scheme, shown.head, shown.call)]
            if p.key == self.column:
                return []  # in the order of p itself
            return [prediction.c.id.in_(select(said.c.id).where(p >= shown.min_p))]
        return []

    def smear_of(self, of: Any) -> Any:
        """The smear of a row, also of one without a prediction."""
        is_row = of is prediction and self.shown.job_id is not None
        return job_smear.c.smear_id if is_row else of.c.smear_id
