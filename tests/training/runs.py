"""Runs of a training without a ledger: segments one after the other, then the conclusion."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from marrow.records import (
    Cell,
    CheckpointRef,
    ConclusionPayload,
    HarvestRef,
    SegmentPayload,
    SweepSpec,
    TrainingSpec,
)
from marrow.schemes import Scheme
from training.checkpoints import ModelCard
from training.conclude import Concluded, conclude
from training.dataset import LabelledSmear
from training.fit import EpochFigures, run_segment
from training.splits import Sides

SPEC = TrainingSpec(
    backbone="shufflenet_v2_x0_5",  # the smallest of torchvision's
    epochs=2,
    batch_size=4,
    input_px=32,
    seed=3,
    head_learning_rate=1e-2,
)
TEST_PATIENTS = frozenset({"p0", "p4", "p9", "p10"})


class Killed(Exception):
    """A worker that dies between two batches."""


@dataclass
class Ended:
    """A segment's checkpoint; of a run's last one what it left, and the model made of it."""

    checkpoint: CheckpointRef | None
    harvests: tuple[HarvestRef, ...] = ()
    model_folder: Path | None = None
    card: ModelCard | None = None


@dataclass
class Bench:
    """Runs segments of one training in a store, and remembers what was told."""

    scheme: Scheme
    train: list[LabelledSmear]
    test: list[LabelledSmear]
    store: Path
    told: list[EpochFigures] = field(default_factory=list)
    turns: int = 0

    def segment(
        self,
        spec: TrainingSpec,
        checkpoint: CheckpointRef | None = None,
        number: int = 0,
        attempt: int = 1,
        yield_after: int | None = None,
        die_after: int | None = None,
        **options: Any,
    ) -> Ended:
        """One segment; `yield_after` and `die_after` count the batches done in it."""
        self.turns = 0
        checks = 0

        def check() -> None:
            nonlocal checks
            checks += 1
            if die_after is not None and checks >= die_after:
                raise Killed

        def should_yield() -> bool:
            self.turns += 1
            return yield_after is not None and self.turns >= yield_after

        sides = Sides(options.pop("train", self.train), self.test, [])
        end = run_segment(
            spec,
            self.scheme,
            sides,
            store=self.store,
            run_folder="runs/j1-r0",
            payload=SegmentPayload(run=0, segment=number, checkpoint=checkpoint),
            attempt=attempt,
            check=check,
            should_yield=should_yield,
            on_epoch=lambda told: self.told.append(told.model_copy(update={"seconds": None})),
            **options,
        )
        if end.checkpoint is not None:
            return Ended(end.checkpoint)
        return self.conclude(spec, sides, end.harvests)

    def conclude(self, spec: TrainingSpec, sides: Sides, harvests: tuple[HarvestRef, ...]) -> Ended:
        """The model of the run's last epoch."""
        cell = Cell(loss_weights=spec.loss_weights, epochs=spec.epochs, seed=spec.seed, run=0)
        sweep = SweepSpec(runs=(spec,), cells=(cell,))
        payload = ConclusionPayload(harvests=(harvests,))
        (made,) = conclude(sweep, self.scheme, sides, payload, store=self.store, check=lambda: None)
        return Ended(None, harvests, made.folder, made.card)

    def sweep(self, spec: SweepSpec, sides: Sides | None = None) -> list[Concluded]:
        """Every run of a sweep in one segment, and what is concluded from them."""
        sides = sides or Sides(self.train, self.test, [])
        harvests = tuple(self.run(run, number, sides) for number, run in enumerate(spec.runs))
        payload = ConclusionPayload(harvests=harvests)
        return conclude(spec, self.scheme, sides, payload, store=self.store, check=lambda: None)

    def run(self, spec: TrainingSpec, number: int, sides: Sides) -> tuple[HarvestRef, ...]:
        """One run of a sweep, undisturbed."""
        end = run_segment(
            spec,
            self.scheme,
            sides,
            store=self.store,
            run_folder=f"runs/j1-r{number}",
            payload=SegmentPayload(run=number, segment=0),
            attempt=1,
            check=lambda: None,
            should_yield=lambda: False,
            on_epoch=self.told.append,
            budget_s=1e9,
        )
        return end.harvests

    def files(self) -> set[str]:
        found = (path for path in self.store.rglob("*") if path.is_file())
        return {path.relative_to(self.store).as_posix() for path in found}
