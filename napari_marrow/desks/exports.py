"""The results as files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from marrow.catalogue.sight import Sight
from marrow.exporting import write_results_csv, write_results_parquet
from marrow.exporting.geojson import write_results_geojson
from marrow.exporting.sheets import write_patient_sheets
from marrow.regions_file import RegionsImported, import_regions
from marrow.study import Study
from napari_marrow.desks.results import View

ExportKind = Literal["csv", "parquet", "geojson", "sheets"]
OnPart = Callable[[int, int], None]
"""Called with how much is written of how much; of 0: nobody has counted."""


@dataclass(frozen=True)
class Written:
    """What came of an export."""

    kind: ExportKind
    count: int
    """Rows, features or patients."""
    place: Path
    """The file, or the folder of the files."""
    files: int = 1


class ExportsDesk:
    """Files for other programs, and for paper.

    No method may run on the GUI thread.

    Parameters
    ----------
    study : Study
    """

    def __init__(self, study: Study) -> None:
        self._study = study

    def write(self, kind: ExportKind, view: View, target: Path, on_part: OnPart) -> Written:
        """Write what a view lists and its reader may see, in its order.

        Raises
        ------
        BadSettings
            If the file cannot be written, or Parquet is not installed.
        NotFound
            If nothing is drawn on any of the smears (GeoJSON).
        """
        with self._study.database.read() as connection:
            sight = Sight.of(connection, view.reader)
        has_ended = None if view.shown.job_id is None else True
        shown = view.shown.model_copy(update={"sight": sight, "has_ended": has_ended})
        rows = 0

        def on_row() -> None:
            nonlocal rows
            rows += 1
            on_part(rows, 0)

        if kind == "sheets":
            return Written(kind, write_patient_sheets(self._study, target, shown, on_part), target)
        if kind == "geojson":
            drawn = write_results_geojson(
                self._study, shown, view.sort, target, with_tiles=True, on_row=on_row
            )
            place = drawn.files[0] if len(drawn.files) == 1 else drawn.files[0].parent
            return Written(kind, drawn.features, place, len(drawn.files))
        write = write_results_csv if kind == "csv" else write_results_parquet
        return Written(kind, write(self._study, shown, view.sort, target, on_row), target)

    def import_regions(self, path: Path, reader: str) -> RegionsImported:
        """Take the regions of a GeoJSON file into the study; see `marrow.regions_file`."""
        return import_regions(self._study, path, reader)
