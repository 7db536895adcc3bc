"""What is said of processes that die, on looks made by hand."""

from __future__ import annotations

from typing import Any

import pytest

from napari_marrow.machine_watch import NEWS_S, Machine, MachineWatch

NOW = 1_800_000_000.0


def machine(**values: Any) -> Machine:
    given = {"agent": 1, "broker": 2, "workers": frozenset({"w1"}), "is_due": True, "lost": {7: 0}}
    return Machine(**(given | values))


@pytest.fixture
def watch() -> MachineWatch:
    made = MachineWatch()
    assert made.look(machine(), NOW) == ()  # of the first look there is nothing to say
    return made


def sentences(said: tuple[str, ...]) -> list[str]:
    """Without the clock times."""
    return [one[9:] if one[2] == ":" else one for one in said]


def test_nothing_is_said_while_nothing_happens(watch: MachineWatch) -> None:
    assert watch.look(machine(), NOW + 1) == ()
    assert watch.look(machine(lost={7: 0, 8: 3}), NOW + 2) == ()  # of a job that was not known


def test_a_dead_worker_is_said_even_if_another_sits_there_at_once(watch: MachineWatch) -> None:
    said = watch.look(machine(workers=frozenset({"w2"}), lost={7: 1}), NOW + 1)
    assert sentences(said) == ["A worker died; what it had in hand is done again."]
    idle = watch.look(machine(workers=frozenset({"w3"}), lost={7: 1}), NOW + 2)
    assert sentences(idle)[0] == "A worker has ended; another one takes its place."


def test_a_dead_agent_is_said_while_it_is_gone_and_once_it_is_back(watch: MachineWatch) -> None:
    gone = watch.look(machine(agent=None, broker=None, workers=frozenset()), NOW + 1)
    assert gone == ("No agent runs: it is being started. What was done is stored.",)
    back = watch.look(machine(agent=11, broker=12, lost={7: 1}), NOW + 3)
    assert sentences(back) == [
        "The agent had died and was started again.",
        "A worker died; what it had in hand is done again.",
    ]


def test_a_broker_that_was_restarted_between_two_looks_is_noticed(watch: MachineWatch) -> None:
    said = watch.look(machine(broker=22), NOW + 1)
    assert sentences(said) == ["The broker had died and was started again."]
    missing = watch.look(machine(broker=None), NOW + 2)
    assert missing[0] == "The broker is gone: the agent starts it again. What waits is not lost."
    again = watch.look(machine(broker=23), NOW + 3)
    assert sentences(again)[0] == "The broker had died and was started again."
    assert len(again) == 2


def test_an_agent_that_went_because_nothing_was_left_did_not_die(watch: MachineWatch) -> None:
    assert watch.look(machine(is_due=False), NOW + 1) == ()
    assert watch.look(machine(agent=None, broker=None, is_due=False), NOW + 2) == ()
    started = watch.look(machine(agent=None, broker=None), NOW + 3)
    assert started == ("No agent runs: it is being started. What was done is stored.",)
    assert watch.look(machine(agent=31, broker=32), NOW + 4) == ()


def test_news_grow_old(watch: MachineWatch) -> None:
    watch.look(machine(broker=22), NOW + 1)
    assert watch.look(machine(broker=22), NOW + NEWS_S) != ()
    assert watch.look(machine(broker=22), NOW + NEWS_S + 1) == ()
