"""The regions and tile maps of a filter's smears as GeoJSON in QuPath's form."""

from __future__ import annotations

import os
import tempfile
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from sqlalchemy import Connection

from marrow.catalogue import predictions, regions
from marrow.catalogue.predictions import ROWS_AT_ONCE, ResultFilter, ResultRow, Sort
from marrow.errors import NotFound
from marrow.exporting.cells import NOTICE
from marrow.placing import cannot_write, require_writable
from marrow.records import AnswerMap, Smear
from marrow.regions_file import features_of, write_geojson
from marrow.schemes import Scheme
from marrow.study import Study


class WrittenFeatures(NamedTuple):
    """What came of an export."""

    features: int
    files: tuple[Path, ...]


def write_results_geojson(
    study: Study,
    shown: ResultFilter,
    sort: Sort,
    target: Path,
    with_tiles: bool = False,
    on_row: Callable[[], None] = lambda: None,
) -> WrittenFeatures:
    """Write what is drawn on the smears of a filter, one file per smear: QuPath reads a file into
    one image.

    One smear with regions goes to FILE.geojson; several go to the folder FILE, each to a file by
    its name (FILE/S000148.geojson). All of them are written aside first: an export that fails or
    is stopped leaves nothing. The metadata of a feature name its smear, so that
    `marrow.regions_file.import_regions` takes the files back in any order and by any name.

    Parameters
    ----------
    with_tiles : bool
        Add the tile map of each slide's prediction: tiles with a probability per class.

    Raises
    ------
    NotFound
        If there is nothing to write.
    BadSettings
        If a file cannot be written.
    """
    names: list[str] = []
    features = 0
    with _aside(target) as aside:
        with study.database.read() as connection:
            for smear, found in _drawn(study, connection, shown, sort, with_tiles, on_row):
                names.append(f"{smear.name}.geojson")
                features += write_geojson(aside / names[-1], found)
        if not names:
            raise NotFound(
                "Nothing is drawn on these smears: draw a region, or export the answers as .csv"
            )
        files = _files_of(target, names)
        for name, file in zip(names, files, strict=True):
            os.replace(aside / name, file)
    return WrittenFeatures(features, files)


@contextmanager
def _aside(target: Path) -> Iterator[Path]:
    """A folder beside the target for what is not whole yet; it goes with what is left in it."""
    try:
        require_writable(target)
        with tempfile.TemporaryDirectory(prefix=".marrow-", dir=target.parent) as folder:
            yield Path(folder)
    except OSError as error:
        raise cannot_write(target, error) from error


def _files_of(target: Path, names: Sequence[str]) -> tuple[Path, ...]:
    if len(names) == 1:
        return (target,)
    folder = target.with_name(target.name.removesuffix(".geojson"))
    folder.mkdir(exist_ok=True)
    return tuple(folder / name for name in names)


def _drawn(
    study: Study,
    connection: Connection,
    shown: ResultFilter,
    sort: Sort,
    with_tiles: bool,
    on_row: Callable[[], None],
) -> Iterator[tuple[Smear, list[dict[str, Any]]]]:
    """Each smear of the filter that has features, once; of several answers to it the first."""
    rows = predictions.every(connection, study.scheme, shown, sort)
    seen: set[int] = set()
    while part := list(islice(rows, ROWS_AT_ONCE)):
        standing = regions.of_many(connection, [row.smear.id for row in part])
        for row in part:
            on_row()
            if row.smear.id in seen:
                continue
            seen.add(row.smear.id)
            found = list(features_of(row.smear, standing.get(row.smear.id, [])))
            if with_tiles:
                found += _tiles_of(connection, study.scheme, row)
            if found:
                yield row.smear, found


def _tiles_of(connection: Connection, scheme: Scheme, row: ResultRow) -> list[dict[str, Any]]:
    if row.prediction is None or not row.smear.is_slide:
        return []
    found = predictions.map_of(connection, row.prediction.id)
    is_tiles = found is not None and found.kind == "tiles"
    return list(tile_features(scheme, row, found)) if found is not None and is_tiles else []


def tile_features(scheme: Scheme, row: ResultRow, found: AnswerMap) -> Iterator[dict[str, Any]]:
    """Each tile that was looked at, with the probability of each class; x, y of level 0."""
    names = [f"{head.name} p {name}" for head in scheme.heads for name in head.classes]
    values = np.frombuffer(found.values, "<f2").reshape(found.shape).astype(np.float64)
    height_px, width_px = found.cell_px
    about = {
        "marrow_smear": row.smear.identity, "marrow_name": row.smear.name,
        "marrow_model": row.model_name, "notice": NOTICE,
    }  # fmt: skip
    for tile_row, tile_column in np.argwhere(np.isfinite(values).all(axis=0)).tolist():
        top, left = tile_row * height_px, tile_column * width_px
        bottom, right = top + height_px, left + width_px
        ring = [[left, top], [right, top], [right, bottom], [left, bottom], [left, top]]
        own = f"{row.smear.identity} {row.model_name} {tile_row} {tile_column}"
        measured = values[:, tile_row, tile_column].tolist()
        yield {
            "type": "Feature",
            "id": str(uuid.uuid5(uuid.NAMESPACE_URL, own)),
            "geometry": {"type": "Polygon", "coordinates": [ring]},
            "properties": {
                "objectType": "tile",
                "isLocked": True,
                "measurements": dict(zip(names, measured, strict=True)),
                "metadata": about,
            },
        }
