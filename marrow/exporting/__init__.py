"""Results as files that other programs read."""

from marrow.exporting.cells import HIDDEN, NO_CLASS, NOTICE, harmless
from marrow.exporting.parquet import write_results_parquet
from marrow.exporting.result_lines import result_columns
from marrow.exporting.tables import (
    patient_columns,
    write_all_csv,
    write_job_csv,
    write_patients_csv,
    write_results_csv,
)
from marrow.placing import placed, require_writable

__all__ = [
    "HIDDEN",
    "NOTICE",
    "NO_CLASS",
    "harmless",
    "patient_columns",
    "placed",
    "require_writable",
    "result_columns",
    "write_all_csv",
    "write_job_csv",
    "write_patients_csv",
    "write_results_csv",
    "write_results_parquet",
]
