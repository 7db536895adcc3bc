"""A row of the results as named values, the same for every kind of table."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal

from sqlalchemy import Connection

from marrow.calibration import Calibration, calibration_of
from marrow.catalogue import models
from marrow.catalogue.predictions import ResultRow
from marrow.exporting.cells import NO_CLASS, NOTICE, harmless
from marrow.schemes import Head, Scheme
from marrow.study import Study

Kind = Literal["text", "word", "probability", "set", "flags", "time"]
"""Of a column. A word is one of few texts; a set is of classes, None where nothing is promised."""


def result_columns(scheme: Scheme) -> list[str]:
    """Names of the columns: for each head its call, its conformal set and a probability per class.

    The cells of a head that does not apply to a smear are empty. A set names the classes that
    cannot be ruled out (`AA|MDS`, or `(none)`); it is empty where the model has no conformal
    quantile. In a scheme whose unit is the patient the sets are promised for a patient's mean over
    smears, as in `patient_columns`, and for a smear where it is the patient's only one.

    `<head>_label` is the readers' answer that counts, `at` when the model answered (UTC).
    """
    return [*result_kinds(scheme)]


def result_kinds(scheme: Scheme) -> dict[str, Kind]:
    """What each column of `result_columns` holds, in their order."""
    kinds: dict[str, Kind] = {
        "file": "text", "sha256": "text", "smear": "text", "patient": "word", "site": "word",
        "model": "word", "at": "time",
    }  # fmt: skip
    for head in scheme.heads:
        kinds |= head_kinds(head)
    kinds |= {f"{head.name}_label": "word" for head in scheme.asked}
    return kinds | {"flags": "flags", "error": "text", "notice": "word"}


def head_kinds(head: Head) -> dict[str, Kind]:
    """The columns of one head."""
    probabilities: dict[str, Kind] = {
        f"{head.name}_p_{name}": "probability" for name in head.classes
    }
    return {head.name: "word", f"{head.name}_set": "set", **probabilities}


def head_values(
    head: Head, call: str, possible: tuple[str, ...] | None, probabilities: tuple[float, ...]
) -> dict[str, Any]:
    """The values of one head's columns."""
    return dict(zip(head_kinds(head), (call, possible, *probabilities), strict=True))


def result_values(
    study: Study, row: ResultRow, calibrations: Mapping[int, Calibration | None]
) -> dict[str, Any]:
    """A row as values by column; what is missing is left out.

    Parameters
    ----------
    calibrations : mapping
        By model, as `calibrations_of` gives them.
    """
    smear = row.smear
    path = study.path_in(smear.root, smear.path)
    values: dict[str, Any] = {
        "file": str(path) if path is not None else smear.path,
        "sha256": smear.identity,
        "smear": smear.name,
        "patient": smear.patient,
        "site": smear.site,
        "model": row.model_name or None,
        "error": row.error,
        "notice": NOTICE,
    }
    values |= {f"{head}_label": answer for head, answer in row.label.items()}
    if row.prediction is None:
        return values
    values["at"] = datetime.fromtimestamp(row.prediction.at, UTC)
    values["flags"] = row.prediction.answer.flags
    calibration = calibrations[row.prediction.model_id]
    for answer in row.prediction.answer.heads:
        head, its = study.scheme.head(answer.head), answer.probabilities
        possible = calibration.possible(head, its) if calibration is not None else None
        values |= head_values(head, answer.call, possible, its)
    return values


def calibrations_of(connection: Connection) -> dict[int, Calibration | None]:
    """What each model of the study knows of its limits."""
    return {one.id: calibration_of(one.card) for one in models.all_models(connection)}


def as_text(kinds: Mapping[str, Kind], values: Mapping[str, Any]) -> dict[str, str]:
    """Values as the cells of a CSV file; a column without a kind is text."""
    return {
        name: _cell(kinds.get(name, "text"), value)
        for name, value in values.items()
        if value is not None
    }


def _cell(kind: Kind, value: Any) -> str:
    if kind == "probability":
        return f"{value:.6f}"
    if kind == "time":
        return str(value.isoformat(timespec="seconds"))
    if kind == "flags":
        return " ".join(value)
    return harmless("|".join(value) or NO_CLASS if kind == "set" else str(value))
