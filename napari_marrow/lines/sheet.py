"""Pictures of the contact sheet, in words."""

from __future__ import annotations

from dataclasses import dataclass

from marrow.schemes import Scheme
from napari_marrow.lines.cases import FIRST_HEAD, CaseLine


@dataclass(frozen=True)
class SheetLine:
    """A smear on the contact sheet. The model's answer is not on it: labels stay blind."""

    smear_id: int
    name: str
    label: str
    """The standing answers that may be seen, empty where there is none."""
    is_flagged: bool
    hint: str
    """Where its file lies."""


def sheet_line(scheme: Scheme, line: CaseLine) -> SheetLine:
    """A row of the Cases list as a picture of the sheet."""
    answers = line.cells[FIRST_HEAD : FIRST_HEAD + len(scheme.asked)]
    label = ", ".join(answer for answer in answers if answer)
    return SheetLine(line.smear_id, line.cells[0], label, line.is_flagged, line.hint)
