"""What is said of files that were written and read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from marrow.regions_file import RegionsImported

if TYPE_CHECKING:
    from napari_marrow.desks.exports import Written

_UNITS = {"csv": "row", "parquet": "row", "geojson": "feature", "sheets": "patient"}


def written_words(written: Written) -> str:
    """`412,310 rows were written to /home/a/results.csv.`"""
    files = f" in {written.files:,} files" if written.files > 1 else ""
    counted = _counted(written.count, _UNITS[written.kind])
    return f"{counted} written to {written.place}{files}; research use only."


def imported_words(path: Path, came: RegionsImported) -> str:
    """`slide.geojson: 3 regions of 1 smear came in, 2 features without an area were left out.`"""
    words = f"{path.name}: {_counted(came.regions, 'region')} of {_counted(came.smears, 'smear')}"
    left = f", {_counted(came.skipped, 'feature')} without an area left out" if came.skipped else ""
    return f"{words} came in{left}."


def _counted(count: int, unit: str) -> str:
    return f"{count:,} {unit}" if count == 1 else f"{count:,} {unit}s"
