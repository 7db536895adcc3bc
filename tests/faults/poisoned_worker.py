"""A worker whose decoder is killed, or hangs, on one smear: `HOME POISON HOW STALLED_S`.

Everything but the decoding is the real thing; the model is a stub, so that torch need not load.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
from pathlib import Path

from marrow.catalogue import jobs, models
from marrow.records import Answer, Claim, ClassifySpec, HeadAnswer, Outcome, Provenance
from marrow.settings import Settings
from marrow.study import Study
from worker import claims
from worker import lease as lease_module
from worker.owner import Owner
from worker.settling import smears_of
from worker.work import Bench, Check, Equipment, Patiently

ANSWER = Answer(
    heads=(
        HeadAnswer(head="mds", call="other", probabilities=(0.9, 0.1)),
        HeadAnswer(head="diagnosis", call="AA", probabilities=(0.8, 0.1, 0.1)),
    )
)
WAYS = {
    "dies": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "hangs": threading.Event().wait,
    "hangs with the lock": ctypes.PyDLL(None).pause,  # PyDLL keeps Python's lock
}


class Stub:
    """Answers every smear alike, one by one; what it has decoded it says on its output."""

    def __init__(self, study: Study, poison: int, how: str) -> None:
        self._study, self._poison, self._how = study, poison, how

    def work(self, held: Claim, check: Check, patiently: Patiently) -> None:
        with self._study.database.read() as connection:
            spec = ClassifySpec.model_validate(jobs.get(connection, held.job_id).spec)
            model = models.get(connection, spec.model_id)
            ids = smears_of(connection, held.job_id, held.number)
        for smear in ids:
            check()
            print(smear, flush=True)
            if smear == self._poison:
                WAYS[self._how]()
        made_by = Provenance(code_version="0", torch_version="0", device="cpu", host="here")
        outcomes = [Outcome(smear, ANSWER, None, None) for smear in ids]
        revisions = dict.fromkeys(ids, 0)
        patiently(
            lambda: claims.finish_smears(self._study, held, model, outcomes, revisions, made_by)
        )


def main(home: str, poison: str, how: str, stalled_s: str) -> None:
    """Work until there is nothing left to claim."""
    lease_module.LEASE_S = 0.5  # of the watchdog alone; the ledger's lease stays as it is
    study = Study.open(Settings.read(Path(home)))
    equipment = Equipment({"classify": Stub(study, int(poison), how)}, "cpu")
    owner = Owner.of_this_process()
    bench = Bench(study, owner, equipment, threading.Event(), stalled_s=float(stalled_s))
    while bench.try_any():
        pass
    study.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
