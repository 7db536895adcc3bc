"""The plan of a seed: always the same, all kinds in turn, and in time before the job's end."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.chaos.plan import DEEDS, KILLS, plan

ALL = frozenset((*KILLS, *DEEDS))


def test_a_seed_gives_the_same_plan_and_another_seed_another() -> None:
    assert plan(3, 200, 9, ALL) == plan(3, 200, 9, ALL)
    assert plan(3, 200, 9, ALL) != plan(4, 200, 9, ALL)


@pytest.mark.parametrize("seed", range(20))
def test_moments_rise_and_leave_the_end_alone(seed: int) -> None:
    moments = [moment.after for moment in plan(seed, 200, 9, ALL)]
    assert moments == sorted(moments)
    assert moments[0] >= 6
    assert moments[-1] <= 170


def test_few_kills_a_seed_are_all_kinds_over_the_seeds() -> None:
    kills = Counter(
        moment.what
        for seed in range(20)
        for moment in plan(seed, 200, 3, ALL)
        if moment.what in KILLS
    )
    assert kills == dict.fromkeys(KILLS, 12)


def test_only_what_is_possible_is_done_and_each_other_deed_once() -> None:
    possible = frozenset({"worker", "viewer", "freeze"})
    assert Counter(moment.what for moment in plan(0, 200, 4, possible)) == {
        "worker": 2,
        "viewer": 2,
        "freeze": 1,
    }
