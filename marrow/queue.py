"""The one place that configures Celery, and the hints that tell workers where to look.

A message says "job 12, piece 7 may be ready" and nothing else: the database is the truth, so
a lost message is sent again and a repeated one finds nothing to claim.
"""

from __future__ import annotations

import logging
from typing import Any, NamedTuple

from celery import Celery
from kombu import Queue
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError
from sqlalchemy import Connection, func, select, update
from sqlalchemy.exc import SQLAlchemyError

from marrow.catalogue.jobs import MISHAPS, MOST_URGENT, is_open_now
from marrow.catalogue.schema import job, piece, worker
from marrow.catalogue.stops import IS_STOPPED
from marrow.study import Study

TASK = "marrow.work"
QUEUES = ("interactive", "overnight")
"""In the order in which a worker looks."""

WORKER_ALIVE_S = 30.0
"""A worker that was not heard of for so long gets no more hints."""
RESEND_S = 30.0
"""A hint that nobody has taken after so long is sent again, then after twice that, and so on."""
LOST_S = 3.0
"""As RESEND_S, when the broker's queues are empty: the hint is lost, or about to be claimed."""
HINTS_PER_WORKER = 2
"""One that it works on next, one in reserve: more would only be resent behind a long piece."""

log = logging.getLogger(__name__)


class Hint(NamedTuple):
    """Where a worker may find work."""

    job_id: int
    number: int
    queue: str


def make_app(broker_url: str) -> Celery:
    """The Celery application of clients, scheduler and workers alike.

    JSON only; no result backend, since results are rows; acknowledged late, one message at a
    time; sent once, since the scheduler sends again, and kombu's own second try over a connection
    that was lost ends in an AttributeError. Sources of the values: each is the answer to a loss
    or a stall that was reproduced with Celery 5.7 on Valkey 9 (kombu#305, celery#5935,
    celery#5874).
    """
    app = Celery("marrow", broker=broker_url, set_as_current=False)
    app.conf.update(
        accept_content=["json"],
        task_serializer="json",
        result_serializer="json",
        task_ignore_result=True,
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        task_publish_retry=False,
        task_queues=[Queue(name, routing_key=name) for name in QUEUES],
        task_default_queue=QUEUES[0],
        worker_prefetch_multiplier=1,
        worker_hijack_root_logger=False,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options={
            "queue_order_strategy": "priority",
            "visibility_timeout": 3600,
            "unacked_restore_interval": 5,
            "unacked_restore_throttle": 1,
            "socket_timeout": 30,
            "socket_connect_timeout": 5,
            "socket_keepalive": True,
            "health_check_interval": 10,
        },
    )
    return app


def wake(study: Study, app: Celery) -> int:
    """Publish hints for pieces that are ready; returns how many.

    Never more than two unclaimed hints per live worker. A broker or a database that does not
    answer costs nothing but time: the scheduler sends again.
    """
    try:
        with app.connection_for_write() as connection:
            connection.ensure_connection(max_retries=1, interval_start=0, timeout=5)
            is_empty = _waiting_messages(connection) == 0
            with study.database.write() as transaction:
                at = study.database.now(transaction)
                hints = _take_hints(transaction, at, LOST_S if is_empty else RESEND_S)
            for hint in hints:
                app.send_task(
                    TASK, (hint.job_id, hint.number), queue=hint.queue, connection=connection
                )
    except (OperationalError, RedisError) as error:
        name = type(error).__name__
        log.warning("The broker does not answer (%s); hints are sent again later", name)
        return 0
    except SQLAlchemyError as error:
        name = type(error).__name__
        log.warning("The database does not answer (%s); hints are sent later", name)
        return 0
    return len(hints)


def _waiting_messages(connection: Any) -> int:
    """Messages that no worker has fetched yet, in both queues."""
    client = connection.default_channel.client
    return int(sum(client.llen(name) for name in QUEUES))


def _take_hints(connection: Connection, at: float, resend_s: float) -> list[Hint]:
    """Choose the pieces whose hints go out now, and note that they do.

    A person's pieces find room whatever waits for the night; the night takes what they leave.
    """
    is_alive = worker.c.seen_at > at - WORKER_ALIVE_S
    alive = connection.execute(select(func.count()).select_from(worker).where(is_alive))
    most = HINTS_PER_WORKER * max(1, alive.scalar_one())
    columns = (piece.c.job_id, piece.c.number, piece.c.sent_at, piece.c.sends)
    ready = (
        select(*columns, job.c.priority, MISHAPS.label("mishaps"))
        .join(job, job.c.id == piece.c.job_id)
        .where(piece.c.state == "new", job.c.state.in_(("waiting", "running")), is_open_now(at))
        .where(~IS_STOPPED)
        .order_by(*MOST_URGENT)
    )
    # A hint under way holds its place until it is due again.
    sent = connection.execute(ready.where(piece.c.sent_at.is_not(None))).all()
    due = {row for row in sent if at - row.sent_at > resend_s * 2 ** min(row.sends - 1, 5)}
    under_way = 0
    chosen: list[Any] = []
    for queue in QUEUES:
        under_way += sum(row.priority == queue for row in sent if row not in due)
        room = most - under_way - len(chosen)
        if room > 0:
            unsent = ready.where(piece.c.sent_at.is_(None), job.c.priority == queue).limit(room)
            again = [row for row in due if row.priority == queue]
            candidates = [*connection.execute(unsent).all(), *again]
            candidates.sort(key=lambda row: (row.mishaps, row.job_id, row.number))
            chosen += candidates[:room]
    for row in chosen:
        connection.execute(
            update(piece)
            .where(piece.c.job_id == row.job_id, piece.c.number == row.number)
            .values(sent_at=at, sends=piece.c.sends + 1)
        )
    return [Hint(row.job_id, row.number, row.priority) for row in chosen]
