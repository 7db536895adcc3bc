"""Rows of the tables as strings."""

from __future__ import annotations

import pytest

from marrow.catalogue.predictions import ResultRow
from marrow.catalogue.smears import SmearRow
from marrow.records import Answer, HeadAnswer, Job, Prediction, Smear, WorkerRecord
from marrow.schemes import AA_MDS_AML
from napari_marrow.lines.cases import case_columns, case_line
from napari_marrow.lines.jobs import job_line, worker_words
from napari_marrow.lines.results import result_columns, result_line
from napari_marrow.lines.smear import smear_words

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
        "p:mds:other": "0.200",
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
    assert "error: a.png: truncated" in line.cells
    assert not any("0." in cell for cell in line.cells)
    assert line.prediction_id is None


def test_a_case_shows_an_empty_cell_where_nothing_is_said() -> None:
    line = case_line(AA_MDS_AML, SmearRow(SMEAR, {"diagnosis": "unsure"}))
    assert len(line.cells) == len(case_columns(AA_MDS_AML))
    assert line.cells == ("S000148", "P1", "", "unsure")
    assert line.hint == "local: /a.png"


def test_what_can_be_done_with_a_job_follows_from_its_state() -> None:
    running = job_line(job())
    assert (running.can_cancel, running.can_retry, running.is_finished) == (True, False, False)
    assert running.share_done == pytest.approx(10 / 40)
    assert "10 of 40" in running.cells
    done = job_line(job(state="done", done=40, failed=0))
    assert (done.can_cancel, done.can_retry, done.is_finished) == (False, False, True)
    assert job_line(job(state="done", done=39, failed=1)).can_retry
    assert job_line(job(state="cancelled", failed=0)).can_retry
    assert not job_line(job(state="cancelling")).can_cancel
    assert job_line(job(total=0, done=0, failed=0)).share_done == 1.0


def test_silence_of_the_workers_alarms_only_while_work_waits() -> None:
    assert worker_words([worker(100)], 104.0, 1).text == (
        "1 worker up (cpu) · last contact 4 s ago · 1 job unfinished"
    )
    assert worker_words([worker(100)], 111.0, 2).is_alarming
    assert "No worker is up" in worker_words([worker(100)], 111.0, 2).text
    assert not worker_words([worker(100)], 111.0, 0).is_alarming
    assert worker_words([], 0.0, 1).is_alarming
    assert "5 min ago" in worker_words([worker(0)], 300.0, 0).text


def test_the_canvas_says_what_is_shown_and_that_a_pixel_size_is_unknown() -> None:
    assert smear_words(SMEAR, None) == "S000148 · P1\n1,024 x 512 px, pixel size unknown"
    assert smear_words(SMEAR, PREDICTION).endswith("mds: MDS 0.80\ndiagnosis: AML 0.60")
