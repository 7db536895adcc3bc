"""Retraining: a step, an epoch and a whole grid, each against the plain way of doing it.

Epochs are timed once, through `run_segment` as a worker calls it; what nine runs of up to 200
epochs would take is reckoned from them.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from marrow.records import SegmentPayload, Smear, TrainingSpec
from marrow.schemes import AA_MDS_AML
from tests.bench.augmentation import augmentation_rate
from tests.bench.figures import Figure, in_turn, ratio, seconds_of
from tests.bench.material import FIELD_PX, write_fields
from training.dataset import LabelledSmear
from training.fit import run_segment
from training.losses import head_weights
from training.network import build_network
from training.precision import bf16_is_native
from training.splits import Sides
from training.steps import build_optimizer, train_step
from training.tally import EpochFigures, Tally

BACKBONE, INPUT_PX, BATCH = "resnet50", 256, 8
GRID_EPOCHS = (30, 50, 200)
WEIGHTS = 3
SHARED_EPOCHS = WEIGHTS * max(GRID_EPOCHS)  # 600
SEPARATE_EPOCHS = WEIGHTS * sum(GRID_EPOCHS)  # 840
CELLS = WEIGHTS * len(GRID_EPOCHS)


def training(folder: Path, fields: int, rounds: int) -> list[Figure]:
    """All figures of retraining, on `fields` synthetic fields."""
    sides = _sides(folder / "fields", fields)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    plain, channels_last, fast = _steps(device, rounds)
    full = _epoch(folder / "full", sides, "full")
    last_block = _epoch(folder / "last-block", sides, "last-block")
    heads = _epoch(folder / "heads", sides, "heads")
    figures = [
        Figure(
            "full: channels-last / plain fp32", ratio(plain, channels_last), 1.0, "x", True,
            f"{plain[0]:.2f} s and {channels_last[0]:.2f} s a step of {BATCH}",
        ),
        Figure(
            "last-block on cached maps / full", full.epoch_s / last_block.epoch_s, 4.0, "x", True,
            f"epochs of {full.epoch_s:.1f} s and {last_block.epoch_s:.1f} s, {fields} fields",
        ),
        _grid_of_full(full),
        _grid_of_heads(heads),
        _augmentation(plain),
    ]  # fmt: skip
    if bf16_is_native(device):
        figures.append(
            Figure(
                "full: bf16, channels-last / plain fp32", ratio(plain, fast), 2.0, "x", True,
                f"{plain[0]:.2f} s and {fast[0]:.2f} s a step of {BATCH}",
            )
        )  # fmt: skip
    return figures


@dataclass(frozen=True)
class _Timed:
    """A run of two epochs."""

    before_s: float
    """To the first batch: what is made once."""
    epoch_s: float
    """The second epoch."""
    after_s: float
    """From its end to the end of the run: the examination of one kept epoch."""


def _grid_of_full(full: _Timed) -> Figure:
    grid = WEIGHTS * full.before_s + SHARED_EPOCHS * full.epoch_s + CELLS * full.after_s
    separate = CELLS * (full.before_s + full.after_s) + SEPARATE_EPOCHS * full.epoch_s
    return Figure(
        "nine runs of full / the grid", separate / grid, 1.35, "x", True,
        f"{separate / 3600:.1f} h and {grid / 3600:.1f} h, reckoned from an epoch each",
    )  # fmt: skip


def _grid_of_heads(heads: _Timed) -> Figure:
    """Uncached, every epoch of heads passes all images through the trunk once more."""
    longest = max(GRID_EPOCHS)
    grid = heads.before_s + longest * heads.epoch_s + len(GRID_EPOCHS) * heads.after_s
    separate = SEPARATE_EPOCHS * (heads.before_s + heads.epoch_s) + CELLS * heads.after_s
    return Figure(
        "nine uncached runs of heads / the grid", separate / grid, 50.0, "x", True,
        f"{separate / 60:.0f} min and {grid:.0f} s, features included",
    )  # fmt: skip


def _augmentation(plain: tuple[float, ...]) -> Figure:
    """Copies a second on one thread, against images that a step takes on all of them."""
    copies, steps = augmentation_rate(128, BATCH), BATCH / min(plain)
    return Figure(
        "augmentation / training step", copies / steps, 5.0, "x", True,
        f"{copies:.0f} and {steps:.1f} images a second",
    )  # fmt: skip


def _steps(device: torch.device, rounds: int) -> tuple[tuple[float, ...], ...]:
    """Seconds a step of the whole network: plain fp32, channels-last, channels-last in bf16."""
    sides = {
        "plain": _stepper(device, torch.contiguous_format, torch.float32),
        "channels-last": _stepper(device, torch.channels_last, torch.float32),
    }
    if bf16_is_native(device):
        sides["bf16"] = _stepper(device, torch.channels_last, torch.bfloat16)
    measured = in_turn(sides, rounds)
    return measured["plain"], measured["channels-last"], measured.get("bf16", ())


def _stepper(
    device: torch.device, layout: torch.memory_format, precision: torch.dtype
) -> Callable[[int], float]:
    spec = TrainingSpec(backbone=BACKBONE, tune="full")
    network = build_network(BACKBONE, AA_MDS_AML, spec.dropout, 0)
    network.to(device=device, memory_format=layout).train()  # type: ignore[call-overload]
    optimizer = build_optimizer(network, spec)
    images = torch.rand(BATCH, 3, INPUT_PX, INPUT_PX, device=device).to(memory_format=layout)
    classes = torch.tensor([[k % 2, k % 3] for k in range(BATCH)], device=device)
    balance = torch.ones(BATCH, 2, device=device)
    weights = head_weights(AA_MDS_AML, (1, 9))

    def step() -> None:
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == torch.bfloat16):
            pooled = network.pool(network.feature_maps(images))
        train_step(optimizer, network.answer(pooled), classes, balance, weights, Tally())
        if device.type == "cuda":
            torch.cuda.synchronize()

    step()  # warms up
    return lambda _round: seconds_of(step)


def _epoch(folder: Path, sides: Sides, tune: str) -> _Timed:
    spec = TrainingSpec(
        backbone=BACKBONE,
        weights="none",
        tune=tune,
        epochs=2,
        batch_size=BATCH,
        input_px=INPUT_PX,
        precision="fp32",
    )
    told: list[EpochFigures] = []
    began: list[float] = []

    def segment() -> None:
        run_segment(
            spec,
            AA_MDS_AML,
            sides,
            store=folder,
            run_folder="runs/j1-r0",
            payload=SegmentPayload(run=0, segment=0),
            attempt=1,
            check=lambda: None,
            should_yield=lambda: False,
            on_epoch=lambda figures: (told.append(figures), began.append(time.perf_counter())),
            budget_s=1e9,
        )

    start = time.perf_counter()
    segment()
    end = time.perf_counter()
    first, second = (figures.seconds or 0.0 for figures in told)
    return _Timed(began[0] - start - first, second, end - began[1])


def _sides(folder: Path, count: int) -> Sides:
    """Fields of a patient each; a quarter of them tests."""
    smears = []
    for number, path in enumerate(write_fields(folder, count)):
        smear = Smear(
            id=number + 1,
            identity=hashlib.sha256(path.read_bytes()).hexdigest(),
            root="local",
            path=path.as_posix(),
            height_px=FIELD_PX,
            width_px=FIELD_PX,
            is_slide=False,
            patient=f"P{number}",
        )
        answers = AA_MDS_AML.complete({"diagnosis": ("AA", "MDS", "AML")[number % 3]})
        smears.append(LabelledSmear(smear, path, answers))
    test = len(smears) // 4
    return Sides(smears[test:], smears[:test], [])
