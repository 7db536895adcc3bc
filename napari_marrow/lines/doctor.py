"""Rows of the doctor page."""

from __future__ import annotations

from dataclasses import dataclass

from marrow.doctor import Finding
from napari_marrow.lines.column import Column

DOCTOR_COLUMNS = (Column(""), Column("what"), Column("found"), Column("what to do"))


@dataclass(frozen=True)
class FindingLine:
    """Something that was looked at."""

    cells: tuple[str, ...]
    error: str | None = None
    """What was found, where all is not well."""


def finding_line(finding: Finding) -> FindingLine:
    """A finding as a row."""
    sign = "✓" if finding.is_well else "✗"
    cells = (sign, finding.what, finding.found, finding.remedy)
    return FindingLine(cells, None if finding.is_well else finding.found)


def verdict(lines: tuple[FindingLine, ...]) -> str:
    """All findings in one sentence."""
    ill = sum(line.error is not None for line in lines)
    if not ill:
        return f"All is well: {len(lines)} things were looked at."
    return f"{ill} of {len(lines)} need a hand, see “what to do”."
