"""The stages of a training run: adapt, prepare, warm up, fit; a harvest at each kept epoch."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any

import torch

from marrow.records import HarvestRef, SegmentPayload, TrainingSpec
from marrow.schemes import Scheme
from training.harvest import Harvest, harvest_of
from training.inputs import FeatureInputs, Inputs
from training.losses import head_losses, head_weights
from training.material import BEFORE_ALL, Material
from training.network import adapt_batch_norm, build_network, load_trunk, set_trainable
from training.precision import bf16_is_native
from training.preprocess import normalise
from training.progress import Progress, as_begun, load_checkpoint, restore
from training.splits import Sides
from training.steps import (
    Standardiser,
    batch_order,
    build_optimizer,
    one_thread,
    seeded,
    train_step,
)
from training.tally import EpochFigures, Tally
from training.turn import Turn

ADAPTING_VIEWS, ADAPTING_BATCH = 512, 16
"""Training views that set a random trunk's batch-norm statistics. Adapting is not split
among segments: 512 keep it near a minute on one core, and a mean over them is steady."""
VALIDATION_BATCH = 32


class TrainingRun:
    """One run in memory: from its beginning, or from a checkpoint.

    Each stage gives back whether it is complete; if not, the turn is over, and `network`,
    `optimizer` and `progress` hold all that the next segment needs.

    Parameters
    ----------
    folder : Path
        The run's own, for what is unfinished.
    keep : callable
        Writes a harvest into the store.
    on_epoch : callable
        Told of each finished epoch.
    """

    def __init__(
        self,
        spec: TrainingSpec,
        scheme: Scheme,
        sides: Sides,
        *,
        store: Path,
        folder: Path,
        payload: SegmentPayload,
        keep: Callable[[Harvest], HarvestRef],
        on_epoch: Callable[[EpochFigures], None],
    ) -> None:
        self.spec, self.scheme, self.store, self.folder = spec, scheme, store, folder
        self._keep, self._on_epoch = keep, on_epoch
        self.head_weights = head_weights(scheme, spec.loss_weights)
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.is_fresh = payload.checkpoint is None
        self.network = build_network(spec.backbone, scheme, spec.dropout, spec.seed)
        tensors: dict[str, torch.Tensor] = {}
        if self.is_fresh:
            self.progress = self._begin(sides)
        else:
            self.progress, tensors = load_checkpoint(store, payload)
        self.material = Material(spec, scheme, as_begun(self.progress, sides), self.device)
        self.material.decoder.skipped.update(self.progress.skipped)
        # torch's stubs know no `to` with a memory format alone.
        self.network.to(device=self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        # Heads that learnt under the trunk's batch-norm statistics go on under them: with those
        # of the batch instead the loss of real cells began at 17 (frozen: below 1).
        set_trainable(self.network, spec.tune, keep_statistics=self._is_warm_wanted)
        self.optimizer = build_optimizer(self.network, spec)
        if tensors:
            restore(self.network, self.optimizer, tensors)
        self._began: float | None = None

    def _begin(self, sides: Sides) -> Progress:
        note = load_trunk(self.network, self.spec.weights, self.spec.weights_sha256)
        answers = [{s.smear.id: dict(s.answers) for s in side} for side in sides]
        wanted = self.spec.precision
        if wanted == "auto":
            is_bf16 = self.spec.tune != "heads" and bf16_is_native(self.device)
            wanted = "bf16" if is_bf16 else "fp32"
        tally = Tally(self.scheme.primary)
        return Progress(notes=[note], answers=answers, precision=wanted, tally=tally)

    def adapt(self, turn: Turn) -> bool:
        """Give a trunk without weights the batch-norm statistics of the training images."""
        if not self.is_fresh or self.spec.weights != "none":
            return True
        views = self.material.originals()
        order = batch_order(self.spec.data_seed, BEFORE_ALL, len(views), ADAPTING_BATCH)
        groups = [[views[place] for place in batch] for batch in order]
        groups = groups[: ADAPTING_VIEWS // ADAPTING_BATCH]
        seen = 0

        def images() -> Iterator[torch.Tensor]:
            nonlocal seen
            with closing(self.material.decoder.batches(groups)) as decoded:
                for read, pixels in decoded:
                    turn.check()
                    if pixels is not None and len(read) > 1:  # batch norm needs two
                        seen += len(read)
                        yield normalise(pixels.to(self.device), self.material.preprocessing)

        adapt_batch_norm(self.network, images())
        if not seen:
            self.material.refuse_unread(self.progress.skipped)
        self.progress.skipped |= self.material.decoder.skipped
        self.progress.notes.append(
            "no pretrained weights: the random trunk's batch-norm statistics were adapted to "
            f"{seen} views of training patients"
        )
        return not turn.is_over()

    def prepare(self, turn: Turn) -> bool:
        """The features or maps of all views, where a part of the network is frozen."""
        return self.material.prepare(self.network, self.progress, self.store, self.folder, turn)

    @property
    def _is_warm_wanted(self) -> bool:
        spec = self.spec
        return spec.tune != "heads" and spec.weights != "none" and spec.heads_first > 0

    def warm(self, turn: Turn) -> bool:
        """Let new heads learn alone first, so that they pull a trained trunk nowhere at random."""
        spec = self.spec
        if not self._is_warm_wanted or self.progress.is_warm:
            return True
        rows = list(dict.fromkeys(self.material.train))
        features = self.material.pooled(self.network, self.progress, rows, self.store, turn)
        if features is None:
            return False
        read = [place for place, is_read in enumerate(features.is_read.tolist()) if is_read]
        if not read:
            self.material.refuse_unread(self.progress.skipped)
        pooled = features.pooled[read]
        standardiser = Standardiser.fit(pooled)
        heads = build_optimizer(self.network, spec, heads_alone=True)
        inputs = FeatureInputs(standardiser(pooled).to(self.device))
        names = torch.tensor([rows[place] for place in read])
        self.network.train()
        for epoch in range(-spec.heads_first - 1, BEFORE_ALL):
            order = batch_order(spec.seed, epoch, len(read), spec.batch_size)
            with one_thread():
                for batch, (places, given) in enumerate(inputs.batches(order)):
                    turn.check()
                    self._step(heads, inputs, names[places], given, (epoch, batch), Tally())
        for head in self.scheme.heads:
            standardiser.fold_into(self.network.heads[head.name])  # type: ignore[arg-type]
        self.progress.is_warm = True
        what = "the whole trunk" if spec.tune == "full" else "its last block"
        self.progress.notes.append(
            f"heads trained alone for {spec.heads_first} epochs before {what} was; batch norms "
            "kept the statistics of the initial weights"
        )
        return not turn.is_over()

    def fit(self, turn: Turn) -> bool:
        """All epochs from where the run stands, and a harvest at each kept one."""
        while True:
            still_to_keep = self.spec.kept_epochs[len(self.progress.harvests) :]
            if not still_to_keep:
                return True
            is_due = self.progress.epoch == still_to_keep[0]
            if not (self._harvest(turn) if is_due else self._fit_epoch(turn)):
                return False

    def _fit_epoch(self, turn: Turn) -> bool:
        progress, material = self.progress, self.material
        order = batch_order(
            self.spec.seed, progress.epoch, len(material.train), self.spec.batch_size
        )
        self._began = time.monotonic() if progress.batch == 0 else None
        groups = [[material.train[place] for place in batch] for batch in order[progress.batch :]]
        self.network.train()  # once: it walks through all modules
        threads = one_thread() if self.spec.tune == "heads" else nullcontext()
        with threads, closing(material.inputs.batches(groups, least=2)) as batches:
            for rows, inputs in batches:
                at = progress.epoch, progress.batch
                names = torch.tensor(rows, dtype=torch.int64)
                self._step(self.optimizer, material.inputs, names, inputs, at, progress.tally)
                progress.batch += 1
                if progress.batch == len(order):
                    self._end_epoch(turn)
                    return not turn.is_over()
                if turn.is_over():
                    return False
        raise AssertionError("an epoch has at least one batch")

    def _step(
        self,
        optimizer: torch.optim.Adam,
        source: Inputs,
        rows: torch.Tensor,
        inputs: torch.Tensor | None,
        at: tuple[int, int],
        tally: Tally,
    ) -> None:
        if inputs is None:
            return
        classes, balance = self.material.classes[rows], self.material.balance[rows]
        with seeded(self.spec.seed, *at, self.device):
            logits = self._answer(source, inputs)
            train_step(optimizer, logits, classes, balance, self.head_weights, tally)

    def _answer(self, source: Inputs, inputs: torch.Tensor) -> dict[str, torch.Tensor]:
        is_bf16 = self.progress.precision == "bf16"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=is_bf16):
            pooled = source.pooled(self.network, inputs)
        return self.network.answer(pooled)

    def _end_epoch(self, turn: Turn) -> None:
        progress = self.progress
        progress.epoch, progress.batch = progress.epoch + 1, 0
        progress.skipped |= self.material.decoder.skipped
        if not any(progress.tally.known.values()):
            self.material.refuse_unread(progress.skipped)
        seconds = None if self._began is None else time.monotonic() - self._began
        figures = progress.tally.figures(progress.epoch, self.spec.epochs, self.head_weights)
        update = {"validation": self._validate(turn), "seconds": seconds}
        figures = figures.model_copy(update=update)
        progress.tally = Tally(self.scheme.primary)
        progress.last = figures.model_dump(mode="json")
        self._on_epoch(figures)

    @torch.no_grad()
    def _validate(self, turn: Turn) -> dict[str, Any] | None:
        """The patients that the run leaves out, as they are, without dropout."""
        material, tally = self.material, Tally(self.scheme.primary)
        rows = material.validation
        if not rows:
            return None
        self.network.eval()
        groups = [rows[at : at + VALIDATION_BATCH] for at in range(0, len(rows), VALIDATION_BATCH)]
        for read, inputs in material.inputs.batches(groups):
            turn.check()
            if inputs is not None:
                logits = self._answer(material.inputs, inputs)
                classes, balance = material.classes[read], material.balance[read]
                tally.add(logits, classes, head_losses(logits, classes, balance))
        return tally.means(self.head_weights)

    def _harvest(self, turn: Turn) -> bool:
        """Leave what the conclusion needs of the epoch at hand."""
        began = time.monotonic()
        rows = self.material.rows.examined
        unique = list(dict.fromkeys(rows))
        features = self.material.pooled(self.network, self.progress, unique, self.store, turn)
        if features is None:
            return False
        place = {row: number for number, row in enumerate(unique)}
        pooled = features.pooled[[place[row] for row in rows]]
        seconds = time.monotonic() - began
        harvest = harvest_of(self.network, self.material, self.progress, pooled, seconds)
        self.progress.harvests.append(self._keep(harvest))
        return not turn.is_over()
