"""Expected durations: from pieces and epochs that were measured, through nights."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from marrow.records import Night
from marrow.throughput import MOST_NIGHTS, PieceRun, busy_s, end_of, epochs_s, pace_of, work_s
from marrow.times import clock_text, duration_text
from marrow.windows import opening

BERLIN = ZoneInfo("Europe/Berlin")
NIGHT = Night(at="22:00", until="06:00", zone="Europe/Berlin")
HOUR = 3600.0


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN).timestamp()


def test_overlapping_pieces_are_busy_once_and_long_pauses_are_not() -> None:
    assert busy_s([]) == 0
    assert busy_s([(0, 10), (5, 12)]) == 12
    assert busy_s([(0, 10), (11, 20)]) == 20  # a pause of 1 s is claiming
    assert busy_s([(100, 110), (0, 10)]) == 20  # a night lies between
    assert busy_s([(0, 100), (10, 20), (30, 40)]) == 100


def test_one_worker_s_pace_includes_the_pauses_between_pieces() -> None:
    runs = [PieceRun(start, start + 9.0, 18, False) for start in range(0, 100, 10)]
    pace = pace_of(runs)
    assert pace is not None
    assert pace.field_s == pytest.approx(0.5)
    assert pace.slide_s is None
    assert pace.at_once == pytest.approx(90 / 99)
    seconds = work_s(180, 0, pace, pace.at_once)
    assert seconds == pytest.approx(99)  # the same work again takes as long again


def test_two_workers_halve_the_time_and_slides_count_apart() -> None:
    runs = [PieceRun(0.0, 10.0, 20, False), PieceRun(0.0, 10.0, 1, True)]
    pace = pace_of(runs)
    assert pace is not None
    assert (pace.field_s, pace.slide_s, pace.at_once) == (0.5, 10.0, 2.0)
    assert work_s(100, 5, pace, 2.0) == pytest.approx(50)
    assert work_s(100, 5, pace, 1.0) == pytest.approx(100)


def test_nothing_is_said_of_what_was_never_measured() -> None:
    assert pace_of([]) is None
    fields_only = pace_of([PieceRun(0.0, 10.0, 20, False)])
    assert fields_only is not None
    assert work_s(0, 1, fields_only, 1.0) is None
    assert work_s(3, 0, fields_only, 1.0) == pytest.approx(1.5)


def test_work_without_a_window_ends_when_it_is_done() -> None:
    end = end_of(90.0, 1000.0, None, None, None)
    assert end == (1090.0, 1)


def test_work_waits_for_its_opening() -> None:
    end = end_of(HOUR, at("2026-11-23 15:00"), at("2026-11-23 22:00"), None, None)
    assert end == (at("2026-11-23 23:00"), 1)


def test_work_that_does_not_fit_goes_on_in_the_next_nights() -> None:
    now = at("2026-11-23 15:00")
    opens, closes = opening(NIGHT, now)
    assert end_of(8 * HOUR, now, opens, closes, NIGHT) == (at("2026-11-24 06:00"), 1)
    assert end_of(9 * HOUR, now, opens, closes, NIGHT) == (at("2026-11-24 23:00"), 2)
    assert end_of(20 * HOUR, now, opens, closes, NIGHT) == (at("2026-11-26 02:00"), 3)


def test_a_night_that_has_begun_gives_only_its_rest() -> None:
    now = at("2026-11-24 05:00")
    opens, closes = opening(NIGHT, now)
    assert end_of(2 * HOUR, now, opens, closes, NIGHT) == (at("2026-11-24 23:00"), 2)


def test_the_night_of_a_clock_change_is_as_long_as_it_is() -> None:
    spring, autumn = at("2026-03-28 15:00"), at("2026-10-24 15:00")
    for now, hours in ((spring, 7), (autumn, 9)):
        opens, closes = opening(NIGHT, now)
        end = end_of(hours * HOUR, now, opens, closes, NIGHT)
        assert end == (closes, 1)
        assert end_of(hours * HOUR + 60, now, opens, closes, NIGHT) == (closes + 16 * HOUR + 60, 2)


def test_more_than_a_year_of_nights_is_no_answer() -> None:
    now = at("2026-11-23 15:00")
    short = Night(at="22:00", until="22:01", zone="Europe/Berlin")
    opens, closes = opening(short, now)
    assert end_of((MOST_NIGHTS + 2) * 60.0, now, opens, closes, short) is None


def test_epochs_are_measured_apart_from_what_comes_before_the_first() -> None:
    # A run takes 100 s to its first epoch, then 10 s an epoch; one of two runs has begun.
    told = [(0, 100.0), (0, 110.0), (0, 120.0)]
    assert epochs_s(told, [100.0], left=7, runs_left=0) == pytest.approx(70)
    assert epochs_s(told, [100.0], left=17, runs_left=1) == pytest.approx(16 * 10 + 100)
    assert epochs_s(told[:1], [100.0], left=9, runs_left=0) is None
    assert epochs_s([], [], left=10, runs_left=1) is None


def test_quick_epochs_that_are_told_together_share_their_time() -> None:
    """25 of 10 ms each, told every quarter of a second; of another run, one each second."""
    told = [(0, 10.0)] + [(0, 10.0 + 0.25 * flush) for flush in (1, 2, 3) for _ in range(25)]
    assert epochs_s(told, [], left=100, runs_left=0) == pytest.approx(1.0)
    both = sorted([*told, *((1, 10.0 + second) for second in range(4))], key=lambda one: one[1])
    assert epochs_s(both, [], left=100, runs_left=0) == pytest.approx(1.0)
    assert epochs_s([(0, 10.0)] * 20, [], left=100, runs_left=0) is None


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (59.6, "1 min"),
        (250, "4 min 10 s"),
        (12_000, "3 h 20 min"),
        (3599.9, "1 h"),
        (86_399, "1 d"),
        (187_200, "2 d 4 h"),
    ],
)
def test_durations_have_two_units_at_most(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


def test_a_clock_names_the_day_unless_it_is_today() -> None:
    now = datetime(2026, 11, 23, 15, 0).timestamp()
    assert clock_text(datetime(2026, 11, 23, 22, 0).timestamp(), now) == "22:00"
    assert clock_text(datetime(2026, 11, 24, 6, 0).timestamp(), now) == "24 Nov 06:00"
