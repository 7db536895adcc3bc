"""A study of synthetic smears for a first look: drawn by a program, no patient."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from pathlib import Path

from marrow.client import Client
from marrow.schemes import AA_MDS_AML
from marrow.settings import Settings
from marrow.study import Study
from marrow.synthetic import Patient, cohort, write_cohort

FOLDER = "sample smears"
"""Below the study's home."""
PATIENTS = 8
"""Of each diagnosis."""
UNLABELLED = 2
"""Patients of each diagnosis whose smears are left for the person to label."""
FIELDS = 2
_SIZE_PX = 320
_SEED = 2022


def make_sample_study(
    settings: Settings,
    make_client: Callable[[Study], Client],
    on_progress: Callable[[int, int], None],
) -> tuple[Study, Client]:
    """A new study in this home with 48 synthetic smears, three quarters of them labelled.

    Raises
    ------
    NoStudy
        If the home already holds a study.
    BadSettings
        If the home cannot hold one.
    """
    study = Study.create(settings, AA_MDS_AML)
    people = cohort(dict.fromkeys(("AA", "MDS", "AML"), PATIENTS), mode="easy", seed=_SEED)
    folder = settings.home / FOLDER
    table = write_cohort(folder, people, FIELDS, size_px=_SIZE_PX, on_progress=on_progress)
    _take_labels(table, {one.pseudonym for one in _last_of_each(people)})
    client = make_client(study)
    client.import_smears([folder], table)
    return study, client


def _last_of_each(people: Sequence[Patient]) -> list[Patient]:
    by_diagnosis: dict[str, list[Patient]] = {}
    for one in people:
        by_diagnosis.setdefault(one.diagnosis, []).append(one)
    return [one for group in by_diagnosis.values() for one in group[-UNLABELLED:]]


def _take_labels(table: Path, patients: set[str]) -> None:
    """Empty the diagnosis of these patients."""
    with table.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    for row in rows:
        if row["patient"] in patients:
            row["diagnosis"] = ""
    with table.open("w", encoding="utf-8", newline="") as lines:
        writer = csv.DictWriter(lines, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
