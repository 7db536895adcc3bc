"""`marrow augment`: a picture of each method, a sheet, and on whom the whitening was fitted."""

from __future__ import annotations

import io
import json
import os
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from PIL import Image

from marrow.catalogue import smears
from marrow.cli import main
from marrow.client import Client
from marrow.schemes import AA_MDS_AML
from marrow.settings import Settings
from marrow.study import Study
from marrow.synthetic import cohort, write_cohort
from training import zca
from training.augment_command import _SHOWN_FIT
from training.augment_figure import panels_of
from training.zca import ConvZCA, Whitening

PICTURES = (
    *("original", "rotation", "width-shift", "height-shift", "shear", "zoom"),
    *("horizontal-flip", "vertical-flip", "zca", "convzca", "gentle-1", "gentle-2"),
)


class Done(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


def marrow(home: Path, *arguments: str) -> Done:
    out, err, before = io.StringIO(), io.StringIO(), sys.argv
    sys.argv = ["marrow", "--home", str(home), "augment", *arguments]
    code = 0
    try:
        with redirect_stdout(out), redirect_stderr(err):
            main()
    except SystemExit as end:
        code = int(end.code or 0)
    finally:
        sys.argv = before
    return Done(code, out.getvalue(), err.getvalue())


@pytest.fixture(autouse=True)
def _few_patches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zca, "PATCHES", 5_000)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six synthetic smears of six patients, 64 x 64 px, and their labels.csv."""
    made = tmp_path_factory.mktemp("smears")
    write_cohort(made, cohort({"AA": 2, "MDS": 2, "AML": 2}), size_px=64, pixel_size_um=0.8)
    return made


@pytest.fixture
def study(tmp_path: Path, folder: Path) -> Study:
    """A study of the six, without test patients yet."""
    study = Study.create(Settings.read(tmp_path / "home"), AA_MDS_AML)
    Client(study, start_agent=lambda _home: None).import_smears([folder], folder / "labels.csv")
    yield study
    study.close()


def draw(study: Study, *patients: str) -> None:
    with study.database.write() as connection:
        smears.keep_test_patients(connection, patients)


def test_draws_a_picture_of_each_method_and_the_sheet(tmp_path, folder):
    smear = folder / "synthetic_SYN-0001_00.png"
    out = tmp_path / "deep" / "figure"
    done = marrow(
        tmp_path, str(smear), "--out", str(out), "--fit", str(folder), "--input-px", "64", "--json"
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert [Path(path).stem for path in said["pictures"]] == list(PICTURES)
    assert sorted(path.stem for path in out.iterdir()) == sorted([*PICTURES, "sheet"])
    assert said["fitted_on"] == 6
    assert "One synthetic smear, 64 × 64 px" in said["caption"]
    assert "n = 6 smears of a folder, this one among them" in said["caption"]
    assert said["caption"].endswith("Research use only.")
    with Image.open(smear) as given, Image.open(out / "original.png") as shown:
        np.testing.assert_array_equal(np.asarray(shown), np.asarray(given))
    with Image.open(out / "horizontal-flip.png") as flipped, Image.open(smear) as given:
        np.testing.assert_array_equal(np.asarray(flipped), np.asarray(given)[:, ::-1])
        assert flipped.text["Description"].startswith("Horizontal flip. One synthetic smear")
    with Image.open(out / "sheet.png") as sheet:
        assert sheet.size[0] == 2160  # 183 mm at 300 dots per inch
        assert len(np.unique(np.asarray(sheet.convert("L")))) > 100


@pytest.mark.slow
def test_the_seed_decides_what_is_drawn(tmp_path, folder):
    smear = str(folder / "synthetic_SYN-0002_00.png")
    common = (smear, "--fit", str(folder), "--input-px", "64")
    for name, seed in (("a", "1"), ("b", "1"), ("c", "2")):
        assert marrow(tmp_path, *common, "--out", str(tmp_path / name), "--seed", seed)[0] == 0
    for picture in PICTURES:
        first, same, other = (
            (tmp_path / name / f"{picture}.png").read_bytes() for name in ("a", "b", "c")
        )
        assert first == same
        if picture not in {"original", "horizontal-flip", "vertical-flip", "zca", "convzca"}:
            pixels = [np.asarray(Image.open(io.BytesIO(data))) for data in (first, other)]
            assert not np.array_equal(*pixels), picture


def test_words_under_the_pictures_are_what_was_drawn():
    images = torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8)
    whitening, local = Whitening.fit(images), ConvZCA.fit(images)
    seen = set()
    for seed in range(20):
        panels = panels_of(images[0], "a", seed, whitening, local)
        details = {panel.title: panel.detail for panel in panels}
        shown = {panel.title: panel.pixels for panel in panels}
        share, towards = details["Width shift"].split("% ")
        moved = round(float(share) / 100 * 32)
        if moved < 2 or abs(moved - float(share) / 100 * 32) > 0.2:
            continue
        seen.add(towards)
        # Content that has moved left leaves its last column repeated at the right edge.
        edge = shown["Width shift"][:, :, -moved + 1 :]
        if towards == "right":
            edge = shown["Width shift"][:, :, : moved - 1]
        assert (edge == edge[:, :, :1]).all(), seed
    assert seen == {"left", "right"}


def test_fits_on_labelled_smears_of_training_patients_alone(tmp_path, study, folder, monkeypatch):
    draw(study, "SYN-0001", "SYN-0004")
    fitted = []
    fit = Whitening.fit.__func__

    def watch(cls, images, *rest):
        fitted.append(images)
        return fit(cls, images, *rest)

    monkeypatch.setattr(Whitening, "fit", classmethod(watch))
    smear = folder / "synthetic_SYN-0004_00.png"
    out = tmp_path / "figure"
    done = marrow(tmp_path / "home", str(smear), "--out", str(out), "--input-px", "64")
    assert done.returncode == 0, done.stderr
    assert "n = 4 labelled smears of 4 training patients, this one not among them" in done.stdout
    assert "clipped" in done.stdout
    tested = [
        np.asarray(Image.open(folder / f"synthetic_{name}_00.png"))
        for name in ("SYN-0001", "SYN-0004")
    ]
    (images,) = fitted
    assert len(images) == 4
    for image in images.permute(0, 2, 3, 1).numpy():
        assert not any(np.array_equal(image, one) for one in tested)


def test_refuses_a_study_that_has_drawn_no_test_patients(tmp_path, study, folder):
    smear = str(folder / "synthetic_SYN-0001_00.png")
    done = marrow(tmp_path / "home", smear, "--out", str(tmp_path / "figure"))
    assert done.returncode == 1
    assert "no test patients yet" in done.stderr
    assert "--fit" in done.stderr
    assert not (tmp_path / "figure").exists()


def test_refuses_a_study_without_two_training_smears(tmp_path, study, folder):
    draw(study, *(f"SYN-000{n}" for n in range(1, 6)))
    smear = str(folder / "synthetic_SYN-0001_00.png")
    done = marrow(tmp_path / "home", smear, "--out", str(tmp_path / "figure"))
    assert done.returncode == 1
    assert "1 labelled training smears can be read; whitening needs 2" in done.stderr


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"smear": "nowhere.png"}, "nowhere.png"),
        ({"smear": "."}, "holds 6 smears; name one file"),
        ({"smear": "damaged.png"}, "damaged.png"),
        ({"fit": "labels.csv"}, "is no folder"),
        ({"fit": "empty"}, "holds 0 readable smears; whitening needs 2"),
        ({"fit": None}, "or give --fit a folder of smears"),
        ({"out": "labels.csv"}, "give --out another folder"),
    ],
)
def test_refuses_bad_input_in_one_sentence(tmp_path, folder, change, said):
    if "damaged" in str(change.get("smear")):
        (tmp_path / "damaged.png").write_bytes(b"\x89PNG\r\n\x1a\nand no more")
        change = {"smear": str(tmp_path / "damaged.png")}
    (tmp_path / "empty").mkdir()
    places = {"smear": "synthetic_SYN-0001_00.png", "fit": ".", "out": str(tmp_path / "out")}
    places |= change
    if change.get("fit") == "empty":
        places["fit"] = str(tmp_path / "empty")
    arguments = [str(folder / places["smear"]), "--out", str(folder / places["out"])]
    if places["fit"] is not None:
        arguments += ["--fit", str(folder / places["fit"])]
    done = marrow(tmp_path / "nohome", *arguments)
    assert done.returncode == 1, done.stdout
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_the_cap_of_the_command_is_the_whitenings():
    assert _SHOWN_FIT == zca.FIT_IMAGES


def test_of_a_slide_one_tile_is_shown(tmp_path, folder):
    root = os.environ.get("MARROW_TEST_DATA")
    if root is None:
        pytest.skip("MARROW_TEST_DATA is unset: no real slide to read")
    slide = Path(root) / "slides" / "cmu_small_dicom"
    out = tmp_path / "figure"
    done = marrow(tmp_path, str(slide), "--out", str(out), "--fit", str(folder))
    assert done.returncode == 0, done.stderr
    assert "One tile of a slide, 256 × 256 px" in done.stdout
    with Image.open(out / "original.png") as shown:
        assert np.asarray(shown).std() > 20  # tissue, not glass
