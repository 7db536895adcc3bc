"""The craft of a sweep on a bench: what it tells, stores and removes; training itself is a fake."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.exc import OperationalError

from marrow.catalogue import jobs, models
from marrow.catalogue.schema import piece
from marrow.errors import BadModel
from marrow.records import (
    CheckpointRef,
    ConclusionPayload,
    HarvestRef,
    Job,
    ModelRecord,
    SegmentPayload,
    SweepSpec,
    TrainingSpec,
)
from marrow.study import Study
from marrow.sweeps import Grid, plan
from training.fit import EpochFigures, SegmentEnd
from training.splits import Sides
from worker import patience, segments, training_claims
from worker import work as work_module
from worker.cohort import Cohort
from worker.owner import Owner
from worker.segments import TELL_EVERY_S, EpochNews, Training, folder_of
from worker.work import Bench, Equipment

ANNA, BERT = Owner("anna", 1, 1.0), Owner("bert", 2, 2.0)


def figures_of(epoch: int) -> EpochFigures:
    return EpochFigures(
        epoch=epoch, epochs=9, loss=1 / epoch, losses={}, accuracies={}, known={}, seconds=0.0
    )


class Room:
    """A bench whose trainings do what the test says."""

    def __init__(self, study: Study) -> None:
        self.study, self.stopping = study, threading.Event()
        self.segments: list[SegmentPayload] = []
        self.conclusions: list[ConclusionPayload] = []
        self.train: Callable[..., SegmentEnd] = self.whole_run
        self.during_conclusion: Callable[[Callable[[], None]], None] = lambda check: check()

    def bench(self, owner: Owner = ANNA) -> Bench:
        crafts = {"sweep": Training(self.study, self.stopping)}
        equipment = Equipment(crafts, "cpu")  # type: ignore[arg-type]
        return Bench(self.study, owner, equipment, self.stopping)

    def run_segment(
        self, spec: TrainingSpec, scheme: Any, sides: Sides, **asked: Any
    ) -> SegmentEnd:
        self.segments.append(asked["payload"])
        return self.train(spec, **asked)

    def whole_run(self, spec: TrainingSpec, **asked: Any) -> SegmentEnd:
        """All epochs at once, and a harvest."""
        for epoch in range(1, spec.epochs + 1):
            asked["check"]()
            asked["on_epoch"](figures_of(epoch))
        return SegmentEnd(None, (self.harvest(asked["run_folder"]),))

    def harvest(self, run_folder: str) -> HarvestRef:
        path = self.study.store / run_folder / "harvest"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"harvest")
        return HarvestRef(path=f"{run_folder}/harvest", sha256="a" * 64, epoch=2)

    def conclude(
        self,
        spec: SweepSpec,
        scheme: Any,
        sides: Sides,
        payload: ConclusionPayload,
        *,
        store: Path,
        check: Callable[[], None],
        excluded: Any = None,
    ) -> list[Any]:
        self.conclusions.append(payload)
        for refs in payload.harvests:
            assert all((store / ref.path).exists() for ref in refs)
        self.during_conclusion(check)
        return [self._concluded(spec, number) for number in reversed(range(len(spec.cells)))]

    def _concluded(self, spec: SweepSpec, number: int) -> Any:
        """As `Concluded` is: a folder, a card and scorings."""
        digit = f"{number:x}" * 64
        card = SimpleNamespace(
            weights_sha256=digit,
            preprocessing_hash="b" * 64,
            precision="fp32",
            cells=(spec.cells[number],),
            model_dump=lambda mode: {"number": number},
        )
        folder = self.study.store / "models" / digit[:16]
        return SimpleNamespace(folder=folder, card=card, scorings={"test": ({}, {}, {})})

    def sweep(self, runs: int = 1, epochs: int = 2) -> Job:
        base = TrainingSpec(tune="full")
        spec = plan(Grid(base=base, epochs=(epochs,), seeds=tuple(range(runs))))
        with self.study.database.write() as connection:
            return jobs.submit_sweep(connection, self.study.database.now(connection), spec)

    def work_off(self, owner: Owner = ANNA) -> int:
        bench, tries = self.bench(owner), 0
        while bench.try_any():
            tries += 1
            assert tries < 50
        return tries

    def cancel(self, job_id: int) -> None:
        with self.study.database.write() as connection:
            jobs.cancel(connection, self.study.database.now(connection), job_id)

    def job(self, job_id: int) -> Job:
        with self.study.database.read() as connection:
            return jobs.get(connection, job_id)

    def told(self, job_id: int) -> list[tuple[int, int]]:
        with self.study.database.read() as connection:
            found = jobs.events(connection, job_id, 0)
        return [(e.payload["run"], e.payload["epoch"]) for e in found if e.kind == "epoch"]

    def models(self) -> list[ModelRecord]:
        with self.study.database.read() as connection:
            return models.all_models(connection)[::-1]

    def states(self) -> list[str]:
        with self.study.database.read() as connection:
            return list(
                connection.execute(select(piece.c.state).order_by(piece.c.number)).scalars()
            )

    def folders(self) -> list[str]:
        return sorted(path.name for path in (self.study.store / "runs").iterdir())


@pytest.fixture
def room(make_study: Callable[..., Study], monkeypatch: pytest.MonkeyPatch) -> Room:
    room = Room(make_study())
    monkeypatch.setattr(segments, "run_segment", room.run_segment)
    monkeypatch.setattr(segments, "conclude", room.conclude)
    nobody = Cohort(Sides([], [], []), excluded=None)  # type: ignore[arg-type]
    monkeypatch.setattr(segments, "cohort_of", lambda *_, **__: nobody)
    monkeypatch.setattr(work_module, "TROUBLE_PAUSE_S", 0.0)
    monkeypatch.setattr(patience, "FIRST_PAUSE_S", 0.01)
    return room


def test_a_sweep_is_trained_concluded_and_leaves_nothing_behind(room: Room) -> None:
    job = room.sweep(runs=2, epochs=3)
    (room.study.store / "runs" / "j999-r0").mkdir(parents=True)  # of another study
    assert room.work_off() == 3
    assert (room.job(job.id).state, room.job(job.id).done) == ("done", 6)
    assert sorted(room.told(job.id)) == [(run, epoch) for run in (0, 1) for epoch in (1, 2, 3)]
    (payload,) = room.conclusions
    assert [refs[0].path for refs in payload.harvests] == [
        f"{folder_of(job.id, run)}/harvest" for run in (0, 1)
    ]
    assert [one.card["number"] for one in room.models()] == [1, 0]
    assert room.models()[0].is_champion
    assert room.folders() == ["j999-r0"]


def test_the_models_event_names_the_cells_that_each_serves(room: Room) -> None:
    job = room.sweep(runs=2)
    room.work_off()
    with room.study.database.read() as connection:
        found = [e.payload for e in jobs.events(connection, job.id, 0) if e.kind == "model"]
    assert [(e["model"], e["cells"], e["chosen"], e["looks_at_test"]) for e in found] == [
        ("m1", [1], True, 1),
        ("m2", [0], False, 2),
    ]


def test_a_run_goes_on_from_its_checkpoint_and_tells_each_epoch_once(room: Room) -> None:
    job = room.sweep(epochs=4)
    checkpoint = CheckpointRef(path="runs/x", sha256="c" * 64, epoch=2, batch=0)

    def in_two(spec: TrainingSpec, **asked: Any) -> SegmentEnd:
        begins = 2 if asked["payload"].checkpoint else 0
        for epoch in range(begins + 1, begins + 3):
            asked["on_epoch"](figures_of(epoch))
        if begins:
            return SegmentEnd(None, (room.harvest(asked["run_folder"]),))
        (room.study.store / "runs").mkdir()
        return SegmentEnd(checkpoint, ())

    room.train = in_two
    room.work_off()
    assert [one.checkpoint for one in room.segments] == [None, checkpoint]
    assert room.told(job.id) == [(0, epoch) for epoch in (1, 2, 3, 4)]
    assert room.job(job.id).state == "done"


def test_epochs_of_a_segment_that_breaks_off_are_told_once_in_all(room: Room) -> None:
    """Those that were told stay told; those that waited are told by the repetition."""
    job = room.sweep(epochs=5)
    tries: list[int] = []

    def breaks_off(spec: TrainingSpec, **asked: Any) -> SegmentEnd:
        tries.append(1)
        for epoch in range(1, 6):
            asked["on_epoch"](figures_of(epoch))
            if len(tries) < 3 and epoch == 2 * len(tries):
                raise RuntimeError
        return SegmentEnd(None, (room.harvest(asked["run_folder"]),))

    room.train = breaks_off
    room.work_off()
    assert room.told(job.id) == [(0, epoch) for epoch in range(1, 6)]
    assert (room.job(job.id).done, room.job(job.id).state) == (5, "done")


def test_quick_epochs_take_few_transactions(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    job = room.sweep(epochs=500)
    sizes: list[int] = []
    tell = training_claims.report_epochs

    def counted(study: Study, held: Any, figures: Any) -> None:
        sizes.append(len(figures))
        tell(study, held, figures)

    monkeypatch.setattr(training_claims, "report_epochs", counted)
    monkeypatch.setattr(segments, "TELL_EVERY_S", 1e9)
    room.work_off()
    assert sizes == [1, 499]
    assert room.told(job.id) == [(0, epoch) for epoch in range(1, 501)]


def test_a_cancel_within_the_conclusion_leaves_no_models(room: Room) -> None:
    job = room.sweep()

    def cancelled(check: Callable[[], None]) -> None:
        room.cancel(job.id)
        check()
        raise AssertionError("the conclusion goes on after the cancel")

    room.during_conclusion = cancelled
    room.work_off()
    assert (room.job(job.id).state, room.models()) == ("cancelled", [])
    assert room.folders() == [f"j{job.id}-r0"]  # `marrow retry` goes on from it


def test_a_cancel_after_the_last_look_leaves_no_models_either(room: Room) -> None:
    job = room.sweep()
    room.during_conclusion = lambda check: room.cancel(job.id)
    room.work_off()
    assert (room.job(job.id).state, room.models()) == ("cancelled", [])


def test_a_worker_that_stops_gives_the_conclusion_back_uncounted(room: Room) -> None:
    job = room.sweep()

    def stopped(check: Callable[[], None]) -> None:
        room.stopping.set()
        check()
        raise AssertionError("the conclusion goes on after the signal")

    room.during_conclusion = stopped
    room.work_off()
    assert room.states() == ["done", "new"]
    room.stopping.clear()
    room.during_conclusion = lambda check: check()
    room.work_off(BERT)
    assert room.job(job.id).state == "done"
    assert len(room.models()) == 1


def test_a_conclusion_waits_for_space_and_is_retried_after_an_error(room: Room) -> None:
    job = room.sweep()
    errors: Iterator[Exception | None] = iter(
        [OSError(errno.ENOSPC, "no space"), RuntimeError(), BadModel("harvest: altered"), None]
    )

    def fails(check: Callable[[], None]) -> None:
        error = next(errors)
        if error is not None:
            raise error

    room.during_conclusion = fails
    room.work_off()
    assert (room.job(job.id).state, room.job(job.id).error) == ("failed", "harvest: altered")
    assert room.models() == []
    with room.study.database.write() as connection:
        jobs.retry(connection, room.study.database.now(connection), job.id)
    room.work_off()
    assert room.job(job.id).state == "done"
    assert len(room.conclusions) == 4
    assert len(room.segments) == 1


def test_a_conclusion_is_stored_however_often_the_database_refuses(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = room.sweep()
    finish, tries = training_claims.finish_conclusion, []

    def refused(study: Study, held: Any, made: Any) -> None:
        tries.append(1)
        if len(tries) < 3:
            raise OperationalError("BEGIN", {}, Exception("database is locked"))
        finish(study, held, made)

    monkeypatch.setattr(training_claims, "finish_conclusion", refused)
    room.work_off()
    assert (len(tries), len(room.conclusions)) == (3, 1)
    assert room.job(job.id).state == "done"


def test_news_of_epochs_is_told_in_order_and_at_intervals() -> None:
    now, told = [0.0], []
    news = EpochNews(lambda epochs: told.append([e["epoch"] for e in epochs]), lambda: now[0])
    for epoch in range(1, 4):
        news.add({"epoch": epoch})
    assert told == [[1]]
    now[0] += TELL_EVERY_S
    news.tell_if_due()
    assert told == [[1], [2, 3]]
    news.tell()
    assert told == [[1], [2, 3]]
    news.add({"epoch": 4})
    news.tell()
    assert told == [[1], [2, 3], [4]]


def test_news_that_could_not_be_told_is_told_again() -> None:
    told: list[int] = []
    refusals = iter([True, False])

    def tell(epochs: Any) -> None:
        if next(refusals):
            raise OperationalError("BEGIN", {}, Exception("database is locked"))
        told.extend(one["epoch"] for one in epochs)

    news = EpochNews(tell, lambda: 0.0)
    with pytest.raises(OperationalError):
        news.add({"epoch": 1})
    news.add({"epoch": 2})
    assert told == [1, 2]
