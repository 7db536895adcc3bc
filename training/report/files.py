"""A report on the disk: written aside, then put in place whole."""

from __future__ import annotations

import csv
import io
import json
import os
import secrets
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from marrow.errors import BadSettings
from marrow.exporting import harmless
from training.report.parts import Cell, Table

MANIFEST = "report.json"
"""Read again before a report is replaced: it names the files that are ours."""

_FIGURE_COLUMNS = ("value", "low", "high", "n", "unit", "method", "reason")


def table_csv(table: Table) -> str:
    """The table with a column for each part of a figure: value, low, high, n, unit, method.

    A column of names stays one column; a banner is the last column of every row, so that no
    row is read without it.
    """
    is_figure = [
        any(isinstance(row[column], Mapping) for row in table.rows)
        for column in range(len(table.columns))
    ]
    header: list[str] = []
    for name, figure in zip(table.columns, is_figure, strict=True):
        header += [f"{name} {part}" for part in _FIGURE_COLUMNS] if figure else [name]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*header, *(["banner"] if table.banner else [])])
    for row in table.rows:
        cells: list[Any] = []
        for cell, figure in zip(row, is_figure, strict=True):
            cells += _figure_cells(cell) if figure else [_plain(cell)]
        writer.writerow([*cells, *([table.banner] if table.banner else [])])
    return out.getvalue()


def _figure_cells(cell: Cell) -> list[Any]:
    if isinstance(cell, Mapping):
        return [_plain(cell.get(name)) for name in _FIGURE_COLUMNS]
    return [_plain(cell), *[""] * (len(_FIGURE_COLUMNS) - 1)]


def _plain(cell: Any) -> Any:
    if cell is None:
        return ""
    return harmless(cell) if isinstance(cell, str) else cell


def write_report(folder: Path, files: Mapping[str, bytes], facts: Mapping[str, Any]) -> list[Path]:
    """Put a report's files into a folder; all of them, or (on a full disk) none.

    Everything is written beside the folder first. A new folder appears by one rename. In a
    folder that exists, our files replace those of the same name, files of the report that
    lay there and are not made any more go, and what is not ours stays.

    Parameters
    ----------
    files : dict
        Content by posix path below the folder.
    facts : dict
        Becomes report.json, which also lists the files.

    Raises
    ------
    BadSettings
        If the folder cannot be written; nothing has changed then, unless the disk failed
        while files were renamed.
    """
    manifest = json.dumps({**facts, "files": sorted(files)}, indent=1, ensure_ascii=False)
    whole = {**files, MANIFEST: manifest.encode()}
    target = folder.expanduser().absolute()
    aside = target.with_name(f".{target.name}.{secrets.token_hex(6)}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        for name, content in whole.items():
            _write(aside / name, content)
        if target.exists():
            _replace_files(target, aside, list(whole))
        else:
            aside.rename(target)
    except OSError as error:
        raise BadSettings(
            f"{target}: the report cannot be written ({error.strerror}); free the disk or give "
            "another folder with --out"
        ) from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return [target / name for name in whole]


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _replace_files(target: Path, aside: Path, names: Sequence[str]) -> None:
    earlier = _earlier_files(target)
    # The manifest goes last: until then the earlier one still names what is ours.
    for name in sorted(names, key=lambda one: (one == MANIFEST, one)):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        os.replace(aside / name, target / name)
    for name in earlier - set(names):
        (target / name).unlink(missing_ok=True)


def _earlier_files(target: Path) -> set[str]:
    """Names that the report which lies there says are its own, and that stay below the folder."""
    try:
        named = json.loads((target / MANIFEST).read_text(encoding="utf-8"))["files"]
    except (OSError, ValueError, KeyError, TypeError):
        return set()
    if not isinstance(named, list):
        return set()
    return {
        name
        for name in named
        if isinstance(name, str) and not Path(name).is_absolute() and ".." not in Path(name).parts
    }
