"""Rows of the tables as strings."""

from __future__ import annotations

from pathlib import Path

import pytest

from marrow.catalogue.predictions import ResultRow
from marrow.catalogue.smears import SmearRow
from marrow.outlook import Outlook
from marrow.records import (
    Answer,
    HeadAnswer,
    Job,
    ModelRecord,
    Prediction,
    Smear,
    TrainingSpec,
    WorkerRecord,
)
from marrow.schemes import AA_MDS_AML, Scheme
from marrow.summary import Reason
from marrow.sweeps import Grid, plan
from napari_marrow.lines.cases import case_columns, case_line
from napari_marrow.lines.jobs import (
    JOB_COLUMNS,
    UNTRIED,
    JobLine,
    Tries,
    job_line,
    model_choice_words,
    why_text,
)
from napari_marrow.lines.results import (
    TableState,
    result_columns,
    result_examples,
    result_line,
    table_words,
    with_answers,
)
from napari_marrow.lines.smear import answer_words, smear_words, unread_words
from napari_marrow.lines.workers import Waiting, stopwatch, worker_words

SMEAR = Smear(
    id=148,
    identity="0" * 64,
    root="local",
    path="/a.png",
    height_px=512,
    width_px=1024,
    is_slide=False,
    patient="P1",
)
ANSWER = Answer(
    heads=(
        HeadAnswer(head="mds", call="MDS", probabilities=(0.2, 0.8)),
        HeadAnswer(head="diagnosis", call="AML", probabilities=(0.1, 0.3, 0.6)),
    ),
    flags=("heads-disagree",),
)
PREDICTION = Prediction(id=9, smear_id=148, model_id=3, answer=ANSWER, precision="fp32", at=0)


def job(**values: object) -> Job:
    given = {
        "id": 7,
        "kind": "classify",
        "state": "running",
        "priority": "interactive",
        "spec": {"model_id": 1},
        "last_seq": 1,
        "total": 40,
        "done": 9,
        "failed": 1,
        "created_at": 0.0,
    }
    return Job.model_validate(given | values)


def worker(seen_at: float) -> WorkerRecord:
    return WorkerRecord(id="h:1:0", host="h", pid=1, device="cpu", started_at=0, seen_at=seen_at)


def test_a_result_has_a_cell_for_each_column() -> None:
    columns = result_columns(AA_MDS_AML)
    line = result_line(AA_MDS_AML, ResultRow(SMEAR, PREDICTION, "m3", {"diagnosis": "AA"}, None))
    cells = dict(
        zip([column.sort_key or column.title for column in columns], line.cells, strict=True)
    )
    assert cells == {
        "smear": "S000148",
        "patient": "P1",
        "call:mds": "MDS",
        "p:mds:MDS": "0.800",
        "call:diagnosis": "AML",
        "p:diagnosis:AA": "0.100",
        "p:diagnosis:MDS": "0.300",
        "p:diagnosis:AML": "0.600",
        "flags": "heads-disagree",
        "label": "AA",
        "model": "m3",
    }
    assert line.calls == {"mds": "MDS", "diagnosis": "AML"}
    assert line.prediction_id == 9


def test_a_failed_smear_shows_its_reason_and_no_number() -> None:
    line = result_line(AA_MDS_AML, ResultRow(SMEAR, None, "m3", {}, "a.png: truncated"))
    assert len(line.cells) == len(result_columns(AA_MDS_AML))
    assert "failed: a.png: truncated" in line.cells
    assert not any("0." in cell for cell in line.cells)
    assert line.prediction_id is None


def test_a_case_shows_an_empty_cell_where_nothing_is_said() -> None:
    line = case_line(AA_MDS_AML, SmearRow(SMEAR, {"diagnosis": "unsure"}))
    assert len(line.cells) == len(case_columns(AA_MDS_AML))
    assert line.cells == ("S000148", "unsure", "", "", "P1", "")
    assert line.hint == "<qt>local: /a.png</qt>"


