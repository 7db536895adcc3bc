"""The morning worklist as a person reads it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from marrow.catalogue.predictions import ResultRow
from marrow.errors import printable
from marrow.schemes import Scheme


def worklist_table(scheme: Scheme, rows: Sequence[ResultRow]) -> Table:
    """The rows with what is urgent about each, and both answers: the model's and the readers'."""
    table = Table(box=SIMPLE_HEAD)
    heads = [head.name for head in scheme.heads]
    for name in ("smear", "patient", "why", *heads, "label", "model"):
        table.add_column(name, overflow="fold")
    for row in rows:
        label = ", ".join(row.label[head.name] for head in scheme.asked if head.name in row.label)
        cells = [row.smear.name, row.smear.patient or "", _why(row)]
        calls = {name: f"{its['call']} {its['p']:.2f}" for name, its in _answers(row).items()}
        cells += [calls.get(name, "") for name in heads]
        table.add_row(*(escape(printable(one)) for one in (*cells, label, row.model_name)))
    return table


def worklist_values(row: ResultRow) -> dict[str, Any]:
    """A row for machines."""
    return {
        "smear": row.smear.name,
        "patient": row.smear.patient,
        "file": row.smear.path,
        "error": row.error,
        "flags": [] if row.prediction is None else list(row.prediction.answer.flags),
        "answers": _answers(row),
        "label": row.label,
        "model": row.model_name or None,
    }


def _why(row: ResultRow) -> str:
    if row.prediction is None:
        return f"failed: {row.error}"
    return ", ".join(row.prediction.answer.flags)


def _answers(row: ResultRow) -> dict[str, dict[str, Any]]:
    """By head, the call and its probability."""
    if row.prediction is None:
        return {}
    return {
        one.head: {"call": one.call, "p": max(one.probabilities)}
        for one in row.prediction.answer.heads
    }
