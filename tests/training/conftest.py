"""Small labelled smears: squares of noise whose colour tells the class."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from marrow.records import Smear
from marrow.schemes import Head, LabelFrom, Scheme
from tests.training.runs import TEST_PATIENTS, Bench
from training import features, maps, stages
from training.dataset import LabelledSmear

COLOURS = {"AA": (220, 170, 190), "MDS": (120, 60, 140), "AML": (60, 90, 170)}
MakeSmears = Callable[..., list[LabelledSmear]]


@pytest.fixture
def scheme() -> Scheme:
    """Two heads, patient as unit."""
    return Scheme(
        name="small",
        unit="patient",
        primary="diagnosis",
        heads=(
            Head(
                name="mds",
                classes=("other", "MDS"),
                positive="MDS",
                label_from=LabelFrom(head="diagnosis", classes={"MDS": ("MDS",)}),
            ),
            Head(name="diagnosis", classes=("AA", "MDS", "AML")),
        ),
    )


@pytest.fixture
def make_smears(tmp_path: Path, scheme: Scheme) -> MakeSmears:
    """Smears on disk: one per (patient, diagnosis), ids from 1, 40 x 36 px."""

    def make(rows: Sequence[tuple[str | None, str | None]]) -> list[LabelledSmear]:
        rng = np.random.default_rng(7)
        made = []
        folder = tmp_path / "smears"
        folder.mkdir(exist_ok=True)
        for number, (patient, diagnosis) in enumerate(rows, 1):
            colour = COLOURS.get(diagnosis or "", (128, 128, 128))
            pixels = np.clip(rng.normal(colour, 20, (36, 40, 3)), 0, 255).astype(np.uint8)
            path = folder / f"{number}.png"
            Image.fromarray(pixels).save(path)
            smear = Smear(
                id=number,
                identity=hashlib.sha256(path.read_bytes()).hexdigest(),
                root="local",
                path=path.as_posix(),
                height_px=36,
                width_px=40,
                is_slide=False,
                patient=patient,
            )
            given = {} if diagnosis is None else {"diagnosis": diagnosis}
            made.append(LabelledSmear(smear, path, scheme.complete(given)))
        return made

    return make


@pytest.fixture
def cohort(make_smears: MakeSmears) -> list[LabelledSmear]:
    """20 smears of 14 patients: 4 AA, 5 MDS, 5 AML; one without an answer."""
    diagnoses = ["AA"] * 4 + ["MDS"] * 5 + ["AML"] * 5
    rows: list[tuple[str | None, str | None]] = [(f"p{i}", d) for i, d in enumerate(diagnoses)]
    rows += [(f"p{i}", diagnoses[i]) for i in (0, 4, 5, 9, 13)]
    return make_smears([*rows, ("p1", None)])


@pytest.fixture
def small_and_single_threaded(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(features, "BATCH", 8)
    monkeypatch.setattr(maps, "BATCH", 8)
    monkeypatch.setattr(stages, "ADAPTING_VIEWS", 8)
    monkeypatch.setattr(stages, "ADAPTING_BATCH", 4)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def make_bench(
    cohort: list[LabelledSmear], scheme: Scheme, tmp_path: Path
) -> Callable[[str], Bench]:
    def make(name: str) -> Bench:
        test = [s for s in cohort if s.smear.patient in TEST_PATIENTS]
        train = [s for s in cohort if s.smear.patient not in TEST_PATIENTS]
        return Bench(scheme, train, test, tmp_path / name)

    return make
