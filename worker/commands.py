"""`marrow agent`, `worker` and `scheduler`.

What needs torch or Celery's worker is imported when a command runs, so that `marrow --help`
is quick and works without the extra `worker`.
"""

from __future__ import annotations

import signal
import threading
import time
from pathlib import Path
from typing import Annotated

import typer

from marrow.cli import REFUSED, AsJson, session_of, show
from marrow.client import Client, has_worker_installed
from marrow.errors import BadSettings, Busy

agent_group = typer.Typer(help="The single machine's own broker, worker and scheduler.")

START_TIMEOUT_S = 30.0

Parent = Annotated[
    int | None, typer.Option("--parent", hidden=True, help="End when this process ends.")
]


def register(app: typer.Typer) -> None:
    """Add these subcommands."""
    app.add_typer(agent_group, name="agent")
    app.command("worker")(worker)
    app.command("scheduler")(scheduler)


@agent_group.command("run")
def run(context: typer.Context) -> None:
    """Be the agent, in the foreground."""
    from worker.agent import run_agent

    raise typer.Exit(run_agent(session_of(context).settings))


@agent_group.command("start")
def start(context: typer.Context, as_json: AsJson = False) -> None:
    """Start the agent in the background."""
    session = session_of(context)
    if not session.settings.is_single_machine:
        raise BadSettings("A lab has no agent: start `marrow scheduler` and `marrow worker`")
    _require_worker()
    was_running = not session.client.is_agent_gone()
    session.client.wake()
    if not _comes_up(session.client):
        log = session.settings.agent_folder / "agent.log"
        raise Busy(f"The agent has not started within {START_TIMEOUT_S:.0f} s; see {log}")
    text = "An agent runs already" if was_running else "The agent runs"
    show(as_json, {"started": not was_running}, f"{text}; `marrow agent status` shows it")


@agent_group.command("stop")
def stop(context: typer.Context, as_json: AsJson = False) -> None:
    """Stop the agent; unfinished work waits for the next start."""
    from worker.agent import stop_agent

    was_running = stop_agent(session_of(context).settings)
    text = "The agent has stopped" if was_running else "No agent was running"
    show(as_json, {"stopped": was_running}, text)


@agent_group.command("status")
def status(context: typer.Context, as_json: AsJson = False) -> None:
    """Whether the agent runs, and its children; exit code 1 if it does not."""
    from worker.agent import agent_status

    found = agent_status(session_of(context).settings)
    if found is None:
        show(as_json, None, "No agent is running")
        raise typer.Exit(REFUSED)
    broker = "answers" if found.is_broker_alive else "does not answer"
    workers = ", ".join(map(str, found.workers)) or "none"
    text = f"Agent {found.pid}: the broker {broker}; workers, one at a time per card: {workers}"
    show(as_json, found.model_dump(), text)


def worker(
    context: typer.Context,
    poll: Annotated[bool, typer.Option("--poll", help="Use no broker.")] = False,
    parent: Parent = None,
    seat: Annotated[
        Path | None, typer.Option(hidden=True, help="Work only while nobody else holds this.")
    ] = None,
) -> None:
    """Answer the queue until stopped."""
    _require_worker()
    from worker.app import run_worker
    from worker.equipment import equip

    run_worker(session_of(context).study, equip, parent, poll, seat)


def _require_worker() -> None:
    if not has_worker_installed():
        raise BadSettings('A worker needs torch: pip install "napari-marrow[worker]"')


def _comes_up(client: Client) -> bool:
    until = time.monotonic() + START_TIMEOUT_S
    while client.is_agent_gone():
        if time.monotonic() > until:
            return False
        time.sleep(0.1)
    return True


def scheduler(context: typer.Context, parent: Parent = None) -> None:
    """Look for lost work and open nights until stopped; one at a time works."""
    from marrow.queue import make_app, wake
    from worker.logs import log_to_stderr
    from worker.processes import die_with_parent
    from worker.scheduler import run as run_scheduler

    if parent is not None:
        die_with_parent(parent)
    log_to_stderr()
    study = session_of(context).study
    broker = study.settings.broker
    app = None if broker is None else make_app(broker.get_secret_value())
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    run_scheduler(study, (lambda: None) if app is None else (lambda: wake(study, app)), stopped)
