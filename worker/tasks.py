"""The one Celery task: a hint that a piece may be ready."""

from __future__ import annotations

from collections.abc import Callable

from celery import Celery

from marrow.queue import TASK
from worker.work import Bench


def add_tasks(app: Celery, bench: Bench, after_piece: Callable[[], object]) -> None:
    """Let `app` answer hints with this bench.

    Safe to deliver twice: what is claimed or finished is not claimed again. The state of a
    piece comes from the database, never from Celery.
    """

    @app.task(name=TASK)  # type: ignore[untyped-decorator]
    def work(job_id: int, number: int) -> None:
        if bench.try_piece(int(job_id), int(number)):
            after_piece()
