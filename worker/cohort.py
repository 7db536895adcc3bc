"""Who trains, who tests and who is held out in a run, and the study's one test draw."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from marrow.catalogue import cohorts, smears
from marrow.errors import CannotSplit
from marrow.records import TrainingSpec
from marrow.study import Study
from training.dataset import LabelledSmear
from training.labelled import Labelled, labelled_smears
from training.splits import Sides, draw_test_patients, require_classes, split

_NAMED = 3
"""Patients that a sentence names one by one."""


class Cohort(NamedTuple):
    """The sides of a run, and how many labelled smears were left out for which reason."""

    sides: Sides
    excluded: Counter[str]
    """By reason: `unsure`, `conflict`, `locked site NAME`, `patient also of site NAME`."""


def cohort_of(study: Study, spec: TrainingSpec, *, is_begun: bool = False) -> Cohort:
    """Read the labelled smears; the first honest run of a study draws its test patients.

    Smears of `hold_out_sites` are on a side of their own, those of locked sites on none; the
    other smears of their patients are left out of the training side. Under seed2022 everything
    that is not held out trains, test patients too: that is the point of the protocol.

    Parameters
    ----------
    is_begun : bool
        The run goes on from a checkpoint, which holds the answers that it began with; smears
        without an answer come along too.

    Raises
    ------
    CannotSplit
        If no split can be made of the labels, if a site to hold out is unknown or locked, or
        if a test patient has smears of a held-out or locked site.
    UnreachableSmear
        If this host does not see a smear: training without it would be another training.
    """
    labelled = labelled_smears(study, spec.smear_is_patient, is_begun=is_begun)
    if not labelled.smears:
        raise CannotSplit(_nothing_labelled(labelled.excluded))
    _require_sites(study, spec.hold_out_sites, labelled.smears)
    held_out = [s for s in labelled.smears if s.smear.site in spec.hold_out_sites]
    own = [s for s in labelled.smears if s.smear.site not in spec.hold_out_sites]
    external = _external_patients(labelled, held_out)
    if spec.protocol == "seed2022":
        train, test = split(own, frozenset(), spec.smear_is_patient)
    else:
        train, test = _honest(study, spec, own, external)
    excluded = labelled.excluded
    excluded.update(f"patient also of site {external[s.smear.patient]}" for s in train
                    if s.smear.patient in external)  # fmt: skip
    train = [s for s in train if s.smear.patient not in external]
    if not is_begun:
        require_classes(train, study.scheme)
    return Cohort(Sides(train, test, held_out), excluded)


def _nothing_labelled(excluded: Counter[str]) -> str:
    if not excluded:
        return "No smear has a label: import a labels.csv, or label smears first"
    counts = ", ".join(f"{count} {reason}" for reason, count in sorted(excluded.items()))
    return f"No labelled smear is left to train on ({counts}): label others, or settle conflicts"


def _require_sites(study: Study, wanted: tuple[str, ...], labelled: list[LabelledSmear]) -> None:
    """Raise CannotSplit unless each site to hold out has labelled smears and is not locked."""
    if not wanted:
        return
    with study.database.read() as connection:
        locked = cohorts.locked_sites(connection)
    counts = Counter(s.smear.site for s in labelled if s.smear.site is not None)
    for site in wanted:
        if site in locked:
            raise CannotSplit(
                f"Site {site!r} is locked and cannot be held out of a sweep: try a finished model "
                f"on it with `marrow validate MODEL --site {site}`"
            )
        if not counts[site]:
            known = ", ".join(f"{name} ({count})" for name, count in sorted(counts.items()))
            raise CannotSplit(
                f"Site {site!r} has no labelled smear to hold out; "
                f"sites with labelled smears: {known or 'none'}"
            )


def _external_patients(labelled: Labelled, held_out: list[LabelledSmear]) -> dict[str, str]:
    """Site by patient, of the patients of held-out and locked sites."""
    smears_of_sites = [*labelled.locked, *(one.smear for one in held_out)]
    return {one.patient: one.site for one in smears_of_sites if one.patient and one.site}


def _honest(
    study: Study, spec: TrainingSpec, own: list[LabelledSmear], external: dict[str, str]
) -> tuple[list[LabelledSmear], list[LabelledSmear]]:
    with study.database.read() as connection:
        drawn = smears.test_patients(connection)
    if not drawn:
        drawn = _draw(study, spec, [s for s in own if s.smear.patient not in external])
    train, test = split(own, drawn, spec.smear_is_patient)
    both = sorted({s.smear.patient for s in test if s.smear.patient in external} - {None})
    if both:
        some = ", ".join(str(name) for name in both[:_NAMED])
        more = f" and {len(both) - _NAMED} more" if len(both) > _NAMED else ""
        sites = ", ".join(sorted({external[str(name)] for name in both}))
        raise CannotSplit(
            f"{len(both)} test patients also have smears of the external site {sites} "
            f"({some}{more}): give all smears of a patient one site, or do not hold it out"
        )
    if not train or not test:
        side = "training" if not train else "test"
        raise CannotSplit(
            f"No labelled smear is left on the {side} side; "
            "label more patients, or hold out fewer sites"
        )
    return train, test


def _draw(study: Study, spec: TrainingSpec, labelled: list[LabelledSmear]) -> frozenset[str]:
    """Draw and keep; of two workers that draw at once, the first one's draw counts."""
    wanted = draw_test_patients(
        labelled, study.scheme, spec.test_share, spec.data_seed, spec.smear_is_patient
    )
    with study.database.write() as connection:
        return smears.keep_test_patients(connection, wanted)
