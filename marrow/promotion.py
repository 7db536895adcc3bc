"""Who may become champion: one that is not shown to be worse where neither was trained."""

from __future__ import annotations

from shlex import quote
from typing import NamedTuple

from sqlalchemy import Connection

from marrow.catalogue import cohorts, models, smears
from marrow.catalogue.cohorts import patient_of
from marrow.catalogue.smears import SmearFilter
from marrow.comparing import Comparison, compare
from marrow.errors import BadModel, Busy, NotBetter, NotFound
from marrow.model_files import folder_of
from marrow.records import ModelRecord
from marrow.schemes import Scheme
from marrow.study import Study

FORCE_HINT = "; --force promotes it all the same, which is on record"
"""Behind an objection, on the command line."""


class Promoted(NamedTuple):
    """What a change of the champion did."""

    champion: ModelRecord
    previous: ModelRecord | None
    comparison: Comparison | None
    """None where there was nobody to compare with."""
    is_forced: bool
    """Whether it would have been refused."""


def compare_models(study: Study, champion_id: int, challenger_id: int) -> Comparison:
    """Both models on the patients that neither was trained on; see `marrow.comparing`."""
    with study.database.read() as connection:
        pair = [models.get(connection, one) for one in (champion_id, challenger_id)]
        return compare(connection, study.scheme, pair[0], pair[1])


def champion_id(study: Study) -> int | None:
    """Who is champion now; None before the first is trained."""
    with study.database.read() as connection:
        found = models.champion(connection)
    return None if found is None else found.id


def refusal(study: Study, comparison: Comparison) -> str | None:
    """Why `promote` would refuse the challenger as things stand, in one sentence; None: it would
    not."""
    with study.database.read() as connection:
        challenger = models.get(connection, comparison.challenger)
        champion = models.champion(connection)
    if champion == challenger:
        return f"{challenger.name} is the champion already"
    if champion is not None and champion.id != comparison.champion:
        return (
            f"promotion is decided against the champion {champion.name}: "
            f"`marrow models compare {champion.name} {challenger.name}`"
        )
    try:
        folder_of(study, challenger)
    except BadModel as error:
        return str(error)
    return None if champion is None else objection_to(study, comparison)


def promote(
    study: Study, model_id: int, instead_of: int | None, reason: str, *, force: bool = False
) -> Promoted:
    """Make a model the champion, unless it is shown to be worse than the present one.

    Parameters
    ----------
    instead_of : int or None
        The champion that the person saw, whose place the model takes; None: there was none.

    Raises
    ------
    NotBetter
        Unless forced: if it is worse on the primary head beyond the interval, or the two
        cannot be compared; or if no reason is given.
    BadModel
        Forced or not: if its weights or its card are not there.
    Busy
        If another one is champion by now.
    """
    reason = _given(reason)
    with study.database.read() as connection:
        before = _still(connection, instead_of)
        challenger = models.get(connection, model_id)
        comparison = None
        if before is not None:
            _refuse_champion(before, challenger)
            comparison = compare(connection, study.scheme, before, challenger)
    folder_of(study, challenger)
    objection = None if comparison is None else objection_to(study, comparison)
    if objection is not None and not force:
        raise NotBetter(f"{objection}{FORCE_HINT}")
    with study.database.write() as connection:
        at = study.database.now(connection)
        _still(connection, instead_of)
        stored = {} if comparison is None else comparison.model_dump(mode="json")
        champion = models.promote(
            connection,
            at,
            model_id,
            reason,
            is_forced=objection is not None,
            comparison=stored,
        )
    return Promoted(champion, before, comparison, objection is not None)


def rollback(study: Study, champion: int | None, reason: str) -> Promoted:
    """Make the previous champion champion again; a second time, the one before it.

    Parameters
    ----------
    champion : int or None
        The one that the person saw and wants to be rid of.

    Raises
    ------
    NotFound
        If there was none before.
    BadModel
        If its weights or its card are not there.
    Busy
        If another one is champion by now: two who roll back at once go back one.
    """
    reason = _given(reason)
    with study.database.write() as connection:
        at = study.database.now(connection)
        before = _still(connection, champion)
        previous = models.predecessor(models.promotions(connection))
        if previous is None:
            raise NotFound("There was no champion before this one: `marrow models history`")
        folder_of(study, models.get(connection, previous))
        champion_again = models.promote(connection, at, previous, reason, is_rollback=True)
    return Promoted(champion_again, before, None, is_forced=False)


def objection_to(study: Study, comparison: Comparison) -> str | None:
    """Why the challenger should not be champion, in one sentence; None if nothing speaks
    against it."""
    challenger, champion = f"m{comparison.challenger}", f"m{comparison.champion}"
    primary = comparison.primary(study.scheme)
    if not any(comparison.sides.values()):
        with study.database.read() as connection:
            way_out = _way_out(connection, study.scheme, comparison)
        return (
            f"{challenger} cannot be compared with {champion}: no patient was scored with both "
            f"and trained neither; {way_out}"
        )
    for difference in primary.differences:
        if difference.is_worse:
            figure = difference.figure.replace("_", " ").replace("auc", "AUC")
            ends = (
                f"{difference.low:+.3f} to {difference.high:+.3f}"
                if difference.low is not None and difference.high is not None
                else f"no interval: {difference.reason}"
            )
            return (
                f"{challenger} is worse than {champion} on {primary.head}: {figure} "
                f"{difference.value:+.3f} ({ends}, n = {difference.n} {difference.unit})"
            )
    if all(one.value is None for one in primary.differences):
        return (
            f"{challenger} cannot be compared with {champion} on {primary.head} by blind labels: "
            f"{primary.differences[0].reason}"
        )
    return None


def _way_out(connection: Connection, scheme: Scheme, comparison: Comparison) -> str:
    """How the two come to be scored on the same patients, by what `marrow validate` accepts."""
    both = [models.get(connection, one) for one in (comparison.champion, comparison.challenger)]
    seen = frozenset[str]().union(*(cohorts.trained_on(connection, one) for one in both))
    known = cohorts.labelled(connection, scheme, SmearFilter())
    fresh = [one.smear for one in known if patient_of(one.smear) not in seen]
    tested = smears.test_patients(connection)
    if any(patient_of(one) in tested for one in fresh):
        side, asked = "test", "--side test"
    else:
        sites = sorted({one.site for one in fresh if one.site})
        site = next((it for it in sites if not cohorts.tested_patients(connection, it)), None)
        if site is None:
            return "label patients of a site that trained neither, and score both on it"
        side, asked = f"site:{site}", f"--site {quote(site)}"
    scored = {one.id: {look.side for look in models.scorings(connection, one.id)} for one in both}
    lacking = [one.name for one in both if side not in scored[one.id]] or [it.name for it in both]
    commands = [f"`marrow validate {name} {asked}`" for name in lacking]
    return f"{' and '.join(commands)} {'scores' if len(commands) == 1 else 'score'} them"


def _still(connection: Connection, expected: int | None) -> ModelRecord | None:
    """The champion, who must be the one that a person saw; Busy if it is another by now."""
    found = models.champion(connection)
    if (None if found is None else found.id) != expected:
        name = "nobody" if found is None else found.name
        raise Busy(f"{name} is the champion by now: look at it before you change it")
    return found


def _refuse_champion(before: ModelRecord, challenger: ModelRecord) -> None:
    if before.id == challenger.id:
        raise NotBetter(f"{challenger.name} is the champion already")


def _given(reason: str) -> str:
    if not reason.strip():
        raise NotBetter("A change of the champion needs a reason: --reason 'why'")
    return reason.strip()
