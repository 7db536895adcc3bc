"""Nights: local times of a zone turned into UTC seconds, across daylight-saving changes."""

from __future__ import annotations

import os
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from marrow.errors import BadSettings
from marrow.records import Night


def opening(night: Night, now: float) -> tuple[float, float | None]:
    """(opens_at, closes_at) of the night that is open at `now`, else of the next one.

    Parameters
    ----------
    night : Night
        Local times; `until` at or before `at` means the next morning. A time that a spring
        change skips is taken an hour later; one that an autumn change repeats, its first time
        (PEP 495, fold=0).
    now : float
        Seconds since 1970, UTC.

    Raises
    ------
    BadSettings
        If the zone is unknown.
    """
    try:
        zone = ZoneInfo(night.zone)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise BadSettings(
            f"{night.zone!r} is no time zone: use a name like Europe/Berlin"
        ) from error
    today = datetime.fromtimestamp(now, zone).date()
    at = time.fromisoformat(night.at)
    until = None if night.until is None else time.fromisoformat(night.until)
    for day in (today - timedelta(days=1), today, today + timedelta(days=1)):
        opens = _utc(day, at, zone)
        if until is None:
            if opens >= now:
                return opens, None
            continue
        closes = _utc(day if until > at else day + timedelta(days=1), until, zone)
        if now < closes:
            return opens, closes
    raise AssertionError("one of three days has a night that has not ended")


def local_zone() -> str:
    """IANA name of this machine's time zone.

    Raises
    ------
    BadSettings
        If the machine does not tell.
    """
    named = os.environ.get("TZ", "").removeprefix(":")
    name = named or str(Path("/etc/localtime").resolve()).partition("zoneinfo/")[2]
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise BadSettings(
            f"this machine's time zone is not known ({name!r}): set TZ to a name like Europe/Berlin"
        ) from error
    return name


def _utc(day: date, clock: time, zone: ZoneInfo) -> float:
    return datetime.combine(day, clock, zone).astimezone(UTC).timestamp()
