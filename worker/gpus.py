"""Which graphics cards this machine has, without loading torch or touching CUDA."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping

VISIBLE = "CUDA_VISIBLE_DEVICES"
_LIST_TIMEOUT_S = 20
_UUID = re.compile(r"\(UUID: ((GPU|MIG)-[^)]+)\)")


def workers_devices(environment: Mapping[str, str]) -> tuple[str | None, ...]:
    """One value of CUDA_VISIBLE_DEVICES per worker; (None,), one worker, where there is no card.

    A CUDA_VISIBLE_DEVICES that somebody has set is obeyed; "" and "-1" mean no card.
    """
    chosen = environment.get(VISIBLE)
    if chosen is not None:
        cards = [card.strip() for card in chosen.split(",")]
        # As CUDA reads it: what follows an invalid entry is not visible.
        invalid = [index for index, card in enumerate(cards) if card in {"", "-1"}]
        return tuple(cards[: invalid[0]] if invalid else cards) or (None,)
    return cards_in_listing(_listing()) or (None,)


def cards_in_listing(listing: str) -> tuple[str, ...]:
    """UUIDs in the output of `nvidia-smi -L`; of a card cut into MIG slices, those of the slices.

    UUIDs, because CUDA counts the fastest card first and nvidia-smi by bus number.
    """
    cards: list[str] = []
    for uuid, kind in _UUID.findall(listing):
        if kind == "MIG" and cards and cards[-1].startswith("GPU-"):
            cards.pop()
        cards.append(uuid)
    return tuple(cards)


def _listing() -> str:
    program = shutil.which("nvidia-smi")
    if program is None:
        return ""
    try:
        listed = subprocess.run(  # noqa: S603 - a fixed command
            [program, "-L"], capture_output=True, text=True, timeout=_LIST_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return listed.stdout if listed.returncode == 0 else ""
