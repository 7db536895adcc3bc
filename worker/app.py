"""A worker process: Celery with a broker, the polling loop without one."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable
from pathlib import Path

from celery.signals import worker_shutting_down

from marrow.queue import QUEUES, make_app, wake
from marrow.study import Study
from worker import poll
from worker.logs import log_to_stderr
from worker.owner import Owner
from worker.processes import die_with_parent
from worker.refusals import CONSUMER
from worker.registry import announced
from worker.seat import seated
from worker.tasks import add_tasks
from worker.work import Bench, Equipment

log = logging.getLogger(__name__)


def run_worker(
    study: Study,
    equip: Callable[[Study, threading.Event], Equipment],
    parent_pid: int | None = None,
    must_poll: bool = False,
    seat: Path | None = None,
) -> None:
    """Work until told to stop: from the broker's queues, or by polling where there is none.

    Parameters
    ----------
    equip : callable
        Gives the crafts, for this study and the event that is set when the worker stops.
    parent_pid : int or None
        End when this process ends.
    seat : Path or None
        Lock file: work only while no other worker holds it.
    """
    if parent_pid is not None:
        die_with_parent(parent_pid)
    log_to_stderr()
    stopping = threading.Event()
    owner = Owner.of_this_process()
    equipment = equip(study, stopping)
    bench = Bench(study, owner, equipment, stopping)
    broker = study.settings.broker
    with seated(seat), announced(study, owner, equipment.device):
        if broker is None or must_poll:
            _stop_on_signals(stopping)
            poll.run(bench, stopping)
        else:
            _run_celery(study, bench, stopping, broker.get_secret_value())


def _run_celery(study: Study, bench: Bench, stopping: threading.Event, broker_url: str) -> None:
    app = make_app(broker_url)
    app.conf.worker_consumer = CONSUMER
    add_tasks(app, bench, after_piece=lambda: wake(study, app))
    wake(study, app)

    def on_shutdown(**_: object) -> None:
        stopping.set()

    worker_shutting_down.connect(on_shutdown)
    app.worker_main(
        [
            "--quiet",  # no banner
            "worker",
            "--pool=solo",  # CUDA must not be touched before a fork
            f"--queues={','.join(QUEUES)}",
            "--without-gossip",
            "--without-mingle",
            "--loglevel=WARNING",
        ]
    )


def _stop_on_signals(stopping: threading.Event) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
