"""Addresses of a lab's servers: what a driver would choke on is refused without showing it.

A driver quotes what it cannot read, and with an unescaped sign in it a part of the password.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

_ESCAPED = "signs like / @ : # in the password written as %2F %40 %3A %23"
_DRIVERS = {
    "sqlite": "sqlite",
    "sqlite+pysqlite": "sqlite",
    "postgresql": "postgresql+psycopg",
    "postgresql+psycopg": "postgresql+psycopg",
}
"""By what may be written, what is used."""


def database_address(url: str) -> URL:
    """A database's address with the driver that is used here.

    Raises
    ------
    ValueError
        What it must be; without a part of it.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):  # the latter: a port that is no number
        parsed = None
    if parsed is None or parsed.drivername not in _DRIVERS or not _is_placed(parsed):
        raise ValueError(
            "must be postgresql://USER:PASSWORD@HOST:PORT/NAME or sqlite:////FOLDER/FILE, "
            f"{_ESCAPED}"
        ) from None
    return parsed.set(drivername=_DRIVERS[parsed.drivername])


def require_broker(url: str) -> None:
    """Refuse an address that Celery cannot read, or that trusts any certificate.

    Raises
    ------
    ValueError
        What it must be; without a part of it.
    """
    # Unless the address says so, Celery takes any certificate, and sends it the password.
    if url.startswith("rediss://") and "ssl_cert_reqs=" not in url:
        raise ValueError("a rediss:// address must end with ?ssl_cert_reqs=required")
    if url and not _is_broker(url):
        raise ValueError(f"must be redis://:PASSWORD@HOST:PORT/0, {_ESCAPED}")


def _is_placed(parsed: URL) -> bool:
    """Whether it names a file, or a server without what an unescaped @ leaves of a password."""
    if parsed.drivername.startswith("sqlite"):
        return bool(parsed.database) and not parsed.host
    return "@" not in f"{parsed.host or ''}{parsed.database or ''}"


def _is_broker(url: str) -> bool:
    try:
        parts = urlsplit(url)
        names = parts.scheme in {"redis", "rediss"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    database = parts.path.strip("/")
    return names and (not database or database.isdecimal())
