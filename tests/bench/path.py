"""From the bare model to the stored prediction: what the engine costs, and what the queue."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path

from marrow.client import Client
from marrow.settings import Settings
from tests.bench.bare import BareModel
from tests.bench.figures import Figure, beyond, in_turn, ratio, seconds_of
from tests.bench.machine_room import agent_of, wait_for
from tests.bench.material import make_study, model_folder
from training.checkpoints import load_model
from worker.classify import Classifier, Request
from worker.forward import ForwardPass

BACKBONE, INPUT_PX = "resnet50", 256
SMALL_BACKBONE, SMALL_INPUT_PX = "resnet18", 64
"""For the time to the first answer: a large model's own time, which varies by more than the
path takes, would hide it."""

Requests = Sequence[Request]


def throughput(home: Path, fields: Sequence[Path], rounds: int) -> list[Figure]:
    """Engine and queue against the bare model, each part of the fields by all of them in turn."""
    study, requests = make_study(Settings.read(home), fields, BACKBONE, INPUT_PX)
    engine = Classifier(*load_model(model_folder(study)))
    bare = BareModel(*load_model(model_folder(study)), engine.device, engine.batch_size)
    batch = requests[: engine.batch_size]
    size = (len(requests) - len(batch)) // rounds
    parts = [requests[len(batch) :][size * k : size * (k + 1)] for k in range(rounds)]
    with agent_of(study) as client:
        _queue(client, batch)
        _engine(engine, batch)
        fitted = [bare.decode(one.path) for one in batch]
        bare.forward(fitted)
        took = in_turn(
            {
                "bare": lambda k: seconds_of(lambda: bare.classify([r.path for r in parts[k]])),
                "engine": lambda k: seconds_of(lambda: _engine(engine, parts[k])),
                "queue": lambda k: seconds_of(lambda: _queue(client, parts[k])),
            },
            rounds,
        )
    network, card = load_model(model_folder(study))
    served = ForwardPass(network, card, engine.device, engine.batch_size)
    forward = in_turn(
        {
            "bare": lambda _: seconds_of(lambda: bare.forward(fitted)),
            "engine": lambda _: seconds_of(lambda: served(fitted, with_evidence=True)),
        },
        2 * rounds + 1,
    )
    study.close()
    rates = {name: size / statistics.median(values) for name, values in took.items()}
    each = f"{rounds} x {size} JPEG fields, {BACKBONE}, batch {engine.batch_size}, {engine.device}"
    pass_ms = {name: 1e3 * statistics.median(values) for name, values in forward.items()}
    return [
        Figure(
            "engine / bare model",
            ratio(took["bare"], took["engine"]),
            0.90,
            "x",
            True,
            f"{rates['engine']:.1f} / {rates['bare']:.1f} fields a second ({each})",
        ),
        Figure(
            "whole queue / bare model",
            ratio(took["bare"], took["queue"]),
            0.85,
            "x",
            True,
            f"{rates['queue']:.1f} / {rates['bare']:.1f} fields a second (the same)",
        ),
        Figure(
            "engine / bare model, forward pass",
            ratio(forward["bare"], forward["engine"]),
            0.90,
            "x",
            True,
            f"{pass_ms['engine']:.0f} with maps / {pass_ms['bare']:.0f} ms a batch, not decoding",
        ),
    ]


def latency(home: Path, fields: Sequence[Path], rounds: int) -> list[Figure]:
    """From submit to the first answer with a warm worker, beyond the bare time of its batch."""
    study, requests = make_study(Settings.read(home), fields, SMALL_BACKBONE, SMALL_INPUT_PX)
    engine = Classifier(*load_model(model_folder(study)))
    bare = BareModel(*load_model(model_folder(study)), engine.device, engine.batch_size)
    size = len(requests) // (rounds + 1)
    parts = [requests[size * k : size * (k + 1)] for k in range(rounds + 1)]
    with agent_of(study) as client:
        _queue(client, parts[-1])
        bare.classify([one.path for one in parts[-1]])
        took = in_turn(
            {
                "bare": lambda k: seconds_of(lambda: bare.classify([r.path for r in parts[k]])),
                "queue": lambda k: seconds_of(lambda: _first_answer(client, parts[k])),
            },
            rounds,
        )
    study.close()
    whole, part = (1e3 * statistics.median(took[name]) for name in ("queue", "bare"))
    return [
        Figure(
            "submit to first answer, beyond its batch",
            1e3 * beyond(took["queue"], took["bare"]),
            150,
            "ms",
            False,
            f"{whole:.0f} - {part:.0f} ms ({rounds} x {size} fields, {SMALL_BACKBONE}, p50)",
        )
    ]


def _engine(engine: Classifier, requests: Requests) -> None:
    for outcome in engine.classify(requests):
        if outcome.error is not None:
            raise RuntimeError(outcome.error)


def _queue(client: Client, requests: Requests) -> None:
    job = client.submit([one.smear_id for one in requests])
    wait_for(client, job.id, len(requests))


def _first_answer(client: Client, requests: Requests) -> None:
    job = client.submit([one.smear_id for one in requests])
    for news in client.follow(job.id):
        if news.kind == "piece":
            return
    raise RuntimeError(f"no answer: the job ended as {client.job(job.id)}")
