"""Who holds a piece."""

from __future__ import annotations

import os
import socket
from typing import NamedTuple

import psutil


class Owner(NamedTuple):
    """A worker process; the start time tells it from a later one with the same pid."""

    host: str
    pid: int
    started: float
    """Seconds since 1970."""

    @property
    def id(self) -> str:
        """As stored in a piece."""
        return f"{self.host}:{self.pid}:{self.started:.0f}"

    @classmethod
    def of_this_process(cls) -> Owner:
        """This process."""
        pid = os.getpid()
        return cls(socket.gethostname(), pid, psutil.Process(pid).create_time())

    @classmethod
    def from_id(cls, stored: str) -> Owner:
        """The owner that a piece names."""
        host, pid, started = stored.rsplit(":", 2)
        return cls(host, int(pid), float(started))
