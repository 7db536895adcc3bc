"""The bare model: what a researcher writes in an afternoon, and nothing else.

Threads decode the next batch with Pillow while the network computes this one; then softmax.
No maps, no check that a file is the one that was imported, no database. The same network,
precision, batch size, number of threads and squeeze to the network's square as the engine, and
channels-last, because that is the faster layout.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from training.checkpoints import ModelCard
from training.network import MultiHeadNetwork
from training.precision import exact_float32
from training.preprocess import fit_image, normalise, to_batch

Pixels = npt.NDArray[np.uint8]


class BareModel:
    """A network on a device, and a loop over its batches."""

    def __init__(
        self, network: MultiHeadNetwork, card: ModelCard, device: torch.device, batch_size: int
    ) -> None:
        self.network = network.to(device=device, memory_format=torch.channels_last).eval()
        self.card = card
        self.device = device
        self.batch_size = batch_size
        self.threads = torch.get_num_threads()

    def decode(self, path: Path) -> Pixels:
        """A file's pixels, squeezed to the network's square."""
        with Image.open(path) as image:
            return fit_image(np.asarray(image.convert("RGB")), self.card.preprocessing.input_px)

    def classify(self, paths: Sequence[Path]) -> list[npt.NDArray[np.float32]]:
        """Probabilities of each head, batch by batch."""
        batches = [paths[at : at + self.batch_size] for at in range(0, len(paths), self.batch_size)]
        answers = []
        with ThreadPoolExecutor(self.threads) as pool:
            following = pool.map(self.decode, batches[0])
            for batch in [*batches[1:], []]:
                pixels = list(following)
                following = pool.map(self.decode, batch)
                answers.append(self.forward(pixels))
        return answers

    def forward(self, pixels: Sequence[Pixels]) -> npt.NDArray[np.float32]:
        """Probabilities of one batch, (B, classes over all heads)."""
        with torch.inference_mode(), exact_float32(self.device):
            images = normalise(to_batch(pixels).to(self.device), self.card.preprocessing)
            heads = self.network(images).values()
            return torch.cat([logits.softmax(1) for logits in heads], dim=1).cpu().numpy()
