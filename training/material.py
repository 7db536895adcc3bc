"""What a run learns from: its rows, and the features, maps or images that stand for them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from statistics import median
from typing import NoReturn

import torch

from marrow.errors import UnreadableSmear
from marrow.records import TrainingSpec
from marrow.schemes import Scheme
from marrow.splits import patient_of
from training.dataset import ORIGINAL, Decoder, LabelledSmear, View
from training.features import BATCH, Features, pooled_features
from training.inputs import FeatureInputs, ImageInputs, Inputs, MapInputs
from training.losses import balance_by_patient, class_indices
from training.maps import FrozenMaps, frozen_maps
from training.network import MultiHeadNetwork
from training.preprocess import Preprocessing
from training.progress import Progress
from training.rows import rows_of
from training.splits import Sides
from training.steps import Standardiser, batch_order
from training.turn import Turn
from training.zca import FIT_IMAGES, Whitening, require_training_only

BEFORE_ALL = -1
"""Number of the draw that chooses views before any epoch."""


class Material:
    """The views of a run in the form in which its trained part takes them.

    Attributes
    ----------
    rows : Rows
        The smears in the order of their identities, and their views.
    train, validation : list of int
        As in `rows`, less what could not be read; known once `prepare` is complete.
    inputs : Inputs
        Known then, too.
    classes, balance : (n, heads)
        Of every view, as in `losses.head_losses`.
    standardiser : Standardiser or None
        Of pooled features, where the heads alone are trained.
    """

    def __init__(
        self, spec: TrainingSpec, scheme: Scheme, sides: Sides, device: torch.device
    ) -> None:
        self.spec, self.device = spec, device
        self.rows = rows_of(spec, scheme, sides)
        self.preprocessing = Preprocessing(
            input_px=spec.input_px,
            field_of_view_um=_field_of_view_um(sides.train, spec.input_px),
        )
        self.decoder = Decoder(self.rows.smears, self.preprocessing, spec.data_seed)
        smears = [self.rows.smears[view.smear] for view in self.rows.views]
        self.patients = [patient_of(s.smear, spec.smear_is_patient) for s in smears]
        self.classes = class_indices(smears, scheme)
        self.balance = torch.zeros(self.classes.shape)
        self.train, self.validation = self.rows.train, self.rows.validation
        self.inputs: Inputs = ImageInputs(self.decoder, self.rows.views, device)
        self.standardiser: Standardiser | None = None
        self._features: Features | None = None

    def originals(self) -> list[View]:
        """The training views as they are, each once."""
        views = self.rows.views
        return list(dict.fromkeys(views[row]._replace(copy=ORIGINAL) for row in self.rows.train))

    def prepare(
        self, network: MultiHeadNetwork, progress: Progress, store: Path, folder: Path, turn: Turn
    ) -> bool:
        """Make what the trained part takes; False, with how far it came in `progress`, if not all.

        `folder` is the run's own, for unfinished maps.
        """
        if self.spec.augment == "seed8" and self.decoder.whitening is None:
            self._fit_whitening(turn)
        if self.spec.tune == "heads":
            views = self.rows.views
            made = self._pooled_of_images(network, progress, views, store, turn, keep=True)
            if made is None:
                return False
            self._take_features(made)
        elif self.spec.tune == "last-block":
            found = frozen_maps(
                network,
                self.decoder,
                self.rows.views,
                store,
                folder / "unfinished.maps",
                turn,
                progress.maps,
            )
            progress.skipped |= found.skipped
            progress.maps = None if isinstance(found, FrozenMaps) else found
            if not isinstance(found, FrozenMaps):
                return False
            self._leave_out(found.is_read.tolist())
            self.inputs = MapInputs(found, self.device)
        self._weigh()
        return True

    def pooled(
        self,
        network: MultiHeadNetwork,
        progress: Progress,
        rows: Sequence[int],
        store: Path,
        turn: Turn,
    ) -> Features | None:
        """Pooled features of some rows under the network as it is; None if the turn is over.

        NaN where a view could not be read.
        """
        if self._features is not None:
            return Features(self._features.pooled[list(rows)], self._features.skipped)
        if self.spec.tune == "last-block":
            return self._pooled_of_maps(network, progress, rows, turn)
        views = [self.rows.views[row] for row in rows]
        return self._pooled_of_images(network, progress, views, store, turn, keep=False)

    def refuse_unread(self, skipped: dict[int, str]) -> NoReturn:
        """Say that no training smear can be read."""
        trained = [self.rows.smears[view.smear] for view in self.originals()]
        known = skipped | self.decoder.skipped
        reason = known.get(trained[0].smear.id, "no tile of it lies in the usable area")
        raise UnreadableSmear(
            trained[0].path,
            f"{reason}; nor can any other of the {len({s.smear.id for s in trained})} training "
            "smears be read, so nothing can be learned",
        )

    def _pooled_of_images(
        self,
        network: MultiHeadNetwork,
        progress: Progress,
        views: Sequence[View],
        store: Path,
        turn: Turn,
        *,
        keep: bool,
    ) -> Features | None:
        made, is_complete = pooled_features(
            network, self.decoder, views, store, turn, progress.features, keep=keep
        )
        progress.skipped |= made.skipped
        progress.features = None if is_complete else made
        return made if is_complete else None

    @torch.no_grad()
    def _pooled_of_maps(
        self, network: MultiHeadNetwork, progress: Progress, rows: Sequence[int], turn: Turn
    ) -> Features:
        network.eval()
        groups = [rows[at : at + BATCH] for at in range(0, len(rows), BATCH)]
        parts = []
        for group, (read, maps) in zip(groups, self.inputs.batches(groups), strict=True):
            turn.check()
            part = torch.full((len(group), network.channels), torch.nan)
            if maps is not None:
                is_read = torch.tensor([row in set(read) for row in group])
                part[is_read] = network.pool(network.late_maps(maps)).cpu()
            parts.append(part)
        return Features(torch.cat(parts), progress.skipped)

    def _take_features(self, made: Features) -> None:
        self._features = made
        self._leave_out(made.is_read.tolist())
        if not self.train:
            self.refuse_unread(made.skipped)
        self.standardiser = Standardiser.fit(made.pooled[self.train])
        self.inputs = FeatureInputs(self.standardiser(made.pooled).to(self.device))

    def _leave_out(self, is_read: Sequence[bool]) -> None:
        self.train = [row for row in self.rows.train if is_read[row]]
        self.validation = [row for row in self.rows.validation if is_read[row]]
        if not self.train:
            self.refuse_unread({})

    def _weigh(self) -> None:
        """Let each class count alike, and in it each patient, on either side by itself."""
        balance = torch.zeros(self.classes.shape)
        for rows in (self.train, self.validation):
            patients = [self.patients[row] for row in rows]
            balance[rows] = balance_by_patient(self.classes[rows], patients)
        self.balance = balance.to(self.device)
        self.classes = self.classes.to(self.device)

    def _fit_whitening(self, turn: Turn) -> None:
        """Fit it to training originals; to the same ones in every segment."""
        if self.spec.protocol == "honest":
            sides = zip(self.rows.examined, self.rows.sides, strict=True)
            others = [self.patients[row] for row, side in sides if side != "train"]
            require_training_only((self.patients[row] for row in self.rows.train), others)
        views = self.originals()
        order = batch_order(self.spec.data_seed, BEFORE_ALL, len(views), FIT_IMAGES)[0]
        chosen = [[views[place]] for place in sorted(order[:FIT_IMAGES])]
        found = []
        with closing(self.decoder.batches(chosen)) as decoded:
            for _, pixels in decoded:
                turn.check()
                if pixels is not None:
                    found.append(pixels)
        if not found:
            self.refuse_unread({})
        self.decoder.whitening = Whitening.fit(torch.cat(found))


def _field_of_view_um(train: Sequence[LabelledSmear], input_px: int) -> float | None:
    """Edge of a tile: `input_px` pixels of the median training slide; None if unknown."""
    sizes = [s.smear.pixel_size_um for s in train if s.smear.is_slide]
    known = [size for size in sizes if size is not None]
    return median(known) * input_px if known else None
