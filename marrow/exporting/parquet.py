"""Results as a Parquet file with typed columns."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any

from marrow.catalogue import predictions
from marrow.catalogue.predictions import ResultFilter, ResultRow, Sort
from marrow.errors import BadSettings
from marrow.exporting.cells import NOTICE
from marrow.exporting.result_lines import Kind, calibrations_of, result_kinds, result_values
from marrow.placing import placed
from marrow.study import Study

ROWS_OF_GROUP = 50_000
"""Rows that are written at once: what a reader of the file decodes for one value."""


def write_results_parquet(
    study: Study,
    shown: ResultFilter,
    sort: Sort,
    target: Path,
    on_row: Callable[[], None] = lambda: None,
) -> int:
    """Write the rows of a filter in their order; returns how many.

    The columns are those of the CSV file: probabilities as float64, `at` as a timestamp in UTC,
    sets and flags as lists of texts (a set is null where nothing is promised), words as
    dictionaries. The file's metadata name the scheme, the versions, the filter and the order.

    Raises
    ------
    BadSettings
        If pyarrow is not installed, or the file cannot be written.
    """
    arrow, parquet = _arrow()
    kinds = result_kinds(study.scheme)
    schema = arrow.schema([(name, _type(arrow, kind)) for name, kind in kinds.items()])
    schema = schema.with_metadata(_metadata(study, shown, sort))
    written = 0
    with (
        study.database.read() as connection,
        placed(target) as aside,
        parquet.ParquetWriter(aside, schema, compression="zstd") as writer,
    ):
        calibrations = calibrations_of(connection)
        rows = predictions.every(connection, study.scheme, shown, sort)
        while group := list(islice(_values(study, rows, calibrations, on_row), ROWS_OF_GROUP)):
            writer.write_table(arrow.Table.from_pylist(group, schema=schema))
            written += len(group)
    return written


def _values(
    study: Study, rows: Iterator[ResultRow], calibrations: Any, on_row: Callable[[], None]
) -> Iterator[dict[str, Any]]:
    for row in rows:
        values = result_values(study, row, calibrations)
        yield values | {"file": os.fsencode(values["file"]).decode("utf-8", "backslashreplace")}
        on_row()


def _arrow() -> tuple[Any, Any]:
    """pyarrow and its Parquet part: loaded here, because they take a quarter of a second."""
    try:
        return import_module("pyarrow"), import_module("pyarrow.parquet")
    except ImportError as error:
        raise BadSettings(
            "a Parquet file needs pyarrow: pip install pyarrow, or export .csv"
        ) from error


def _type(arrow: Any, kind: Kind) -> Any:
    types = {
        "text": arrow.string(),
        "word": arrow.dictionary(arrow.int32(), arrow.string()),
        "probability": arrow.float64(),
        "set": arrow.list_(arrow.string()),
        "flags": arrow.list_(arrow.string()),
        "time": arrow.timestamp("us", tz="UTC"),
    }
    return types[kind]


def _metadata(study: Study, shown: ResultFilter, sort: Sort) -> dict[str, str]:
    return {
        "marrow.notice": NOTICE,
        "marrow.version": version("napari-marrow"),
        "marrow.scheme": study.scheme.model_dump_json(),
        "marrow.filter": shown.model_dump_json(exclude={"sight"}, exclude_defaults=True),
        "marrow.sort": json.dumps(sort.model_dump()),
    }
