"""What the stub programs can be told, beyond what the real ones are: how to be slow, or wrong."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from worker import claims, lease
from worker.settling import is_piece

REAL_LEASE_S = claims.LEASE_S


class StubOptions(NamedTuple):
    """How the workers of a run behave."""

    smear_s: float = 0.0
    """Pretended computing time of one smear."""
    lease_s: float = REAL_LEASE_S
    without: str | None = None
    """`fence`: any worker may finish any piece. `lease`: every lease is over at once."""

    def arguments(self) -> tuple[str, ...]:
        """As the stub programs read them."""
        stated = ("--smear-s", str(self.smear_s), "--lease-s", str(self.lease_s))
        return stated if self.without is None else (*stated, "--without", self.without)


def parser() -> ArgumentParser:
    """Of the options that stub worker and stub agent share."""
    options = ArgumentParser()
    options.add_argument("--home", type=Path, required=True)
    options.add_argument("--smear-s", type=float, default=0.0)
    options.add_argument("--lease-s", type=float, default=REAL_LEASE_S)
    options.add_argument("--without", choices=["fence", "lease"])
    return options


def options_in(arguments: Namespace) -> StubOptions:
    """The shared options among the parsed ones."""
    return StubOptions(arguments.smear_s, arguments.lease_s, arguments.without)


def apply(options: StubOptions) -> None:
    """Make this process behave so; before the first claim."""
    claims.LEASE_S = options.lease_s
    claims.HEARTBEAT_S = lease.HEARTBEAT_S = options.lease_s / 3
    if options.without == "fence":
        claims.fence = lambda held: is_piece(held.job_id, held.number)
    if options.without == "lease":
        claims.LEASE_S = -1.0


def module(name: str, *arguments: str) -> Sequence[str]:
    """Arguments for Python: run this module of the suite; to be started in the project's root."""
    return ("-m", f"tests.chaos.{name}", *arguments)
