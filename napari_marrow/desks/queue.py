"""The queue: submitting, the jobs and their workers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from marrow.catalogue import jobs
from marrow.client import Client, has_worker_installed
from marrow.records import Job
from marrow.study import Study
from napari_marrow.lines.jobs import JobLine, WorkerWords, job_line, worker_words

JOBS_SHOWN = 50


@dataclass(frozen=True)
class QueueState:
    """All that the Queue tab shows, from one moment."""

    lines: tuple[JobLine, ...]
    workers: WorkerWords
    followed: tuple[int, ...]
    """Classifications that are not over, oldest first."""


class QueueDesk:
    """The jobs of a study.

    No method may run on the GUI thread.

    Parameters
    ----------
    study : Study
    client : Client
    """

    def __init__(self, study: Study, client: Client) -> None:
        self._study = study
        self._client = client

    def submit(self, ids: Sequence[int]) -> Job:
        """Queue smears for the champion; NotFound if the study has no model yet."""
        return self._client.submit(ids)

    def cancel(self, job_id: int) -> Job:
        """Ask for a job to stop."""
        return self._client.cancel(job_id)

    def retry(self, job_id: int) -> Job:
        """Queue again what failed."""
        return self._client.retry(job_id)

    def state(self) -> QueueState:
        """The newest jobs, the workers, and what is to be followed."""
        with self._study.database.read() as connection:
            open_jobs = jobs.unfinished(connection)
            now = self._study.database.now(connection)
            newest = jobs.newest(connection, JOBS_SHOWN)
        workers = worker_words(self._client.workers(), now, len(open_jobs))
        if open_jobs and not has_worker_installed() and self._study.settings.is_single_machine:
            workers = WorkerWords(
                'This installation has no worker: pip install "napari-marrow[worker]"', True
            )
        followed = tuple(job.id for job in open_jobs if job.kind == "classify")
        return QueueState(tuple(job_line(job) for job in newest), workers, followed)
