"""The broker, and the agent with its children."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from marrow.doctor.finding import Finding, ill, well
from marrow.settings import Settings
from marrow.statefile import is_running, read_left_behind, read_state

ANSWER_S = 2.0


def examine(settings: Settings) -> Iterator[Finding]:
    """One machine: its agent and that one's broker. A lab: the broker that this host is told of."""
    if settings.is_single_machine:
        yield from _single_machine(settings)
    elif settings.broker is None:
        yield well("broker", "none is set here: viewers need none, workers poll the database")
    else:
        remedy = "is it running, and does MARROW_BROKER name it?"
        yield _broker(settings.broker.get_secret_value(), remedy)


def _single_machine(settings: Settings) -> Iterator[Finding]:
    folder = settings.agent_folder
    left = read_left_behind(folder / "agent.json")
    agent = read_state(folder / "agent.json")
    if agent is None:
        if left is None:
            yield well("agent", "not running; it starts with the next job")
        else:
            found = f"pid {left['pid']} ended without a word"
            yield ill("agent", found, "`marrow agent start` takes its work up")
        return
    yield from _agent(agent, str(folder))
    broker = read_state(folder / "broker.json")
    if broker is None:
        remedy = f"the reason is in {folder / 'agent.log'}"
        yield well("broker", "none: the workers poll the catalogue", remedy)
    else:
        yield _broker(broker["url"], "`marrow agent stop`, then `marrow agent start`")


def _agent(agent: Mapping[str, Any], folder: str) -> Iterator[Finding]:
    children = agent.get("children")
    known = children if isinstance(children, dict) else {}
    gone = [name for name, one in known.items() if not is_running(one["pid"], one["started"])]
    names = ", ".join(f"{name} ({one['pid']})" for name, one in known.items() if name not in gone)
    found = f"pid {agent['pid']}; {names or 'no child runs'}"
    if gone or not known:
        found += f"; not running: {', '.join(gone)}" if gone else ""
        yield ill("agent", found, f"it starts them again; the reasons are in {folder}")
    else:
        yield well("agent", found)


def _broker(url: str, remedy: str) -> Finding:
    """Whether a broker answers to its password and to nobody without."""
    try:
        with _connection(url) as connection:
            version = connection.info("server").get("redis_version", "?")
    except redis.AuthenticationError:
        return ill("broker", "refuses the password", "correct the password in MARROW_BROKER")
    except (redis.RedisError, ValueError, OSError) as error:
        return ill("broker", f"does not answer ({type(error).__name__})", remedy)
    if _answers_anybody(url):
        found = "answers without a password"
        return ill("broker", found, "give it one (requirepass): who reaches it can fill the queue")
    return well("broker", f"answers, Redis protocol of {version}")


def _answers_anybody(url: str) -> bool:
    try:
        with _connection(url) as connection:
            connection.connection_pool.connection_kwargs.update(username=None, password=None)
            return bool(connection.ping())
    except redis.RedisError:
        return False


def _connection(url: str) -> redis.Redis:
    once = Retry(NoBackoff(), 0)
    return redis.Redis.from_url(
        url, socket_timeout=ANSWER_S, socket_connect_timeout=ANSWER_S, retry=once
    )
