"""The three machine rooms in which everything must hold."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

from tests.chaos.rooms import Lab, OneMachine, Room
from tests.chaos.stub_options import StubOptions

Configuration = Literal["sqlite+valkey", "postgresql+redis", "sqlite"]
"""One machine with its agent; a lab; two workers that poll, without any broker."""

CONFIGURATIONS: tuple[Configuration, ...] = ("sqlite+valkey", "postgresql+redis", "sqlite")


def open_room(
    kind: Configuration, folder: Path, options: StubOptions, postgres_url: Callable[[], str]
) -> Room:
    """A new room of this kind in a new folder; to be closed.

    Parameters
    ----------
    postgres_url : callable
        Gives the URL of an empty database; asked only where one is needed.
    """
    folder.mkdir(parents=True)
    if kind == "sqlite+valkey":
        return OneMachine(folder, options)
    if kind == "postgresql+redis":
        return Lab(folder, options, postgres_url(), has_broker=True)
    return Lab(folder, options, f"sqlite:///{folder / 'catalogue.sqlite'}", has_broker=False)
