"""The labelled smears of a study with their files and regions, where this host sees them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from marrow.catalogue import regions
from marrow.catalogue.database import IN_LIMIT
from marrow.errors import UnreachableSmear
from marrow.records import Region, Smear
from marrow.study import Study
from marrow.training_cohort import Member, read_labelled
from training.dataset import LabelledSmear


class Labelled(NamedTuple):
    """The smears whose readers agree, and what was left out of them."""

    smears: list[LabelledSmear]
    excluded: Counter[str]
    """Labelled smears by reason: `unsure`, `conflict`, `locked site NAME`."""
    locked: list[Smear]
    """All smears of locked sites, labelled or not."""


def labelled_smears(study: Study, smear_is_patient: bool) -> Labelled:
    """Read the labelled smears; those of locked sites stay hidden.

    Raises
    ------
    UnreachableSmear
        If this host does not see a smear: training without it would be another training.
    """
    with study.database.read() as connection:
        found = read_labelled(connection, study.scheme, smear_is_patient)
    excluded = Counter(one.reason for one in found.left_out)
    return Labelled(with_files(study, found.members), excluded, found.external)


def with_files(study: Study, members: Iterable[Member]) -> list[LabelledSmear]:
    """The members with their files and regions; one without an answer may lack its file.

    Raises
    ------
    UnreachableSmear
        If this host does not see a smear that has an answer.
    """
    wanted = list(members)
    drawn: dict[int, list[Region]] = {}
    ids = [one.smear.id for one in wanted]
    with study.database.read() as connection:
        for start in range(0, len(ids), IN_LIMIT):
            drawn |= regions.of_many(connection, ids[start : start + IN_LIMIT])
    found = []
    for one in wanted:
        try:
            path, members_of = study.file_of(one.smear), study.members_of(one.smear)
        except UnreachableSmear:
            if any(one.answers.values()):
                raise
            continue
        own = tuple(drawn.get(one.smear.id, ()))
        found.append(LabelledSmear(one.smear, path, one.answers, own, members_of, one.is_blind))
    return found
