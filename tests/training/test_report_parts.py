"""The parts of a report, each against a hand-worked case or another implementation."""

from __future__ import annotations

import numpy as np
import pytest

from marrow.catalogue.sight import set_blind_readers
from marrow.paper_tables import model_text
from marrow.records import Cell, Scoring
from marrow.schemes import AA_MDS_AML
from marrow.scored import ScoredRows
from tests.training.reported_study import reported_study
from training.report.checklists import CLAIM, TRIPOD_AI
from training.report.evidence import gather
from training.report.files import table_csv
from training.report.flags import flags_of_rows
from training.report.gallery import gallery_parts, overlay, wrong_calls
from training.report.grid import Grid
from training.report.images import AT_MOST_A_SITE, _spread
from training.report.model_card import card_json, card_markdown, facts_of
from training.report.numbering import numbered
from training.report.page import page
from training.report.parts import Missing, Section, Table, figure_text


def rows_of(truth, probabilities, smears=None) -> ScoredRows:
    head = AA_MDS_AML.head("diagnosis")
    n = len(truth)
    return ScoredRows(
        head,
        "patients",
        tuple(f"p{i}" for i in range(n)),
        tuple(smears or [(i,) for i in range(n)]),
        np.array(truth),
        np.array(probabilities, dtype=np.float64),
    )


def test_confusion_counts_truth_by_row_and_calls_by_column():
    rows = rows_of([0, 0, 1, 2], [[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0, 1, 0], [0.9, 0.1, 0]])
    assert rows.confusion.tolist() == [[1, 1, 0], [0, 1, 0], [1, 0, 0]]


def test_a_patient_is_flagged_when_one_of_the_smears_is():
    rows = rows_of([0, 1], [[1, 0, 0], [0, 1, 0]], smears=[(1, 2), (3,)])
    figures = {"flags": {"2": ["unsure"], "9": ["unlike-training"]}}
    scoring = Scoring(id=1, model_id=1, side="test", at=0, figures=figures, answers={}, facts={})
    raised = flags_of_rows(rows, scoring)
    assert raised["any"].tolist() == [True, False]
    assert raised["unsure"].tolist() == [True, False]
    assert raised["unlike-training"].tolist() == [False, False]


def test_cells_that_one_model_serves_are_named_together():
    cells = [
        Cell(loss_weights=weights, epochs=30, seed=0, run=0) for weights in ((5, 5), (1, 9), (1, 9))
    ]
    assert model_text(cells, 2) == "30 epochs, 5:5 = 1:9"


@pytest.mark.slow
def test_wrong_calls_come_worst_first_and_only_from_patients_held_back(make_study):
    study = make_study()
    record = reported_study(study)
    grid = Grid(gather(study, record.id))
    found = wrong_calls(grid)
    assert found
    assert [one.gap for one in found] == sorted((one.gap for one in found), reverse=True)
    assert {one.side for one in found} <= {"test", "site:clinic"}
    wrong = sum(
        int((~grid.evidence.rows(grid.evidence.model, side, "diagnosis").is_right).sum())
        for side in ("test", "site:clinic")
    )
    assert len(found) == wrong
    assert all(one.call != one.answer for one in found)
    # What blind reading hides is counted, and not shown.
    assert not any(one.is_hidden for one in found)
    with study.database.write() as connection:
        set_blind_readers(connection, ["nobody", "no one"])
    hidden = Grid(gather(study, record.id))
    assert [one.is_hidden for one in wrong_calls(hidden)] == [True] * wrong
    (part,) = gallery_parts(hidden, None)
    assert f"{wrong} wrong calls cannot be shown before all blind readers" in part.sentence


