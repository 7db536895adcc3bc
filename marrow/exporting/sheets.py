"""A sheet per patient, to print or to read in a browser.

One file without a script and without anything from elsewhere; a patient begins on a new page.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path

from PIL import Image
from sqlalchemy import Connection

from marrow.calibration import Calibration
from marrow.catalogue import labels, models, predictions, smears
from marrow.catalogue.predictions import ResultFilter, ResultRow, Sort
from marrow.catalogue.sight import Sight
from marrow.catalogue.smears import SmearFilter
from marrow.errors import BadSettings, MarrowError
from marrow.exporting.result_lines import calibrations_of
from marrow.exporting.sheet_page import HEAD, TAIL, Sheet, SheetSmear, sheet_html
from marrow.images import open_smear
from marrow.patients import PatientSummary, summary_of
from marrow.placing import placed
from marrow.records import ModelRecord, Smear
from marrow.study import Study

MOST_PATIENTS = 500
"""Of one file: a browser lays out no more in a minute."""
MOST_PICTURES = 24
"""Of a patient."""
PICTURE_PX = 260


def write_patient_sheets(
    study: Study,
    target: Path,
    shown: ResultFilter,
    on_progress: Callable[[int, int], None] | None = None,
) -> int:
    """Write the sheets of all patients of a filter; returns how many patients.

    A sheet lists the smears that the filter shows, the most urgent first. What a model says of the
    patient as a whole, with the classes that cannot be ruled out, is its mean over all answered
    smears, shown or not; it is left out where the scheme's unit is the image, and while blind
    reading hides one of the smears.

    Parameters
    ----------
    shown : ResultFilter
        With the sight of whoever reads it: smears that are not open are left out.
    on_progress : callable, optional
        Called with (patients written, patients in all).

    Raises
    ------
    BadSettings
        If the file cannot be written, or there are more patients than a browser prints; an earlier
        file of that name stays.
    """
    with study.database.read() as connection, placed(target) as aside:
        rows = predictions.every(connection, study.scheme, shown, Sort(column="worklist"))
        by_patient = _by_patient(rows)
        gatherer = _Gatherer(study, connection, shown.sight)
        with aside.open("w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(HEAD)
            for number, (patient, own) in enumerate(sorted(by_patient.items()), start=1):
                sheet = gatherer.sheet(patient, own)
                file.write(sheet_html(study.scheme, sheet, gatherer.calibrations))
                if on_progress is not None:
                    on_progress(number, len(by_patient))
            file.write(TAIL)
    return len(by_patient)


def _by_patient(rows: Iterable[ResultRow]) -> dict[str, list[ResultRow]]:
    """The rows of each patient; a smear without a patient is its own."""
    found: dict[str, list[ResultRow]] = {}
    for row in rows:
        found.setdefault(row.smear.patient or f"no patient: {row.smear.name}", []).append(row)
        if len(found) > MOST_PATIENTS:
            raise BadSettings(
                f"more than {MOST_PATIENTS} patients are too many to print: narrow the filter, or "
                "export the table as .csv"
            )
    return found


class _Gatherer:
    """What the study knows of patients."""

    def __init__(self, study: Study, connection: Connection, sight: Sight | None) -> None:
        self._study, self._connection, self._sight = study, connection, sight
        self._models = {one.id: one for one in models.all_models(connection)}
        self.calibrations: Mapping[int, Calibration | None] = calibrations_of(connection)
        at = datetime.fromtimestamp(study.database.now(connection)).astimezone()
        self._written = f"{at:%d %b %Y, %H:%M %Z}"

    def sheet(self, patient: str, rows: Sequence[ResultRow]) -> Sheet:
        """The sheet of a patient with these rows, the most urgent first."""
        by_smear: dict[int, list[ResultRow]] = {}
        for row in rows:
            by_smear.setdefault(row.smear.id, []).append(row)
        told = [
            self._smear(own, number < MOST_PICTURES) for number, own in enumerate(by_smear.values())
        ]
        used = {row.prediction.model_id for row in rows if row.prediction is not None}
        made = [self._models[one] for one in sorted(used)]
        summaries, note = self._summaries(patient, rows[0].smear, made)
        return Sheet(patient, told, summaries, made, note, self._written)

    def _smear(self, rows: Sequence[ResultRow], is_pictured: bool) -> SheetSmear:
        smear = rows[0].smear
        given = labels.history(self._connection, smear.id, self._sight)
        standing = [one for one in given if one.superseded_at is None]
        picture = _picture(self._study, smear) if is_pictured else "further smears have no picture"
        return SheetSmear(smear, rows, standing, picture)

    def _summaries(
        self, patient: str, first: Smear, made: Sequence[ModelRecord]
    ) -> tuple[list[PatientSummary], str]:
        """What each model says of the patient as a whole, or why nothing is said."""
        scheme = self._study.scheme
        if scheme.unit != "patient":
            return [], ""
        ids = [first.id]
        if first.patient is not None:
            ids = smears.all_ids(self._connection, SmearFilter(patient=first.patient))
        if self._sight is not None and self._sight.hidden(self._connection, scheme, ids):
            return [], "The patient as a whole is hidden: blind reading of a smear is not over."
        newest: dict[int, dict[int, ResultRow]] = {}
        for smear_id in ids:
            for row in reversed(predictions.of_smear(self._connection, scheme, smear_id)):
                if row.prediction is not None:
                    newest.setdefault(row.prediction.model_id, {})[smear_id] = row
        nothing = scheme.complete({})
        return [
            summary_of(
                scheme,
                self.calibrations[model.id],
                patient,
                list(newest[model.id].values()),
                [nothing] * len(newest[model.id]),
            )
            for model in made
        ], ""


def _picture(study: Study, smear: Smear) -> bytes | str:
    try:
        with open_smear(study.file_of(smear)) as image:
            pixels = image.thumbnail(PICTURE_PX)
    except MarrowError as error:
        return str(error)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=85)
    return file.getvalue()
