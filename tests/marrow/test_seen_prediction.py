"""Whether a label was given blind: what the catalogue itself knows of that."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from marrow.catalogue import jobs, labels, predictions
from marrow.catalogue.sight import Sight, set_blind_readers
from marrow.catalogue.smears import SmearFilter, all_ids
from marrow.cli import build
from marrow.importing import import_smears, label_known_smears
from marrow.records import Answer, AnswerMap, HeadAnswer, ModelRecord, Provenance
from marrow.study import Study

CALLED_AA = Answer(
    heads=(
        HeadAnswer(head="mds", call="other", probabilities=(0.9, 0.1)),
        HeadAnswer(head="diagnosis", call="AA", probabilities=(0.8, 0.1, 0.1)),
    )
)


@pytest.fixture
def study(
    make_study: Callable[..., Study],
    add_model: Callable[..., ModelRecord],
    small_smears: Callable[[Study, Path, int], list[int]],
    tmp_path: Path,
) -> Study:
    """Three smears of a folder with a labels.csv; the first one was called AA."""
    made = make_study()
    ids = small_smears(made, tmp_path / "s", 3)
    model = add_model(made)
    a_map = AnswerMap("tiles", b"\0\0" * 20, (5, 2, 2), (8.0, 8.0))
    with made.database.write() as connection:
        by = predictions.provenance_id(
            connection, Provenance(code_version="0", torch_version="0", device="cpu", host="here")
        )
        jobs.submit_classify(connection, 1.0, model, ids[:1])
        answers = {ids[0]: (CALLED_AA, a_map)}
        predictions.store(connection, 1.0, made.scheme, model, by, {ids[0]: 0}, answers)
    table = "file,diagnosis\n00000.png,AML\n00001.png,MDS\n"
    (tmp_path / "s" / "labels.csv").write_text(table)
    return made


def seen(study: Study, smear_id: int) -> list[bool]:
    with study.database.read() as connection:
        return [one.seen_prediction for one in labels.history(connection, smear_id)]


def give(study: Study, smear_id: int, answer: str, is_seen: bool, reader: str = "A") -> None:
    with study.database.write() as connection:
        at = study.database.now(connection)
        given = {"diagnosis": answer}
        labels.give(connection, at, study.scheme, smear_id, given, reader, is_seen)


def test_who_has_seen_a_prediction_once_has_seen_it_when_he_corrects_himself(study: Study) -> None:
    give(study, 1, "AA", is_seen=True)
    give(study, 1, "MDS", is_seen=False)  # another program, or another day
    assert seen(study, 1) == [True, True]
    give(study, 1, "MDS", is_seen=False, reader="B")
    assert seen(study, 1) == [True, True, False]
    with study.database.write() as connection:
        for reader in ("A", "B"):
            decided = {"diagnosis": "AML"}
            labels.adjudicate(connection, 9e9, study.scheme, 1, decided, reader, False)
    assert seen(study, 1)[-2:] == [True, False]


def test_a_table_of_labels_is_blind_only_of_smears_without_an_answer(
    study: Study, tmp_path: Path
) -> None:
    table = tmp_path / "s" / "labels.csv"
    assert label_known_smears(study, table, " A ") == (2, 1, [])
    assert (seen(study, 1), seen(study, 2)) == ([True], [False])
    assert import_smears(study, [tmp_path / "s"], table, reader="A").labels == 0
    assert import_smears(study, [tmp_path / "s"], table, reader="B").labels == 2
    assert (seen(study, 1), seen(study, 2)) == ([True, True], [False, False])
    assert label_known_smears(study, table, "C", is_blind=True) == (2, 0, [])
    assert seen(study, 1)[-1] is False


def test_what_blind_reading_hides_nobody_has_seen(study: Study, tmp_path: Path) -> None:
    with study.database.write() as connection:
        set_blind_readers(connection, ["A", "B"])
        sight = Sight.of(connection, "A")
        assert predictions.shown_to(connection, study.scheme, [1, 2], sight) == frozenset()
    label_known_smears(study, tmp_path / "s" / "labels.csv", "A")
    assert seen(study, 1) == [False]


def test_the_command_says_how_many_labels_do_not_count_as_blind(
    study: Study, tmp_path: Path
) -> None:
    def run(*words: str) -> Any:
        home, table = str(study.settings.home), str(tmp_path / "s" / "labels.csv")
        done = CliRunner().invoke(build(), ["--home", home, "label", table, *words])
        assert done.exit_code == 0, done.output
        return done.output

    assert "1 have a prediction, so that their labels do not count as blind" in run()
    assert json.loads(run("--json", "--reader", "C", "--blind"))["not_blind"] == 0


def test_the_cases_filter_takes_an_adjudicated_answer_alone(study: Study) -> None:
    give(study, 1, "AA", is_seen=False)
    give(study, 1, "AML", is_seen=False, reader="B")
    shown = SmearFilter(disagrees=True)
    with study.database.write() as connection:
        assert list(all_ids(connection, shown)) == [1]
        decided = {"diagnosis": "AA"}
        labels.adjudicate(connection, 9e9, study.scheme, 1, decided, "judge", False)
        assert list(all_ids(connection, shown)) == []
        decided = {"diagnosis": "MDS"}
        labels.adjudicate(connection, 9.1e9, study.scheme, 1, decided, "judge", False)
        assert list(all_ids(connection, shown)) == [1]
