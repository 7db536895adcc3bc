"""The numbered columns of the predictions as heads and classes, and what SQL asks of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, and_, case, exists, or_

from marrow.catalogue.schema import CALLS, PROBABILITIES, label
from marrow.schemes import Scheme


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


def applies(scheme: Scheme, of: Any, head_name: str) -> list[ColumnElement[bool]]:
    """That the head makes sense under the other calls of `of`, a prediction."""
    return [
        of.c[call_column(scheme, name)].in_(
            [scheme.head(name).classes.index(answer) for answer in allowed]
        )
        for name, allowed in scheme.head(head_name).asked_when.items()
    ]


def differs(scheme: Scheme, of: Any, given: Any = label) -> ColumnElement[bool]:
    """That the call of `of`, a prediction, is another class than `given`, a label, says.

    A label counts while it stands, and where its smear's answer was adjudicated only if it is that
    one. `unsure` differs from nothing, and so does a label of a head that does not apply under the
    other calls.
    """
    ruling = label.alias()
    # By the prediction's smear: the database then looks for it last, for the few that differ.
    is_overruled = (
        exists()
        .where(
            ruling.c.smear_id == of.c.smear_id,
            ruling.c.head == given.c.head,
            ruling.c.is_adjudicated,
            ruling.c.superseded_at.is_(None),
        )
        .correlate_except(ruling)
    )
    return and_(
        given.c.superseded_at.is_(None),
        or_(*(_differs_at(scheme, of, given, head.name, head.classes) for head in scheme.asked)),
        or_(given.c.is_adjudicated, ~is_overruled),
    )


def _differs_at(
    scheme: Scheme, of: Any, given: Any, head_name: str, classes: Sequence[str]
) -> ColumnElement[bool]:
    # NULL, which differs from nothing, for `unsure`.
    said = case({name: index for index, name in enumerate(classes)}, value=given.c.answer)
    call = of.c[call_column(scheme, head_name)]
    return and_(given.c.head == head_name, said != call, *applies(scheme, of, head_name))
