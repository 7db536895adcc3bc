"""Telling the catalogue that this worker lives, and on what."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import delete, insert, update
from sqlalchemy.exc import SQLAlchemyError

from marrow.catalogue.schema import worker
from marrow.study import Study
from worker.owner import Owner

SEEN_EVERY_S = 3.0

log = logging.getLogger(__name__)


@contextmanager
def announced(study: Study, owner: Owner, device: str) -> Iterator[None]:
    """List this process among the workers, heard of every three seconds, until the end."""
    with study.database.write() as connection:
        at = study.database.now(connection)
        connection.execute(delete(worker).where(worker.c.id == owner.id))
        row = {"id": owner.id, "host": owner.host, "pid": owner.pid, "device": device}
        connection.execute(insert(worker), row | {"started_at": at, "seen_at": at})
    done = threading.Event()
    thread = threading.Thread(target=_beat, args=(study, owner, done), daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join(timeout=SEEN_EVERY_S)
        with study.database.write() as connection:
            connection.execute(delete(worker).where(worker.c.id == owner.id))


def _beat(study: Study, owner: Owner, done: threading.Event) -> None:
    while not done.wait(SEEN_EVERY_S):
        try:
            with study.database.write() as connection:
                at = study.database.now(connection)
                connection.execute(update(worker).where(worker.c.id == owner.id).values(seen_at=at))
        except SQLAlchemyError as error:
            log.warning("The database does not answer (%s)", type(error).__name__)
