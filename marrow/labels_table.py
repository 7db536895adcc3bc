"""A labels.csv: what a table says of files, checked against the scheme."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import NamedTuple

from marrow.catalogue import labels
from marrow.errors import BadLabels
from marrow.schemes import NOT_CLASSES, Scheme
from marrow.study import Study

_DESCRIPTION = ("patient", "slide", "site")
PIXEL_SIZE_RANGE_UM = (0.02, 10.0)


class LabelRow(NamedTuple):
    """What a labels.csv says of one file."""

    description: dict[str, str]
    pixel_size_um: float | None
    answers: dict[str, str]


def read_labels(study: Study, labels_csv: Path) -> dict[Path, LabelRow]:
    """Read a labels table: file, [patient, slide, site, mpp,] and a column per asked head.

    Files are relative to the table's folder. An empty cell is a missing answer.

    Raises
    ------
    BadLabels
        With the line, what it says and what is allowed.
    """
    heads = [head.name for head in study.scheme.asked]
    allowed = ["file", *_DESCRIPTION, "mpp", *heads]
    rows: dict[Path, LabelRow] = {}
    try:
        with labels_csv.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            columns = [name.strip() for name in reader.fieldnames or ()]
            reader.fieldnames = columns
            _check_columns(labels_csv, columns, allowed)
            for cells in reader:
                place = f"{labels_csv.name}, line {reader.line_num}"
                path, row = _row(study, labels_csv.parent, place, cells, heads)
                if rows.setdefault(path, row) != row:
                    raise BadLabels(f"{place}: {path.name} has another row that says otherwise")
    except OSError as error:
        raise BadLabels(f"{labels_csv}: {error.strerror}; give a CSV file") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise BadLabels(f"{labels_csv}: no readable CSV in UTF-8 ({error})") from error
    return rows


def _check_columns(labels_csv: Path, columns: list[str], allowed: list[str]) -> None:
    if "file" not in columns:
        raise BadLabels(f"{labels_csv}: no column `file`; columns may be {', '.join(allowed)}")
    unknown = [name for name in columns if name not in allowed]
    if unknown or len(set(columns)) != len(columns):
        what = f"unknown column {unknown[0]!r}" if unknown else "a column stands twice"
        raise BadLabels(f"{labels_csv}: {what}; columns may be {', '.join(allowed)}")


def _row(
    study: Study, folder: Path, place: str, cells: dict[str, str | None], heads: list[str]
) -> tuple[Path, LabelRow]:
    if None in cells or not (cells.get("file") or "").strip():
        raise BadLabels(f"{place}: the row does not fit the columns")
    texts = {name: (value or "").strip() for name, value in cells.items()}
    answers = {name: texts[name] for name in heads if texts.get(name)}
    for head, answer in answers.items():
        try:
            labels.check_answer(study.scheme, head, answer)
        except BadLabels as error:
            raise BadLabels(f"{place}: {error}") from error
    _check_asked(study.scheme, place, answers)
    description = {name: texts[name] for name in _DESCRIPTION if texts.get(name)}
    unprintable = [text for text in texts.values() if not text.isprintable()]
    if unprintable:
        raise BadLabels(f"{place}: {unprintable[0]!r} holds control characters")
    pixel_size_um = _pixel_size(place, texts.get("mpp", ""))
    return _resolved(folder / texts["file"]), LabelRow(description, pixel_size_um, answers)


def _check_asked(scheme: Scheme, place: str, answers: dict[str, str]) -> None:
    known = {name: answer for name, answer in answers.items() if answer not in NOT_CLASSES}
    applying = {head.name for head in scheme.applying(scheme.complete(known))}
    for name in known.keys() - applying:
        conditions = scheme.head(name).asked_when.items()
        when = " and ".join(f"{other} is {' or '.join(allowed)}" for other, allowed in conditions)
        raise BadLabels(
            f"{place}: {name} is {known[name]!r}, but is asked only when {when}; "
            "leave one of the two cells empty, or correct it"
        )


def _resolved(path: Path) -> Path:
    try:
        return path.resolve()
    except OSError:  # a name that no file can have; it is then named as missing
        return path


def _pixel_size(place: str, text: str) -> float | None:
    if not text:
        return None
    low, high = PIXEL_SIZE_RANGE_UM
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not low <= value <= high:
        raise BadLabels(f"{place}: mpp is {text!r}; give um per pixel from {low} to {high:g}")
    return value
