"""What came of a job, and when it is expected to be over, as the catalogue tells it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import insert, update

from marrow.catalogue import jobs, predictions
from marrow.catalogue.schema import job as job_table
from marrow.catalogue.schema import (
    job_smear,
    piece,
    prediction,
    provenance,
    smear,
    worker,
)
from marrow.commands.job_words import expected_text, jobs_table, summary_text, what_text
from marrow.outlook import outlook_of, outlooks
from marrow.records import (
    Answer,
    ConclusionPayload,
    HarvestRef,
    HeadAnswer,
    Job,
    ModelRecord,
    Night,
    Provenance,
    SweepSpec,
    TrainingSpec,
)
from marrow.study import Study
from marrow.summary import JobSummary, Reason, grouped, summarise, throughput_of, without_name

CPU, CARD = "x86_64 AVX2 (cpu)", "NVIDIA A100 (cuda)"
AddSmears = Callable[..., list[int]]
AddModel = Callable[..., ModelRecord]


class Desk:
    """A study whose jobs a test moves by hand; times are seconds after `start`."""

    def __init__(self, study: Study, model: ModelRecord) -> None:
        self.study, self.model = study, model
        with study.database.read() as connection:
            self.start = study.database.now(connection)

    def submit(self, ids: list[int], priority: str = "overnight", night: Any = None) -> Job:
        with self.study.database.write() as connection:
            return jobs.submit_classify(
                connection, self.start, self.model, ids, priority=priority, night=night
            )

    def job(self, number: int) -> Job:
        with self.study.database.read() as connection:
            return jobs.get(connection, number)

    def finish(
        self,
        job: Job,
        number: int,
        begins: float,
        ends: float,
        errors: dict[int, str] | None = None,
        device: str = CPU,
    ) -> None:
        """End a piece as a worker does: answers or reasons, counters and times."""
        bad = errors or {}
        with self.study.database.write() as connection:
            ids = self._smears_of(connection, job.id, number)
            good = [one for one in ids if one not in bad]
            made_by = Provenance(code_version="0", torch_version="0", device=device, host="h")
            stored = predictions.store(
                connection,
                self.start + ends,
                self.study.scheme,
                self.model,
                predictions.provenance_id(connection, made_by),
                dict.fromkeys(good, 0),
                {one: (answer(one), None) for one in good},
            )
            for one in ids:
                connection.execute(
                    update(job_smear)
                    .where(job_smear.c.job_id == job.id, job_smear.c.smear_id == one)
                    .values(prediction_id=stored.get(one), error=bad.get(one))
                )
            times = {"started_at": self.start + begins, "finished_at": self.start + ends}
            connection.execute(
                update(piece)
                .where(piece.c.job_id == job.id, piece.c.number == number)
                .values(state="done", attempt=piece.c.attempt + 1, **times)
            )
            if jobs.get(connection, job.id).started_at is None:
                jobs.set_state(connection, self.start + begins, job.id, "running")
            connection.execute(
                update(job_table)
                .where(job_table.c.id == job.id)
                .values(done=job_table.c.done + len(good), failed=job_table.c.failed + len(bad))
            )
            jobs.close_if_over(connection, self.start + ends, job.id)

    def hire(self, device: str, name: str = "w") -> None:
        with self.study.database.write() as connection:
            at = self.study.database.now(connection)
            row = {"id": name, "host": "h", "pid": 1, "device": device}
            connection.execute(insert(worker), row | {"started_at": at, "seen_at": at})

    @staticmethod
    def _smears_of(connection: Any, job_id: int, number: int) -> list[int]:
        rows = job_smear.select().where(job_smear.c.job_id == job_id, job_smear.c.piece == number)
        return sorted(row.smear_id for row in connection.execute(rows))


def answer(smear_id: int) -> Answer:
    """MDS for every second smear."""
    is_mds = smear_id % 2 == 0
    return Answer(
        heads=(
            HeadAnswer(head="mds", call="MDS" if is_mds else "other", probabilities=(0.4, 0.6)),
            HeadAnswer(
                head="diagnosis",
                call="MDS" if is_mds else "AML",
                probabilities=(0.2, 0.4, 0.4),
            ),
        )
    )


@pytest.fixture
def desk(any_study: Study, add_model: AddModel) -> Desk:
    return Desk(any_study, add_model(any_study))


def test_a_summary_adds_up_what_came_of_each_smear(desk: Desk, add_smears: AddSmears) -> None:
    ids = add_smears(desk.study, 128)
    job = desk.submit(ids)
    broken = {
        ids[0]: "0.png: not there (root 'local')",
        ids[3]: "3.png: not there (root 'local')",
        ids[5]: "5.png: declares 512 x 9 pixels",
    }
    desk.finish(job, 0, 1, 33, broken)
    desk.finish(job, 1, 33, 65, device=CARD)
    found = summarise(desk.study, job.id)
    assert (found.job.state, found.job.done, found.job.failed) == ("done", 125, 3)
    assert found.failed == (
        Reason(reason="not there (root 'local')", count=2),
        Reason(reason="declares 512 x 9 pixels", count=1),
    )
    assert found.throughput is not None
    assert (found.throughput.n, found.throughput.busy_s) == (128, pytest.approx(64))
    assert found.throughput.per_s == pytest.approx(2)
    assert found.models == (desk.model.name,)
    assert (found.waited_s, found.duration_s) == (pytest.approx(1), pytest.approx(64))
    assert (found.pieces, found.pieces_done, found.attempts, found.lost_leases) == (2, 2, 2, 0)
    assert found.devices == {CARD: 64, CPU: 61}
    diagnosis = found.calls[1]
    assert (diagnosis.head, diagnosis.n) == ("diagnosis", 125)
    assert list(diagnosis.counts) == ["AA", "MDS", "AML"]
    assert sum(diagnosis.counts.values()) == 125
    assert diagnosis.counts["MDS"] == sum(one % 2 == 0 and one not in broken for one in ids)
    assert JobSummary.model_validate_json(found.model_dump_json()) == found
    text = summary_text(found)
    assert "2.0 smears/s while it ran (1 min 4 s)" in text
    assert "2 x not there" in text
    assert f"(n = {diagnosis.n} smears)" in text


def test_what_was_known_before_is_told_apart(desk: Desk, add_smears: AddSmears) -> None:
    ids = add_smears(desk.study, 64)
    desk.finish(desk.submit(ids), 0, 0, 10)
    again = summarise(desk.study, desk.submit(ids).id)
    assert (again.job.state, again.known, again.throughput) == ("done", 64, None)
    assert again.calls[0].n == 64
    assert "64 were known before" in summary_text(again)


def test_a_sweep_s_summary_counts_epochs(desk: Desk) -> None:
    spec = SweepSpec(runs=(TrainingSpec(epochs=4),))
    desk.hire("cpu")
    with desk.study.database.write() as connection:
        job = jobs.submit_sweep(connection, desk.start, spec)
        connection.execute(
            update(piece)
            .where(piece.c.job_id == job.id)
            .values(state="done", attempt=1, started_at=desk.start, finished_at=desk.start + 40)
        )
        for epoch, at in ((1, 25.0), (2, 30.0), (3, 35.0)):
            told = {"run": 0, "epoch": epoch, "done": epoch}
            jobs.append_event(connection, desk.start + at, job.id, "epoch", told)
        connection.execute(update(job_table).where(job_table.c.id == job.id).values(done=3))
    found = summarise(desk.study, job.id)
    assert found.throughput is not None
    assert (found.throughput.unit, found.throughput.n) == ("epochs", 3)
    assert found.calls == ()
    assert found.outlook.work_s == pytest.approx(5)  # the epoch that is left, as the others took
    assert found.outlook.measured_on == "this job"


def test_a_sweep_s_runs_are_shared_among_the_workers(desk: Desk) -> None:
    spec = SweepSpec(runs=tuple(TrainingSpec(epochs=4, seed=seed) for seed in range(3)))
    for name in ("first", "second"):
        desk.hire("cpu", name)
    with desk.study.database.write() as connection:
        job = jobs.submit_sweep(connection, desk.start, spec)
        begun = {"state": "running", "attempt": 1, "started_at": desk.start}
        chosen = update(piece).where(piece.c.job_id == job.id, piece.c.number < 2)
        connection.execute(chosen.values(**begun))
        for epoch in (1, 2):
            for run in (0, 1):
                told = {"run": run, "epoch": epoch, "done": 2 * epoch - 1 + run}
                at = desk.start + 10.0 * epoch + run
                jobs.append_event(connection, at, job.id, "epoch", told)
        values = {"done": 4, "state": "running", "started_at": desk.start}
        connection.execute(update(job_table).where(job_table.c.id == job.id).values(**values))
    # Eight epochs of 10 s; the third run's first begins like those of the others, after 10 s.
    assert outlook_of(desk.study, desk.job(job.id)).work_s == pytest.approx(8 * 10 / 2, abs=1)
    assert what_text(job) == "sweep 3 cells in 3 runs, 12 epochs"


def test_a_sweep_whose_epochs_are_done_says_what_it_does(desk: Desk) -> None:
    desk.hire("cpu")
    with desk.study.database.write() as connection:
        job = jobs.submit_sweep(connection, desk.start, SweepSpec(runs=(TrainingSpec(epochs=1),)))
        done = update(piece).where(piece.c.job_id == job.id)
        times = {"started_at": desk.start, "finished_at": desk.start + 5}
        connection.execute(done.values(state="done", attempt=1, **times))
        jobs.append_event(connection, desk.start + 4, job.id, "epoch", {"run": 0, "epoch": 1})
        harvest = HarvestRef(path="runs/x", sha256="c" * 64, epoch=1)
        jobs.add_training(connection, job.id, ConclusionPayload(harvests=((harvest,),)))
        running = {"state": "running", "attempt": 1, "started_at": desk.start + 5}
        concluding = piece.c.job_id == job.id, piece.c.number == 1
        connection.execute(update(piece).where(*concluding).values(**running))
        values = {"done": 1, "state": "running", "started_at": desk.start}
        connection.execute(update(job_table).where(job_table.c.id == job.id).values(**values))
    found = summarise(desk.study, job.id)
    assert found.outlook.words == "chooses and tests its models"
    assert found.outlook.ends_at is None
    assert found.throughput is not None
    assert (found.throughput.n, found.throughput.busy_s) == (1, pytest.approx(5))
    assert what_text(job) == "train 1 model, 1 epoch"


def test_reasons_are_grouped_without_names_and_numbers() -> None:
    found = grouped(
        [
            ("a: b.png: cut short after 10 bytes", "/x/a: b.png"),
            ("c.png: cut short after 11 bytes", "/x/c.png"),
            ("d.png: not there", "S:\\x\\d.png"),
            ("the worker died 10 times while it had this", "/x/e.png"),
        ]
    )
    assert found == (
        Reason(reason="cut short after 10 bytes", count=2),
        Reason(reason="not there", count=1),
        Reason(reason="the worker died 10 times while it had this", count=1),
    )
    assert without_name("level2.dcm: no colour", "/x/level1.dcm") == "no colour"


def test_nothing_is_expected_before_anything_was_measured(
    desk: Desk, add_smears: AddSmears
) -> None:
    job = desk.submit(add_smears(desk.study, 10))
    desk.hire("cpu")
    found = outlook_of(desk.study, job)
    assert found.ends_at is None
    assert found.reason == f"no smear was measured with {desk.model.name} yet"
    assert found.words == "waits for a worker"
    assert expected_text(found, desk.start) == f"expected duration unknown: {found.reason}"


def test_earlier_jobs_of_the_same_model_and_device_say_how_long(
    desk: Desk, add_smears: AddSmears
) -> None:
    ids = add_smears(desk.study, 64 + 64 + 20)
    desk.finish(desk.submit(ids[:64]), 0, -1000, -936, device=CPU)  # 1 s a field
    desk.finish(desk.submit(ids[64:128]), 0, -500, -468, device=CARD)  # 0.5 s a field
    job = desk.submit(ids[128:])
    desk.hire("NVIDIA A100")
    on_card = outlook_of(desk.study, job)
    assert (on_card.work_s, on_card.measured_on) == (pytest.approx(10), "earlier jobs")
    assert on_card.ends_at == pytest.approx(desk.start + 10, abs=30)
    with desk.study.database.write() as connection:
        connection.execute(update(worker).values(device="cpu"))
    assert outlook_of(desk.study, job).work_s == pytest.approx(20)
    desk.hire("cpu", "second")
    assert outlook_of(desk.study, job).work_s == pytest.approx(10)


def test_a_running_job_is_measured_by_its_own_pieces(desk: Desk, add_smears: AddSmears) -> None:
    ids = add_smears(desk.study, 64 * 5)
    desk.finish(desk.submit(ids[:64]), 0, -9000, -8000)
    job = desk.submit(ids[64:])
    desk.hire("cpu")
    for number in range(3):
        desk.finish(job, number, 32.0 * number, 32.0 * (number + 1))
    found = outlook_of(desk.study, desk.job(job.id))
    assert (found.work_s, found.measured_on) == (pytest.approx(32), "this job")
    assert found.words == "runs"


def test_slides_are_not_expected_from_fields(desk: Desk, add_smears: AddSmears) -> None:
    fields = add_smears(desk.study, 64)
    desk.finish(desk.submit(fields), 0, 0, 64)
    desk.hire("cpu")
    job = desk.submit(add_smears(desk.study, 2, slides=1))
    assert outlook_of(desk.study, job).reason.startswith("no slide was measured")


def test_a_night_job_is_expected_within_its_nights(desk: Desk, add_smears: AddSmears) -> None:
    ids = add_smears(desk.study, 64 + 128)
    desk.finish(desk.submit(ids[:64]), 0, 0, 6 * 3600.0)
    night = Night(at="22:00", until="06:00", zone="Europe/Berlin")
    job = desk.submit(ids[64:], night=night)
    with desk.study.database.write() as connection:
        later = {"opens_at": desk.start + 3600, "closes_at": desk.start + 9 * 3600}
        connection.execute(update(job_table).where(job_table.c.id == job.id).values(**later))
    found = outlook_of(desk.study, desk.job(job.id))
    assert found.words.startswith("waits until ")
    assert found.nights == 2
    assert "after 2 nights" in expected_text(found, desk.start)


def test_a_job_waits_behind_those_that_are_claimed_first(desk: Desk, add_smears: AddSmears) -> None:
    ids = add_smears(desk.study, 64 * 4)
    desk.finish(desk.submit(ids[:64]), 0, 0, 64)
    desk.hire("cpu")
    first, second = desk.submit(ids[64:128]), desk.submit(ids[128:192])
    urgent = desk.submit(ids[192:], "interactive")
    found = outlooks(desk.study, [first, second, urgent])
    at = {one: found[one].ends_at for one in found}
    assert all(at.values())
    assert found[urgent.id].words == "waits for a worker"
    assert found[first.id].words == f"waits behind job {urgent.id}"
    assert at[first.id] - at[urgent.id] == pytest.approx(64)
    assert at[second.id] - at[urgent.id] == pytest.approx(128)


def test_a_lab_without_a_worker_expects_nothing(
    make_study: Callable[..., Study],
    add_smears: AddSmears,
    add_model: AddModel,
    postgres_url: str,
) -> None:
    study = make_study(database=postgres_url)
    desk = Desk(study, add_model(study))
    job = desk.submit(add_smears(study, 3))
    found = outlook_of(study, job)
    assert found.words == "waits: no worker is alive; start `marrow worker`"
    assert found.reason == "no worker is alive"


def test_the_table_says_how_each_job_stands(desk: Desk, add_smears: AddSmears) -> None:
    from rich.console import Console

    ids = add_smears(desk.study, 64 * 2)
    done, job = desk.submit(ids[:64]), desk.submit(ids[64:])
    desk.finish(done, 0, 0, 16, {ids[0]: "0.png: not there"})
    desk.hire("cpu")
    found = [desk.job(job.id), desk.job(done.id)]
    with desk.study.database.read() as connection:
        paces = {one.id: throughput_of(connection, one) for one in found}
    table = jobs_table(found, outlooks(desk.study, found), paces, desk.start)
    console = Console(width=200, record=True)
    console.print(table)
    text = console.export_text()
    assert "waits for a worker" in text
    assert "done, 1 failed" in text
    assert "4.0 smears/s" in text


def test_a_large_job_is_summed_up_in_one_look_at_its_rows(
    make_study: Callable[..., Study], add_model: AddModel
) -> None:
    count = 20_000
    study = make_study()
    desk = Desk(study, add_model(study))
    with study.database.write() as connection:
        connection.execute(insert(smear), [_smear(one) for one in range(1, count + 1)])
    job = desk.submit(list(range(1, count + 1)))
    with study.database.write() as connection:
        text = Provenance(code_version="0", torch_version="0", device=CPU, host="h")
        connection.execute(insert(provenance), {"id": 1, "text": text.model_dump_json()})
        row = {"model_id": desk.model.id, "precision": "fp32", "regions_revision": 0}
        row |= {"provenance_id": 1, "at": 1.0, "flags": "", "top_p": 0.5}
        row |= {"call_0": 0, "call_1": 1}
        answered = [one for one in range(1, count + 1) if one % 50]
        connection.execute(
            insert(prediction), [{**row, "id": one, "smear_id": one} for one in answered]
        )
        is_failed = job_smear.c.smear_id % 50 == 0
        connection.execute(
            update(job_smear).where(~is_failed).values(prediction_id=job_smear.c.smear_id)
        )
        connection.execute(update(job_smear).where(is_failed).values(error="x.png: not there"))
        begun = piece.c.number * 10.0
        times = {"started_at": begun, "finished_at": begun + 9}
        connection.execute(update(piece).values(state="done", attempt=1, **times))
    begun_s = time.process_time()
    found = summarise(study, job.id)
    took_s = time.process_time() - begun_s
    assert found.calls[0].n == len(answered)
    assert found.failed == (Reason(reason="not there", count=count - len(answered)),)
    assert found.throughput is not None
    assert found.throughput.n == count
    assert found.pieces == -(-count // 64)
    # 0.1 s measured; a look through the job for each piece takes 0.9 s.
    assert took_s < 0.5, f"{took_s:.2f} s"


def _smear(number: int) -> dict[str, Any]:
    return {
        "id": number,
        "identity": f"{number:064x}",
        "root": "local",
        "path": f"/nowhere/{number}.png",
        "members": [],
        "height_px": 1,
        "width_px": 1,
        "is_slide": False,
        "regions_revision": 0,
        "added_at": 0.0,
    }
