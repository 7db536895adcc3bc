"""The filters and the orders of the results as options of a command."""

from __future__ import annotations

from typing import Annotated

import typer

from marrow.catalogue import jobs, models
from marrow.catalogue.predictions import ResultFilter, Sort
from marrow.catalogue.sight import Sight
from marrow.commands.jobs import LARGEST_ID, model_number
from marrow.schemes import Scheme
from marrow.study import Study

JobOption = Annotated[
    int | None, typer.Option("--job", max=LARGEST_ID, help="Of this job, its errors too.")
]
ModelOption = Annotated[str | None, typer.Option("--model", help="m17")]
Search = Annotated[str, typer.Option(help="Part of a file, a patient, or S000148.")]
Call = Annotated[str | None, typer.Option(metavar="HEAD:CLASS", help="Called so: diagnosis:MDS.")]
MinP = Annotated[float | None, typer.Option(min=0, max=1, help="Smallest p of that class.")]
Flag = Annotated[str | None, typer.Option(help="With this flag, such as unsure; any: with one.")]
Disagrees = Annotated[bool, typer.Option("--disagrees", help="Called otherwise than labelled.")]
SortBy = Annotated[
    str,
    typer.Option(help="smear, patient, at, top_p, flags, model, worklist, call:HEAD, p:HEAD:CLASS"),
]
Falling = Annotated[bool, typer.Option("--descending", help="The largest first.")]

ANY_FLAG = "any"
_PLAIN_COLUMNS = ("smear", "patient", "at", "top_p", "flags", "model", "worklist")


def filter_of(
    study: Study,
    job: int | None,
    model: str | None,
    search: str = "",
    call: str | None = None,
    min_p: float | None = None,
    flag: str | None = None,
    disagrees: bool = False,
) -> ResultFilter:
    """What the options ask for, as far as the person of the settings may see it.

    Raises
    ------
    typer.BadParameter
        If an option names what the scheme has not.
    NotFound
        If there is no such job or model.
    """
    if min_p is not None and call is None:
        raise typer.BadParameter("--min-p needs --call: the probability of which class?")
    head, name = (None, None) if call is None else _class_of(study.scheme, call)
    model_id = model_number(model)
    with study.database.read() as connection:
        if job is not None:
            jobs.get(connection, job)
        if model_id is not None:
            models.get(connection, model_id)
        sight = Sight.of(connection, study.settings.reader)
    return ResultFilter(
        text=search,
        job_id=job,
        model_id=model_id,
        head=head,
        call=name,
        min_p=min_p,
        flag=None if flag == ANY_FLAG else flag,
        flagged=flag == ANY_FLAG,
        disagrees=disagrees or None,
        has_ended=None if job is None else True,
        sight=sight,
    )


def sort_of(scheme: Scheme, column: str, is_descending: bool) -> Sort:
    """The order of these options; BadParameter if the table has no such column."""
    kind, _, names = column.partition(":")
    if kind == "call" and names in {head.name for head in scheme.heads}:
        return Sort(column=column, descending=is_descending)
    if kind == "p":
        _class_of(scheme, names)
    elif column not in _PLAIN_COLUMNS:
        raise typer.BadParameter(
            f"the results have no column {column!r}: use {', '.join(_PLAIN_COLUMNS)}, "
            "call:HEAD or p:HEAD:CLASS"
        )
    return Sort(column=column, descending=is_descending)


def _class_of(scheme: Scheme, text: str) -> tuple[str, str]:
    """(head, class) of `diagnosis:MDS`; a class may hold colons."""
    head, _, name = text.partition(":")
    known = {one.name: one.classes for one in scheme.heads}
    if name not in known.get(head, ()):
        classes = "; ".join(f"{one}: {', '.join(its)}" for one, its in known.items())
        raise typer.BadParameter(f"{text!r} is no HEAD:CLASS of {scheme.name} ({classes})")
    return head, name
