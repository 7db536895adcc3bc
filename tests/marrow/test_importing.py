from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from marrow.catalogue import labels, smears
from marrow.catalogue.smears import SmearFilter, SmearRow
from marrow.errors import BadLabels, UnreachableSmear
from marrow.importing import import_smears, label_known_smears
from marrow.records import Smear
from marrow.study import Study

MakeStudy = Callable[..., Study]


def write_smear(path: Path, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (40, 50, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(3):
        write_smear(tmp_path / "smears" / f"{number}.png", number)
    return tmp_path / "smears"


def write_table(folder: Path, text: str) -> Path:
    path = folder / "labels.csv"
    path.write_text(text, encoding="utf-8")
    return path


def rows_of(study: Study) -> list[SmearRow]:
    with study.database.read() as connection:
        return smears.page(connection, SmearFilter(), 0, 100)


def test_a_folder_with_bad_files_registers_the_good_ones(
    make_study: MakeStudy, folder: Path
) -> None:
    (folder / "torn.png").write_bytes((folder / "0.png").read_bytes()[:20])
    Image.fromarray(np.zeros((40, 50), np.uint8)).save(folder / "grey.png")
    study = make_study()
    report = import_smears(study, [folder])
    assert report.added == 3
    assert sorted(error.path.name for error in report.refused) == ["grey.png", "torn.png"]
    assert len(rows_of(study)) == 3


def test_labels_and_description_come_from_the_table(make_study: MakeStudy, folder: Path) -> None:
    table = write_table(
        folder,
        "file,patient,slide,site,mpp,diagnosis\n"
        "0.png,P1,A,Kiel,0.25,AML\n1.png,P2,,,,unsure\n2.png,P3,,,,\n",
    )
    study = make_study()
    report = import_smears(study, [folder], table, site="Ulm")
    assert (report.added, report.labels) == (3, 2)
    first, second, third = rows_of(study)
    assert (first.smear.patient, first.smear.slide, first.smear.site) == ("P1", "A", "Kiel")
    assert first.smear.pixel_size_um == 0.25
    assert second.smear.site == "Ulm"
    assert [row.answers for row in (first, second, third)] == [
        {"diagnosis": "AML"},
        {"diagnosis": "unsure"},
        {},
    ]


def test_importing_twice_changes_nothing(make_study: MakeStudy, folder: Path) -> None:
    table = write_table(folder, "file,patient,diagnosis\n0.png,P1,AML\n")
    study = make_study()
    import_smears(study, [folder], table)
    again = import_smears(study, [folder], table)
    assert (again.added, again.known, again.labels) == (0, 3, 0)
    with study.database.read() as connection:
        assert len(labels.history(connection, 1)) == 1


def test_a_moved_file_is_the_same_smear(make_study: MakeStudy, folder: Path) -> None:
    study = make_study()
    import_smears(study, [folder / "0.png"])
    moved = (folder / "0.png").rename(folder / "moved.png")
    report = import_smears(study, [moved])
    assert (report.added, report.known) == (0, 1)
    assert study.file_of(rows_of(study)[0].smear) == moved


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("patient,diagnosis\nP1,AML\n", "no column `file`"),
        ("file,patient,diagnosis\n0.png,P1,ALL\n", "line 2: 'ALL' is no answer"),
        ("file,blasts\n0.png,20\n", "unknown column 'blasts'"),
        ("file,mpp\n0.png,250\n", "mpp is '250'"),
        ("file,patient\n0.png,P1,AML,more\n", "does not fit the columns"),
        ("file,mds\n0.png,MDS\n", "unknown column 'mds'"),
        ("file,patient\n0.png,P1\n0.png,P2\n", "line 3: 0.png has another row"),
        ("file,patient\n0.png,P\x1b[31m\n", "control characters"),
        ("file,patient\n0\x00.png,P1\n", "control characters"),
    ],
)
def test_a_bad_table_registers_nothing(
    make_study: MakeStudy, folder: Path, text: str, fault: str
) -> None:
    study = make_study()
    with pytest.raises(BadLabels, match=fault):
        import_smears(study, [folder], write_table(folder, text))
    assert rows_of(study) == []


