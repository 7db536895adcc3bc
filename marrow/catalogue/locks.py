"""Whoever reads a row in order to write by it holds it first.

SQLite has one writer at a time (BEGIN IMMEDIATE), and its dialect leaves FOR UPDATE out.
PostgreSQL's READ COMMITTED lets two writers read the same row. The order is always the study,
then a job, then its pieces, so that nobody waits in a circle.
"""

from __future__ import annotations

from sqlalchemy import Connection, select

from marrow.catalogue.schema import job, study


def lock_study(connection: Connection) -> None:
    """Hold what exists once in a study (its test patients, its champion) until the commit."""
    connection.execute(select(study.c.key).where(study.c.key == "scheme").with_for_update())


def lock_job(connection: Connection, job_id: int) -> None:
    """Hold a job, its pieces and its counters until the commit."""
    connection.execute(select(job.c.id).where(job.c.id == job_id).with_for_update())
