"""Bad input of a training: one clear sentence each, and nothing half-written."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sqlalchemy import func, select

from marrow.catalogue import labels, smears
from marrow.catalogue.schema import label, smear, test_patient
from marrow.errors import BadLabels, CannotSplit, MarrowError
from marrow.importing import import_smears
from marrow.records import TrainingSpec
from marrow.schemes import AA_MDS_AML, Head, Scheme
from marrow.study import Study

MakeStudy = Callable[..., Study]
TWO = Scheme(
    name="two",
    unit="patient",
    primary="mds",
    heads=(Head(name="mds", classes=("other", "MDS"), positive="MDS"),),
)


def import_rows(study: Study, folder: Path, rows: list[str], header: str = "diagnosis") -> None:
    """Import one small picture for each row `FILE,PATIENT,ANSWER`."""
    folder.mkdir(exist_ok=True)
    for number, name in enumerate(dict.fromkeys(row.split(",")[0] for row in rows)):
        pixels = np.random.default_rng(number).integers(0, 255, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / name)
    table = folder / "labels.csv"
    table.write_text("\n".join([f"file,patient,{header}", *rows]))
    import_smears(study, [folder], table)


def counts(study: Study) -> list[int]:
    """Rows of smears, labels and test patients."""
    with study.database.read() as connection:
        tables = (smear, label, test_patient)
        return [
            connection.execute(select(func.count()).select_from(t)).scalar_one() for t in tables
        ]


def refused(study: Study) -> str:
    """The one sentence with which a training is refused; nothing was drawn."""
    from worker.cohort import cohort_of  # torch: not for every test here

    before = counts(study)
    with pytest.raises(CannotSplit) as error:
        cohort_of(study, TrainingSpec())
    assert counts(study) == before
    return one_sentence(error.value)


def one_sentence(error: MarrowError) -> str:
    text = str(error)
    assert "\n" not in text
    assert ". " not in text
    return text


def test_an_empty_study(make_study: MakeStudy) -> None:
    assert "import a labels.csv" in refused(make_study())


def test_two_patients_in_all(make_study: MakeStudy, tmp_path: Path) -> None:
    study = make_study()
    import_rows(study, tmp_path / "s", ["0.png,P1,AA", "1.png,P2,MDS"])
    assert "1 of AA, 1 of MDS, 0 of AML" in refused(study)


def test_two_patients_where_there_are_two_classes(make_study: MakeStudy, tmp_path: Path) -> None:
    study = make_study(TWO)
    import_rows(study, tmp_path / "s", ["0.png,P1,other", "1.png,P2,MDS"], header="mds")
    assert "1 of other, 1 of MDS" in refused(study)


def test_a_class_without_patients(make_study: MakeStudy, tmp_path: Path) -> None:
    study = make_study()
    rows = [f"{i}.png,P{i},{('AA', 'MDS')[i % 2]}" for i in range(10)]
    import_rows(study, tmp_path / "s", rows)
    assert "5 of AA, 5 of MDS, 0 of AML" in refused(study)


def test_smears_without_patients(make_study: MakeStudy, tmp_path: Path) -> None:
    study = make_study()
    rows = [f"{i}.png,,{('AA', 'MDS', 'AML')[i % 3]}" for i in range(9)]
    import_rows(study, tmp_path / "s", rows)
    assert "--smear-is-patient" in refused(study)


def test_nothing_but_unsure_and_conflicting_answers(make_study: MakeStudy, tmp_path: Path) -> None:
    study = make_study()
    import_rows(study, tmp_path / "s", ["0.png,P1,AA", "1.png,P2,unsure"])
    with study.database.write() as connection:
        at = study.database.now(connection)
        found = smears.all_ids(connection, smears.SmearFilter())
        labels.give(connection, at, AA_MDS_AML, found[0], {"diagnosis": "MDS"}, "second", False)
    assert "(1 conflict, 1 unsure)" in refused(study)


@pytest.mark.parametrize(
    ("rows", "fault"),
    [
        (["0.png,P1,AA", "0.png,P1,MDS"], "line 3: 0.png has another row that says otherwise"),
        (["0.png,P1,AA", "1.png,P2,ALL"], "line 3: 'ALL' is no answer to diagnosis; use AA"),
    ],
    ids=["one smear labelled twice differently", "an unknown class"],
)
def test_a_table_that_contradicts_itself_or_the_scheme(
    make_study: MakeStudy, tmp_path: Path, rows: list[str], fault: str
) -> None:
    study = make_study()
    with pytest.raises(BadLabels, match=re.escape(fault)) as error:
        import_rows(study, tmp_path / "s", rows)
    one_sentence(error.value)
    assert counts(study) == [0, 0, 0]


def test_two_readers_who_differ_are_a_conflict_and_train_nothing(
    make_study: MakeStudy, tmp_path: Path
) -> None:
    study = make_study()
    import_rows(study, tmp_path / "s", ["0.png,P1,AA"])
    with study.database.write() as connection:
        at = study.database.now(connection)
        labels.give(connection, at, AA_MDS_AML, 1, {"diagnosis": "MDS"}, "second", False)
        found = labels.consensus(connection)[1]
    assert (found.answers, found.excluded) == ({}, {"diagnosis": "conflict"})


def test_one_file_under_two_names_with_two_diagnoses(make_study: MakeStudy, tmp_path: Path) -> None:
    study, folder = make_study(), tmp_path / "s"
    import_rows(study, folder, ["0.png,P1,AA"])
    (folder / "twin.png").write_bytes((folder / "0.png").read_bytes())
    table = folder / "labels.csv"
    table.write_text("file,patient,diagnosis\n0.png,P1,AA\ntwin.png,P2,AML\n")
    before = counts(study)
    report = import_smears(study, [folder], table)
    assert [error.path.name for error in report.refused] == ["twin.png"]
    assert "same image as 0.png" in one_sentence(report.refused[0])
    assert counts(study) == before


def test_one_file_under_a_second_name_keeps_its_label(
    make_study: MakeStudy, tmp_path: Path
) -> None:
    """The same picture, imported later under another name: one smear, whose label may change."""
    study, folder = make_study(), tmp_path / "s"
    import_rows(study, folder, ["0.png,P1,AA"])
    other = tmp_path / "other"
    other.mkdir()
    (other / "copy.png").write_bytes((folder / "0.png").read_bytes())
    (other / "labels.csv").write_text("file,patient,diagnosis\ncopy.png,P1,AA\n")
    report = import_smears(study, [other], other / "labels.csv")
    assert (report.added, report.known, report.labels) == (0, 1, 0)


def test_a_file_that_the_table_names_and_nobody_has(make_study: MakeStudy, tmp_path: Path) -> None:
    study, folder = make_study(), tmp_path / "s"
    folder.mkdir()
    table = folder / "labels.csv"
    table.write_text("file,patient,diagnosis\ngone.png,P1,AA\n")
    report = import_smears(study, [folder], table)
    assert [error.path.name for error in report.refused] == ["gone.png"]
    one_sentence(report.refused[0])
    assert counts(study) == [0, 0, 0]
