"""Who trains, who tests and who is held out in a run, and the study's one test draw."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from marrow.catalogue import smears
from marrow.records import TrainingSpec
from marrow.study import Study
from marrow.training_cohort import cohort_of as sides_of
from marrow.training_cohort import draw_wanted, read_labelled
from training.labelled import with_files
from training.splits import Sides


class Cohort(NamedTuple):
    """The sides of a run, and how many labelled smears were left out for which reason."""

    sides: Sides
    excluded: Counter[str]
    """By reason, as in `marrow.training_cohort`."""


def cohort_of(study: Study, spec: TrainingSpec, *, is_begun: bool = False) -> Cohort:
    """Read the labelled smears; the first honest run of a study draws its test patients.

    Parameters
    ----------
    is_begun : bool
        The run goes on from a checkpoint, which holds the answers that it began with; smears
        without an answer come along too.

    Raises
    ------
    CannotSplit
        If no split can be made of the labels; see `marrow.training_cohort.cohort_of`.
    UnreachableSmear
        If this host does not see a smear: training without it would be another training.
    """
    with study.database.read() as connection:
        labelled = read_labelled(connection, study.scheme, spec.smear_is_patient, is_begun=is_begun)
    drawn = labelled.test_patients
    wanted = draw_wanted(labelled, study.scheme, spec)
    if wanted is not None:
        with study.database.write() as connection:
            # Of two workers that draw at once, the first one's draw counts.
            drawn = smears.keep_test_patients(connection, wanted)
    found = sides_of(labelled, study.scheme, spec, drawn, is_begun=is_begun)
    sides = Sides(*(with_files(study, side) for side in (found.train, found.test, found.held_out)))
    return Cohort(sides, found.excluded)
