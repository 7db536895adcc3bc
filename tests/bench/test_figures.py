from __future__ import annotations

import pytest

from tests.bench.figures import Figure, beyond, in_turn, ratio, table


def figure(measured: float, goal: float, *, is_at_least: bool) -> Figure:
    return Figure("engine / bare", measured, goal, "x", is_at_least, "10.0 / 11.0 fields a second")


def test_the_order_is_turned_in_every_round_and_each_value_stays_with_its_side():
    calls = []

    def side(name: str):
        def measure(number: int) -> float:
            calls.append(name)
            return number + (0.5 if name == "b" else 0.0)

        return measure

    took = in_turn({"a": side("a"), "b": side("b")}, rounds=3)
    assert "".join(calls) == "abbaab"
    assert took == {"a": (0.0, 1.0, 2.0), "b": (0.5, 1.5, 2.5)}


def test_a_round_that_was_slow_for_both_sides_changes_no_ratio():
    bare, engine = (9.0, 90.0, 9.0), (10.0, 100.0, 10.0)
    assert ratio(bare, engine) == pytest.approx(0.9)
    assert beyond((1.1, 5.1, 1.3), (1.0, 5.0, 1.0)) == pytest.approx(0.1)


def test_a_goal_is_a_least_or_a_greatest_value():
    assert figure(0.90, 0.90, is_at_least=True).is_met
    assert not figure(0.89, 0.90, is_at_least=True).is_met
    assert figure(150, 150, is_at_least=False).is_met
    assert not figure(151, 150, is_at_least=False).is_met


def test_a_missed_goal_stands_in_the_table_and_in_the_json():
    missed, met = figure(0.5, 0.9, is_at_least=True), figure(0.95, 0.9, is_at_least=True)
    lines = table([missed, met]).splitlines()
    assert len(lines) == 4
    assert "0.50 x" in lines[2]
    assert "MISSED" in lines[2]
    assert "MISSED" not in lines[3]
    assert missed.as_json()["is_met"] is False
    assert met.as_json()["measured"] == 0.95
