"""A sheet per patient: whole, harmless, and without what is not open."""

from __future__ import annotations

import html.parser
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from marrow.calibration import Calibration, HeadCalibration
from marrow.catalogue import labels, models, predictions, smears
from marrow.catalogue.predictions import ResultFilter
from marrow.errors import BadSettings
from marrow.exporting import sheets as sheets_module
from marrow.exporting import write_patient_sheets
from marrow.records import Answer, HeadAnswer, Provenance
from marrow.study import Study

PROVENANCE = Provenance(code_version="0", torch_version="0", device="cpu", host="test")
ANSWER = Answer(
    heads=(
        HeadAnswer(head="mds", call="MDS", probabilities=(0.25, 0.75)),
        HeadAnswer(head="diagnosis", call="MDS", probabilities=(0.1, 0.7, 0.2)),
    ),
    flags=("unsure",),
)


class Texts(html.parser.HTMLParser):
    """What a browser would show, and which elements there are."""

    def __init__(self) -> None:
        super().__init__()
        self.text: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def read(path: Path) -> Texts:
    found = Texts()
    found.feed(path.read_text(encoding="utf-8"))
    return found


@pytest.fixture
def study(
    make_study: Callable[..., Study],
    add_smears: Callable[..., list[int]],
    add_model: Callable[..., Any],
) -> Study:
    made = make_study()
    ids = add_smears(made, 4)
    model = add_model(made)
    with made.database.write() as connection:
        made_by = predictions.provenance_id(connection, PROVENANCE)
        said = dict.fromkeys(ids[:3], (ANSWER, None))
        revisions = dict.fromkeys(ids[:3], 0)
        predictions.store(connection, 1.0, made.scheme, model, made_by, revisions, said)
        smears.describe(connection, ids[:2], patient="<b>P&1</b>")
        smears.describe(connection, ids[2:], patient="病人")
        labels.give(connection, 1.0, made.scheme, ids[0], {"diagnosis": "MDS"}, "Dr A", False)
    return made


def test_a_patient_a_page_with_all_that_was_said(study: Study, tmp_path: Path) -> None:
    target = tmp_path / "sheets.html"
    seen: list[tuple[int, int]] = []
    assert write_patient_sheets(study, target, ResultFilter(), lambda *at: seen.append(at)) == 2
    assert seen == [(1, 2), (2, 2)]
    sheets = read(target)
    text = " ".join(sheets.text)
    assert sheets.tags.count("section") == 2
    assert "script" not in sheets.tags
    assert "<b>P&1</b>" in sheets.text  # a name is text, never markup
    assert "病人" in sheets.text
    assert "S000001" in text
    assert "Dr A: diagnosis" in text
    assert "(blind)" in text
    assert "flags: unsure" in text
    # Two patients, and three smears; the fourth has no answer and no row.
    assert text.count("0.700") == 2 + 3
    assert text.count("research use only") >= 2
    assert list(tmp_path.glob("*.new")) == []


def test_too_many_patients_are_no_sheets(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sheets_module, "MOST_PATIENTS", 1)
    with pytest.raises(BadSettings, match="narrow the filter"):
        write_patient_sheets(study, tmp_path / "sheets.html", ResultFilter())
    assert list(tmp_path.glob("*.html")) == []


def test_the_patient_as_a_whole_is_the_mean_of_all_smears(
    make_study: Callable[..., Study], add_smears: Callable[..., list[int]], tmp_path: Path
) -> None:
    """Also of those that the filter leaves out; with the set at its confidence."""
    study = make_study()
    ids = add_smears(study, 2)
    fitted = {
        "mds": HeadCalibration(temperature=1, conformal=(0.9, 0.9), patients=80),
        "diagnosis": HeadCalibration(temperature=1, conformal=(0.7, 0.5, 0.2), patients=80),
    }
    tested = {"value": 0.87, "low": 0.78, "high": 0.93, "n": 64, "unit": "patients"}
    card = {
        "calibration": Calibration(heads=fitted, source="80 patients").model_dump(mode="json"),
        "figures": {"heads": {"mds": {"auc": tested}}},
    }
    with study.database.write() as connection:
        model = models.register(
            connection, 0.0, sha256="a" * 64, path="a", preprocessing="b" * 64,
            precision="fp32", card=card, job_id=None,
        )  # fmt: skip
        made_by = predictions.provenance_id(connection, PROVENANCE)
        other = Answer(
            heads=(
                HeadAnswer(head="mds", call="other", probabilities=(0.75, 0.25)),
                HeadAnswer(head="diagnosis", call="AA", probabilities=(0.7, 0.3, 0.0)),
            )
        )
        said = {ids[0]: (ANSWER, None), ids[1]: (other, None)}
        predictions.store(
            connection, 1.0, study.scheme, model, made_by, dict.fromkeys(ids, 0), said
        )
    target = tmp_path / "sheets.html"
    assert write_patient_sheets(study, target, ResultFilter(flagged=True)) == 1
    text = " ".join(" ".join(read(target).text).split())
    assert "mean over 2 answered smears" in text
    assert "diagnosis: MDS AA 0.400 MDS 0.500 AML 0.100" in text
    assert "cannot be ruled out (90% confidence): AA, MDS" in text
    assert "S000001" in text
    assert "S000002" not in text
    assert "on test patients by all labels: mds AUC 0.870 (0.780-0.930), n = 64 patients" in text


def test_a_folder_that_is_not_there_is_told(study: Study, tmp_path: Path) -> None:
    with pytest.raises(BadSettings, match="cannot be written"):
        write_patient_sheets(study, tmp_path / "none" / "sheets.html", ResultFilter())
