"""Which numbers are computed with: float32 that is float32, and where bf16 is native."""

from __future__ import annotations

import contextlib
import re
from contextlib import AbstractContextManager
from pathlib import Path

import torch

_CPU_INFO = Path("/proc/cpuinfo")
_BF16_FLAG = re.compile(r"\b(avx512_bf16|amx_bf16)\b")
_BF16_CAPABILITY = (8, 0)
"""CUDA compute capability of Ampere, the first with bf16 tensor cores."""


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


def bf16_is_native(device: torch.device) -> bool:
    """Whether the device multiplies in bf16 itself; elsewhere it is emulated, and slower than fp32.

    CUDA from compute capability 8.0; CPUs with AVX512-BF16 or AMX, as far as Linux tells.
    """
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= _BF16_CAPABILITY
    if device.type != "cpu":
        return False
    try:
        return _BF16_FLAG.search(_CPU_INFO.read_text()) is not None
    except OSError:  # no Linux
        return False
