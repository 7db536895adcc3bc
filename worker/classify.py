"""Smears in, predictions out; knows neither the queue nor the database."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch

from marrow.calibration import Calibration
from marrow.errors import MarrowError, NotASmear, UnreachableSmear, UnreadableSmear
from marrow.images import SmearImage, open_smear, require_unchanged
from marrow.records import Answer, AnswerMap, HeadAnswer, Outcome, Region
from marrow.schemes import Scheme
from marrow.statistics.novelty import Reference
from marrow.tiles import Tiles, read_tile, usable_tiles
from training.calibrate import flags_of, is_unlike, served
from training.checkpoints import ModelCard
from training.network import MultiHeadNetwork
from training.preprocess import fit_image
from worker.ahead import ahead
from worker.forward import ForwardPass, choose_device

Pixels = npt.NDArray[np.uint8]
FloatMap = npt.NDArray[np.float16]

_OF_ONE_SMEAR = (NotASmear, UnreadableSmear, UnreachableSmear)
"""Errors that end one smear; all others, Cancelled and LeaseLost among them, end the piece."""

_NOT_FINITE = "the model gives no finite probability for it; train or choose another model"


@dataclass(frozen=True)
class Request:
    """A smear to be classified, and where this host sees it."""

    smear_id: int
    path: Path
    regions: tuple[Region, ...] = ()
    """Roles `use` and `exclude` define the usable area of a slide; a field takes no notice."""
    members: tuple[Path, ...] = ()
    """All its files, which must still hold the image of `identity`; (): not looked at."""
    identity: str = ""
    is_slide: bool | None = None
    """Whether it is worked on by tiles; None: as the image itself suggests."""


@dataclass(frozen=True)
class _Field:
    """A decoded field, waiting for its batch."""

    request: Request
    pixels: Pixels
    extent_px: tuple[int, int]
    """Height and width of level 0."""


class Classifier:
    """A loaded model on one device.

    Parameters
    ----------
    network : MultiHeadNetwork
        Taken over: moved to the device, in eval mode.
    card : ModelCard
        Its scheme, preprocessing and precision count.
    device : str
        `auto`, `cpu`, `cuda`, `cuda:1`, `mps`.
    batch_size : int or None
        Images in one forward pass; None: 64 on a GPU, 8 on a CPU. Halved for good when the
        device runs out of memory.
    threads : int or None
        Decode and resize ahead of the model; None: as many as torch has, so that one setting
        bounds both.
    reference : Reference or None
        The training set's place in feature space, as stored beside the weights; None: no smear
        is flagged `unlike-training`.
    """

    def __init__(
        self,
        network: MultiHeadNetwork,
        card: ModelCard,
        device: str = "auto",
        batch_size: int | None = None,
        threads: int | None = None,
        reference: Reference | None = None,
    ) -> None:
        self.card = card
        self.reference = reference
        self.threads = threads or torch.get_num_threads()
        self._forward = ForwardPass(network, card, choose_device(device), batch_size)

    @property
    def device(self) -> torch.device:
        """Where the model runs."""
        return self._forward.device

    @property
    def batch_size(self) -> int:
        """Images in one forward pass."""
        return self._forward.batch_size

    def classify(
        self, requests: Iterable[Request], check: Callable[[], None] = lambda: None
    ) -> Iterator[Outcome]:
        """One outcome per request, in their order, each as soon as its batch is done.

        Parameters
        ----------
        requests : iterable of Request
            Taken up as the work goes on, a little ahead of it.
        check : callable
            Called before each batch; may raise Cancelled or LeaseLost, which passes
            through once the threads have ended.

        Yields
        ------
        Outcome
            A smear that cannot be read has an error; the others go on.
        """
        pool = ThreadPoolExecutor(self.threads, thread_name_prefix="decode")
        try:
            with closing(ahead(pool, self._prepare, requests, 2 * self.batch_size)) as prepared:
                yield from self._in_batches(prepared, pool, check)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _in_batches(
        self,
        prepared: Iterable[_Field | Request | Outcome],
        pool: ThreadPoolExecutor,
        check: Callable[[], None],
    ) -> Iterator[Outcome]:
        # Fields until their batch is full, and between them what failed, in order.
        waiting: list[_Field | Outcome] = []
        for smear in prepared:
            if isinstance(smear, Request):
                yield from self._fields(waiting, check)
                waiting = []
                yield self._slide(smear, pool, check)
                continue
            waiting.append(smear)
            if sum(isinstance(one, _Field) for one in waiting) in (0, self.batch_size):
                yield from self._fields(waiting, check)
                waiting = []
        yield from self._fields(waiting, check)

    def _prepare(self, request: Request) -> _Field | Request | Outcome:
        """In a thread: a field's pixels; a slide's request as it is; or why it failed."""
        try:
            if request.members:
                require_unchanged(request.path, request.members, request.identity)
            with open_smear(request.path) as image:
                is_slide = image.is_slide if request.is_slide is None else request.is_slide
                if is_slide:
                    return request
                pixels = fit_image(image.whole(), self.card.preprocessing.input_px)
                return _Field(request, pixels, image.levels[0])
        except _OF_ONE_SMEAR as error:
            return _failed(request, error)

    def _fields(
        self, waiting: Sequence[_Field | Outcome], check: Callable[[], None]
    ) -> Iterator[Outcome]:
        """Outcomes of one batch of fields, and of what failed between them."""
        check()
        fields = [one for one in waiting if isinstance(one, _Field)]
        outcomes: Iterator[Outcome] = iter(())
        if fields:
            scores = self._forward([field.pixels for field in fields], with_evidence=True)
            unlike = self._unlike(scores.features)
            outcomes = map(self._field_outcome, fields, scores.probabilities, scores.maps, unlike)
        for one in waiting:
            yield next(outcomes) if isinstance(one, _Field) else one

    def _unlike(self, features: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.bool_]:
        """Which smears, of mean features (n, C), are unlike the training set, (n,)."""
        calibration = self.card.calibration
        # What is not finite has no answer either: `_outcome` says so.
        if calibration is None or self.reference is None or not np.isfinite(features).all():
            return np.zeros(len(features), dtype=bool)
        return is_unlike(calibration, self.reference.distances(features))

    def _field_outcome(
        self,
        field: _Field,
        probabilities: npt.NDArray[np.float32],
        evidence: FloatMap,
        is_unlike_training: bool,
    ) -> Outcome:
        _, rows, columns = evidence.shape
        cell_px = (field.extent_px[0] / rows, field.extent_px[1] / columns)
        return self._outcome(
            field.request, probabilities, "activation", evidence, cell_px, is_unlike_training
        )

    def _slide(
        self, request: Request, pool: ThreadPoolExecutor, check: Callable[[], None]
    ) -> Outcome:
        """Mean over the tiles of the usable area, read in threads and never all held."""
        check()
        try:
            with open_smear(request.path) as image:
                tiles = self._tiles(image, request)
                tile_scores, features = self._tile_scores(image, tiles, pool, check)
        except _OF_ONE_SMEAR as error:
            return _failed(request, error)
        mean = tile_scores.mean(axis=0, dtype=np.float64)
        values = np.full((mean.size, *tiles.grid), np.nan, np.float16)
        values[:, tiles.index[:, 0], tiles.index[:, 1]] = tile_scores.T
        few = len(tile_scores) < self.card.training.tiles_per_slide
        cell_px = (float(tiles.size_px), float(tiles.size_px))
        (unlike,) = self._unlike(features[None])
        return self._outcome(request, mean, "tiles", values, cell_px, unlike, ("few-tiles",) * few)

    def _tiles(self, image: SmearImage, request: Request) -> Tiles:
        preprocessing = self.card.preprocessing
        size_px, field_um = preprocessing.input_px, preprocessing.field_of_view_um
        tiles = usable_tiles(image, request.regions, size_px, field_um)
        if len(tiles) == 0:
            raise NotASmear(
                request.path,
                "has no usable area for a single tile; mark a `use` region, or remove `exclude`",
            )
        return tiles

    def _tile_scores(
        self, image: SmearImage, tiles: Tiles, pool: ThreadPoolExecutor, check: Callable[[], None]
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float64]]:
        """Probabilities of each tile, (N, classes over all heads), and their mean features (C,)."""
        input_px = self.card.preprocessing.input_px

        def read(position: npt.NDArray[np.int64]) -> Pixels:
            return read_tile(image, position, tiles.size_px, input_px)

        probabilities, total = [], np.zeros(self._forward.network.channels)
        with closing(ahead(pool, read, tiles.positions, 2 * self.batch_size)) as pictures:
            while batch := list(islice(pictures, self.batch_size)):
                check()
                scores = self._forward(batch, with_evidence=False)
                probabilities.append(scores.probabilities)
                total += scores.features.sum(axis=0, dtype=np.float64)
        return np.concatenate(probabilities), total / len(tiles)

    def _outcome(
        self,
        request: Request,
        probabilities: npt.NDArray[np.floating[Any]],
        kind: Literal["activation", "tiles"],
        values: FloatMap,
        cell_px: tuple[float, float],
        is_unlike_training: bool,
        flags: tuple[str, ...] = (),
    ) -> Outcome:
        if not np.isfinite(probabilities).all():
            return Outcome(request.smear_id, None, None, f"{request.path.name}: {_NOT_FINITE}")
        stored = AnswerMap(
            kind,
            values.astype("<f2").tobytes(),
            values.shape,
            cell_px,
        )
        answer = answer_of(
            self.card.scheme, probabilities, self.card.calibration, bool(is_unlike_training), flags
        )
        return Outcome(request.smear_id, answer, stored, None)


def answer_of(
    scheme: Scheme,
    probabilities: npt.NDArray[np.floating[Any]],
    calibration: Calibration | None = None,
    is_unlike_training: bool = False,
    flags: tuple[str, ...] = (),
) -> Answer:
    """The calibrated answer to each head, with its flags.

    Parameters
    ----------
    probabilities : (classes over all heads,), in the scheme's order
        Uncalibrated, mean over the smear's views.
    calibration : Calibration or None
        None: the probabilities stay as they are, and no call is `unsure`.
    flags : tuple of str
        What is known already; those of `training.calibrate.flags_of` are added.
    """
    ends = np.cumsum([len(head.classes) for head in scheme.heads])
    names = [head.name for head in scheme.heads]
    said = dict(zip(names, np.split(probabilities, ends[:-1]), strict=True))
    shown = served(said, calibration)
    heads = tuple(
        HeadAnswer(
            head=head.name,
            call=head.classes[int(shown[head.name].argmax())],
            probabilities=tuple(shown[head.name].tolist()),
        )
        for head in scheme.heads
    )
    raised = flags_of(shown, is_unlike_training, scheme, calibration)
    return Answer(heads=heads, flags=flags + raised)


def _failed(request: Request, error: MarrowError) -> Outcome:
    return Outcome(request.smear_id, None, None, str(error))
