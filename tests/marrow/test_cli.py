"""The command as a person meets it: exit codes, one clear line on stderr, JSON for machines."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

from marrow import sample_study
from marrow.catalogue import smears
from marrow.catalogue.smears import SmearFilter
from marrow.cli import main
from marrow.client import Client
from marrow.exporting import NOTICE, harmless, write_job_csv
from marrow.settings import Settings
from marrow.study import Study

ROOT = Path(__file__).parents[2]


class Done(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


def marrow(home: Path, *arguments: str) -> Done:
    """The command in this process: what it prints, and its exit code."""
    out, err, before = io.StringIO(), io.StringIO(), sys.argv
    sys.argv = ["marrow", "--home", str(home), *arguments]
    code = 0
    try:
        with redirect_stdout(out), redirect_stderr(err):
            main()
    except SystemExit as end:
        code = int(end.code or 0)
    finally:
        sys.argv = before
    return Done(code, out.getvalue(), err.getvalue())


def test_is_a_command_of_its_own() -> None:
    command = [sys.executable, "-m", "marrow", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert "Research" in done.stdout


@pytest.fixture
def home(tmp_path: Path) -> Path:
    assert marrow(tmp_path / "home", "init").returncode == 0
    return tmp_path / "home"


def test_a_sample_study_is_made_without_a_window(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sample_study, "PATIENTS", 3)
    monkeypatch.setattr(sample_study, "UNLABELLED", 1)
    done = marrow(tmp_path / "home", "init", "--sample", "--json")
    assert (done.returncode, json.loads(done.stdout)["smears"]) == (0, 18)
    study = Study.open(Settings.read(tmp_path / "home"))
    with study.database.read() as connection:
        assert smears.count(connection, SmearFilter(labelled=True)) == 12
    study.close()
    again = marrow(tmp_path / "home", "init", "--sample")
    assert (again.returncode, "already holds a study" in again.stderr) == (1, True)
    scheme = str(ROOT / "examples" / "cells.toml")
    assert marrow(tmp_path / "other", "init", "--sample", "--scheme", scheme).returncode == 2
    assert not (tmp_path / "other").exists()


def write_smear(path: Path) -> Path:
    pixels = np.random.default_rng(0).integers(0, 255, (40, 50, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def test_refused_input_is_one_line_and_exit_code_1(home: Path, tmp_path: Path) -> None:
    for arguments in (
        ("init",),
        ("init", "--scheme", str(tmp_path / "none.toml")),
        ("follow", "7"),
        ("classify",),
        ("train", "--weights", str(tmp_path / "none.pth")),
        ("models", "show", "m3"),
        ("classify", "--wait", "--out", str(tmp_path / "none" / "x.csv")),
    ):
        done = marrow(home, *arguments)
        assert done.returncode == 1, arguments
        assert done.stderr.startswith("marrow: "), arguments
        assert len(done.stderr.strip().splitlines()) == 1, arguments


def test_wrong_usage_is_exit_code_2(home: Path) -> None:
    for arguments in (
        ("classify", "--model", "best"),
        ("classify", "--model", "m99999999999999999999"),
        ("classify", "--at", "25:00"),
        ("classify", "--until", "06:00"),
        ("follow", "99999999999999999999"),
        ("train", "--loss-weights", "1:2:3"),
        ("train", "--loss-weights", "nan:1"),
        ("train", "--input-px", "5000"),
        ("train", "--folds", "1"),
        ("sweep", "--epochs", "30,30"),
        ("sweep", "--epochs", "30;50"),
        ("sweep", "--loss-weights", "1:9,2:18"),
        ("sweep", "--until", "06:00"),
    ):
        done = marrow(home, *arguments)
        assert done.returncode == 2, arguments
        assert "Traceback" not in done.stderr


def test_import_lists_what_it_refused(home: Path, tmp_path: Path) -> None:
    good, bad = write_smear(tmp_path / "a.png"), tmp_path / "b.png"
    bad.write_bytes(b"no image")
    done = marrow(home, "import", str(good), str(bad), "--json")
    assert done.returncode == 1
    report = json.loads(done.stdout)
    assert report["added"] == 1
    assert len(report["refused"]) == 1
    assert report["refused"][0].startswith("b.png: ")


def test_doctor_is_content_with_a_new_study(home: Path) -> None:
    done = marrow(home, "doctor", "--json")
    findings = {one["what"]: one for one in json.loads(done.stdout)}
    assert done.returncode == 0, done.stdout
    assert findings["database"]["found"].startswith("SQLite, ok")


def test_results_have_a_row_for_each_file(home: Path, tmp_path: Path, add_model: object) -> None:
    good, bad = write_smear(tmp_path / "=cmd.png"), tmp_path / "b.png"
    twin = write_smear(tmp_path / "twin.png")
    bad.write_bytes(b"no image")
    study = Study.open(Settings.read(home))
    client = Client(study, start_agent=lambda _: None)
    report = client.import_smears([good, twin, bad])
    assert callable(add_model)
    add_model(study)
    job = client.submit(report.smear_ids)
    write_job_csv(study, job.id, tmp_path / "results.csv", report.refused, report.copies)
    study.close()
    with (tmp_path / "results.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [Path(row["file"]).name for row in rows] == ["=cmd.png", "twin.png", "b.png"]
    assert all(len(row["sha256"]) == 64 for row in rows)
    assert rows[0]["sha256"] == rows[1]["sha256"]
    assert rows[2]["error"]
    assert {row["notice"] for row in rows} == {NOTICE}
    assert list(rows[0])[4:16] == [
        "site",
        "model",
        "at",
        "mds",
        "mds_set",
        "mds_p_other",
        "mds_p_MDS",
        "diagnosis",
        "diagnosis_set",
        "diagnosis_p_AA",
        "diagnosis_p_MDS",
        "diagnosis_p_AML",
    ]


@pytest.mark.parametrize("text", ["=1+1", "+A1", "-A1", "@sum", "\t=1"])
def test_no_cell_is_a_formula(text: str) -> None:
    assert harmless(text) == f"'{text}"
    assert harmless("P-17") == "P-17"
