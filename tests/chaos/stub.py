"""A craft of known outputs: its answer is a function of the smear's bytes, and of nothing else.

It needs no torch and hardly any time, so that a hundred thousand smears are minutes, and anybody
who knows a smear's SHA-256 can say what must be stored of it.
"""

from __future__ import annotations

import hashlib
import threading
import time
from functools import partial

from sqlalchemy import select

from marrow.catalogue import jobs, models, smears
from marrow.catalogue.schema import job_smear
from marrow.records import Answer, Claim, ClassifySpec, HeadAnswer, Outcome, Provenance
from marrow.schemes import Scheme
from marrow.study import Study
from worker import claims
from worker.work import Check, Equipment, Patiently

MADE_BY = Provenance(code_version="stub", torch_version="none", device="stub", host="stub")
TORN = "00"
"""A smear whose SHA-256 begins so (one in 256) has no answer but an error."""


def expected(scheme: Scheme, sha256: str) -> Answer | str:
    """The answer to a smear of these bytes, or the error that it ends with.

    Parameters
    ----------
    sha256 : str
        Of the file's bytes, 64 hex digits; each class takes its share from two bytes of it.
    """
    if sha256.startswith(TORN):
        return f"{sha256[:12]}: torn"
    weights = iter(1 + byte for byte in hashlib.sha512(sha256.encode()).digest())
    heads = []
    for head in scheme.heads:
        own = [next(weights) * 256 + next(weights) for _ in head.classes]
        shares = tuple(one / sum(own) for one in own)
        call = head.classes[shares.index(max(shares))]
        heads.append(HeadAnswer(head=head.name, call=call, probabilities=shares))
    return Answer(heads=tuple(heads))


class StubCraft:
    """Answers pieces from the bytes of their files.

    Parameters
    ----------
    smear_s : float
        Pretended computing time of one smear.
    """

    def __init__(self, study: Study, smear_s: float) -> None:
        self._study = study
        self._smear_s = smear_s

    def work(self, held: Claim, check: Check, patiently: Patiently) -> None:
        """Answer the smears of a piece and store their outcomes."""
        with self._study.database.read() as connection:
            spec = ClassifySpec.model_validate(jobs.get(connection, held.job_id).spec)
            model = models.get(connection, spec.model_id)
            of_piece = job_smear.c.job_id == held.job_id, job_smear.c.piece == held.number
            ids = connection.execute(select(job_smear.c.smear_id).where(*of_piece)).scalars()
            wanted = smears.get(connection, sorted(ids))
        outcomes = []
        for smear in wanted:
            check()
            time.sleep(self._smear_s)
            content = self._study.file_of(smear).read_bytes()
            found = expected(self._study.scheme, hashlib.sha256(content).hexdigest())
            is_error = isinstance(found, str)
            answer, error = (None, found) if is_error else (found, None)
            outcomes.append(Outcome(smear.id, answer, None, error))
        revisions = {smear.id: smear.regions_revision for smear in wanted}
        patiently(
            lambda: claims.finish_smears(self._study, held, model, outcomes, revisions, MADE_BY)
        )


def _equip(study: Study, _stopping: threading.Event, smear_s: float) -> Equipment:
    return Equipment({"classify": StubCraft(study, smear_s)}, "stub")


def equip(smear_s: float) -> partial[Equipment]:
    """For `worker.app.run_worker`: a worker with this craft."""
    return partial(_equip, smear_s=smear_s)
