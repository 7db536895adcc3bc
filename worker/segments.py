"""The craft of training pieces: one segment, which leaves a checkpoint or the model."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable

from marrow.catalogue import jobs, models
from marrow.records import Claim, SegmentPayload, SweepSpec
from marrow.study import Study
from training.fit import SegmentEnd, run_segment
from worker import claims
from worker.cohort import cohort_of
from worker.patience import NO_ANSWER
from worker.work import Check, Patiently, require_in_sight

YIELD_LOOK_S = 0.5
"""How often a training segment looks whether a person waits."""


class Training:
    """Trains segment by segment; yields to a person who waits, and to the worker's end."""

    def __init__(self, study: Study, stopping: threading.Event) -> None:
        self._study = study
        self._stopping = stopping

    def work(self, held: Claim, check: Check, patiently: Patiently) -> None:
        """Train one segment and store how it ended."""
        payload = SegmentPayload.model_validate(held.payload)
        with self._study.database.read() as connection:
            spec = SweepSpec.model_validate(jobs.get(connection, held.job_id).spec)
            champion = models.champion(connection)
        run = spec.runs[payload.run]
        if payload.checkpoint is not None:
            require_in_sight(self._study.store, payload.checkpoint.path)
        elif champion is not None:  # a new study has no folder in its store yet
            require_in_sight(self._study.store, champion.path)
        cohort = cohort_of(self._study, run, is_begun=payload.checkpoint is not None)
        run_folder = f"runs/j{held.job_id}-r{payload.run}"
        check()
        end = run_segment(
            run,
            self._study.scheme,
            cohort.train,
            cohort.test,
            store=self._study.store,
            run_folder=run_folder,
            payload=payload,
            attempt=held.attempt,
            check=check,
            should_yield=self._should_yield(),
            on_epoch=lambda figures: patiently(
                lambda: claims.report_epoch(
                    self._study, held, {"run": payload.run, **figures.model_dump(mode="json")}
                )
            ),
        )
        left = end.checkpoint or self._new_model(end)
        patiently(lambda: claims.finish_segment(self._study, held, payload, left))
        if end.checkpoint is None:
            # The model is stored and the row says so: its checkpoints have done their duty.
            shutil.rmtree(self._study.store / run_folder, ignore_errors=True)

    def _new_model(self, end: SegmentEnd) -> claims.NewModel:
        assert end.card is not None  # noqa: S101 -- a segment ends with one of the two
        assert end.model_folder is not None  # noqa: S101
        return claims.NewModel(
            sha256=end.card.weights_sha256,
            path=end.model_folder.relative_to(self._study.store).as_posix(),
            preprocessing=end.card.preprocessing_hash,
            precision=end.card.precision,
            card=end.card.model_dump(mode="json"),
        )

    def _should_yield(self) -> Callable[[], bool]:
        """Whether to stop here: asked of the database twice a second at most."""
        looked = time.monotonic()

        def should_yield() -> bool:
            nonlocal looked
            if self._stopping.is_set():
                return True
            if time.monotonic() - looked < YIELD_LOOK_S:
                return False
            looked = time.monotonic()
            try:
                return claims.has_interactive_work(self._study)
            except NO_ANSWER:
                return False  # a segment outlives a database that is away for a while

        return should_yield
