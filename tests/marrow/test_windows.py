from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from marrow.errors import BadSettings
from marrow.records import Night
from marrow.windows import opening

BERLIN = ZoneInfo("Europe/Berlin")
NIGHT = Night(at="22:00", until="06:00", zone="Europe/Berlin")


def berlin(*parts: int) -> float:
    return datetime(*parts, tzinfo=BERLIN).timestamp()  # type: ignore[arg-type]


@pytest.mark.parametrize("hour", [21, 22, 23])
def test_an_evening_has_its_own_night(hour: int) -> None:
    found = opening(NIGHT, berlin(2026, 11, 23, hour))
    assert found == (berlin(2026, 11, 23, 22), berlin(2026, 11, 24, 6))


def test_an_early_morning_belongs_to_the_night_that_is_open() -> None:
    found = opening(NIGHT, berlin(2026, 11, 24, 5, 59))
    assert found == (berlin(2026, 11, 23, 22), berlin(2026, 11, 24, 6))


def test_at_its_end_comes_the_next_night() -> None:
    found = opening(NIGHT, berlin(2026, 11, 24, 6))
    assert found == (berlin(2026, 11, 24, 22), berlin(2026, 11, 25, 6))


@pytest.mark.parametrize(("day", "hours"), [((2026, 3, 28), 7), ((2026, 10, 24), 9)])
def test_nights_of_a_clock_change_are_an_hour_shorter_or_longer(
    day: tuple[int, int, int], hours: int
) -> None:
    opens, closes = opening(NIGHT, berlin(*day, 20))
    assert closes is not None
    assert closes - opens == hours * 3600


def test_without_an_end_the_next_such_hour_opens() -> None:
    night = Night(at="22:00", zone="Europe/Berlin")
    assert opening(night, berlin(2026, 11, 23, 23)) == (berlin(2026, 11, 24, 22), None)


def test_an_unknown_zone_is_named() -> None:
    with pytest.raises(BadSettings, match="Europe/Bielefeld"):
        opening(Night(at="22:00", zone="Europe/Bielefeld"), 0.0)
