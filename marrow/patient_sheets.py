"""A sheet per patient to print or to read in a browser: smears, answers, labels, the model.

One file without a script and without anything from elsewhere; a patient begins on a new page.
"""

from __future__ import annotations

import base64
import io
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from html import escape
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from marrow.calibration import calibration_of
from marrow.catalogue import labels, models, predictions
from marrow.catalogue.predictions import ResultFilter, ResultRow, Sort
from marrow.commands.model_words import figure_lines, protocol_text
from marrow.errors import BadSettings, MarrowError
from marrow.images import open_smear
from marrow.records import HeadAnswer, Label, ModelRecord, Smear
from marrow.schemes import Scheme
from marrow.study import Study

NOTICE = "research use only"
THUMBNAIL_PX = 260
NO_CLASS = "none of the classes"


class _Page(NamedTuple):
    patient: str
    rows: list[ResultRow]


def write_patient_sheets(
    study: Study,
    target: Path,
    shown: ResultFilter,
    on_progress: Callable[[int, int], None] | None = None,
) -> int:
    """Write the sheets of all patients of a filter; returns how many patients.

    Parameters
    ----------
    shown : ResultFilter
        With the sight of whoever reads it: smears that are not open are left out.
    on_progress : callable, optional
        Called with (patients written, patients in all).

    Raises
    ------
    BadSettings
        If the file cannot be written; an earlier file of that name stays.
    """
    with study.database.read() as connection:
        by_patient = Sort(column="patient")
        pages = _pages(predictions.every(connection, study.scheme, shown, by_patient))
        made = {one.id: one for one in models.all_models(connection)}
        at = study.database.now(connection)
        given = {
            row.smear.id: labels.history(connection, row.smear.id, shown.sight)
            for page in pages
            for row in page.rows
        }

    def written() -> Iterator[str]:
        yield _HEAD
        for number, page in enumerate(pages, start=1):
            yield _page(study, page, made, given, at)
            if on_progress is not None:
                on_progress(number, len(pages))
        yield "</body></html>\n"

    _write(target, written())
    return len(pages)


def _pages(rows: Iterable[ResultRow]) -> list[_Page]:
    """The rows of each patient; a smear without a patient is a page of its own."""
    found: dict[str, _Page] = {}
    for row in rows:
        name = row.smear.patient or f"no patient: {row.smear.name}"
        found.setdefault(name, _Page(name, [])).rows.append(row)
    return list(found.values())


def _page(
    study: Study,
    page: _Page,
    made: Mapping[int, ModelRecord],
    given: Mapping[int, Sequence[Label]],
    at: float,
) -> str:
    sites = sorted({row.smear.site for row in page.rows if row.smear.site})
    used = sorted({row.prediction.model_id for row in page.rows if row.prediction is not None})
    smears = "".join(_smear(study, row, made, given[row.smear.id]) for row in page.rows)
    written = f"{datetime.fromtimestamp(at):%d %b %Y, %H:%M}"
    notes = "".join(f"<li>{_model(made[number])}</li>" for number in used)
    return (
        f"<section><h1>{escape(page.patient)}</h1>"
        f"<p class=about>{escape(study.scheme.name)} · {escape(', '.join(sites) or 'no site')} · "
        f"{len(page.rows)} answers · written {written} · <b>{NOTICE}</b></p>"
        f"{smears}<h2>Models</h2><ul class=models>{notes or '<li>no model has answered</li>'}</ul>"
        "</section>\n"
    )


def _smear(
    study: Study, row: ResultRow, made: Mapping[int, ModelRecord], given: Sequence[Label]
) -> str:
    if row.prediction is None:
        said = f"<p class=failed>{escape(row.error or 'not answered')}</p>"
    else:
        record = made[row.prediction.model_id]
        heads = "".join(
            _head(study.scheme, answer, record) for answer in row.prediction.answer.heads
        )
        flags = ", ".join(row.prediction.answer.flags)
        said = heads + (f"<p class=flags>flags: {escape(flags)}</p>" if flags else "")
    return (
        f"<div class=smear>{_picture(study, row.smear)}<div><h2>{row.smear.name}"
        f"<small>{escape(Path(row.smear.path).name)} {escape(row.model_name)}</small></h2>"
        f"{said}{_labels(given)}</div></div>"
    )


