"""Rows of the Results table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from marrow.catalogue.predictions import ResultRow
from marrow.schemes import Scheme
from napari_marrow.lines.column import NOTHING, Column


@dataclass(frozen=True)
class ResultLine:
    """A smear in the Results table, with what is needed to open it."""

    smear_id: int
    prediction_id: int | None
    cells: tuple[str, ...]
    calls: Mapping[str, str]
    """The called class of each head; empty where there is an error."""
    error: str | None = None


def result_columns(scheme: Scheme) -> tuple[Column, ...]:
    """Smear, patient; per head the call and the probability of each class; flags, label, model."""
    columns = [Column("smear", "smear"), Column("patient", "patient")]
    for head in scheme.heads:
        columns.append(Column(head.name, f"call:{head.name}"))
        columns += [
            Column(f"p {name}", f"p:{head.name}:{name}", is_number=True) for name in head.classes
        ]
    return (*columns, Column("flags"), Column("label"), Column("model"))


def result_line(scheme: Scheme, row: ResultRow) -> ResultLine:
    """One finished smear; an error stands where the first call would be."""
    answers = [] if row.prediction is None else list(row.prediction.answer.heads)
    by_head = {answer.head: answer for answer in answers}
    cells = [row.smear.name, row.smear.patient or NOTHING]
    for head in scheme.heads:
        answer = by_head.get(head.name)
        if answer is None:
            cells += [NOTHING] * (1 + len(head.classes))
        else:
            cells += [answer.call, *(f"{p:.3f}" for p in answer.probabilities)]
    if row.error is not None:
        cells[2] = f"error: {row.error}"
    flags = "" if row.prediction is None else ", ".join(row.prediction.answer.flags)
    label = ", ".join(row.label[head.name] for head in scheme.asked if head.name in row.label)
    return ResultLine(
        smear_id=row.smear.id,
        prediction_id=None if row.prediction is None else row.prediction.id,
        cells=(*cells, flags, label or NOTHING, row.model_name),
        calls={} if row.prediction is None else row.prediction.answer.calls,
        error=row.error,
    )
