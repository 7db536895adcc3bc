"""What a worker takes from the broker: hints of our own form, and questions about itself.

Whoever knows the broker's password can put anything into the queues. Celery's own consumer
writes what it cannot read into the log, body and all, and some of it ends the worker and comes
back to the next one (a body of `5`: TypeError, Celery 5.7). So every message passes a gate
first, and what is no hint is removed with one line that quotes nothing of it.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any, NoReturn

from celery.worker.consumer import Consumer
from celery.worker.control import Panel
from kombu import compression

from marrow.queue import TASK

CONSUMER = "worker.refusals:HintConsumer"
"""For Celery's setting `worker_consumer`."""

LONGEST_BODY = 1024
"""Bytes; a hint has about a hundred."""
LARGEST_NUMBER = 2**31 - 1
"""Of an INTEGER in PostgreSQL."""

QUESTIONS = frozenset(
    {
        "active",
        "active_queues",
        "clock",
        "conf",
        "disable_events",
        "enable_events",
        "heartbeat",
        "ping",
        "query_task",
        "registered",
        "report",
        "reserved",
        "revoked",
        "scheduled",
        "stats",
    }
)
"""Remote control that stays: what `celery inspect` and Flower ask. What would change a worker is
gone (shutdown, rate_limit, cancel_consumer, revoke ...): jobs are steered in the catalogue."""

log = logging.getLogger(__name__)


def hint_in(message: Any) -> tuple[int, int] | str:
    """(job id, piece number) of a message, or why it is no hint of ours.

    Parameters
    ----------
    message : kombu.Message
        Its body is not decoded yet.
    """
    headers, body = message.headers, message.body
    if not isinstance(headers, dict) or headers.get("task") != TASK:
        return "it names another task"
    if not isinstance(headers.get("id"), str) or not isinstance(message.delivery_info, dict):
        return "its headers are not a task's"
    if message.content_type != "application/json" or message.content_encoding != "utf-8":
        return "its content is not JSON"
    if not isinstance(body, bytes | str) or len(body) > LONGEST_BODY:
        return f"its body is longer than {LONGEST_BODY} bytes"
    try:
        decoded = json.loads(body)
    except (ValueError, RecursionError):
        return "its body is not JSON"
    match decoded:
        case [[int(job_id), int(number)], {}, {}] if not decoded[1]:
            numbers = job_id, number
        case _:
            return "its body is not a job id and a piece number"
    if not all(0 <= one <= LARGEST_NUMBER and not isinstance(one, bool) for one in numbers):
        return "its numbers are none of a job and a piece"
    return numbers


def narrow() -> None:
    """Let this process answer questions only, and unpack nothing; a worker calls it once."""
    for name in [name for name, call in Panel.data.items() if call.__name__ not in QUESTIONS]:
        del Panel.data[name]
    # kombu unpacks before anybody sees the message: a megabyte may become a gigabyte.
    for content_type in compression.encoders():
        compression.register(_unpack, _unpack, content_type)


def _unpack(_body: bytes) -> NoReturn:
    raise ValueError("hints are not compressed")


class HintConsumer(Consumer):  # type: ignore[misc]
    """Celery's consumer behind a gate."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        narrow()
        super().__init__(*arguments, **named)
        self._celery_loop: Callable[..., None] = vars(self)["loop"]
        self.loop = self._loop

    def create_task_handler(self, *arguments: Any, **named: Any) -> Callable[[Any], None]:
        """What is called with each message of the two queues."""
        work = super().create_task_handler(*arguments, **named)

        def on_message(message: Any) -> None:
            hint = hint_in(message)
            if isinstance(hint, str):
                self._refuse(message, hint)
                return
            # Nothing else in it counts: no time of execution, no follow-up, no name for the log.
            message.body = json.dumps([hint, {}, {}])
            message.headers = {
                "lang": "py",
                "task": TASK,
                "id": message.headers["id"],
                "root_id": message.headers["id"],
                "argsrepr": str(hint),
                "kwargsrepr": "{}",
            }
            work(message)

        return on_message

    def on_decode_error(self, message: Any, _error: Exception) -> None:
        """Refuse what could not even be unpacked."""
        self._refuse(message, "it cannot be unpacked")

    def _loop(self, *arguments: Any) -> None:
        """Celery's loop; what is not even a message costs a new connection, not the worker.

        Such an entry is out of the queue already when kombu trips over it.
        """
        try:
            self._celery_loop(*arguments)
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            log.warning("refused an entry of a queue: no message (%s)", type(error).__name__)
            raise ConnectionResetError("an entry of a queue is no message") from None

    def _refuse(self, message: Any, reason: str) -> None:
        log.warning("refused a message from the broker: %s", reason)
        message.ack_log_error(log, self.connection_errors)
