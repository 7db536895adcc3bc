"""Images of the study, opened again: their look, their features and where the evidence lies."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from marrow.catalogue import regions
from marrow.errors import BadModel, UnreachableSmear
from marrow.records import Smear
from marrow.settings import STORE_ROOT
from marrow.statistics.shift import Appearance, appearance
from marrow.study import Study
from training.checkpoints import load_model
from training.dataset import Decoder, LabelledSmear, View, views_of
from training.network import MultiHeadNetwork
from training.preprocess import Preprocessing, normalise
from training.report.evidence import Evidence

AT_MOST_A_SITE = 100
"""Images that are opened of each site: its mean stain to a tenth of its spread."""

_BATCH = 16


@dataclass(frozen=True)
class Opened:
    """One image as the network sees it, and what the network makes of it.

    Attributes
    ----------
    smear : Smear
    pixels : uint8 (S, S, 3)
        Of a slide: one tile of its usable area.
    features : float32 (C,)
        Pooled.
    maps : float32 (classes over all heads, h, w)
        Evidence for each class, in logits.
    """

    smear: Smear
    pixels: npt.NDArray[np.uint8]
    features: npt.NDArray[np.float32]
    maps: npt.NDArray[np.float32]


@dataclass(frozen=True)
class Seen:
    """What is kept of an opened image to compare sites."""

    site: str
    patient: str
    appearance: Appearance
    features: npt.NDArray[np.float32]


class Eye:
    """A model that looks at images again.

    Raises
    ------
    BadModel
        If the model's files are not in this study's store, or were altered.
    """

    def __init__(self, study: Study, evidence: Evidence) -> None:
        record = evidence.model.record
        folder = study.path_in(STORE_ROOT, record.path)
        if folder is None or not folder.is_dir():
            raise BadModel(f"{record.name}: its files are not in the store {study.store}")
        network, card = load_model(folder, record.sha256)
        self._study = study
        network.to(memory_format=torch.channels_last)
        self._network: MultiHeadNetwork = network
        self._preprocessing: Preprocessing = card.preprocessing
        self._seed = card.training.data_seed

    def open(self, smears: Sequence[Smear]) -> Iterator[Opened]:
        """Those of the images that this host can read, in their order."""
        for start in range(0, len(smears), _BATCH):
            yield from self._open(self._reachable(smears[start : start + _BATCH]))

    def _reachable(self, smears: Sequence[Smear]) -> list[LabelledSmear]:
        with self._study.database.read() as connection:
            drawn = regions.of_many(connection, [one.id for one in smears])
        found = []
        for one in smears:
            try:
                path, members = self._study.file_of(one), self._study.members_of(one)
            except UnreachableSmear:
                continue
            found.append(LabelledSmear(one, path, {}, tuple(drawn.get(one.id, ())), members))
        return found

    @torch.inference_mode()
    def _open(self, smears: list[LabelledSmear]) -> Iterator[Opened]:
        for own, pixels in self._decoded(smears):
            maps = self._network.feature_maps(normalise(pixels, self._preprocessing))
            evidence = self._network.activation_maps(maps).numpy()
            pooled = self._network.pool(maps).numpy()
            shown = pixels.permute(0, 2, 3, 1).numpy()
            for row, one in enumerate(own):
                yield Opened(one.smear, shown[row].copy(), pooled[row], evidence[row])

    def _decoded(
        self, smears: list[LabelledSmear]
    ) -> Iterator[tuple[list[LabelledSmear], torch.Tensor]]:
        """Smears that could be decoded, and their pixels uint8 (b, 3, S, S)."""
        decoder = Decoder(smears, self._preprocessing, self._seed)
        views: list[View] = views_of(smears, tiles_per_slide=1)
        try:
            with closing(decoder.batches([views])) as decoded:
                read, pixels = next(decoded)
        except UnreachableSmear:
            # A file was replaced by another image: it alone is left out.
            for one in smears if len(smears) > 1 else ():
                yield from self._decoded([one])
            return
        if pixels is not None:
            yield [smears[views[place].smear] for place in read], pixels


def look_at_sites(eye: Eye, evidence: Evidence) -> list[Seen]:
    """Up to 100 images of each site, spread over its patients; the same ones every time."""
    chosen = [one for own in _by_site(evidence).values() for one in _spread(own)]
    return [
        Seen(
            one.smear.site or "not given",
            one.smear.patient or one.smear.own_patient,
            appearance(one.pixels),
            one.features,
        )
        for one in eye.open(chosen)
    ]


def _by_site(evidence: Evidence) -> dict[str, list[Smear]]:
    """The scored smears of each site, by id."""
    scored = {smear for look in evidence.model.scorings for smear in look.answers}
    found: dict[str, list[Smear]] = defaultdict(list)
    for smear in sorted(scored):
        if smear in evidence.smears:
            one = evidence.smears[smear]
            found[one.site or "not given"].append(one)
    return dict(sorted(found.items()))


def _spread(smears: list[Smear]) -> list[Smear]:
    """At most `AT_MOST_A_SITE`: one of each patient before a second of any."""
    ordered = sorted(smears, key=lambda one: hashlib.sha256(one.identity.encode()).digest())
    taken: dict[str, int] = defaultdict(int)
    turns: list[tuple[int, int, Smear]] = []
    for one in ordered:
        patient = one.patient or one.own_patient
        turns.append((taken[patient], len(turns), one))
        taken[patient] += 1
    return [one for _, _, one in sorted(turns, key=lambda turn: turn[:2])[:AT_MOST_A_SITE]]