def test_a_table_that_names_missing_files_says_so(make_study: MakeStudy, folder: Path) -> None:
    table = write_table(folder, "file,patient\n0.png,P1\ngone.png,P2\n")
    report = import_smears(make_study(), [folder], table)
    assert report.added == 3
    assert [error.path.name for error in report.refused] == ["gone.png"]


def test_copies_lie_in_the_store_under_their_hash(make_study: MakeStudy, folder: Path) -> None:
    study = make_study()
    import_smears(study, [folder], copy=True)
    for source in folder.glob("*.png"):
        source.unlink()
    for row in rows_of(study):
        path = study.file_of(row.smear)
        assert row.smear.root == "store"
        assert path.stem == row.smear.identity
        assert path.is_relative_to(study.store)


def test_roots_differ_per_host(make_study: MakeStudy, folder: Path, tmp_path: Path) -> None:
    study = make_study()
    roots = study.settings.model_copy(update={"roots": {"smears": folder}})
    here = Study(roots, study.database, study.scheme)
    import_smears(here, [folder / "0.png"])
    smear: Smear = rows_of(study)[0].smear
    assert (smear.root, smear.path) == ("smears", "0.png")
    elsewhere = study.settings.model_copy(update={"roots": {"smears": tmp_path / "mnt"}})
    write_smear(tmp_path / "mnt" / "0.png")
    there = Study(elsewhere, study.database, study.scheme)
    assert there.file_of(smear) == tmp_path / "mnt" / "0.png"
    with pytest.raises(UnreachableSmear, match="MARROW_ROOTS"):
        study.file_of(smear)


def test_a_place_never_leads_out_of_its_root(make_study: MakeStudy) -> None:
    study = make_study()
    assert study.path_in("store", "../../etc/passwd") is None
    assert study.path_in("store", "/etc/passwd") is None


def test_labels_for_smears_that_are_registered(make_study: MakeStudy, folder: Path) -> None:
    study = make_study()
    import_smears(study, [folder])
    table = write_table(folder, "file,patient,diagnosis\n0.png,P9,MDS\nelse.png,P1,AA\n")
    assert label_known_smears(study, table) == (1, 0, ["else.png"])
    assert rows_of(study)[0].answers == {"diagnosis": "MDS"}
    assert rows_of(study)[0].smear.patient == "P9"


def test_one_image_under_two_names_is_one_smear_and_said_so(
    make_study: MakeStudy, folder: Path
) -> None:
    (folder / "twin.png").write_bytes((folder / "0.png").read_bytes())
    study = make_study()
    report = import_smears(study, [folder])
    assert report.added == 3
    assert report.copies == ((folder / "twin.png", report.smear_ids[0]),)
    assert ("twin.png", "the same image as 0.png") in report.warnings


def test_one_image_with_two_diagnoses_is_refused(make_study: MakeStudy, folder: Path) -> None:
    (folder / "twin.png").write_bytes((folder / "0.png").read_bytes())
    table = write_table(folder, "file,patient,diagnosis\n0.png,P1,AA\ntwin.png,P2,AML\n")
    report = import_smears(make_study(), [folder], table)
    assert report.added == 2
    assert [error.path.name for error in report.refused] == ["twin.png"]
    assert "same image as 0.png" in str(report.refused[0])


def test_a_name_that_no_file_can_have_is_named_as_missing(
    make_study: MakeStudy, folder: Path
) -> None:
    table = write_table(folder, f"file,patient\n{'x' * 300}.png,P1\n")
    report = import_smears(make_study(), [folder], table)
    assert report.added == 3
    assert len(report.refused) == 1


def test_a_copy_in_the_store_stays_the_place(make_study: MakeStudy, folder: Path) -> None:
    study = make_study()
    import_smears(study, [folder], copy=True)
    import_smears(study, [folder])
    assert {row.smear.root for row in rows_of(study)} == {"store"}
