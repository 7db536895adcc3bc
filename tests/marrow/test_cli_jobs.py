"""`marrow jobs`, `follow` and `cancel` as a person meets them, without any worker."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sqlalchemy import update

from marrow.catalogue import jobs
from marrow.catalogue.schema import job_smear, piece
from marrow.records import Job, ModelRecord, SweepSpec, TrainingSpec
from marrow.study import Study
from marrow.sweeps import Grid, plan

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow
COMMAND = [sys.executable, "-m", "marrow", "--home"]


def marrow(study: Study, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [*COMMAND, str(study.settings.home), *arguments]
    # A database that is named makes it a lab: no agent is started for a test.
    return subprocess.run(
        command, capture_output=True, text=True, cwd=ROOT, timeout=60, env=lab(study)
    )


def lab(study: Study) -> dict[str, str]:
    return {**os.environ, "MARROW_DATABASE": study.settings.database_url}


@pytest.fixture
def study(make_study: Callable[..., Study]) -> Study:
    return make_study()


@pytest.fixture
def submit(
    study: Study,
    add_smears: Callable[..., list[int]],
    add_model: Callable[[Study], ModelRecord],
) -> Callable[[int], Job]:
    model = add_model(study)

    def make(count: int) -> Job:
        ids = add_smears(study, count)
        with study.database.write() as connection:
            at = study.database.now(connection)
            return jobs.submit_classify(connection, at, model, ids)

    return make


def finish(study: Study, job: Job, error: str) -> None:
    """End a job all of whose smears failed."""
    with study.database.write() as connection:
        at = study.database.now(connection)
        mine = job_smear.c.job_id == job.id
        connection.execute(update(job_smear).where(mine).values(error=error))
        connection.execute(
            update(piece)
            .where(piece.c.job_id == job.id)
            .values(state="done", attempt=1, started_at=at - 10, finished_at=at)
        )
        jobs.set_state(connection, at - 10, job.id, "running")
        table = jobs.job
        connection.execute(update(table).where(table.c.id == job.id).values(failed=job.total))
        jobs.close_if_over(connection, at, job.id)


def test_jobs_tells_what_each_waits_for_and_why_smears_failed(
    study: Study, submit: Callable[[int], Job]
) -> None:
    failed, waiting = submit(4), submit(3)
    finish(study, failed, "0.png: not there [root 'local']")
    done = marrow(study, "jobs")
    assert done.returncode == 0, done.stderr
    assert "waits: no worker is alive; start `marrow worker`" in done.stdout
    assert "done, 4 failed" in done.stdout
    assert "4 x not there [root 'local']" in done.stdout
    listed = json.loads(marrow(study, "jobs", "--json").stdout)
    assert [one["id"] for one in listed] == [waiting.id, failed.id]
    assert listed[0]["outlook"]["reason"] == "no worker is alive"


def test_a_job_s_summary_comes_as_text_and_as_json(
    study: Study, submit: Callable[[int], Job]
) -> None:
    job = submit(4)
    finish(study, job, "0.png: not there")
    text = marrow(study, "jobs", str(job.id))
    assert text.returncode == 0, text.stderr
    assert text.stdout.startswith(f"Job {job.id}: classify 4 smears with m1; done, 4 failed\n")
    summary = json.loads(marrow(study, "jobs", str(job.id), "--json").stdout)
    assert summary["failed"] == [{"reason": "not there", "count": 4}]
    assert summary["throughput"]["n"] == 4
    followed = marrow(study, "follow", str(job.id))
    assert followed.returncode == 1  # something in it failed
    assert followed.stdout == text.stdout


def test_an_unknown_job_has_no_summary(study: Study) -> None:
    done = marrow(study, "jobs", "7")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "marrow: There is no job 7: `marrow jobs` lists them\n"


def test_cancel_of_a_job_that_is_over_cancels_nothing(
    study: Study, submit: Callable[[int], Job]
) -> None:
    waiting, over = submit(3), submit(3)
    finish(study, over, "x.png: not there")
    assert marrow(study, "cancel", str(waiting.id)).stdout == f"Job {waiting.id} is cancelled\n"
    for job, state in ((waiting, "cancelled"), (over, "done")):
        told = marrow(study, "cancel", str(job.id))
        assert told.returncode == 0
        assert told.stdout == (f"Nothing was cancelled: job {job.id} was over already ({state})\n")
    assert json.loads(marrow(study, "cancel", str(over.id), "--json").stdout)["was_over"]


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT to another process")
def test_an_interrupted_follow_leaves_the_job_and_says_so(
    study: Study, submit: Callable[[int], Job]
) -> None:
    job = submit(3)
    command = [*COMMAND, str(study.settings.home), "follow", str(job.id)]
    # As from a terminal: where the tests run in the background, SIGINT is ignored from birth.
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env=lab(study),
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as following:
        try:
            wait_until_interruptible(following.pid, study)
            following.send_signal(signal.SIGINT)
            told = following.communicate(timeout=30)[1]
        finally:
            following.kill()
    assert following.returncode == 130
    assert told.strip().splitlines()[-1] == (
        f"Job {job.id} goes on; follow it with `marrow follow {job.id}`"
    )
    assert "Traceback" not in told
    with study.database.read() as connection:
        assert jobs.get(connection, job.id).state == "waiting"


def wait_until_interruptible(pid: int, study: Study) -> None:
    """Until the process has the catalogue open, twice over: it looks for events by then."""
    catalogue = (study.settings.home / "catalogue.sqlite").resolve()
    until = time.monotonic() + 30
    since = None
    while since is None or time.monotonic() < since + 1.5:
        assert time.monotonic() < until, "the follower did not open the catalogue"
        files = {one.resolve() for one in Path(f"/proc/{pid}/fd").iterdir() if one.exists()}
        if since is None and catalogue in files:
            since = time.monotonic()
        time.sleep(0.05)


def test_a_sweep_says_what_it_trains_and_is_queued_for_the_night(study: Study) -> None:
    night = ("--at", "22:00", "--until", "06:00", "--zone", "Europe/Berlin")
    done = marrow(study, "sweep", "--hold-out-site", "b", "--hold-out-site", "c", *night)
    assert done.returncode == 0, done.stderr
    assert "1200 epochs instead of 5040" in " ".join(done.stderr.split())
    assert "Adam ignores the scale of a loss" in " ".join(done.stderr.split())
    with study.database.read() as connection:
        job = jobs.get(connection, 1)
    assert job.night is not None
    assert (job.night.at, job.total) == ("22:00", 1200)
    spec = SweepSpec.model_validate(job.spec)
    assert {run.hold_out_sites for run in spec.runs} == {("b", "c")}
    assert {run.augment for run in spec.runs} == {"gentle"}
    again = marrow(study, "sweep", "--protocol", "seed2022", "--json")
    values = json.loads(again.stdout)
    assert (values["epochs"], values["separate_epochs"]) == (200, 840)
    assert values["spec"]["runs"][0]["augment"] == "seed8"


def test_cells_of_a_sweep_are_shown_stopped_and_resumed(study: Study) -> None:
    base = TrainingSpec(tune="full")
    spec = plan(Grid(base=base, loss_weights=((5.0, 5.0), (1.0, 9.0)), epochs=(30, 50)))
    with study.database.write() as connection:
        jobs.submit_sweep(connection, study.database.now(connection), spec)
    done = marrow(study, "stop", "1", "--cell", "3", "--cell", "4")
    assert done.stdout == "Job 1 is waiting: cell 3, 4 stopped; 1 of 2 runs wait for a person\n"
    found = json.loads(marrow(study, "board", "1", "--json").stdout)
    assert [one["state"] for one in found["cells"]] == ["waiting"] * 2 + ["stopped"] * 2
    shown = marrow(study, "board", "1").stdout
    assert "1:9" in shown
    assert "0 of 50" in shown
    again = json.loads(marrow(study, "resume", "1", "--json").stdout)
    assert again["stopped"] == {"cells": [], "runs": []}
    refused = marrow(study, "stop", "1", "--cell", "5")
    assert (refused.returncode, "no cell 5" in refused.stderr) == (1, True)


def test_a_dry_run_says_who_would_train_and_queues_nothing(study: Study, tmp_path: Path) -> None:
    folder = tmp_path / "smears"
    folder.mkdir()
    lines = ["file,patient,diagnosis"]
    for number in range(12):
        pixels = np.random.default_rng(number).integers(0, 255, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
        lines.append(f"{number}.png,P{number},{('AA', 'MDS', 'AML')[number % 3]}")
    table = folder / "labels.csv"
    table.write_text("\n".join(lines))
    assert marrow(study, "import", str(folder), "--labels", str(table)).returncode == 0
    left_out = "--leave-out", "P0=wrong stain"
    done = marrow(study, "sweep", "--dry-run", "--folds", "2", *left_out)
    assert (done.returncode, done.stderr) == (0, "")
    assert "11 patients (AA 3, MDS 4, AML 4), 11 smears" in done.stdout
    assert "test patients, will be drawn: 3 (AA 1, MDS 1, AML 1)" in done.stdout
    assert "left out: 1 smears, left out by hand: wrong stain" in done.stdout
    asked = "--dry-run", "--json", "--folds", "9", *left_out
    found = json.loads(marrow(study, "train", *asked).stdout)
    assert found["cohort"]["left_out"][0]["patient"] == "P0"
    assert "9 folds" in found["cohort"]["trouble"]
    assert found["runs"] == 10
    refused = marrow(study, "sweep", "--dry-run", "--leave-out", "P99=x", "--folds", "0")
    assert refused.returncode == 1
    assert "It would be refused: 'P99' is neither a patient" in refused.stdout
    assert marrow(study, "sweep", "--leave-out", "P1").returncode == 2
    assert json.loads(marrow(study, "jobs", "--json").stdout) == []
