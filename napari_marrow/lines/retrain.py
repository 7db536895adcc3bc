"""What the Retrain tab shows of a sweep before it begins: who trains, and how much work it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from marrow.cohort_preview import CohortPreview, LeftOutSmear
from marrow.training_cohort import BY_HAND
from napari_marrow.lines.column import NOTHING, Column

EXCLUSION_COLUMNS = (Column("smear"), Column("patient"), Column("site"), Column("left out because"))


@dataclass(frozen=True)
class ExclusionLine:
    """A labelled smear that does not train, and why."""

    smear_id: int | None
    """None: of a name that a person gave and no such smear has."""
    cells: tuple[str, ...]
    by_hand: str = ""
    """The patient or smear that a person named; empty: another reason."""


@dataclass(frozen=True)
class Prospect:
    """What a sweep would do if it were started now."""

    cohort: str = ""
    """Patients by class."""
    excluded: str = ""
    """How many labelled smears are left out; empty: none."""
    exclusions: tuple[ExclusionLine, ...] = ()
    work: str = ""
    """Cells, runs and epochs; empty where the grid cannot be planned."""
    notes: str = ""
    """Why runs are shared, or what else is to be known of the grid."""
    trouble: str = ""
    """Why it cannot be started, in one sentence; empty: it can."""


@dataclass(frozen=True)
class SweepLine:
    """A sweep that can be shown."""

    job_id: int
    words: str


@dataclass(frozen=True)
class Choices:
    """What the form offers in this study."""

    weights: str = ""
    """Loss weights to begin with, as they are typed."""
    heads: tuple[str, ...] = ()
    sites: tuple[str, ...] = ()
    """Sites that can be held out."""
    site_words: Mapping[str, str] = field(default_factory=dict)
    """Why a site cannot be held out."""


def prospect_of(found: CohortPreview, left_out: Mapping[str, str]) -> Prospect:
    """The cohort in words.

    Parameters
    ----------
    left_out : mapping
        Reason by patient or smear that a person leaves out.
    """
    classes = ", ".join(
        f"{one.name or f'no {found.head}'} {one.train + one.test}" for one in found.classes
    )
    words = f"{_count(found.patients, 'patient')} ({classes})"
    if found.trouble is None:
        tested = found.test_patients
        words += f", of whom {tested:,} test" if tested else "; their images are split 7:3"
    for one in found.held_out:
        words += f"; site {one.site} held out ({_count(one.patients, 'patient')})"
    lines = tuple(_exclusion(one, left_out) for one in found.left_out)
    return Prospect(
        cohort=words,
        excluded=f"{_count(len(lines), 'smear')} left out" if lines else "",
        exclusions=lines,
        trouble=found.trouble or "",
    )


def exclusion_lines(
    found: Sequence[ExclusionLine], left_out: Mapping[str, str]
) -> tuple[ExclusionLine, ...]:
    """All that is left out: these smears, and a row for each name by hand that is none of theirs.

    Parameters
    ----------
    left_out : mapping
        Reason by patient or smear that a person leaves out.
    """
    matched = {one.by_hand for one in found}
    unmatched = (
        ExclusionLine(None, (name, NOTHING, NOTHING, f"{BY_HAND}: {reason}"), by_hand=name)
        for name, reason in left_out.items()
        if name not in matched
    )
    return (*found, *unmatched)


def _exclusion(one: LeftOutSmear, left_out: Mapping[str, str]) -> ExclusionLine:
    named = next((name for name in (one.smear, one.patient) if name in left_out), None)
    cells = (one.smear, one.patient or NOTHING, one.site or NOTHING, one.reason)
    return ExclusionLine(one.smear_id, cells, by_hand=named or "")


def _count(count: int, what: str) -> str:
    return f"{count:,} {what}{'s' * (count != 1)}"
