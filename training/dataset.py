"""Labelled smears as the network sees them: whole fields, and tiles of slides."""

from __future__ import annotations

import hashlib
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from marrow.catalogue.cohorts import cohort_hash
from marrow.errors import NotASmear, UnreadableSmear
from marrow.images import SmearImage, open_smear, require_unchanged
from marrow.records import Region, Smear
from marrow.tiles import Tiles, read_tile, usable_tiles
from training.augment import Copy, make_copies
from training.preprocess import Preprocessing, fit_image, to_batch
from training.zca import Whitening

Pixels = npt.NDArray[np.uint8]

DECODING_THREADS = 2
"""Decoders and resizing let go of Python's lock; two keep ahead of any network on a CPU."""

KEPT_BYTES = 512 * 1024**2
"""Fitted pixels kept between epochs: 2,700 views of 256 x 256. Beyond it, decoded again."""


@dataclass(frozen=True)
class LabelledSmear:
    """A smear, where this host sees it, and one answer per head of the scheme."""

    smear: Smear
    path: Path
    answers: Mapping[str, str | None]
    """Complete: every head of the scheme; None masks that head."""
    regions: tuple[Region, ...] = ()
    members: tuple[Path, ...] = ()
    """All its files, which must still hold the image of the smear's identity; (): not looked at."""
    is_blind: bool = True
    """Whether no reader had seen a prediction."""


ORIGINAL = Copy("original", 0)
"""The view as it is: what is validated, tested and served."""


class View(NamedTuple):
    """What the network sees at once: a whole field or a tile of a slide, or a copy of it."""

    smear: int
    """Index into the sequence of smears, not an id."""
    tile: int | None = None
    """Number in the seeded choice of this slide's tiles; None: the whole field."""
    copy: Copy = ORIGINAL


def data_hash(smears: Iterable[LabelledSmear]) -> str:
    """SHA-256, in hex, over the sorted (identity, answers) of the smears.

    Two sets with the same hash hold the same pixels under the same answers, whatever their
    ids, names and places.
    """
    return cohort_hash((s.smear.identity, s.answers) for s in smears)


def views_of(
    smears: Sequence[LabelledSmear],
    tiles_per_slide: int,
    copies: Callable[[LabelledSmear], Sequence[Copy]] = lambda _smear: (ORIGINAL,),
) -> list[View]:
    """All views, in the order of the smears: one of a field, `tiles_per_slide` of a slide.

    Each comes in the copies that its smear is given. No file is opened: a slide whose usable
    area holds fewer tiles gives fewer pictures.
    """
    return [
        View(index, tile, copy)
        for index, labelled in enumerate(smears)
        for tile in (range(tiles_per_slide) if labelled.smear.is_slide else (None,))
        for copy in copies(labelled)
    ]


class _Picture(NamedTuple):
    """Pixels of a view before it is augmented, and its place, which the copies are drawn from."""

    pixels: Pixels
    place: str


