"""What goes out to spreadsheets and terminals: formulas do not run, names do not steer."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sqlalchemy import insert, update

from marrow.catalogue.schema import job_smear, smear
from marrow.client import Client
from marrow.errors import NotASmear, printable
from marrow.exporting import harmless, write_job_csv
from marrow.importing import import_smears
from marrow.records import ModelRecord
from marrow.study import Study

FORMULAS = [
    '=HYPERLINK("http://x.example","click")',
    "=1+1",
    "+1+cmd|' /C calc'!A0",
    "-2+3+cmd|' /C calc'!A0",
    "@SUM(1+1)*cmd|' /C calc'!A0",
    "\t=1+1",
    "\r=1+1",
    "\n=1+1",
    " =1+1",
    "\u00a0=1+1",
    "\uff1d1+1",
    "\uff0b1+1",
    "\uff0d1+1",
    "\uff20SUM(1)",
]
NAME = 'a"b;c\n\x1b[31m\x1b]0;owned\x07\u202egnp.png'
posix = pytest.mark.skipif(sys.platform == "win32", reason="file names that Windows lacks")


@pytest.mark.parametrize("formula", FORMULAS)
def test_a_formula_gets_an_apostrophe(formula: str) -> None:
    assert harmless(formula) == f"'{formula}"


@pytest.mark.parametrize("text", ["-5", "+5", "-0.25", "P-017", "a=b", "", "0001.png", "1-2"])
def test_a_number_or_a_word_stays_as_it_is(text: str) -> None:
    assert harmless(text) == text


@pytest.mark.parametrize("formula", FORMULAS)
def test_every_text_column_of_an_export_is_harmless(
    formula: str,
    make_study: Callable[..., Study],
    add_model: Callable[..., ModelRecord],
    add_smears: Callable[..., list[int]],
    tmp_path: Path,
) -> None:
    study = make_study()
    add_model(study)
    ids = add_smears(study, 1)
    job = Client(study, start_agent=lambda _: None).submit(ids)
    with study.database.write() as connection:
        connection.execute(update(smear).values(root="elsewhere", path=formula, patient=formula))
        connection.execute(update(job_smear).values(error=formula))
    target = tmp_path / "results.csv"
    refused = NotASmear(Path("/nowhere/x.png"), formula)
    write_job_csv(study, job.id, target, refused=[refused], copies=[(Path(formula), ids[0])])
    with target.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3
    for row in rows:
        for column, text in row.items():
            assert harmless(text) == text or text[0] == "'", column
    assert rows[0]["patient"] == rows[0]["error"] == f"'{formula}"
    assert rows[0]["file"] == f"'{formula}"


def test_control_characters_are_written_out() -> None:
    assert printable(NAME) == 'a"b;c\\n\\x1b[31m\\x1b]0;owned\\x07\\u202egnp.png'
    assert printable("Präparat µ 12 – é") == "Präparat µ 12 – é"
    assert "\x1b" not in str(NotASmear(Path(NAME), f"no smear: {NAME}"))


def marrow(home: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "marrow", "--home", str(home), *arguments],
        capture_output=True,
        timeout=120,
    )


@posix
@pytest.mark.slow
def test_the_command_prints_no_file_name_that_steers_the_terminal(
    make_study: Callable[..., Study], tmp_path: Path
) -> None:
    study = make_study()
    folder = tmp_path / "smears"
    folder.mkdir()
    (folder / NAME).write_text("no image")
    table = tmp_path / "labels.csv"
    table.write_text("file,diagnosis\nmissing.png,MDS\n")
    for arguments in (
        ("import", str(folder)),
        ("import", str(tmp_path / NAME)),
        ("import", str(folder), "--labels", str(tmp_path / f"{NAME}.csv")),
        ("label", str(tmp_path / NAME)),
        ("export", str(tmp_path / NAME / "x.csv")),
        ("init", "--scheme", str(tmp_path / NAME)),
        ("train", "--weights", str(tmp_path / NAME)),
    ):
        said = marrow(study.settings.home, *arguments)
        assert said.returncode == 1, said
        for control in (b"\x1b]0;", b"\x1b[31m", b"\x07", "\u202e".encode()):
            assert control not in said.stdout + said.stderr, arguments
        assert b"Traceback" not in said.stderr
    told = marrow(study.settings.home, "import", str(folder), "--json")
    assert "\\u001b" in told.stdout.decode() or "\\x1b" in json.loads(told.stdout)["refused"][0]


@posix
@pytest.mark.skipif(sys.platform == "darwin", reason="macOS refuses names that are no Unicode")
def test_a_refused_file_whose_name_is_no_unicode_is_exported(
    make_study: Callable[..., Study],
    add_model: Callable[..., ModelRecord],
    add_smears: Callable[..., list[int]],
    tmp_path: Path,
) -> None:
    study = make_study()
    add_model(study)
    job = Client(study, start_agent=lambda _: None).submit(add_smears(study, 1))
    name = os.fsdecode(b"caf\xe9.png")
    target = tmp_path / "results.csv"
    write_job_csv(study, job.id, target, refused=[NotASmear(tmp_path / name, "no colour")])
    assert "caf\\udce9.png" in target.read_text(encoding="utf-8")


@posix
def test_a_copy_of_a_link_is_a_file_of_the_store_and_named_by_content(
    make_study: Callable[..., Study], tmp_path: Path
) -> None:
    study = make_study()
    outside = tmp_path / "outside"
    outside.mkdir()
    pixels = np.random.default_rng(0).integers(0, 255, (40, 50, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(outside / "real.png")
    links = tmp_path / "smears"
    links.mkdir()
    (links / "a..%2f..%2fescape.png").symlink_to(outside / "real.png")
    report = import_smears(study, [links], copy=True)
    assert len(report.smear_ids) == 1
    (copied,) = [path for path in (study.store / "smears").rglob("*") if path.is_file()]
    assert not copied.is_symlink()
    assert copied.stem.isalnum()
    assert len(copied.stem) == 64
    assert (outside / "real.png").exists()


@pytest.mark.parametrize(
    "place", ["../../etc/passwd", "/etc/passwd", "smears/../../../x.png", "a/.."]
)
def test_a_row_that_leads_out_of_its_root_is_no_place(
    place: str, make_study: Callable[..., Study]
) -> None:
    assert make_study().path_in("store", place) is None


def test_quotes_in_every_text_field_stay_text(
    make_study: Callable[..., Study], add_smears: Callable[..., list[int]]
) -> None:
    study = make_study()
    add_smears(study, 1)
    evil = "x'); DROP TABLE smear; --"
    with study.database.write() as connection:
        connection.execute(update(smear).values(patient=evil, site=evil, slide=evil))
        connection.execute(
            insert(smear),
            {
                **dict(connection.execute(smear.select()).mappings().one()),
                "id": None,
                "identity": "f" * 64,
                "path": evil,
            },
        )
    found = Client(study, start_agent=lambda _: None)
    with study.database.read() as connection:
        assert len(connection.execute(smear.select()).all()) == 2
    assert found.jobs() == []
