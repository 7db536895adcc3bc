"""What only a worker's installation can tell: the graphics cards, and whether torch sees them."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator

from marrow.client import has_worker_installed
from marrow.doctor.finding import Finding, ill, well
from marrow.settings import Settings

NVIDIA_TIMEOUT_S = 20
_WITHOUT_A_CONTEXT = "PYTORCH_NVML_BASED_CUDA_CHECK"
"""torch then asks the driver whether there is a card, which takes no memory on it."""


def examine(_settings: Settings) -> Iterator[Finding]:
    """Graphics cards with their driver, and torch."""
    cards, finding = _cards()
    yield finding
    if has_worker_installed():
        yield _torch(cards)


def _cards() -> tuple[int, Finding]:
    """How many NVIDIA cards there are, by their own program."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return 0, well("graphics card", "no NVIDIA driver: the CPU computes")
    query = [program, "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
    try:
        asked = subprocess.run(  # noqa: S603 - a fixed command
            query, capture_output=True, text=True, timeout=NVIDIA_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        found = f"nvidia-smi does not answer ({type(error).__name__})"
        return 0, ill("graphics card", found, "restart the machine, or install the driver anew")
    cards = [line.strip() for line in asked.stdout.splitlines() if line.strip()]
    if asked.returncode != 0 or not cards:
        said = (asked.stdout or asked.stderr).strip().partition("\n")[0]
        found = f"the NVIDIA driver fails: {said or f'exit code {asked.returncode}'}"
        return 0, ill("graphics card", found, "restart the machine, or install the driver anew")
    named = [
        f"{name}, driver {driver}, {memory}"
        for name, driver, memory in (f"{card}, ?, ?".split(", ")[:3] for card in cards)
    ]
    return len(cards), well("graphics card", "; ".join(named))


def _torch(cards: int) -> Finding:
    before = os.environ.get(_WITHOUT_A_CONTEXT)
    os.environ[_WITHOUT_A_CONTEXT] = "1"
    try:
        import torch

        seen, built_for = torch.cuda.device_count(), torch.version.cuda
    except (ImportError, OSError) as error:
        found = f"does not load ({type(error).__name__})"
        return ill("torch", found, 'pip install --force-reinstall "napari-marrow[worker]"')
    finally:
        if before is None:
            del os.environ[_WITHOUT_A_CONTEXT]
        else:
            os.environ[_WITHOUT_A_CONTEXT] = before
    if seen:
        return well("torch", f"{torch.__version__} sees {seen} of {cards} cards (CUDA {built_for})")
    if not cards:
        threads = f"{torch.get_num_threads()} threads"
        return well("torch", f"{torch.__version__} computes on the CPU with {threads}")
    if built_for is None:
        found = f"{torch.__version__} is built for the CPU and sees no card"
        return ill("torch", found, "install the CUDA build: https://pytorch.org/get-started")
    if os.environ.get("CUDA_VISIBLE_DEVICES") in {"", "-1"}:
        return well("torch", "CUDA_VISIBLE_DEVICES hides the cards: the CPU computes")
    found = f"{torch.__version__} (CUDA {built_for}) sees no card"
    return ill("torch", found, "update the driver, or install the torch build that fits it")
