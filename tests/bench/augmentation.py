"""How fast copies are made: augmentation alone, without decoding and without a network."""

from __future__ import annotations

import torch

from tests.bench.figures import seconds_of
from training.augment import AFFINE, Copy, make_copies

SIZE_PX = 256


def augmentation_rate(images: int, batch: int, preset: str = "gentle") -> float:
    """Images per second of `make_copies` at 256 x 256, on one thread.

    Parameters
    ----------
    images : int
        How many copies are timed, at least `batch`; a batch to warm up with comes on top.
    preset : "gentle" or "seed8"
        The latter: its affine methods in turn.
    """
    methods = ("gentle",) if preset == "gentle" else AFFINE
    pixels = torch.randint(0, 256, (batch, 3, SIZE_PX, SIZE_PX), dtype=torch.uint8)
    pixels = pixels.contiguous(memory_format=torch.channels_last)  # as the decoder gives them
    copies = [Copy(methods[row % len(methods)], row) for row in range(batch)]
    places = [f"view-{row}" for row in range(batch)]
    rounds = max(1, images // batch)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        make_copies(pixels, places, copies, 0)
        taken_s = seconds_of(
            lambda: [make_copies(pixels, places, copies, number) for number in range(rounds)]
        )
    finally:
        torch.set_num_threads(threads)
    return rounds * batch / taken_s
