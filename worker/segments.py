"""The craft of a sweep: segments leave checkpoints and harvests, the conclusion its models."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from marrow.catalogue import jobs, models
from marrow.records import Claim, ConclusionPayload, SegmentPayload, SweepSpec
from marrow.study import Study
from training.conclude import Concluded, conclude
from training.fit import EpochFigures, run_segment
from worker import claims, training_claims
from worker.cohort import cohort_of
from worker.patience import NO_ANSWER
from worker.work import Check, Patiently, Stopping, require_in_sight

YIELD_LOOK_S = 0.5
"""How often a training segment looks whether a person waits."""
TELL_EVERY_S = 0.25
"""Epochs that end within so long are told together: one of heads alone takes some 10 ms, about
as long as a transaction that tells of it."""


class Training:
    """Trains segment by segment; yields to a person who waits, and to the worker's end."""

    def __init__(self, study: Study, stopping: threading.Event) -> None:
        self._study = study
        self._stopping = stopping

    def work(self, held: Claim, check: Check, patiently: Patiently) -> None:
        """Do one piece of a sweep and store how it ended."""
        with self._study.database.read() as connection:
            spec = SweepSpec.model_validate(jobs.get(connection, held.job_id).spec)
        payload = training_claims.payload_of(held)
        if isinstance(payload, SegmentPayload):
            self._train(held, spec, payload, check, patiently)
        else:
            self._conclude(held, spec, payload, check, patiently)

    def _train(
        self, held: Claim, spec: SweepSpec, payload: SegmentPayload, check: Check, wait: Patiently
    ) -> None:
        study, run = self._study, spec.runs[payload.run]
        self._require_store(payload)
        sides = cohort_of(study, run, is_begun=payload.checkpoint is not None).sides
        news = EpochNews(
            lambda told: wait(lambda: training_claims.report_epochs(study, held, told))
        )

        def check_and_tell() -> None:
            check()
            news.tell_if_due()

        def on_epoch(figures: EpochFigures) -> None:
            news.add({"run": payload.run, **figures.model_dump(mode="json")})

        check()
        end = run_segment(
            run,
            study.scheme,
            sides,
            store=study.store,
            run_folder=folder_of(held.job_id, payload.run),
            payload=payload,
            attempt=held.attempt,
            check=check_and_tell,
            should_yield=self._should_yield(held, payload.run),
            on_epoch=on_epoch,
        )
        news.tell()
        checkpoint, harvests = end.checkpoint, end.harvests
        if checkpoint is not None:
            wait(lambda: training_claims.finish_segment(study, held, payload, checkpoint))
        else:
            wait(lambda: training_claims.finish_run(study, held, payload, harvests))

    def _conclude(
        self,
        held: Claim,
        spec: SweepSpec,
        payload: ConclusionPayload,
        check: Check,
        wait: Patiently,
    ) -> None:
        study = self._study
        require_in_sight(study.store, payload.harvests[0][0].path)
        # Every smear that a run began with, as for a run that goes on.
        cohort = cohort_of(study, spec.runs[0], is_begun=True)

        def check_or_stop() -> None:
            if self._stopping.is_set():
                raise Stopping  # it has no checkpoint: another worker does it from its beginning
            check()

        check_or_stop()
        concluded = conclude(
            spec,
            study.scheme,
            cohort.sides,
            payload,
            store=study.store,
            check=check_or_stop,
            excluded=cohort.excluded,
        )
        made = [self._new_model(spec, one) for one in concluded]
        wait(lambda: training_claims.finish_conclusion(study, held, made))
        # The rows say that the models are stored: what the runs left has done its duty.
        for run in range(len(spec.runs)):
            shutil.rmtree(study.store / folder_of(held.job_id, run), ignore_errors=True)

    def _require_store(self, payload: SegmentPayload) -> None:
        """Raise HostTrouble where this host does not see what the study has in its store."""
        with self._study.database.read() as connection:
            champion = models.champion(connection)
        if payload.checkpoint is not None:
            require_in_sight(self._study.store, payload.checkpoint.path)
        elif champion is not None:  # a new study has no folder in its store yet
            require_in_sight(self._study.store, champion.path)

    def _new_model(self, spec: SweepSpec, made: Concluded) -> training_claims.NewModel:
        served = (number for number, cell in enumerate(spec.cells) if cell in made.card.cells)
        return training_claims.NewModel(
            sha256=made.card.weights_sha256,
            path=made.folder.relative_to(self._study.store).as_posix(),
            preprocessing=made.card.preprocessing_hash,
            precision=made.card.precision,
            card=made.card.model_dump(mode="json"),
            scorings=made.scorings,
            cells=tuple(served),
        )

    def _should_yield(self, held: Claim, run: int) -> Callable[[], bool]:
        """Whether to stop here, for this worker's end, for a person who waits, or because one
        has stopped the run: asked of the database twice a second at most.
        """
        looked = time.monotonic()

        def should_yield() -> bool:
            nonlocal looked
            if self._stopping.is_set():
                return True
            if time.monotonic() - looked < YIELD_LOOK_S:
                return False
            looked = time.monotonic()
            try:
                is_stopped = claims.is_run_stopped(self._study, held, run)
                return is_stopped or claims.has_interactive_work(self._study)
            except NO_ANSWER:
                return False  # a segment outlives a database that is away for a while

        return should_yield


class EpochNews:
    """Epochs that followers have not been told of yet, in order.

    Parameters
    ----------
    tell : callable
        Tells of some epochs; what it raises passes through, and they are told again next time.
    clock : callable
        Monotonic seconds.
    """

    def __init__(
        self,
        tell: Callable[[list[Mapping[str, Any]]], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tell, self._clock = tell, clock
        self._waiting: list[Mapping[str, Any]] = []
        self._told = float("-inf")

    def add(self, figures: Mapping[str, Any]) -> None:
        """Take the figures of the next epoch, and tell them unless others were just told."""
        self._waiting.append(figures)
        self.tell_if_due()

    def tell_if_due(self) -> None:
        """Tell what waits, at most every `TELL_EVERY_S`."""
        if self._clock() - self._told >= TELL_EVERY_S:
            self.tell()

    def tell(self) -> None:
        """Tell what waits."""
        if self._waiting:
            self._tell(self._waiting)
            self._waiting = []
            self._told = self._clock()


def folder_of(job_id: int, run: int) -> str:
    """Where a run keeps its checkpoints and harvests: posix path below the store."""
    return f"runs/j{job_id}-r{run}"
