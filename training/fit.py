"""Training in segments: each ends with a checkpoint, the last one with the run's harvests."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from marrow.records import CheckpointRef, HarvestRef, SegmentPayload, TrainingSpec
from marrow.schemes import Scheme
from training.harvest import Harvest, save_harvest
from training.precision import exact_float32
from training.progress import prune, save_checkpoint
from training.splits import Sides
from training.stages import TrainingRun
from training.tally import EpochFigures
from training.turn import Turn

__all__ = ["EpochFigures", "SegmentEnd", "run_segment"]


@dataclass
class SegmentEnd:
    """How a segment ended: with a checkpoint, or with what the run leaves of its kept epochs."""

    checkpoint: CheckpointRef | None
    harvests: tuple[HarvestRef, ...]


def run_segment(
    spec: TrainingSpec,
    scheme: Scheme,
    sides: Sides,
    *,
    store: Path,
    run_folder: str,
    payload: SegmentPayload,
    attempt: int,
    check: Callable[[], None],
    should_yield: Callable[[], bool],
    on_epoch: Callable[[EpochFigures], None],
    budget_s: float = 600,
    clock: Callable[[], float] = time.monotonic,
) -> SegmentEnd:
    """Train for at most `budget_s` and leave a checkpoint, or the finished run's harvests.

    On one machine with one number of threads the models are the same, bit for bit, however
    often and wherever its segments ended: the order of the batches is a function of
    (seed, epoch), dropout of (seed, epoch, batch), the copies of (data seed, smear, method).

    Parameters
    ----------
    sides : Sides
        In any order. The run keeps the answers that it began with; smears that come later
        are left out of it.
    store : Path
        Checkpoints and harvests are written to `run_folder` below it, features and maps of
        frozen trunks to features/.
    run_folder : str
        Posix path below the store.
    payload : SegmentPayload
        Its checkpoint, from the segment before, is where this one begins.
    attempt : int
        Part of the names of its files: a worker that has lost its lease overwrites nothing.
    check : callable
        Called between batches; what it raises (Cancelled, LeaseLost) passes through, and
        nothing half-written is left behind.
    should_yield : callable
        Ends the segment after the batch at hand.
    on_epoch : callable
        Called at the end of each epoch; once more for the same epoch where a segment is
        repeated.
    budget_s, clock : float and callable
        Seconds, by this clock. The segment ends after the first batch beyond them.

    Raises
    ------
    CannotSplit
        If a patient is on two sides, or the folds cannot be drawn.
    UnreadableSmear
        If no training smear can be read; single ones are skipped, and the card says why.
    UnreachableSmear
        If this host does not see a file.
    BadModel, BadScheme
        If weights or checkpoint are missing or altered, or do not fit; if the loss weights
        do not fit the heads.
    """
    turn = Turn(check, should_yield, budget_s, clock)
    prune(store, run_folder, payload)

    def keep(harvest: Harvest) -> HarvestRef:
        turn.check()
        by = f"segment-{payload.segment:05d}-attempt-{attempt}"
        path = f"{run_folder}/epoch-{harvest.epoch:05d}-by-{by}.safetensors"
        return save_harvest(store, path, harvest)

    run = TrainingRun(
        spec,
        scheme,
        sides,
        store=store,
        folder=store / run_folder,
        payload=payload,
        keep=keep,
        on_epoch=on_epoch,
    )
    with exact_float32(run.device):
        for stage in (run.adapt, run.prepare, run.warm, run.fit):
            if not stage(turn):
                checkpoint = save_checkpoint(
                    store, run_folder, payload, attempt, run.network, run.optimizer, run.progress
                )
                return SegmentEnd(checkpoint, ())
    return SegmentEnd(None, tuple(run.progress.harvests))
