"""The forward pass of one model on one device: pixels in, probabilities and evidence out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from training.checkpoints import ModelCard
from training.network import MultiHeadNetwork
from training.precision import exact_float32
from training.preprocess import normalise, to_batch

FLOAT16_MAX = 65504.0

BATCH_ON_GPU = 64
"""A piece holds at most 64 fields."""
BATCH_ON_CPU = 8
"""Larger ones gain nothing there, and a cancellation waits for the batch that is running."""


class Scores(NamedTuple):
    """What the network says to a batch; classes run over all heads in the scheme's order."""

    probabilities: npt.NDArray[np.float32]
    """(B, classes); they sum to 1 within each head."""
    maps: npt.NDArray[np.float16]
    """Evidence in logits, (B, classes, h, w), as `MultiHeadNetwork.activation_maps`;
    (B, 0, 0, 0) if not asked for."""
    features: npt.NDArray[np.float32]
    """Pooled features, (B, C)."""


def choose_device(wanted: str = "auto") -> torch.device:
    """The device of that name; `auto` is the first GPU if CUDA sees one, otherwise the CPU."""
    if wanted == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(wanted)


class ForwardPass:
    """Runs a model, in eval mode and channels-last, in the precision that its card allows.

    Parameters
    ----------
    network : MultiHeadNetwork
        Moved to the device and taken over.
    card : ModelCard
        bf16 is used if the card says so, otherwise float32 (on CUDA without TF32).
    device : torch.device
    batch_size : int or None
        Images in one pass; None: 64 on a GPU, 8 on a CPU.

    Attributes
    ----------
    batch_size : int
        Halved for good whenever the device ran out of memory.
    """

    def __init__(
        self,
        network: MultiHeadNetwork,
        card: ModelCard,
        device: torch.device,
        batch_size: int | None = None,
    ) -> None:
        self.card = card
        self.device = device
        self.batch_size = batch_size or (BATCH_ON_CPU if device.type == "cpu" else BATCH_ON_GPU)
        # torch's stubs know no `to` with a memory format alone.
        moved: MultiHeadNetwork = network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.network = moved.eval()

    def __call__(self, images: Sequence[npt.NDArray[np.uint8]], with_evidence: bool) -> Scores:
        """Scores of fitted images, each uint8 (S, S, 3); any number of them.

        Raises
        ------
        torch.OutOfMemoryError
            If the device has no memory for a single image.
        """
        while True:
            try:
                parts = [
                    self._pass(images[at : at + self.batch_size], with_evidence)
                    for at in range(0, len(images), self.batch_size)
                ]
                return _joined(parts)
            except torch.OutOfMemoryError:
                if self.batch_size == 1:
                    raise
            # Outside of the handler: there the traceback still holds the tensors.
            self.batch_size = max(1, min(self.batch_size, len(images)) // 2)
            if self.device.type == "cuda":
                torch.cuda.empty_cache()

    def _pass(self, images: Sequence[npt.NDArray[np.uint8]], with_evidence: bool) -> Scores:
        with torch.inference_mode(), exact_float32(self.device):
            pixels = normalise(to_batch(images).to(self.device), self.card.preprocessing)
            is_bf16 = self.card.precision == "bf16"
            with torch.autocast(self.device.type, torch.bfloat16, enabled=is_bf16):
                maps = self.network.feature_maps(pixels)
            pooled = self.network.pool(maps)
            answers = self.network.answer(pooled)
            probabilities = torch.cat([logits.softmax(1) for logits in answers.values()], dim=1)
            evidence = np.empty((len(images), 0, 0, 0), np.float16)
            if with_evidence:
                logits = self.network.activation_maps(maps).clamp(-FLOAT16_MAX, FLOAT16_MAX)
                evidence = logits.half().cpu().contiguous().numpy()
            return Scores(probabilities.cpu().numpy(), evidence, pooled.cpu().numpy())


def _joined(parts: list[Scores]) -> Scores:
    probabilities, maps, features = zip(*parts, strict=True)
    return Scores(np.concatenate(probabilities), np.concatenate(maps), np.concatenate(features))
