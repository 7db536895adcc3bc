"""Rows of the Cases list, the choices of its filter, and the words around it."""

from __future__ import annotations

import html
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from marrow.catalogue.labels import Progress
from marrow.catalogue.smears import SmearFilter, SmearRow
from marrow.errors import printable
from marrow.records import Label
from marrow.schemes import Scheme
from napari_marrow.lines.column import Column

FIRST_HEAD = 1
"""Column of the first head; the smear's name comes before it."""
FLAG = "⚑"
_HINT_CHARACTERS = 90
"""Of a line of a tooltip."""
_LONGEST_HINT = 1_500
"""Characters of a path in a tooltip: it stays smaller than the screen."""


@dataclass(frozen=True)
class CaseLine:
    """A smear in the Cases list."""

    smear_id: int
    cells: tuple[str, ...]
    hint: str = ""
    """Where its file lies."""
    model_call: str = ""
    """What the model says, empty where it has said nothing or where that is hidden."""
    is_flagged: bool = False


@dataclass(frozen=True)
class CaseChoice:
    """One line of the filter box."""

    title: str
    shown: SmearFilter


def case_columns(scheme: Scheme) -> tuple[Column, ...]:
    """Smear, one column per head that is asked, model, flag, patient, site."""
    asked = scheme.asked
    titles = ["label"] if len(asked) == 1 else [head.name for head in asked]
    return tuple(map(Column, ("id", *titles, "model", FLAG, "patient", "site")))


def patient_column(scheme: Scheme) -> int:
    """Where the patient stands; the site follows."""
    return FIRST_HEAD + len(scheme.asked) + 2


def case_line(scheme: Scheme, row: SmearRow) -> CaseLine:
    """A smear with its description and its standing answers."""
    smear = row.smear
    answers = [row.answers.get(head.name, "") for head in scheme.asked]
    flag = FLAG if row.flagged else ""
    who = smear.patient or "", smear.site or ""
    cells = (smear.name, *answers, row.model_call, flag, *who)
    return CaseLine(smear.id, cells, _hint(smear.root, smear.path), row.model_call, row.flagged)


def said(
    scheme: Scheme, line: CaseLine, own: Mapping[str, str], is_flagged: bool | None
) -> CaseLine:
    """The line as it stands after the reader's own words, which the catalogue may lack yet."""
    cells = list(line.cells)
    for place, head in enumerate(scheme.asked, start=FIRST_HEAD):
        cells[place] = own.get(head.name, cells[place])
    is_flagged = line.is_flagged if is_flagged is None else is_flagged
    cells[patient_column(scheme) - 1] = FLAG if is_flagged else ""
    return replace(line, cells=tuple(cells), is_flagged=is_flagged)


def case_choices(scheme: Scheme, reader: str) -> tuple[CaseChoice, ...]:
    """What the filter box offers to this reader."""
    every = [
        CaseChoice("all", SmearFilter()),
        CaseChoice("unlabelled by me", SmearFilter(unread_by=reader)),
        CaseChoice("labelled", SmearFilter(labelled=True)),
        CaseChoice("flagged", SmearFilter(flagged=True)),
        CaseChoice("model ≠ label", SmearFilter(disagrees=True)),
        CaseChoice("without a patient", SmearFilter(has_patient=False)),
    ]
    for head in scheme.asked:
        which = f"{head.name}: " if len(scheme.asked) > 1 else ""
        for answer in (*head.classes, "unsure"):
            every.append(CaseChoice(f"{which}{answer}", SmearFilter(answer=(head.name, answer))))
    return tuple(every)


def others_text(progress: Sequence[Progress]) -> str:
    """`B 40, C 12`: the other readers and their smears; empty where there are none."""
    return ", ".join(f"{one.reader} {one.read:,}" for one in progress[1:])


def history_text(name: str, given: Sequence[Label]) -> str:
    """Who said what of a smear and when, as a table in HTML; what is superseded is struck out."""
    if not given:
        return f"<b>{name}</b><br>No label yet that you may see."
    rows = []
    for one in given:
        moment = datetime.fromtimestamp(one.at).strftime("%d %b %Y %H:%M:%S")
        answer = html.escape(f"{one.head}: {one.answer}")
        answer = answer if one.superseded_at is None else f"<s>{answer}</s>"
        how = "model seen" if one.seen_prediction else "blind"
        how = f"adjudicated, {how}" if one.is_adjudicated else how
        cells = (moment, html.escape(one.reader), answer, how)
        rows.append("<tr>" + "".join(f"<td>{cell}&nbsp;&nbsp;</td>" for cell in cells) + "</tr>")
    return f"<b>{name}</b><table>{''.join(rows)}</table>"


def _hint(root: str, path: str) -> str:
    """Where a file lies, in lines that fit the screen and never as HTML."""
    place = printable(f"{root}: {path}")
    if len(place) > _LONGEST_HINT:
        place = f"{place[: _LONGEST_HINT // 2]} … {place[-_LONGEST_HINT // 2 :]}"
    lines = textwrap.wrap(place, _HINT_CHARACTERS, break_on_hyphens=False)
    return "<br>".join(["<qt>" + html.escape(lines[0]), *map(html.escape, lines[1:])]) + "</qt>"