def _head(scheme: Scheme, answer: HeadAnswer, record: ModelRecord) -> str:
    head = scheme.head(answer.head)
    bars = "".join(
        f"<tr><td>{escape(name)}<td><div class=bar><i style='width:{100 * p:.1f}%'></i></div>"
        f"<td class=p>{p:.3f}"
        for name, p in zip(head.classes, answer.probabilities, strict=True)
    )
    calibration = calibration_of(record.card)
    possible = None if calibration is None else calibration.possible(head, answer.probabilities)
    cannot = ""
    if possible is not None:
        cannot = f"<p class=set>cannot be ruled out: {escape(', '.join(possible) or NO_CLASS)}</p>"
    title = f"{escape(head.name)}: {escape(answer.call)}"
    return f"<h3>{title}</h3><table class=bars>{bars}</table>{cannot}"


def _labels(given: Sequence[Label]) -> str:
    standing = [one for one in given if one.superseded_at is None]
    if not standing:
        return "<p class=labels>no label</p>"
    words = (
        f"{escape(one.reader)}: {escape(one.head)} <b>{escape(one.answer)}</b>"
        f" ({'adjudicated, ' if one.is_adjudicated else ''}"
        f"{'after a prediction' if one.seen_prediction else 'blind'})"
        for one in standing
    )
    return f"<p class=labels>{'<br>'.join(words)}</p>"


def _model(record: ModelRecord) -> str:
    figures = figure_lines(record.card.get("figures", {}), ("balanced_accuracy", "auc"))
    words = [record.name, protocol_text(record), *figures]
    return escape(" · ".join(word for word in words if word))


def _picture(study: Study, smear: Smear) -> str:
    try:
        with open_smear(study.file_of(smear)) as image:
            pixels = image.thumbnail(THUMBNAIL_PX)
    except MarrowError as error:
        return f"<div class=gone>{escape(str(error))}</div>"
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=85)
    text = base64.b64encode(file.getvalue()).decode("ascii")
    return f"<img alt='{smear.name}' src='data:image/jpeg;base64,{text}'>"


def _write(target: Path, parts: Iterable[str]) -> None:
    try:
        handle, aside = tempfile.mkstemp(dir=target.absolute().parent, suffix=".new")
        try:
            with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
                file.writelines(parts)
            Path(aside).replace(target)
        finally:
            Path(aside).unlink(missing_ok=True)
    except OSError as error:
        raise BadSettings(f"{target} cannot be written: {error.strerror}") from error


_HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Patient sheets, research use only</title>
<style>
@page { size: A4; margin: 14mm }
body { font: 10pt/1.35 sans-serif; color: #1a1a1a; max-width: 182mm; margin: 0 auto }
section { break-after: page } section:last-of-type { break-after: auto }
h1 { font-size: 15pt; margin: 0 0 1mm } h2 { font-size: 11pt; margin: 0 }
h2 small { font-weight: normal; color: #666; margin-left: 3mm; overflow-wrap: anywhere }
h3 { font-size: 10pt; margin: 1.5mm 0 .5mm } p { margin: .8mm 0 }
.about { color: #555; border-bottom: .3mm solid #999; padding-bottom: 2mm; margin-bottom: 3mm }
.smear { display: flex; gap: 5mm; break-inside: avoid; margin-bottom: 5mm }
.smear > div:last-child { flex: 1; min-width: 0 }
.smear img, .gone { width: 55mm; align-self: flex-start } .gone { color: #a33; font-size: 8pt }
.bars { border-collapse: collapse; width: 100% } .bars td { padding: 0 1mm; white-space: nowrap }
.bars td:nth-child(2) { width: 70% } .p { text-align: right }
.bar { border: .2mm solid #888; height: 3mm } .bar i { display: block; height: 100%;
  background: #4c6fdc; print-color-adjust: exact; -webkit-print-color-adjust: exact }
.flags { color: #a33; font-weight: bold } .failed { color: #a33 } .set, .models { color: #444 }
</style></head><body>
"""
