"""Rows of the Cases list."""

from __future__ import annotations

from dataclasses import dataclass

from marrow.catalogue.smears import SmearRow
from marrow.schemes import Scheme
from napari_marrow.lines.column import Column


@dataclass(frozen=True)
class CaseLine:
    """A smear in the Cases list."""

    smear_id: int
    cells: tuple[str, ...]
    hint: str = ""
    """Where its file lies."""


def case_columns(scheme: Scheme) -> tuple[Column, ...]:
    """Smear, patient, site, then one column per head that is asked."""
    asked = scheme.asked
    titles = ["label"] if len(asked) == 1 else [head.name for head in asked]
    return (Column("smear"), Column("patient"), Column("site"), *map(Column, titles))


def case_line(scheme: Scheme, row: SmearRow) -> CaseLine:
    """A smear with its description and its standing answers."""
    smear = row.smear
    answers = [row.answers.get(head.name, "") for head in scheme.asked]
    cells = (smear.name, smear.patient or "", smear.site or "", *answers)
    return CaseLine(smear.id, cells, f"{smear.root}: {smear.path}")
