"""What a real worker works with: torch, the models, and the device that it sees."""

from __future__ import annotations

import threading

import torch

from marrow.records import JobKind
from marrow.study import Study
from worker.answering import Answering
from worker.segments import Training
from worker.work import Craft, Equipment

_DEVICE_ERRORS: tuple[type[Exception], ...] = (
    (torch.AcceleratorError,) if hasattr(torch, "AcceleratorError") else ()
)
"""From torch 2.8 on; running out of memory is another error, and is handled by the classifier."""


def equip(study: Study, stopping: threading.Event, device: str = "auto") -> Equipment:
    """The crafts of this worker.

    Parameters
    ----------
    stopping : Event
        Set when the worker is asked to stop.
    device : str
        `auto`, `cpu`, `cuda` or `mps`.
    """
    if study.settings.threads is not None:
        torch.set_num_threads(study.settings.threads)
    crafts: dict[JobKind, Craft] = {
        "classify": Answering(study, device),
        "sweep": Training(study, stopping),
    }
    return Equipment(crafts, _device_name(), _DEVICE_ERRORS)


def _device_name() -> str:
    return torch.cuda.get_device_name(0) if torch.cuda.is_available() else "cpu"
