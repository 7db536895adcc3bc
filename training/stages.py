"""The stages of a training run: adapt, extract features, fit, look at the test side."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from statistics import median

import torch

from marrow.errors import UnreadableSmear
from marrow.records import SegmentPayload, TrainingSpec
from marrow.schemes import Scheme
from training.dataset import Decoder, LabelledSmear, View, patient_of, views_of
from training.features import Features, pooled_features
from training.losses import balance_by_patient, class_indices, head_weights
from training.network import adapt_batch_norm, build_network, load_trunk, set_trainable
from training.preprocess import Preprocessing, normalise
from training.progress import Progress, as_begun, load_checkpoint, restore
from training.splits import split_of
from training.steps import Standardiser, batch_order, build_optimizer, seeded, train_step
from training.tally import EpochFigures, Tally
from training.turn import Turn

ADAPTING_VIEWS, ADAPTING_BATCH = 512, 16
"""Training views that set a random trunk's batch-norm statistics. Adapting is not split
among segments: 512 keep it near a minute on one core, and a mean over them is steady."""


class TrainingRun:
    """One run in memory: from its beginning, or from a checkpoint.

    Each stage gives back whether it is complete; if not, the turn is over, and `network`,
    `optimizer` and `progress` hold all that the next segment needs.
    """

    def __init__(
        self,
        spec: TrainingSpec,
        scheme: Scheme,
        train: Sequence[LabelledSmear],
        test: Sequence[LabelledSmear],
        store: Path,
        payload: SegmentPayload,
    ) -> None:
        self.spec, self.scheme, self.store = spec, scheme, store
        self.head_weights = head_weights(scheme, spec.loss_weights)
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.is_fresh = payload.checkpoint is None
        self.network = build_network(spec.backbone, scheme, spec.dropout, spec.seed)
        self.standardiser: Standardiser | None = None
        tensors: dict[str, torch.Tensor] = {}
        if self.is_fresh:
            note = load_trunk(self.network, spec.weights, spec.weights_sha256)
            answers = [{s.smear.id: dict(s.answers) for s in side} for side in (train, test)]
            self.progress = Progress(notes=[note], answers=answers)
        else:
            self.progress, tensors = load_checkpoint(store, payload)
        self._take_sides(*as_begun(self.progress, train, test))
        self.network.to(self.device)
        set_trainable(self.network, spec.tune)
        self.optimizer = build_optimizer(self.network, spec)
        if tensors:
            restore(self.network, self.optimizer, tensors)

    def _take_sides(self, train: list[LabelledSmear], test: list[LabelledSmear]) -> None:
        """Views and class indices of both sides, in the order of the smears' identities."""
        split_of(train, test, self.spec.smear_is_patient)
        self.smears = sorted((*train, *test), key=lambda labelled: labelled.smear.identity)
        trained = {labelled.smear.id for labelled in train}
        self.preprocessing = Preprocessing(
            input_px=self.spec.input_px,
            field_of_view_um=_field_of_view_um(train, self.spec.input_px),
        )
        self.decoder = Decoder(self.smears, self.preprocessing, self.spec.seed)
        self.decoder.skipped.update(self.progress.skipped)
        self.views = views_of(self.smears, self.spec.tiles_per_slide)
        is_train = [self.smears[view.smear].smear.id in trained for view in self.views]
        self.train_views = [v for v, trains in zip(self.views, is_train, strict=True) if trains]
        self.test_views = [v for v, trains in zip(self.views, is_train, strict=True) if not trains]

    def adapt(self, turn: Turn) -> bool:
        """Give a trunk without weights the batch-norm statistics of the training images."""
        if not self.is_fresh or self.spec.weights != "none":
            return True
        order = batch_order(self.spec.seed, -1, len(self.train_views), ADAPTING_BATCH)
        groups = [[self.train_views[i] for i in batch] for batch in order]
        groups = groups[: ADAPTING_VIEWS // ADAPTING_BATCH]
        views = 0

        def images() -> Iterator[torch.Tensor]:
            nonlocal views
            with closing(self.decoder.batches(groups)) as decoded:
                for read, pixels in decoded:
                    turn.check()
                    if pixels is not None and len(read) > 1:  # batch norm needs two
                        views += len(read)
                        yield normalise(pixels.to(self.device), self.preprocessing)

        adapt_batch_norm(self.network, images())
        if not views:
            self._refuse_unread()
        self.progress.skipped |= self.decoder.skipped
        self.progress.notes.append(
            "no pretrained weights: the random trunk's batch-norm statistics were adapted to "
            f"{views} views of training patients"
        )
        return not turn.is_over()

    def extract(self, turn: Turn) -> bool:
        """With frozen trunk: the features of all views; otherwise nothing."""
        if self.spec.tune != "heads":
            self._rows = list(range(len(self.train_views)))
            self._take_classes(self.train_views)
            return True
        if not self._features_of(self.views, turn):
            return False
        trained = set(self.train_views)
        self._rows = [
            row
            for row, read in enumerate(self.features.is_read.tolist())
            if read and self.views[row] in trained
        ]
        if not self._rows:
            self._refuse_unread()
        self._take_classes([self.views[row] for row in self._rows])
        plain = self.features.pooled[self._rows]
        self.standardiser = Standardiser.fit(plain)
        self._inputs = self.standardiser(plain).to(self.device)
        return True

    def _features_of(self, views: Sequence[View], turn: Turn) -> bool:
        """Make `self.features`; False, with what there is in `progress`, if the turn is over."""
        self.features, complete = pooled_features(
            self.network,
            self.decoder,
            views,
            self.store,
            turn,
            self.progress.features,
            keep=self.spec.tune == "heads",
        )
        self.progress.skipped |= self.features.skipped
        self.progress.features = None if complete else self.features
        return complete

    def _take_classes(self, views: Sequence[View]) -> None:
        smears = [self.smears[view.smear] for view in views]
        patients = [patient_of(s.smear, self.spec.smear_is_patient) for s in smears]
        classes = class_indices(smears, self.scheme)
        self._classes = classes.to(self.device)
        self._balance = balance_by_patient(classes, patients).to(self.device)

    def fit(self, turn: Turn, on_epoch: Callable[[EpochFigures], None]) -> bool:
        """All epochs from where the run stands."""
        while self.progress.epoch < self.spec.epochs:
            if not self._fit_epoch(turn, on_epoch):
                return False
        return True

    def _fit_epoch(self, turn: Turn, on_epoch: Callable[[EpochFigures], None]) -> bool:
        progress, seed = self.progress, self.spec.seed
        order = batch_order(seed, progress.epoch, len(self._rows), self.spec.batch_size)
        batches = self._batches(order[progress.batch :])
        try:
            for rows, inputs in batches:
                with seeded(seed, progress.epoch, progress.batch, self.device):
                    self._step(rows, inputs)
                progress.batch += 1
                if progress.batch == len(order):
                    self._end_epoch(on_epoch)
                    return not turn.is_over()
                if turn.is_over():
                    return False
        finally:
            batches.close()
        raise AssertionError("an epoch has at least one batch")

    def _batches(
        self, order: list[list[int]]
    ) -> Generator[tuple[list[int], torch.Tensor | None], None, None]:
        """Rows and inputs of each batch: features, or images as far as they can be read."""
        if self.spec.tune == "heads":
            for batch in order:
                yield batch, self._inputs[batch]
            return
        groups = [[self.train_views[i] for i in batch] for batch in order]
        with closing(self.decoder.batches(groups)) as decoded:
            for batch, (read, pixels) in zip(order, decoded, strict=True):
                images = None
                if pixels is not None and len(read) > 1:  # batch norm needs two
                    images = normalise(pixels.to(self.device), self.preprocessing)
                yield [batch[position] for position in read], images

    def _step(self, rows: list[int], inputs: torch.Tensor | None) -> None:
        if inputs is not None:
            train_step(
                self.network,
                self.optimizer,
                inputs,
                self._classes[rows],
                self._balance[rows],
                self.head_weights,
                self.progress.tally,
            )

    def _end_epoch(self, on_epoch: Callable[[EpochFigures], None]) -> None:
        progress = self.progress
        progress.epoch, progress.batch = progress.epoch + 1, 0
        progress.skipped |= self.decoder.skipped
        if not any(progress.tally.known.values()):
            self._refuse_unread()
        figures = progress.tally.figures(progress.epoch, self.spec.epochs, self.head_weights)
        progress.tally = Tally()
        progress.last = figures.model_dump(mode="json")
        on_epoch(figures)

    def examine(self, turn: Turn) -> bool:
        """The test views' features, where the trunk has been trained."""
        return self.spec.tune == "heads" or self._features_of(self.test_views, turn)

    def test_features(self) -> Features:
        """Features of `test_views`, in their order, once all stages are complete."""
        if self.spec.tune != "heads":
            return self.features
        tested = set(self.test_views)
        rows = [row for row, view in enumerate(self.views) if view in tested]
        return Features(self.features.pooled[rows], self.features.skipped)

    def _refuse_unread(self) -> None:
        trained = [self.smears[view.smear] for view in self.train_views]
        skipped = self.progress.skipped | self.decoder.skipped
        reason = skipped.get(trained[0].smear.id, "no tile of it lies in the usable area")
        raise UnreadableSmear(
            trained[0].path,
            f"{reason}; nor can any other of the {len({s.smear.id for s in trained})} training "
            "smears be read, so nothing can be learned",
        )


def _field_of_view_um(train: Sequence[LabelledSmear], input_px: int) -> float | None:
    """Edge of a tile: `input_px` pixels of the median training slide; None if unknown."""
    sizes = [s.smear.pixel_size_um for s in train if s.smear.is_slide]
    known = [size for size in sizes if size is not None]
    return median(known) * input_px if known else None
