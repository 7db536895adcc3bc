"""Working on a claimed piece, whoever brought it: a Celery message or the polling loop."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable

import torch
from sqlalchemy import select

from marrow.catalogue import jobs, models, regions, smears
from marrow.catalogue.schema import job_smear
from marrow.errors import Cancelled, LeaseLost, MarrowError
from marrow.records import (
    Claim,
    ClassifySpec,
    ModelRecord,
    Outcome,
    SegmentPayload,
    SweepSpec,
)
from marrow.study import Study
from training.checkpoints import load_model
from training.fit import run_segment
from worker import claims
from worker.classify import Classifier, Request
from worker.cohort import cohort_of
from worker.lease import Lease, exit_stuck
from worker.provenance import provenance

_DEVICE_ERRORS: tuple[type[Exception], ...] = (
    (torch.AcceleratorError,) if hasattr(torch, "AcceleratorError") else ()
)
"""From torch 2.8 on; running out of memory is another error, and is handled by the classifier."""

YIELD_LOOK_S = 0.5
"""How often a training segment looks whether a person waits."""

log = logging.getLogger(__name__)


class Bench:
    """One worker's place: the study, and the model that is loaded just now.

    Parameters
    ----------
    device : str
        `auto`, `cpu`, `cuda` or `mps`.
    on_broken_device : callable
        Called after an error of the accelerator itself, which every later call would repeat;
        the default ends the process, whose supervisor starts a new one.
    """

    def __init__(
        self,
        study: Study,
        owner: claims.Owner,
        device: str = "auto",
        on_broken_device: Callable[[], None] = exit_stuck,
    ) -> None:
        self._on_broken_device = on_broken_device
        self._is_stopping = False
        self._study = study
        self._owner = owner
        self._device = device
        self._loaded: tuple[str, Classifier] | None = None

    def try_piece(self, job_id: int, number: int) -> bool:
        """Work on this piece if it is to be had; whether it was."""
        held = claims.claim(self._study, self._owner, job_id, number)
        if held is not None:
            self._work(held)
        return held is not None

    def try_any(self) -> bool:
        """Work on the most urgent piece there is; whether there was one."""
        held = claims.claim_next(self._study, self._owner)
        if held is not None:
            self._work(held)
        return held is not None

    def stop_soon(self) -> None:
        """Let a training segment end at its next batch, with a checkpoint."""
        self._is_stopping = True

    def _work(self, held: Claim) -> None:
        where = f"job {held.job_id}, piece {held.number}, attempt {held.attempt}"
        log.info("claimed %s", where)
        try:
            self._work_or_give_back(held, where)
        except LeaseLost:
            log.warning("lost %s: another worker has it", where)

    def _work_or_give_back(self, held: Claim, where: str) -> None:
        try:
            with Lease(self._study, held) as lease:
                if held.kind == "classify":
                    self._classify(held, lease.check)
                else:
                    self._train(held, lease.check)
            log.info("finished %s", where)
        except LeaseLost:
            raise
        except Cancelled:
            claims.confirm_cancel(self._study, held)
            log.info("cancelled %s", where)
        except MarrowError as error:
            claims.refuse(self._study, held, str(error))
            log.warning("refused %s: %s", where, type(error).__name__)
        except Exception as error:
            # The boundary of a task: whatever a decoder, a driver or torch raised, the piece
            # goes back to the ledger and the worker lives on.
            log.exception("failed %s", where)
            claims.give_back(self._study, held, f"{type(error).__name__} in the worker (its log)")
            if isinstance(error, _DEVICE_ERRORS):
                self._on_broken_device()

    def _classify(self, held: Claim, check: Callable[[], None]) -> None:
        with self._study.database.read() as connection:
            spec = ClassifySpec.model_validate(jobs.get(connection, held.job_id).spec)
            model = models.get(connection, spec.model_id)
            ids = connection.execute(
                select(job_smear.c.smear_id).where(
                    job_smear.c.job_id == held.job_id, job_smear.c.piece == held.number
                )
            ).scalars()
            wanted = smears.get(connection, sorted(ids))
            drawn = regions.of_many(connection, [one.id for one in wanted])
        outcomes: list[Outcome] = []
        requests: list[Request] = []
        for one in wanted:
            try:
                path, members = self._study.file_of(one), self._study.members_of(one)
            except MarrowError as error:
                outcomes.append(Outcome(one.id, None, None, str(error)))
                continue
            own = tuple(drawn.get(one.id, ()))
            requests.append(Request(one.id, path, own, members, one.identity, one.is_slide))
        classifier = self._classifier(model)
        check()
        outcomes += classifier.classify(requests, check)
        revisions = {one.id: one.regions_revision for one in wanted}
        made_by = provenance(classifier.device)
        claims.finish_smears(self._study, held, model, outcomes, revisions, made_by)

    def _classifier(self, model: ModelRecord) -> Classifier:
        """The model, loaded once and kept until another one is asked for."""
        if self._loaded is None or self._loaded[0] != model.sha256:
            self._loaded = None  # frees the old one's memory first
            network, card = load_model(self._study.store / model.path, model.sha256)
            self._loaded = (model.sha256, Classifier(network, card, self._device))
        return self._loaded[1]

    def _train(self, held: Claim, check: Callable[[], None]) -> None:
        payload = SegmentPayload.model_validate(held.payload)
        with self._study.database.read() as connection:
            spec = SweepSpec.model_validate(jobs.get(connection, held.job_id).spec)
        run = spec.runs[payload.run]
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
            should_yield=self._person_waits(),
            on_epoch=lambda figures: claims.report_epoch(
                self._study, held, {"run": payload.run, **figures.model_dump(mode="json")}
            ),
        )
        if end.checkpoint is not None:
            claims.finish_segment(self._study, held, payload, end.checkpoint)
            return
        assert end.card is not None  # noqa: S101 -- a segment ends with one of the two
        assert end.model_folder is not None  # noqa: S101
        made = claims.NewModel(
            sha256=end.card.weights_sha256,
            path=end.model_folder.relative_to(self._study.store).as_posix(),
            preprocessing=end.card.preprocessing_hash,
            precision=end.card.precision,
            card=end.card.model_dump(mode="json"),
        )
        claims.finish_segment(self._study, held, payload, made)
        # The model is stored and the row says so: its checkpoints have done their duty.
        shutil.rmtree(self._study.store / run_folder, ignore_errors=True)

    def _person_waits(self) -> Callable[[], bool]:
        """Whether interactive work waits, asked of the database twice a second at most."""
        looked = time.monotonic()

        def should_yield() -> bool:
            nonlocal looked
            if self._is_stopping:
                return True
            if time.monotonic() - looked < YIELD_LOOK_S:
                return False
            looked = time.monotonic()
            return claims.has_interactive_work(self._study)

        return should_yield