def line_of(one: Job, words: str = "runs", tries: Tries = UNTRIED) -> JobLine:
    return job_line(one, Outlook(words=words), tries, now=100.0)


def test_what_can_be_done_with_a_job_follows_from_its_state() -> None:
    running = line_of(job())
    assert (running.can_cancel, running.can_retry, running.is_finished) == (True, False, False)
    assert running.share_done == pytest.approx(10 / 40)
    assert "10 of 40, 1 failed" in running.cells
    done = line_of(job(state="done", done=40, failed=0))
    assert (done.can_cancel, done.can_retry, done.is_finished) == (False, False, True)
    assert line_of(job(state="done", done=39, failed=1)).can_retry
    assert line_of(job(state="cancelled", failed=0)).can_retry
    assert not line_of(job(state="cancelling")).can_cancel
    assert line_of(job(total=0, done=0, failed=0)).share_done == 1.0


def test_a_job_says_what_cancelling_would_lose() -> None:
    question = line_of(job()).question
    assert "9 smears with an answer keep it; 30 smears will not be classified" in question
    spec = plan(Grid(base=TrainingSpec(epochs=30), loss_weights=((5, 5), (2, 8))))
    training = line_of(job(kind="sweep", spec=spec.model_dump(mode="json"), total=60, done=12))
    assert "12 of 60 epochs are done" in training.question
    assert "goes on from its last checkpoints" in training.question
    assert training.cells[1] == "training of 2 cells"
    assert "13 of 60 epochs" in training.cells[3]
    assert training.is_training


def test_a_job_that_is_being_cancelled_says_so_until_the_worker_confirms() -> None:
    assert line_of(job(state="cancelling"), "being cancelled").cells[2] == "cancelling"


def test_a_row_has_a_cell_for_each_column_and_tells_an_eta() -> None:
    outlook = Outlook(words="runs", work_s=90.0, ends_at=190.0, measured_on="this job")
    line = job_line(job(started_at=10.0), outlook, Tries(3, 2, 0), now=100.0)
    cells = dict(zip([column.title for column in JOB_COLUMNS], line.cells, strict=True))
    assert cells["smears"] == "40 with m1"
    assert cells["eta"].endswith("(in 1 min 30 s)")
    assert cells["tries"] == "3"
    assert "A worker died 2 times" in line.hint


def test_why_groups_reasons_and_says_what_a_job_waits_for() -> None:
    failed = [Reason(reason="the file is damaged", count=3), Reason(reason="not there", count=1)]
    outlook = Outlook(words="waits until 22:00", reason="no smear was measured with m1 yet")
    text = why_text(job(failed=4), outlook, failed, 5, Tries(2, 0, 1), now=100.0)
    assert text.splitlines() == [
        "Job 7, 40 with m1: waits until 22:00.",
        "When it ends is not known: no smear was measured with m1 yet.",
        "5 smears had an answer of this model before.",
        "Failed, of 40 smears:",
        "    3 ×  the file is damaged",
        "    1 ×  not there",
        "A part of it broke off once; the worker's log says where.",
    ]
    many = [Reason(reason=f"reason {number}", count=1) for number in range(20)]
    assert "    8 ×  8 other reasons" in why_text(job(), outlook, many, 0, UNTRIED, now=100.0)
    assert "Nothing failed." in why_text(
        job(state="done", failed=0, done=40), Outlook(words="done"), [], 0, UNTRIED, now=100.0
    )


@pytest.mark.parametrize(("protocol", "told"), [("honest", ""), ("seed2022", ", seed2022")])
def test_a_replication_says_so_where_a_model_is_chosen(protocol: str, told: str) -> None:
    training = {"epochs": 30, "loss_weights": [1, 9], "protocol": protocol}
    model = ModelRecord(
        id=17, sha256="a", path="a", preprocessing="p", precision="fp32", job_id=None,
        is_champion=True, created_at=0, card={"backbone": "resnet50", "training": training},
    )  # fmt: skip
    assert model_choice_words(model) == f"m17 champion · resnet50, 30 epochs, 1:9{told}"