@pytest.mark.slow
def test_a_card_says_what_records_say_and_what_a_person_must_write(make_study):
    study = make_study()
    record = reported_study(study)
    grid = Grid(gather(study, record.id))
    facts = facts_of(grid)
    card = card_json(grid)
    by_item = {one["item"]: one for one in card["tripod_ai_2024"]}
    assert by_item["17"]["text"] is None
    assert "Committee" in by_item["17"]["to_write"]
    assert "15 patients" in by_item["23a"]["text"]
    assert "train: 30, test: 15" in facts["flow"]
    keys = {item.fact for item in (*TRIPOD_AI, *CLAIM) if item.fact}
    assert facts.keys() <= keys  # no fact is made that no item shows
    text = card_markdown(grid)
    assert text.count("\n| ") == len(TRIPOD_AI) + len(CLAIM) + 2  # and two headers
    assert "*To be written: Committee" in text


def test_the_checklists_have_all_items():
    assert {int(item.number.rstrip("abcdefg")) for item in TRIPOD_AI} == set(range(1, 28))
    assert [int(item.number) for item in CLAIM] == list(range(1, 45))


def test_tables_and_figures_are_numbered_and_share_no_file():
    table = Table("a", "A.", "", ("x",), (("1",),))
    parts = numbered([Section("s", "S", (table, "text", table)), Section("t", "T", (table,))])
    found = [part for section in parts for part in section.parts if isinstance(part, Table)]
    assert [part.title for part in found] == ["Table 1. A.", "Table 2. A.", "Table 3. A."]
    assert len({part.key for part in found}) == 3


def test_a_table_runs_nothing_in_a_spreadsheet_and_keeps_its_banner():
    figure = {"value": 0.5, "low": None, "high": None, "n": 4, "unit": "patients",
              "method": "none", "reason": "a class with one patient alone"}  # fmt: skip
    table = Table("k", "T", "", ("Site", "AUC"), (("=1+1", figure),), banner="not honest")
    header, row = table_csv(table).splitlines()
    assert header == ("Site,AUC value,AUC low,AUC high,AUC n,AUC unit,AUC method,AUC reason,banner")
    assert row == "'=1+1,0.5,,,4,patients,none,a class with one patient alone,not honest"


def test_a_table_with_a_row_of_another_length_is_an_error():
    with pytest.raises(ValueError, match="k: 1 cells for 2 columns"):
        Table("k", "T", "", ("a", "b"), (("1",),))


def test_figures_are_written_with_their_interval_or_a_dash():
    assert figure_text({"value": 0.9137, "low": 0.776, "high": 0.97}) == "0.914 (0.776–0.970)"
    assert figure_text({"value": -0.1, "low": -0.2, "high": 0.05}, 2) == "−0.10 (−0.20 to 0.05)"
    assert figure_text({"value": 1.0, "low": None, "high": None}) == "1.000 (–)"
    assert figure_text({"value": None}) == "–"


def test_names_from_outside_are_text_on_the_page():
    table = Table("k", "<i>", "`<b>`", ("<x>",), (("<img src=x onerror=alert(1)>",),))
    text = page("<t>", ["<s>"], [Section("s", "<h>", (table, Missing("use `marrow <lock>`.")))])
    assert "<img src=x" not in text
    assert "<code>marrow &lt;lock&gt;</code>" in text
    assert "<code>&lt;b&gt;</code>" in text


def test_evidence_for_and_against_a_call_have_two_colours():
    pixels = np.full((32, 32, 3), 128, dtype=np.uint8)
    evidence = np.array([[1.0, -1.0]], dtype=np.float32)
    drawn = overlay(pixels, evidence).astype(int)
    assert drawn.shape == (32, 32, 3)
    assert drawn[16, 0, 0] > drawn[16, 0, 2] + 50  # yellow: more red than blue
    assert drawn[16, -1, 2] > drawn[16, -1, 0] + 50


@pytest.mark.slow
def test_images_of_a_site_are_spread_over_its_patients(make_study, add_smears):
    study = make_study()
    record = reported_study(study)
    known = list(gather(study, record.id).smears.values())
    many = [
        one.model_copy(update={"id": i, "identity": f"{i:064x}", "patient": f"q{i % 60}"})
        for i, one in enumerate(known * 3)
    ]
    chosen = _spread(many)
    counts = np.bincount([int(one.patient[1:]) for one in chosen])
    assert len(chosen) == AT_MOST_A_SITE
    assert counts.max() - counts.min() <= 1
    assert chosen == _spread(many[::-1])