class Decoder:
    """Turns views into pixels, in threads ahead of the network.

    Parameters
    ----------
    smears : sequence of LabelledSmear
        What `View.smear` points into.
    preprocessing : Preprocessing
        Its `input_px` and field of view.
    seed : int
        Chooses the tiles of each slide and draws the copies, with the slide's identity.

    Attributes
    ----------
    whitening : Whitening or None
        What the copies of the method `zca` need; to be set before they are asked for.
    skipped : dict of int to str
        Smear id and reason of each file that could not be decoded so far.
    """

    def __init__(
        self, smears: Sequence[LabelledSmear], preprocessing: Preprocessing, seed: int
    ) -> None:
        self.smears = smears
        self.preprocessing = preprocessing
        self.seed = seed
        self.whitening: Whitening | None = None
        self.skipped: dict[int, str] = {}
        self._tiles: dict[int, tuple[Tiles, list[int]]] = {}
        self._kept: dict[tuple[int, int | None], _Picture] = {}
        self._kept_bytes = 0
        self._unchanged: set[int] = set()
        self._lock = threading.Lock()

    def batches(
        self, groups: Iterable[Sequence[View]]
    ) -> Generator[tuple[list[int], torch.Tensor | None], None, None]:
        """For each group of views: which of them could be read, and their pixels.

        Yields
        ------
        list of int
            Positions in the group, ascending. What is missing belongs to a file in
            `skipped`, or to a slide with fewer tiles.
        uint8 tensor (b, 3, S, S), or None if nothing could be read

        Raises
        ------
        UnreachableSmear
            If this host does not see a file, or another image lies in its place: no reason to
            train without it.
        """
        with ThreadPoolExecutor(DECODING_THREADS) as pool:
            waiting: deque[tuple[Sequence[View], list[Future[_Picture | None]]]] = deque()
            try:
                for group in groups:
                    waiting.append((group, [pool.submit(self._read, view) for view in group]))
                    if len(waiting) > 1:
                        yield self._gathered(*waiting.popleft())
                while waiting:
                    yield self._gathered(*waiting.popleft())
            finally:
                pool.shutdown(wait=False, cancel_futures=True)

    def _gathered(
        self, group: Sequence[View], futures: Sequence[Future[_Picture | None]]
    ) -> tuple[list[int], torch.Tensor | None]:
        """Positions and pixels of the views that could be read, as the copies they are of."""
        pictures = [future.result() for future in futures]
        read = [position for position, one in enumerate(pictures) if one is not None]
        if not read:
            return [], None
        found = [one for one in pictures if one is not None]
        pixels = to_batch([one.pixels for one in found])
        copies = [group[position].copy for position in read]
        if any(copy != ORIGINAL for copy in copies):
            places = [one.place for one in found]
            pixels = make_copies(pixels, places, copies, self.seed, self.whitening)
        return read, pixels

    def _read(self, view: View) -> _Picture | None:
        place = view.smear, view.tile
        with self._lock:
            if place in self._kept:
                return self._kept[place]
            if self.smears[view.smear].smear.id in self.skipped:
                return None
        labelled = self.smears[view.smear]
        try:
            if labelled.members and view.smear not in self._unchanged:
                require_unchanged(labelled.path, labelled.members, labelled.smear.identity)
                self._unchanged.add(view.smear)
            with open_smear(labelled.path) as image:
                picture = self._picture(image, view)
        except (UnreadableSmear, NotASmear) as error:
            with self._lock:
                self.skipped[labelled.smear.id] = error.reason
            return None
        if picture is not None:
            self._keep(place, picture)
        return picture

    def _picture(self, image: SmearImage, view: View) -> _Picture | None:
        size, identity = self.preprocessing.input_px, self.smears[view.smear].smear.identity
        if view.tile is None:
            return _Picture(fit_image(image.whole(), size), identity)
        tiles, order = self._tiles_of(image, view.smear)
        if view.tile >= len(order):
            return None
        number = order[view.tile]
        row, column = tiles.index[number].tolist()
        pixels = read_tile(image, tiles.positions[number], tiles.size_px, size)
        return _Picture(pixels, f"{identity}:{row}:{column}")

    def _tiles_of(self, image: SmearImage, index: int) -> tuple[Tiles, list[int]]:
        """The slide's tiles, and all of their numbers in this run's seeded order."""
        with self._lock:
            if index in self._tiles:
                return self._tiles[index]
        labelled = self.smears[index]
        size, field_um = self.preprocessing.input_px, self.preprocessing.field_of_view_um
        tiles = usable_tiles(image, labelled.regions, size, field_um)
        # The slide's own lot: what is chosen of it does not depend on the other smears.
        lots = [
            hashlib.sha256(f"{self.seed}:{labelled.smear.identity}:{row}:{column}".encode())
            for row, column in tiles.index.tolist()
        ]
        order = sorted(range(len(tiles)), key=lambda number: lots[number].digest())
        with self._lock:
            return self._tiles.setdefault(index, (tiles, order))

    def _keep(self, place: tuple[int, int | None], picture: _Picture) -> None:
        size = picture.pixels.nbytes
        with self._lock:
            if place not in self._kept and self._kept_bytes + size <= KEPT_BYTES:
                self._kept[place] = picture
                self._kept_bytes += size
