"""Results as files that other programs read."""

from __future__ import annotations

import csv
import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from sqlalchemy import Connection

from marrow.calibration import Calibration, calibration_of
from marrow.catalogue import models, predictions
from marrow.catalogue.predictions import ResultFilter, ResultRow
from marrow.errors import BadSettings, MarrowError
from marrow.patients import PatientSummary, summarise_patients
from marrow.records import ModelRecord
from marrow.schemes import Head, Scheme
from marrow.study import Study

NOTICE = "research use only"
NO_CLASS = "(none)"
"""A conformal set without a class: nobody in the calibration set looked like this."""

_FORMULA = re.compile(r"\s*[=+\-@\uff1d\uff0b\uff0d\uff20]|[\t\r\n]")
"""How a text begins that a spreadsheet would run; full-width signs count, blanks are skipped."""
_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?", re.ASCII)


def harmless(text: str) -> str:
    """The text, with an apostrophe before it where a spreadsheet would run it as a formula.

    A number with a sign stays a number.

    Source: OWASP, CSV Injection.
    """
    is_formula = _FORMULA.match(text) and not _NUMBER.fullmatch(text)
    return f"'{text}" if is_formula else text


def write_job_csv(
    study: Study,
    job_id: int,
    target: Path,
    refused: Sequence[MarrowError] = (),
    copies: Sequence[tuple[Path, int]] = (),
) -> None:
    """Write one row per file of a job; see `result_columns`.

    Parameters
    ----------
    refused : sequence of MarrowError
        Of files that were not registered; each gets a row with its reason.
    copies : sequence of (path, smear id)
        Files that hold the same image as a registered one, and get the same answer.
    """
    with study.database.read() as connection:
        rows = list(predictions.every(connection, study.scheme, ResultFilter(job_id=job_id)))
        calibrations = _calibrations(connection)
    lines = [_line(study, row, calibrations) for row in rows]
    by_smear = {row.smear.id: line for row, line in zip(rows, lines, strict=True)}
    for path, smear_id in copies:
        if smear_id in by_smear:
            lines.append(by_smear[smear_id] | {"file": harmless(str(path))})
    lines += [_refused_line(error) for error in refused]
    _write(target, result_columns(study.scheme), lines)


def require_writable(target: Path) -> None:
    """Raise BadSettings unless a file can be written there: better now than after the night."""
    if target.is_dir() or not os.access(target.absolute().parent, os.W_OK):
        raise BadSettings(f"{target} cannot be written: name a file in a folder that is there")


def write_all_csv(study: Study, target: Path) -> int:
    """Write every prediction of the study; returns how many."""
    with study.database.read() as connection:
        rows = predictions.every(connection, study.scheme, ResultFilter())
        calibrations = _calibrations(connection)
        lines = [_line(study, row, calibrations) for row in rows]
    _write(target, result_columns(study.scheme), lines)
    return len(lines)


def write_patients_csv(study: Study, model: ModelRecord, target: Path) -> int:
    """Write one row per patient that the model has answered; returns how many."""
    summaries = summarise_patients(study, model)
    lines = [_patient_line(study.scheme, model, one) for one in summaries]
    _write(target, patient_columns(study.scheme), lines)
    return len(lines)


def result_columns(scheme: Scheme) -> list[str]:
    """Names of the columns: for each head its call, its conformal set and a probability per class.

    The cells of a head that does not apply to a smear are empty. A set names the classes that
    cannot be ruled out (`AA|MDS`, or `(none)`); it is empty where the model has no conformal
    quantile. In a scheme whose unit is the patient the sets are promised for a patient's mean over
    smears, as in `patient_columns`, and for a smear where it is the patient's only one.
    """
    answers = [name for head in scheme.heads for name in _head_columns(head)]
    return ["file", "sha256", "patient", "model", *answers, "flags", "error", "notice"]


def patient_columns(scheme: Scheme) -> list[str]:
    """As `result_columns`, with the label beside each call, and flags with their smears."""
    answers = [
        name for head in scheme.heads for name in (*_head_columns(head), f"{head.name}_label")
    ]
    return ["patient", "model", "smears", *answers, "flags", "notice"]


def _head_columns(head: Head) -> list[str]:
    return [head.name, f"{head.name}_set", *(f"{head.name}_p_{name}" for name in head.classes)]


def _head_cells(
    head: Head, call: str, possible: Sequence[str] | None, probabilities: Sequence[float]
) -> dict[str, str]:
    held = "" if possible is None else "|".join(possible) or NO_CLASS
    cells = [harmless(call), harmless(held), *(f"{one:.6f}" for one in probabilities)]
    return dict(zip(_head_columns(head), cells, strict=True))


def _calibrations(connection: Connection) -> dict[int, Calibration | None]:
    return {one.id: calibration_of(one.card) for one in models.all_models(connection)}


def _line(
    study: Study, row: ResultRow, calibrations: Mapping[int, Calibration | None]
) -> dict[str, str]:
    path = study.path_in(row.smear.root, row.smear.path)
    line = {
        "file": harmless(str(path) if path is not None else row.smear.path),
        "sha256": row.smear.identity,
        "patient": harmless(row.smear.patient or ""),
        "model": row.model_name,
        "error": harmless(row.error or ""),
    }
    if row.prediction is not None:
        line["flags"] = " ".join(row.prediction.answer.flags)
        calibration = calibrations[row.prediction.model_id]
        for answer in row.prediction.answer.heads:
            head, its = study.scheme.head(answer.head), answer.probabilities
            possible = calibration.possible(head, its) if calibration is not None else None
            line |= _head_cells(head, answer.call, possible, its)
    return line


def _patient_line(scheme: Scheme, model: ModelRecord, one: PatientSummary) -> dict[str, str]:
    line = {
        "patient": harmless(one.patient),
        "model": model.name,
        "smears": str(one.smears),
        "flags": " ".join(f"{flag}:{count}" for flag, count in one.flags.items()),
    }
    for name, answer in one.heads.items():
        head = scheme.head(name)
        line |= _head_cells(head, answer.call, answer.possible, answer.probabilities)
        line[f"{name}_label"] = harmless(answer.truth or "")
    return line


def _refused_line(error: MarrowError) -> dict[str, str]:
    path = Path(getattr(error, "path", ""))
    return {
        "file": harmless(str(path)),
        "sha256": _sha256(path),
        "error": harmless(str(getattr(error, "reason", error))),
    }


def _sha256(path: Path) -> str:
    """Of a refused file's bytes; empty where it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""


def _write(target: Path, columns: Sequence[str], lines: Iterable[dict[str, str]]) -> None:
    try:
        # A file's name may be no Unicode: it is then written by its escapes.
        with target.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
            writer = csv.DictWriter(file, columns, restval="")
            writer.writeheader()
            writer.writerows(_noticed(lines))
    except OSError as error:
        raise BadSettings(f"{target} cannot be written: {error.strerror}") from error


def _noticed(lines: Iterable[dict[str, str]]) -> Iterator[dict[str, str]]:
    for line in lines:
        yield line | {"notice": NOTICE}
