"""Seconds as people say them: how long something takes, and when it is over."""

from __future__ import annotations

from datetime import datetime


def duration_text(seconds: float) -> str:
    """`45 s`, `4 min 10 s`, `3 h 20 min`, `2 d 4 h`: two units at most."""
    whole = max(0, round(seconds))
    minutes, hours = round(whole / 60), round(whole / 3_600)
    if whole < 60:
        return f"{whole} s"
    if whole < 3_600:
        return _two(whole, 60, "min", "s")
    return _two(minutes, 60, "h", "min") if minutes < 1_440 else _two(hours, 24, "d", "h")


def clock_text(at: float, now: float) -> str:
    """Local time of `at` (seconds since 1970, UTC): `22:00` today, else `24 Nov 06:00`."""
    moment = datetime.fromtimestamp(at)
    is_today = moment.date() == datetime.fromtimestamp(now).date()
    return moment.strftime("%H:%M" if is_today else "%d %b %H:%M")


def _two(amount: int, size: int, large: str, small: str) -> str:
    whole, rest = divmod(amount, size)
    return f"{whole} {large} {rest} {small}" if rest else f"{whole} {large}"
