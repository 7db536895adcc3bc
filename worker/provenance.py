"""Which code, which library and which machine make the predictions of this process."""

from __future__ import annotations

import hashlib
import importlib.metadata
import platform
from functools import cache
from pathlib import Path

import torch

import marrow
import training
import worker
from marrow.records import Provenance

SERVING_SOURCES = {
    "marrow": (
        "calibration.py",
        "images/*.py",
        "records.py",
        "schemes.py",
        "statistics/novelty.py",
        "statistics/temperature.py",
        "tiles.py",
    ),
    "training": (
        "backbones.py",
        "calibrate.py",
        "checkpoints.py",
        "network.py",
        "precision.py",
        "preprocess.py",
        "weights.py",
    ),
    "worker": ("ahead.py", "classify.py", "forward.py"),
}
"""Files whose change can change a prediction."""


def provenance(device: torch.device | str) -> Provenance:
    """What made a prediction on that device of this host."""
    return Provenance(
        code_version=code_version(),
        torch_version=torch.__version__,
        device=device_name(torch.device(device)),
        host=platform.node(),
    )


@cache
def code_version() -> str:
    """Package version and 12 hex digits over the source files that matter for serving.

    The same sources give the same digits on every platform, installed or in a checkout.
    """
    try:
        version = importlib.metadata.version("napari-marrow")
    except importlib.metadata.PackageNotFoundError:
        version = "checkout"
    folders = {
        name: Path(str(package.__file__)).parent
        for name, package in (("marrow", marrow), ("training", training), ("worker", worker))
    }
    return f"{version}+{source_hash(folders)[:12]}"


def source_hash(folders: dict[str, Path]) -> str:
    """SHA-256, in hex, over names and texts of the serving sources in these packages."""
    digest = hashlib.sha256()
    for package, patterns in SERVING_SOURCES.items():
        folder = folders[package]
        paths = {path for pattern in patterns for path in folder.glob(pattern)}
        for path in sorted(paths, key=lambda path: path.relative_to(folder).as_posix()):
            # A checkout on Windows may have other line ends.
            text = path.read_bytes().replace(b"\r\n", b"\n")
            name = f"{package}/{path.relative_to(folder).as_posix()}"
            digest.update(f"{name} {len(text)}\n".encode() + text)
    return digest.hexdigest()


def device_name(device: torch.device) -> str:
    """Name of the device as a person knows it: `NVIDIA A100 (cuda)`, `x86_64 AVX2 (cpu)`."""
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)} (cuda)"
    if device.type == "cpu":
        # Kernels, and with them the last digits, differ between instruction sets.
        return f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()} (cpu)"
    return f"{platform.machine()} ({device.type})"
