"""A synthetic cohort as files: PNG images and the labels.csv that `marrow import` reads."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from marrow.synthetic.cohort import Patient
from marrow.synthetic.fields import FIELDS_PER_SLIDE, render_field

COLUMNS = ("file", "patient", "slide", "site", "mpp", "diagnosis")


def write_cohort(
    folder: Path,
    patients: Iterable[Patient],
    fields_per_patient: int = 1,
    size_px: int = 512,
    pixel_size_um: float = 0.2,
    on_progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Render fields of every patient into a folder; the path of their labels.csv.

    The same patients give the same bytes. The table is written last, so that a folder with
    a labels.csv is whole. No file name tells a diagnosis.

    Parameters
    ----------
    folder : Path
        Made where it is missing; files of the same names are replaced.
    fields_per_patient : int
        Fields 0, 1, ... of each patient, 1 or more.
    size_px, pixel_size_um
        As in `render_field`; the pixel size stands in the table (mpp) and in each PNG.
    on_progress : callable, optional
        Called with (images written, images in all) after each image.

    Returns
    -------
    Path
        labels.csv with the columns file, patient, slide, site, mpp (um) and diagnosis.
    """
    people = list(patients)
    if fields_per_patient < 1:
        raise ValueError(f"fields_per_patient is {fields_per_patient}; it must be 1 or more")
    folder.mkdir(parents=True, exist_ok=True)
    rows: list[tuple[str, ...]] = []
    total = len(people) * fields_per_patient
    for patient in people:
        for field in range(fields_per_patient):
            name = f"synthetic_{patient.pseudonym}_{field:02d}.png"
            drawn = render_field(patient, field, size_px, pixel_size_um)
            _write_png(folder / name, drawn.image, pixel_size_um)
            slide = f"{patient.pseudonym}-{field // FIELDS_PER_SLIDE + 1}"
            rows.append(
                (
                    name,
                    patient.pseudonym,
                    slide,
                    patient.site,
                    f"{pixel_size_um:g}",
                    patient.diagnosis,
                )
            )
            if on_progress is not None:
                on_progress(len(rows), total)
    table = folder / "labels.csv"
    with table.open("w", newline="", encoding="utf-8") as lines:
        writer = csv.writer(lines, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(rows)
    return table


def _write_png(path: Path, image: NDArray[np.uint8], pixel_size_um: float) -> None:
    """Write one image with its pixel size and the word "synthetic" in the file."""
    text = PngInfo()
    text.add_text("Description", "synthetic bone-marrow smear, drawn by napari-marrow; no patient")
    text.add_text("Software", "napari-marrow marrow.synthetic")
    dots = 25_400 / pixel_size_um  # pHYs, per inch as Pillow asks; stored per metre
    # Level 1: camera noise hardly compresses, and level 6 takes five times as long.
    Image.fromarray(image).save(path, pnginfo=text, dpi=(dots, dots), compress_level=1)
