"""A finished model tried on training smears: whether bf16 serves, and how long a smear takes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from statistics import median
from typing import Any

import torch

from marrow.records import Precision
from training.dataset import Decoder, views_of
from training.network import MultiHeadNetwork
from training.parity import allows_bf16, measure_parity
from training.precision import bf16_is_native
from training.preprocess import normalise

PARITY_SMEARS = 64
"""Training smears on which bf16 is compared with float32."""
TIMED_SMEARS = 8


def serving_precision(
    network: MultiHeadNetwork, decoder: Decoder, check: Callable[[], None]
) -> tuple[Precision, dict[str, float] | None]:
    """In which precision the model may serve, and what was measured where bf16 is native."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if not bf16_is_native(device):
        return "fp32", None

    def batches() -> Iterator[torch.Tensor]:
        for pixels in _originals(decoder, PARITY_SMEARS, 8):
            check()
            yield normalise(pixels, decoder.preprocessing)

    parity = measure_parity(network, batches(), device)
    network.cpu()
    return ("bf16" if allows_bf16(parity) else "fp32"), parity


@torch.inference_mode()
def timing(network: MultiHeadNetwork, decoder: Decoder) -> dict[str, Any]:
    """How long one smear takes from its file to its answer, on this machine's processor."""
    network.eval()
    taken = []
    began = time.monotonic()
    for pixels in _originals(decoder, TIMED_SMEARS, 1):
        network(normalise(pixels, decoder.preprocessing))
        taken.append(time.monotonic() - began)
        began = time.monotonic()
    # The first one also warms the processor's caches up.
    return {"smear_s": median(taken[1:]) if len(taken) > 1 else None, "smears": len(taken) - 1}


def _originals(decoder: Decoder, count: int, batch: int) -> Iterator[torch.Tensor]:
    """Pixels of a view of each of the first smears, as far as they can be read."""
    views = views_of(decoder.smears, tiles_per_slide=1)[:count]
    groups = [views[at : at + batch] for at in range(0, len(views), batch)]
    with closing(decoder.batches(groups)) as decoded:
        for _, pixels in decoded:
            if pixels is not None:
                yield pixels
