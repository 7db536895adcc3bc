"""Whether a model may serve in bf16: its calls and probabilities beside those in float32."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch

from marrow.schemes import Scheme
from training.network import MultiHeadNetwork
from training.precision import exact_float32

MIN_SAME_CALLS = 0.995
"""Smallest share of calls that bf16 must leave as they are."""
MAX_DIFFERENCE = 0.02
"""Largest change of any probability that bf16 may make."""


@torch.inference_mode()
def measure_parity(
    network: MultiHeadNetwork, batches: Iterable[torch.Tensor], device: torch.device
) -> dict[str, float]:
    """How far bf16 changes what a model says to calibration images, fit for `ModelCard.parity`.

    Parameters
    ----------
    network : MultiHeadNetwork
        Moved to the device, channels-last as in serving, and put into eval mode.
    batches : iterable of float32 (B, 3, S, S)
        Normalised images that neither trained nor test: no figure of the test side decides
        how a model serves.

    Returns
    -------
    dict
        `n`: images; `same_calls`: share of the calls, over images and the heads that apply to
        them, that are the same; `max_difference`: largest |p_bf16 - p_fp32| of any class.
        Without an image `same_calls` is 0.
    """
    # torch's stubs know no `to` with a memory format alone.
    network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    network.eval()
    images, calls, same, largest = 0, 0, 0, 0.0
    for batch in batches:
        exact = _probabilities(network, batch.to(device), is_bf16=False)
        rounded = _probabilities(network, batch.to(device), is_bf16=True)
        images += len(batch)
        for head, asked in _asked(network.scheme, exact).items():
            if not asked.any():
                continue
            wanted, got = exact[head][asked], rounded[head][asked]
            same += int((got.argmax(1) == wanted.argmax(1)).sum())
            calls += len(wanted)
            largest = max(largest, float((got - wanted).abs().max()))
    share = same / calls if calls else 0.0
    return {"n": float(images), "same_calls": share, "max_difference": largest}


def allows_bf16(parity: Mapping[str, float] | None) -> bool:
    """Whether what was measured allows a model to serve in bf16; not measured is no.

    Not a number is no either: every comparison with it fails.
    """
    if not parity:
        return False
    return parity["same_calls"] >= MIN_SAME_CALLS and parity["max_difference"] <= MAX_DIFFERENCE


def _asked(scheme: Scheme, exact: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """To which images each head applies, bool (B,), under the calls in float32."""
    called = {head.name: exact[head.name].argmax(1) for head in scheme.heads}
    asked = {}
    for head in scheme.heads:
        asked[head.name] = torch.ones_like(called[head.name], dtype=torch.bool)
        for name, allowed in head.asked_when.items():
            indices = [scheme.head(name).classes.index(answer) for answer in allowed]
            asked[head.name] &= torch.isin(called[name], torch.tensor(indices).to(called[name]))
    return asked


def _probabilities(
    network: MultiHeadNetwork, images: torch.Tensor, is_bf16: bool
) -> dict[str, torch.Tensor]:
    with (
        exact_float32(images.device),
        torch.autocast(images.device.type, torch.bfloat16, enabled=is_bf16),
    ):
        maps = network.feature_maps(images)
        answers = network.answer(network.pool(maps))
    return {head: logits.softmax(1) for head, logits in answers.items()}
