"""Results as files that other programs read."""

from marrow.exporting.cells import HIDDEN, NO_CLASS, NOTICE, harmless
from marrow.exporting.geojson import write_results_geojson
from marrow.exporting.parquet import write_results_parquet
from marrow.exporting.result_lines import result_columns
from marrow.exporting.sheets import write_patient_sheets
from marrow.exporting.tables import (
    patient_columns,
    write_all_csv,
    write_job_csv,
    write_patients_csv,
    write_results_csv,
)
from marrow.placing import require_writable

__all__ = [
    "HIDDEN",
    "NOTICE",
    "NO_CLASS",
    "harmless",
    "patient_columns",
    "require_writable",
    "result_columns",
    "write_all_csv",
    "write_job_csv",
    "write_patient_sheets",
    "write_patients_csv",
    "write_results_csv",
    "write_results_geojson",
    "write_results_parquet",
]
