"""What workers, scheduler and agent write down: one line an event, with its job and piece.

    2026-11-23T22:10:05.123+01:00 INFO worker.work job=12 piece=7 attempt=2 finished

Paths and patients stay out of it. Our own messages name neither; what others say may: exceptions
are written as their type and where they were raised, and libraries that read files only as the
place that spoke. `Formatter` is the one place where records become text.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from types import TracebackType

from celery.signals import setup_logging

from marrow.records import Claim

OURS = frozenset({"marrow", "training", "worker"})
OF_THE_BROKER = frozenset({"celery", "kombu", "amqp", "redis"})
"""They speak of connections, never of smears."""
SAYS_NO_NAME = frozenset({"torch"})
"""Packages whose own exceptions tell of devices and sizes, never of files."""
LONGEST_MESSAGE = 500
"""Characters of a broker's message: enough for its first sentence."""

_PASSWORD = re.compile(r"://[^@/\s]*@")
_WARNING = re.compile(r":\d+: (\w+): ")
"""As `warnings.formatwarning` has it: file, line, category, text."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]+")


class _Place:
    """The piece that this process works on just now.

    Not a ContextVar: the heartbeat and the decoders' threads log too, and a worker has one
    piece at a time.
    """

    def __init__(self) -> None:
        self.text = ""


_place = _Place()


@contextmanager
def working_on(held: Claim) -> Iterator[None]:
    """Name this piece in every line that the process logs meanwhile, from whichever thread."""
    _place.text = f"job={held.job_id} piece={held.number} attempt={held.attempt}"
    try:
        yield
    finally:
        _place.text = ""


class Formatter(logging.Formatter):
    """`time level logger [job= piece= attempt=] message [error=Type at=module:line function]`."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, whatever the record holds."""
        time = (
            datetime.fromtimestamp(record.created).astimezone().isoformat(timespec="milliseconds")
        )
        parts = [time, record.levelname, record.name, _place.text, _message(record)]
        if record.exc_info and record.exc_info[1] is not None:
            parts.append(error_text(record.exc_info[1]))
        line = " ".join(part for part in parts if part)
        return _CONTROL.sub(" ", _PASSWORD.sub("://**@", line))


def error_text(error: BaseException) -> str:
    """Type and place of an exception and of its causes, without what it says: that may be a path.

    The operating system's errors keep their meaning (`No space left on device`).
    """
    links = [_link(error)]
    seen = {id(error)}
    cause = _cause(error)
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        links.append(_link(cause))
        cause = _cause(cause)
    return "error=" + " caused-by=".join(links)


def log_to_stderr() -> None:
    """Send all records of this process to its standard error, Celery's and last words included."""
    handler = logging.StreamHandler()
    handler.setFormatter(Formatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.captureWarnings(True)
    # Celery and kombu print the broker's URL, with its password masked, at INFO.
    for name in OF_THE_BROKER:
        logging.getLogger(name).setLevel(logging.WARNING)
    # A receiver keeps Celery from setting its own handlers and levels.
    setup_logging.connect(_keep, weak=False, dispatch_uid="marrow")
    sys.excepthook = _last_words
    threading.excepthook = lambda args: (
        None if args.exc_value is None else _tell(args.exc_value, "a thread ended")
    )


def _keep(**_: object) -> None:
    """Logging is set up already."""


def _last_words(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    if isinstance(error, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
        return
    _tell(error, "the process ended")


def _tell(error: BaseException, what: str) -> None:
    trace = (type(error), error, error.__traceback__)
    logging.getLogger("worker").critical(what, exc_info=trace)


def _message(record: logging.LogRecord) -> str:
    package = record.name.partition(".")[0]
    if package in OURS:
        return record.getMessage()
    if package in OF_THE_BROKER:
        return record.getMessage().strip().partition("\n")[0][:LONGEST_MESSAGE]
    spoken = _WARNING.search(record.getMessage()) if record.name == "py.warnings" else None
    where = spoken[1] if spoken else f"at={record.module}:{record.lineno}"
    return f"{where} (text left out: it may name a file)"


def _link(error: BaseException) -> str:
    kind = type(error)
    name = kind.__qualname__
    if isinstance(error, OSError) and isinstance(error.errno, int):
        name += f"({os.strerror(error.errno)})"
    elif kind.__module__.partition(".")[0] in SAYS_NO_NAME:
        name += f"({str(error).strip().partition(chr(10))[0][:LONGEST_MESSAGE]})"
    # Modules, not files: where the program is installed is a path too.
    frames = [
        f"{frame.f_globals.get('__name__', '?')}:{line} {frame.f_code.co_name}"
        for frame, line in traceback.walk_tb(error.__traceback__)
    ]
    return f"{name} at={' > '.join(frames)}" if frames else name


def _cause(error: BaseException) -> BaseException | None:
    if error.__cause__ is not None or error.__suppress_context__:
        return error.__cause__
    return error.__context__
