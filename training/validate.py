"""Scoring a model on a cohort that it has not seen, with everything recorded beforehand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from marrow.catalogue import cohorts, models, predictions, smears
from marrow.catalogue.cohorts import CohortSmear
from marrow.catalogue.predictions import ResultFilter
from marrow.catalogue.smears import SmearFilter
from marrow.client import Client
from marrow.errors import BadCohort
from marrow.evaluate import evaluate_blind
from marrow.records import Job, ModelRecord, Opening, SiteLock
from marrow.splits import patient_of
from marrow.study import Study

TEST = "test"

Answers = dict[int, dict[str, tuple[float, ...]]]
"""Probabilities by smear id and head."""


class Look(NamedTuple):
    """Who is to be scored, and what was on record before."""

    made_by: ModelRecord
    side: str
    """`test`, or `site:NAME`."""
    cohort: list[CohortSmear]
    left_out: int
    """Patients of the side that the model was trained on."""
    sha256: str
    """Of the whole side, those left out too."""
    lock: SiteLock | None
    opening: Opening | None
    """None for the test side, whose looks are its scorings."""

    @property
    def is_unchanged(self) -> bool | None:
        """Whether a locked cohort is what it was when it was locked; None: not locked."""
        return None if self.lock is None else self.lock.sha256 == self.sha256


class Validated(NamedTuple):
    """What came of a look."""

    look: Look
    job_id: int
    figures: dict[str, Any]
    """As `marrow.evaluate.evaluate` gives them, by labels that were given blind."""
    all_labels: dict[str, Any] | None
    """The same by all labels, where some were given after a prediction had been seen."""
    failed: dict[str, str]
    """Reason by name, of each smear that the model could not answer."""
    openings: int
    """How often the site was opened by now."""
    looks: int
    """How often all models together were scored on this side by now."""


def validate(
    client: Client,
    model_id: int,
    site: str | None,
    *,
    smear_is_patient: bool = False,
    wait: Callable[[Job], Job],
) -> Validated:
    """Classify a site's labelled smears (None: the test patients') and score the answers.

    The opening is written before the first smear is queued: a look that is broken off stays
    on record.

    Parameters
    ----------
    smear_is_patient : bool
        A smear without a patient counts as one; also if the model was trained so.
    wait : callable
        Follows a job to its end.

    Raises
    ------
    BadCohort
        If there is nobody to score whom the model was not trained on, if a patient of the site
        is a test patient, or if no smear was answered.
    CannotSplit
        If a smear has no patient and may not be one.
    """
    study = client.study
    look = _open(study, model_id, site)
    is_own = smear_is_patient or bool(
        look.made_by.card.get("training", {}).get("smear_is_patient", False)
    )
    for one in look.cohort:
        patient_of(one.smear, is_own)
    look = _record(study, look)
    job = wait(client.submit([one.smear.id for one in look.cohort], model_id))
    answers, flags, failed = _answers(study, job.id)
    if not answers:
        why = next(iter(failed.values()), f"the job is {job.state}")
        raise BadCohort(
            f"None of the {len(look.cohort)} smears was answered (job {job.id}: {why}): "
            "nothing was scored, see `marrow jobs`"
        )
    found = evaluate_blind(answers, look.cohort, study.scheme, is_own)
    figures = {**found.blind, "flags": flags}
    facts = _facts(look, job.id, failed, found.every)
    with study.database.write() as connection:
        at = study.database.now(connection)
        looks = models.record_scoring(connection, at, model_id, look.side, figures, answers, facts)
        openings = 0 if site is None else len(cohorts.openings(connection, site))
    return Validated(look, job.id, figures, found.every, failed, openings, looks)


def _open(study: Study, model_id: int, site: str | None) -> Look:
    """Who is to be scored; nothing is recorded yet."""
    with study.database.read() as connection:
        made_by = models.get(connection, model_id)
        if site is None:
            drawn = smears.test_patients(connection)
            if not drawn:
                raise BadCohort("The study has no test patients yet: its first training draws them")
            known = cohorts.labelled(connection, study.scheme, SmearFilter())
            whole = [one for one in known if cohorts.patient_of(one.smear) in drawn]
            lock = None
        else:
            whole = cohorts.of_site(connection, study.scheme, site)
            cohorts.require_untested(connection, site)
            lock = cohorts.locked_sites(connection).get(site)
        seen = cohorts.trained_on(connection, made_by)
    cohort = [one for one in whole if cohorts.patient_of(one.smear) not in seen]
    side = TEST if site is None else f"site:{site}"
    if not cohort:
        raise BadCohort(
            f"{made_by.name} was trained on every labelled patient of {side}: only patients that "
            "it has not seen tell anything, so lock or hold out the site and train again"
        )
    left_out = len({cohorts.patient_of(one.smear) for one in whole} & seen)
    return Look(made_by, side, cohort, left_out, cohorts.hash_of(whole), lock, None)


def _record(study: Study, look: Look) -> Look:
    if look.side == TEST:
        return look
    with study.database.write() as connection:
        at = study.database.now(connection)
        site = look.side.removeprefix("site:")
        opening = cohorts.open_site(connection, at, site, look.made_by, look.sha256)
    return look._replace(opening=opening)


def _answers(study: Study, job_id: int) -> tuple[Answers, dict[str, list[str]], dict[str, str]]:
    """Probabilities and raised flags by smear id, and the reason by name of what failed."""
    answers: Answers = {}
    flags: dict[str, list[str]] = {}
    failed: dict[str, str] = {}
    with study.database.read() as connection:
        for row in predictions.every(connection, study.scheme, ResultFilter(job_id=job_id)):
            if row.prediction is None:
                failed[row.smear.name] = row.error or "not answered"
                continue
            answer = row.prediction.answer
            answers[row.smear.id] = {one.head: one.probabilities for one in answer.heads}
            if answer.flags:
                flags[str(row.smear.id)] = list(answer.flags)
    return answers, flags, failed


def _facts(
    look: Look, job_id: int, failed: dict[str, str], by_all: dict[str, Any] | None
) -> dict[str, Any]:
    return {
        "opening": None if look.opening is None else look.opening.model_dump(mode="json"),
        "lock": None if look.lock is None else look.lock.model_dump(mode="json"),
        "cohort_sha256": look.sha256,
        "model_sha256": look.made_by.sha256,
        "job": job_id,
        "patients_left_out": look.left_out,
        "failed": failed,
        "all_labels": by_all,
    }
