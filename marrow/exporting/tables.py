"""Results as CSV files."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from marrow.catalogue import predictions
from marrow.catalogue.predictions import ResultFilter, Sort
from marrow.catalogue.sight import Sight, hidden_smears
from marrow.errors import MarrowError
from marrow.exporting.cells import HIDDEN, NOTICE, harmless
from marrow.exporting.result_lines import (
    as_text,
    calibrations_of,
    head_kinds,
    head_values,
    result_columns,
    result_kinds,
    result_values,
)
from marrow.patients import PatientSummary, summarise_patients
from marrow.placing import placed
from marrow.records import ModelRecord
from marrow.schemes import Scheme
from marrow.study import Study


def write_job_csv(
    study: Study,
    job_id: int,
    target: Path,
    refused: Sequence[MarrowError] = (),
    copies: Sequence[tuple[Path, int]] = (),
) -> int:
    """Write one row per file of a job; returns how many smears' answers blind reading hides.

    The row of a hidden smear has its file, its patient, why it failed, and neither answer nor
    label; see `result_columns`.

    Parameters
    ----------
    refused : sequence of MarrowError
        Of files that were not registered; each gets a row with its reason.
    copies : sequence of (path, smear id)
        Files that hold the same image as a registered one, and get the same answer.
    """
    kinds = result_kinds(study.scheme)
    with study.database.read() as connection:
        rows = list(predictions.every(connection, study.scheme, ResultFilter(job_id=job_id)))
        calibrations = calibrations_of(connection)
        closed = hidden_smears(connection, study.scheme, [row.smear.id for row in rows])
    hidden = {row.smear.id for row in rows if row.smear.id in closed and row.prediction is not None}
    by_smear = {}
    for row in rows:
        is_closed = row.smear.id in closed
        told = row._replace(prediction=None, model_name="", label={}) if is_closed else row
        line = as_text(kinds, result_values(study, told, calibrations))
        by_smear[row.smear.id] = line | ({"flags": HIDDEN} if row.smear.id in hidden else {})
    lines = list(by_smear.values())
    for path, smear_id in copies:
        if smear_id in by_smear:
            lines.append(by_smear[smear_id] | {"file": harmless(str(path))})
    lines += [_refused_line(error) for error in refused]
    _write(target, result_columns(study.scheme), lines)
    return len(hidden)


def write_all_csv(study: Study, target: Path) -> int:
    """Write every prediction of the study that the person of its settings may see; how many."""
    with study.database.read() as connection:
        shown = ResultFilter(sight=Sight.of(connection, study.settings.reader))
    return write_results_csv(study, shown, Sort(), target)


def write_results_csv(
    study: Study,
    shown: ResultFilter,
    sort: Sort,
    target: Path,
    on_row: Callable[[], None] = lambda: None,
) -> int:
    """Write the rows of a filter in their order; returns how many. See `result_columns`."""
    kinds = result_kinds(study.scheme)
    written = 0

    with study.database.read() as connection:
        calibrations = calibrations_of(connection)

        def lines() -> Iterable[dict[str, str]]:
            nonlocal written
            for row in predictions.every(connection, study.scheme, shown, sort):
                yield as_text(kinds, result_values(study, row, calibrations))
                written += 1
                on_row()

        _write(target, list(kinds), lines())
    return written


def write_patients_csv(study: Study, model: ModelRecord, target: Path) -> int:
    """Write one row per patient that the model has answered and that is open; how many."""
    with study.database.read() as connection:
        sight = Sight.of(connection, study.settings.reader)
    summaries = summarise_patients(study, model, sight=sight)
    lines = [_patient_line(study.scheme, model, one) for one in summaries]
    _write(target, patient_columns(study.scheme), lines)
    return len(lines)


def patient_columns(scheme: Scheme) -> list[str]:
    """As `result_columns`, with the label beside each call, and flags with their smears."""
    answers = [name for head in scheme.heads for name in (*head_kinds(head), f"{head.name}_label")]
    return ["patient", "model", "smears", *answers, "flags", "notice"]


def _patient_line(scheme: Scheme, model: ModelRecord, one: PatientSummary) -> dict[str, str]:
    line = {
        "patient": harmless(one.patient),
        "model": model.name,
        "smears": str(one.smears),
        "flags": " ".join(f"{flag}:{count}" for flag, count in one.flags.items()),
    }
    for name, answer in one.heads.items():
        head = scheme.head(name)
        values = head_values(head, answer.call, answer.possible, answer.probabilities)
        line |= as_text(head_kinds(head), values)
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
    # A file's name may be no Unicode: it is then written by its escapes.
    with (
        placed(target) as aside,
        aside.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file,
    ):
        writer = csv.DictWriter(file, columns, restval="")
        writer.writeheader()
        writer.writerows(line | {"notice": NOTICE} for line in lines)
