"""One patient on paper: what the models say, what the readers say, and of which smears."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import PurePosixPath
from typing import NamedTuple

from marrow.calibration import Calibration
from marrow.catalogue.predictions import ResultRow
from marrow.exporting.cells import NOTICE
from marrow.figure_words import figure_lines, labels_text, protocol_text
from marrow.patients import PatientSummary
from marrow.records import Label, ModelRecord, Smear
from marrow.schemes import Scheme

NO_CLASS = "none of the classes"


class SheetSmear(NamedTuple):
    """A smear of a sheet."""

    smear: Smear
    rows: Sequence[ResultRow]
    """Of the filter: an answer of each model, or an error."""
    labels: Sequence[Label]
    """Those that stand."""
    picture: bytes | str
    """A JPEG file, or in words why there is none."""


class Sheet(NamedTuple):
    """All that is printed of a patient."""

    patient: str
    smears: Sequence[SheetSmear]
    summaries: Sequence[PatientSummary]
    """What each model says of the patient over all smears; of one model each, as `models`."""
    models: Sequence[ModelRecord]
    note: str
    """Why there is no summary, or nothing."""
    written: str
    """Date and time."""


def sheet_html(scheme: Scheme, sheet: Sheet, known: Mapping[int, Calibration | None]) -> str:
    """The sheet as a section of a page.

    Parameters
    ----------
    known : mapping
        What each model knows of its limits, by id.
    """
    sites = sorted({one.smear.site for one in sheet.smears if one.smear.site})
    about = [scheme.name, ", ".join(sites) or "no site", _counted(len(sheet.smears), "listed")]
    models = "".join(f"<li>{_model(one)}</li>" for one in sheet.models)
    whole = "".join(
        _summary(scheme, one, model, known[model.id])
        for one, model in zip(sheet.summaries, sheet.models, strict=False)
    )
    note = f"<p class=note>{escape(sheet.note)}</p>" if sheet.note else ""
    smears = "".join(_smear(scheme, one, known) for one in sheet.smears)
    return (
        f"<section><header><h1>{escape(sheet.patient)}</h1><b class=notice>{NOTICE}</b></header>"
        f"<p class=about>{escape(' · '.join(about))} · written {escape(sheet.written)}</p>"
        f"{whole}{note}<h2>Smears</h2>{smears}"
        f"<h2>Models</h2><ul class=models>{models or '<li>no model has answered</li>'}</ul>"
        "</section>\n"
    )


def _summary(
    scheme: Scheme, one: PatientSummary, model: ModelRecord, calibration: Calibration | None
) -> str:
    """The patient as a whole: the mean over the smears, to which the promises belong."""
    heads = "".join(
        _head(scheme, name, answer.call, answer.probabilities, _held(calibration, answer.possible))
        for name, answer in one.heads.items()
    )
    flags = ", ".join(f"{flag} on {count}" for flag, count in one.flags.items())
    return (
        f"<div class=whole><h2>The patient, by {escape(model.name)} "
        f"<small>mean over {_counted(one.smears, 'answered')}</small></h2>"
        f"<div class=heads>{heads}</div>{_flags(flags)}</div>"
    )


def _smear(scheme: Scheme, one: SheetSmear, known: Mapping[int, Calibration | None]) -> str:
    file = PurePosixPath(one.smear.path).name
    said = "".join(_row(scheme, row, known) for row in one.rows)
    return (
        f"<div class=smear>{_picture(one)}<div><h3>{one.smear.name} "
        f"<small>{escape(file)}</small></h3>{said}{_labels(one.labels)}</div></div>"
    )


def _row(scheme: Scheme, row: ResultRow, known: Mapping[int, Calibration | None]) -> str:
    if row.prediction is None:
        return f"<p class=failed>{escape(row.error or 'not answered yet')}</p>"
    calibration = known[row.prediction.model_id]
    heads = ""
    for answer in row.prediction.answer.heads:
        held = ""
        if calibration is not None and scheme.unit == "image":  # else it is the patient's
            possible = calibration.possible(scheme.head(answer.head), answer.probabilities)
            held = _held(calibration, possible)
        heads += _head(scheme, answer.head, answer.call, answer.probabilities, held)
    flags = _flags(", ".join(row.prediction.answer.flags))
    return f"<p class=by>{escape(row.model_name)}</p><div class=heads>{heads}</div>{flags}"


def _held(calibration: Calibration | None, possible: Sequence[str] | None) -> str:
    """The conformal set in words, nothing where the model promises none."""
    if calibration is None or possible is None:
        return ""
    promised = f"cannot be ruled out ({calibration.confidence:.0%} confidence)"
    return f"<p class=set>{promised}: {escape(', '.join(possible) or NO_CLASS)}</p>"


def _head(scheme: Scheme, name: str, call: str, probabilities: Sequence[float], held: str) -> str:
    bars = "".join(
        f"<tr{' class=called' if one == call else ''}><td>{escape(one)}</td>"
        f"<td><div class=bar><i style='width:{100 * p:.1f}%'></i></div></td><td>{p:.3f}</td></tr>"
        for one, p in zip(scheme.head(name).classes, probabilities, strict=True)
    )
    return (
        f"<div class=head><h4>{escape(name)}: {escape(call)}</h4><table>{bars}</table>{held}</div>"
    )


def _flags(words: str) -> str:
    return f"<p class=flags>flags: {escape(words)}</p>" if words else ""


def _labels(given: Sequence[Label]) -> str:
    if not given:
        return "<p class=labels>no label</p>"
    lines = (
        f"{escape(one.reader)}: {escape(one.head)} <b>{escape(one.answer)}</b> ({_how(one)})"
        for one in given
    )
    return f"<p class=labels>{'<br>'.join(lines)}</p>"


def _how(one: Label) -> str:
    """Whether a label is worth something as evidence: whoever has seen an answer may follow it."""
    adjudicated = "adjudicated, " if one.is_adjudicated else ""
    return adjudicated + ("after a prediction" if one.seen_prediction else "blind")


def _model(record: ModelRecord) -> str:
    figures = record.card.get("figures", {})
    lines = figure_lines(figures, ("balanced_accuracy", "auc"))
    name = f"{record.name} ({protocol_text(record)})"
    if not lines:
        return escape(f"{name}, on test patients: no test figures on its card")
    return escape(f"{name}, on test patients by {labels_text(figures)}: {'; '.join(lines)}")


def _picture(one: SheetSmear) -> str:
    if isinstance(one.picture, str):
        return f"<div class='picture gone'>{escape(one.picture)}</div>"
    text = base64.b64encode(one.picture).decode("ascii")
    name = escape(one.smear.name)
    return f"<img class=picture alt='{name}' src='data:image/jpeg;base64,{text}'>"


def _counted(count: int, how: str) -> str:
    return f"{count} {how} {'smear' if count == 1 else 'smears'}"


HEAD = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>Patient sheets, {NOTICE}</title>
<style>
@page {{ size: A4; margin: 14mm }}
body {{ font: 10pt/1.35 "Liberation Sans", Arial, sans-serif; color: #1a1a1a; background: #fff;
  max-width: 182mm; margin: 0 auto }}
section {{ break-after: page; padding: 4mm 0 }} section:last-of-type {{ break-after: auto }}
header {{ display: flex; justify-content: space-between; align-items: baseline; gap: 5mm }}
h1 {{ font-size: 16pt; margin: 0; overflow-wrap: anywhere }} .notice {{ white-space: nowrap }}
h2 {{ font-size: 11pt; margin: 4mm 0 1.5mm; break-after: avoid }}
h3 {{ font-size: 10pt; margin: 0 0 1mm; overflow-wrap: anywhere }}
h4 {{ font-size: 9.5pt; margin: .5mm 0 }} p {{ margin: .8mm 0; overflow-wrap: anywhere }}
small {{ font-weight: normal; font-size: 8.5pt; color: #555; margin-left: 1mm }}
.about {{ color: #444; border-bottom: .3mm solid #888; padding-bottom: 2mm }}
.whole {{ border: .3mm solid #888; padding: 1mm 3mm 2mm; margin-top: 3mm; break-inside: avoid }}
.whole h2 {{ margin-top: 1mm }}
.heads {{ display: flex; gap: 6mm }} .head {{ flex: 1; min-width: 0 }}
.smear {{ display: flex; gap: 5mm; break-inside: avoid; padding: 2.5mm 0;
  border-top: .2mm solid #ccc }}
.smear > div:last-child {{ flex: 1; min-width: 0 }}
.picture {{ width: 38mm; flex: none; align-self: flex-start }}
.gone {{ font-size: 8pt; color: #555; border: .2mm dashed #999; padding: 2mm;
  box-sizing: border-box; overflow-wrap: anywhere }}
table {{ border-collapse: collapse; width: 100%; font-size: 9pt }}
td {{ padding: 0 1mm 0 0; white-space: nowrap; line-height: 1.25 }}
td:nth-child(2) {{ width: 60% }} td:last-child {{ text-align: right }}
.called {{ font-weight: bold }}
.bar {{ border: .2mm solid #777; height: 2.6mm }} .bar i {{ display: block; height: 100%;
  background: #8a9fd6; print-color-adjust: exact; -webkit-print-color-adjust: exact }}
.called .bar i {{ background: #23418f }}
.flags {{ font-weight: bold; color: #9c1c1c }} .failed {{ color: #9c1c1c }}
.by, .set, .labels, .models, .note {{ font-size: 9pt; color: #333 }}
.models {{ margin: 0; padding-left: 5mm }} .by {{ color: #555; margin: 0 }}
</style></head><body>
"""
TAIL = "</body></html>\n"
