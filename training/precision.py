"""Float32 that is float32, in training and in serving alike."""

from __future__ import annotations

import contextlib
from contextlib import AbstractContextManager

import torch


def exact_float32(device: torch.device) -> AbstractContextManager[None]:
    """cuDNN without TF32 (10 bits of mantissa) and with deterministic algorithms, for a while.

    Left to itself cuDNN convolves float32 in TF32, and its backward pass is not the same twice.
    Nothing changes on other devices.
    """
    if device.type != "cuda":
        return contextlib.nullcontext()
    flags: AbstractContextManager[None] = torch.backends.cudnn.flags(
        enabled=True, benchmark=False, deterministic=True, allow_tf32=False
    )
    return flags
