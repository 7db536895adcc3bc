"""The labelled smears of a study, as a training run takes them, and the study's one test draw."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from marrow.catalogue import labels, regions, smears
from marrow.catalogue.labels import NOTHING_GIVEN
from marrow.catalogue.smears import SmearFilter
from marrow.errors import CannotSplit, UnreachableSmear
from marrow.records import Region, TrainingSpec
from marrow.study import Study
from training.dataset import LabelledSmear
from training.splits import draw_test_patients, split


class Cohort(NamedTuple):
    """Both sides of the split, and how many smears were left out for which reason."""

    train: list[LabelledSmear]
    test: list[LabelledSmear]
    excluded: Counter[str]


def cohort_of(study: Study, spec: TrainingSpec, *, is_begun: bool = False) -> Cohort:
    """Read the labelled smears; the first run of a study draws its test patients.

    Parameters
    ----------
    is_begun : bool
        The run goes on from a checkpoint, which holds the answers that it began with. Then
        smears without an answer come along too: somebody may have taken theirs back since.

    Raises
    ------
    CannotSplit
        If no honest split can be made of the labels.
    UnreachableSmear
        If this host does not see a smear: training without it would be another training.
    """
    labelled, excluded = _labelled(study, spec, is_begun)
    if not labelled:
        raise CannotSplit("No smear has a label: import a labels.csv, or label smears first")
    with study.database.read() as connection:
        drawn = smears.test_patients(connection)
    if not drawn:
        drawn = _draw(study, spec, labelled)
    train, test = split(labelled, drawn, spec.smear_is_patient)
    if not train or not test:
        side = "training" if not train else "test"
        raise CannotSplit(f"No labelled smear is left on the {side} side; label more patients")
    return Cohort(train, test, excluded)


def _labelled(
    study: Study, spec: TrainingSpec, is_begun: bool
) -> tuple[list[LabelledSmear], Counter[str]]:
    shown = SmearFilter(labelled=None if is_begun else True)
    with study.database.read() as connection:
        agreed = labels.consensus(connection)
        found = smears.get(connection, smears.all_ids(connection, shown))
        ids = [one.id for one in found]
        drawn: dict[int, list[Region]] = {}
        for start in range(0, len(ids), smears.IN_LIMIT):
            drawn |= regions.of_many(connection, ids[start : start + smears.IN_LIMIT])
    excluded: Counter[str] = Counter()
    labelled = []
    for one in found:
        consensus = agreed.get(one.id, NOTHING_GIVEN)
        if not consensus.answers:
            excluded.update(set(consensus.excluded.values()))
            if not is_begun or (one.patient is None and not spec.smear_is_patient):
                continue
        answers = study.scheme.complete(consensus.answers)
        try:
            path, members = study.file_of(one), study.members_of(one)
        except UnreachableSmear:
            if consensus.answers:
                raise
            continue
        own = tuple(drawn.get(one.id, ()))
        labelled.append(LabelledSmear(one, path, answers, own, members))
    return labelled, excluded


def _draw(study: Study, spec: TrainingSpec, labelled: list[LabelledSmear]) -> frozenset[str]:
    """Draw and keep; of two workers that draw at once, the first one's draw counts."""
    wanted = draw_test_patients(
        labelled, study.scheme, spec.test_share, spec.seed, spec.smear_is_patient
    )
    with study.database.write() as connection:
        return smears.keep_test_patients(connection, wanted)
