"""The labelled smears of a study that may be trained and tested on."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from marrow.catalogue import cohorts, labels, regions, smears
from marrow.catalogue.labels import NOTHING_GIVEN
from marrow.catalogue.smears import SmearFilter
from marrow.errors import UnreachableSmear
from marrow.records import Region, Smear
from marrow.study import Study
from training.dataset import LabelledSmear


class Labelled(NamedTuple):
    """The smears whose readers agree, and what was left out of them."""

    smears: list[LabelledSmear]
    excluded: Counter[str]
    """Labelled smears by reason: `unsure`, `conflict`, `locked site NAME`."""
    locked: list[Smear]
    """All smears of locked sites, labelled or not."""


def labelled_smears(study: Study, smear_is_patient: bool, *, is_begun: bool = False) -> Labelled:
    """Read the labelled smears; those of locked sites stay hidden.

    Parameters
    ----------
    is_begun : bool
        A run goes on from a checkpoint, which holds the answers that it began with. Then
        smears without an answer come along too: somebody may have taken theirs back since.

    Raises
    ------
    UnreachableSmear
        If this host does not see a smear: training without it would be another training.
    """
    shown = SmearFilter(labelled=None if is_begun else True)
    with study.database.read() as connection:
        agreed = labels.consensus(connection)
        found = smears.get(connection, smears.all_ids(connection, shown))
        locked = cohorts.locked_sites(connection)
        hidden = [
            one
            for site in locked
            for one in smears.get(connection, smears.all_ids(connection, SmearFilter(site=site)))
        ]
        ids = [one.id for one in found]
        drawn: dict[int, list[Region]] = {}
        for start in range(0, len(ids), smears.IN_LIMIT):
            drawn |= regions.of_many(connection, ids[start : start + smears.IN_LIMIT])
    excluded: Counter[str] = Counter()
    labelled = []
    for one in found:
        consensus = agreed.get(one.id, NOTHING_GIVEN)
        if one.site in locked:
            excluded[f"locked site {one.site}"] += bool(consensus.answers)
            continue
        if not consensus.answers:
            excluded.update(set(consensus.excluded.values()))
            if not is_begun or (one.patient is None and not smear_is_patient):
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
    return Labelled(labelled, +excluded, hidden)
