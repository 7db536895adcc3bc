"""A worker process: Celery with a broker, the polling loop without one."""

from __future__ import annotations

import logging
import signal
import threading

import torch
from celery.signals import worker_shutting_down

from marrow.queue import QUEUES, make_app, wake
from marrow.study import Study
from worker import poll
from worker.claims import Owner
from worker.processes import die_with_parent
from worker.registry import announced
from worker.tasks import add_tasks
from worker.work import Bench

log = logging.getLogger(__name__)


def device_name() -> str:
    """What this worker computes on, for people: the graphics card's name, or `cpu`."""
    return torch.cuda.get_device_name(0) if torch.cuda.is_available() else "cpu"


def run_worker(study: Study, parent_pid: int | None, must_poll: bool) -> None:
    """Work until told to stop: from the broker's queues, or by polling where there is none."""
    if parent_pid is not None:
        die_with_parent(parent_pid)
    _log_to_stderr()
    if study.settings.threads is not None:
        torch.set_num_threads(study.settings.threads)
    owner = Owner.of_this_process()
    bench = Bench(study, owner)
    broker = study.settings.broker
    with announced(study, owner, device_name()):
        if broker is None or must_poll:
            poll.run(bench, _stop_on_signals(bench))
        else:
            _run_celery(study, bench, broker.get_secret_value())


def _run_celery(study: Study, bench: Bench, broker_url: str) -> None:
    app = make_app(broker_url)
    add_tasks(app, bench, after_piece=lambda: wake(study, app))
    wake(study, app)

    def on_shutdown(**_: object) -> None:
        bench.stop_soon()

    worker_shutting_down.connect(on_shutdown)
    app.worker_main(
        [
            "worker",
            "--pool=solo",  # CUDA must not be touched before a fork
            f"--queues={','.join(QUEUES)}",
            "--without-gossip",
            "--without-mingle",
            "--loglevel=WARNING",
        ]
    )


def _stop_on_signals(bench: Bench) -> threading.Event:
    stop = threading.Event()

    def on_signal(*_: object) -> None:
        stop.set()
        bench.stop_soon()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)
    return stop


def _log_to_stderr() -> None:
    """One line an event, with its time; paths and patients are never logged."""
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    # Celery and kombu print the broker's URL, with its password masked, at INFO.
    for name in ("celery", "kombu", "amqp"):
        logging.getLogger(name).setLevel(logging.WARNING)