def test_silence_of_the_workers_alarms_only_while_work_waits() -> None:
    due, idle = Waiting(388, 0, since=63.0), Waiting()
    assert worker_words([worker(100)], 104.0, due).text == (
        "workers: 1 up (cpu) · waiting 388 smears · oldest 0:41 · last contact 4 s"
    )
    assert worker_words([worker(100)], 111.0, due).is_alarming
    assert "none is up" in worker_words([worker(100)], 111.0, due).text
    assert not worker_words([worker(100)], 111.0, idle).is_alarming
    assert worker_words([], 0.0, Waiting(trainings=1)).is_alarming
    assert "5 min" in worker_words([worker(0)], 300.0, idle).text
    assert "1 silent (h)" in worker_words([worker(100), worker(50)], 104.0, due).text
    assert "silent" not in worker_words([worker(5000), worker(100)], 5000.0, due).text


def test_an_age_is_read_like_a_stopwatch() -> None:
    assert [stopwatch(seconds) for seconds in (41, 723, 3725)] == ["0:41", "12:03", "1:02:05"]


def test_the_canvas_says_what_is_shown_and_that_a_pixel_size_is_unknown() -> None:
    size = "1,024 x 512 px"
    assert smear_words(SMEAR) == f"S000148 · P1 · {size}\npixel size unknown: no scale bar"
    known = SMEAR.model_copy(update={"pixel_size_um": 0.2, "patient": "名" * 2_000})
    assert smear_words(known).endswith(f"…{'名' * 29}\n{size}")
    assert answer_words(PREDICTION, is_hidden=False) == "mds: MDS 0.80 · diagnosis: AML 0.60"
    assert "blind" in answer_words(None, is_hidden=True)
    assert "no model" in answer_words(None, is_hidden=False)


def test_a_smear_that_cannot_be_shown_is_named_with_the_reason() -> None:
    words = unread_words(SMEAR, "damaged, its header\nis cut off")
    assert words == "S000148 · P1\na.png cannot be shown:\ndamaged, its header\\nis cut off"


@pytest.mark.parametrize(
    ("state", "words", "is_warning"),
    [
        (TableState(412_310, page=3), "412,310 rows, page 3", False),
        (TableState(1, page=1), "1 row, page 1", False),
        (TableState(0), "no results", False),
        (TableState(0, reading=range(100)), "reading ...", False),
        (TableState(100, is_counted=False, page=1), "100 rows and more, page 1", False),
        (
            TableState(9000, page=60, reading=range(5900, 6100)),
            "9,000 rows, page 60 · reading rows 5,901 to 6,100 ...",
            False,
        ),
        (
            TableState(3, page=1, hidden=True),
            "3 rows, page 1 · of what all blind readers have read",
            False,
        ),
        (
            TableState(9, lost="No route."),
            "No route. Asking again every second; what is shown may be old.",
            True,
        ),
    ],
)
def test_the_words_above_the_results(state: TableState, words: str, is_warning: bool) -> None:
    assert table_words(state) == (words, is_warning)


def test_a_readers_answer_stands_in_the_row_before_it_is_read() -> None:
    line = result_line(AA_MDS_AML, ResultRow(SMEAR, PREDICTION, "m3", {"diagnosis": "AA"}, None))
    assert with_answers(AA_MDS_AML, line, {"diagnosis": "AML"}).cells[-2] == "AML"
    assert with_answers(AA_MDS_AML, line, {"diagnosis": ""}).cells[-2] == "–"
    assert with_answers(AA_MDS_AML, line, {}) == line


def test_the_scheme_names_the_columns_of_the_results() -> None:
    titles = [column.title for column in result_columns(AA_MDS_AML)]
    heads = ["MDS?", "p", "diagnosis", "p AA", "p MDS", "p AML"]
    assert titles == ["smear", "patient", *heads, "flags", "label", "model"]
    assert len(result_examples(AA_MDS_AML)) == len(titles)
    cells = Scheme.from_toml(Path(__file__).parents[2] / "examples" / "cells.toml")
    assert len(result_examples(cells)) == len(result_columns(cells))
