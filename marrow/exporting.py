"""Results as files that other programs read."""

from __future__ import annotations

import csv
import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from marrow.catalogue import predictions
from marrow.catalogue.predictions import ResultFilter, ResultRow
from marrow.errors import BadSettings, MarrowError
from marrow.schemes import Scheme
from marrow.study import Study

NOTICE = "research use only"

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
    lines = [_line(study, row) for row in rows]
    by_smear = {row.smear.id: line for row, line in zip(rows, lines, strict=True)}
    for path, smear_id in copies:
        if smear_id in by_smear:
            lines.append(by_smear[smear_id] | {"file": harmless(str(path))})
    lines += [_refused_line(error) for error in refused]
    _write(target, study.scheme, lines)


def require_writable(target: Path) -> None:
    """Raise BadSettings unless a file can be written there: better now than after the night."""
    if target.is_dir() or not os.access(target.absolute().parent, os.W_OK):
        raise BadSettings(f"{target} cannot be written: name a file in a folder that is there")


def write_all_csv(study: Study, target: Path) -> int:
    """Write every prediction of the study; returns how many."""
    with study.database.read() as connection:
        rows = predictions.every(connection, study.scheme, ResultFilter())
        lines = [_line(study, row) for row in rows]
    _write(target, study.scheme, lines)
    return len(lines)


def result_columns(scheme: Scheme) -> list[str]:
    """Names of the columns: for each head its call and a probability per class."""
    answers: list[str] = []
    for head in scheme.heads:
        answers += [head.name, *(f"{head.name}_p_{name}" for name in head.classes)]
    return ["file", "sha256", "patient", "model", *answers, "flags", "error", "notice"]


def _line(study: Study, row: ResultRow) -> dict[str, str]:
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
        for answer in row.prediction.answer.heads:
            line[answer.head] = harmless(answer.call)
            classes = study.scheme.head(answer.head).classes
            for name, probability in zip(classes, answer.probabilities, strict=True):
                line[f"{answer.head}_p_{name}"] = f"{probability:.6f}"
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


def _write(target: Path, scheme: Scheme, lines: Iterable[dict[str, str]]) -> None:
    try:
        # A file's name may be no Unicode: it is then written by its escapes.
        with target.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
            writer = csv.DictWriter(file, result_columns(scheme), restval="")
            writer.writeheader()
            writer.writerows(_noticed(lines))
    except OSError as error:
        raise BadSettings(f"{target} cannot be written: {error.strerror}") from error


def _noticed(lines: Iterable[dict[str, str]]) -> Iterator[dict[str, str]]:
    for line in lines:
        yield line | {"notice": NOTICE}
