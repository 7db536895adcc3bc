"""Who trained and who tested: patients of each side, looks, labels, and what n can resolve."""

from __future__ import annotations

import time
from collections import Counter
from statistics import median
from typing import Any

from marrow import statistics
from marrow.evaluate import head_figures
from marrow.paper_tables import side_text
from training.report.evidence import Evidence
from training.report.grid import Grid
from training.report.parts import Cell, Missing, Part, Table, Warn
from training.report.words import intervals_text, sentence

_RESOLVED = (0.7, 0.8, 0.9, 0.95)
"""Accuracies at which the half-width is said."""


def patients_parts(grid: Grid) -> list[Part]:
    """Smears and patients of each side, by class of the primary head and by site."""
    evidence = grid.evidence
    head = evidence.scheme.head(evidence.scheme.primary)
    rows: list[tuple[Cell, ...]] = []
    for side in grid.sides([evidence.model]):
        counted = evidence.rows(evidence.model, side, head.name)
        scoring = evidence.model.scoring(side)
        if counted is None or scoring is None:
            continue
        sites = Counter(
            evidence.smears[one].site or "not given"
            for one in scoring.answers
            if one in evidence.smears
        )
        shown = ", ".join(f"{name} ({n})" for name, n in sorted(sites.items()))
        classes = [counted.classes[name] for name in head.classes]
        rows.append((side_text(side), len(scoring.answers), counted.patient_count, *classes, shown))
    if not rows:
        return [
            Missing(
                "Patients of each side: no scoring of this model kept its answers; "
                "`marrow sweep` keeps them."
            ),
            *_split_text(evidence),
        ]
    table = Table(
        key="patients",
        title="Who is in the data.",
        caption=f"Smears that were scored, patients with an answer to {head.name}, and the "
        f"{evidence.unit} of each class; sites with their smears. Out-of-fold patients are the "
        "training patients, each predicted by a network that did not see that patient.",
        columns=("Data set", "Smears", "Patients", *head.classes, "Sites (smears)"),
        rows=tuple(rows),
    )
    return [*_split_text(evidence), table]


def _split_text(evidence: Evidence) -> list[Part]:
    spec, split = evidence.card.training, evidence.card.split
    counts = ", ".join(f"{len(names)} patients on the {side} side" for side, names in split.items())
    parts: list[Part] = []
    if spec.protocol == "honest":
        parts.append(
            f"Split by patient: {counts or 'not on the card'}; no patient and no smear is on two "
            "sides. The test patients were drawn once for the study and never move; augmented "
            f"copies ({spec.augment}) are made of training smears alone and are never counted."
        )
    if spec.smear_is_patient:
        parts.append(
            "Smears without a patient count as patients of their own, as the training was told; "
            "where two such smears are of one person, the intervals are too narrow."
        )
    parts += [sentence(note) for note in evidence.card.notes if note]
    return parts


def looks_parts(evidence: Evidence) -> list[Part]:
    """How often each side was looked at, and the record of each external cohort."""
    rows: list[tuple[Cell, ...]] = [
        (
            side_text(side),
            sum(one.side == side for one in evidence.model.scorings),
            count,
            _when([one.at for one in evidence.model.scorings if one.side == side]),
        )
        for side, count in evidence.looks.items()
        if side not in ("train", "out-of-fold")
    ]
    parts: list[Part] = []
    if rows:
        parts.append(
            Table(
                key="looks",
                title="How often the patients held back were looked at.",
                caption="Scorings of each side: with this model, and with all models of the study "
                "(one look of a sweep scores each of its models once). Every further look that "
                "leads to a choice makes the figures of that side more optimistic.",
                columns=("Side", "With this model", "With all models", "First and last look"),
                rows=tuple(rows),
            )
        )
    else:
        parts.append(Missing("Looks: no scoring of this model is on record."))
    opened = [(site, one) for site, each in evidence.openings.items() for one in each]
    if opened:
        parts.append(_openings(evidence, opened))
    unopened = sorted(site for site in evidence.locks if not evidence.openings.get(site))
    if unopened:
        parts.append(f"Locked and never opened: {', '.join(unopened)}.")
    return parts


def _openings(evidence: Evidence, opened: list[tuple[str, Any]]) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for number, (site, one) in enumerate(opened):
        lock = evidence.locks.get(site)
        same = "not locked" if one.lock_sha256 is None else (
            "as locked" if one.lock_sha256 == one.cohort_sha256 else "changed since the lock"
        )  # fmt: skip
        earlier = sum(name == site for name, _ in opened[:number])
        rows.append(
            (
                site,
                earlier + 1,
                f"m{one.model_id}",
                one.model_sha256[:12],
                one.cohort_sha256[:12],
                same,
                "not locked" if lock is None else _day(lock.at),
                _day(one.at),
            )
        )
    return Table(
        key="openings",
        title="External cohorts: what was on record before each was opened.",
        caption="One line for each opening, in order. Model and cohort: first 12 digits of the "
        "SHA-256, written before the first smear was shown; the whole hashes are in report.json.",
        columns=("Site", "Look", "Model", "Weights", "Cohort", "Cohort is", "Locked", "Opened"),
        rows=tuple(rows),
    )


def _day(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.gmtime(at)) + " UTC"


def _when(times: list[float]) -> str:
    if not times:
        return "never"
    first, last = _day(min(times)), _day(max(times))
    return first if first == last else f"{first}; {last}"


def labels_parts(grid: Grid) -> list[Part]:
    """The same figures on blind labels alone, where not all labels are blind."""
    evidence = grid.evidence
    model = evidence.model
    rows: list[tuple[Cell, ...]] = []
    for side in grid.sides([model]):
        if side in ("train", "out-of-fold", "seed2022"):
            continue
        for head in evidence.scheme.heads:
            every = evidence.rows(model, side, head.name)
            blind = evidence.rows(model, side, head.name, blind_only=True)
            if every is None or blind is None or blind.smears == every.smears:
                continue
            for name, counted in (("all", every), ("blind alone", blind)):
                found = head_figures(counted)
                rows.append(
                    (side_text(side), head.name, name, found["n"], found["auc"], found["accuracy"])
                )
    changed = _changed(grid)
    if not rows:
        return [
            *changed,
            "Every label of the scored patients was given before its reader had seen a prediction: "
            "figures on blind labels and on all labels are the same.",
        ]
    return [
        *changed,
        Table(
            key="blind-labels",
            title="Blind labels and all labels.",
            caption="A label given after a prediction had been seen may repeat the model's own "
            "answer; figures on blind labels are the ones to quote. "
            f"{intervals_text(evidence.unit)}",
            columns=("Data set", "Head", "Labels", "n", "AUC", "Accuracy"),
            rows=tuple(rows),
            lead=2,
        ),
    ]


def _changed(grid: Grid) -> list[Part]:
    """A warning where today's answers of the readers are not those of the model's own scoring."""
    evidence = grid.evidence
    scoring = evidence.model.scoring("test")
    if scoring is None or not scoring.answers:
        return []
    then = (scoring.facts.get("all_labels") or scoring.figures).get("heads", {})
    for head in evidence.scheme.heads:
        now = grid.figures(evidence.model.record.id, "test", head.name)
        old = then.get(head.name)
        if now is not None and old is not None and now["classes"] != old.get("classes"):
            return [
                Warn(
                    "The readers' answers to the test patients have changed since this model was "
                    f"scored ({head.name}: {_counts(old.get('classes', {}))} then, "
                    f"{_counts(now['classes'])} now); every "
                    "figure here is by the answers of today, those on the model's card are not."
                )
            ]
    return []


def _counts(classes: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in classes.items())


def resolution_parts(grid: Grid) -> list[Part]:
    """What differences the test side is too small to show."""
    evidence = grid.evidence
    model = evidence.model
    rows: list[tuple[Cell, ...]] = []
    for side in grid.sides([model]):
        if side in ("train", "out-of-fold", "seed2022"):
            continue
        for head in evidence.scheme.heads:
            counted = evidence.rows(model, side, head.name)
            if counted is None or not len(counted):
                continue
            # Patients, not images: those that are independent.
            n = counted.patient_count
            halves = [f"± {_half_width(round(share * n), n):.3f}" for share in _RESOLVED]
            found = grid.figures(model.record.id, side, head.name)
            area = None if found is None else found["auc"]
            spread = "–" if area is None or area["low"] is None else (
                f"{area['low']:.3f} to {area['high']:.3f}"
            )  # fmt: skip
            rows.append((side_text(side), head.name, n, *halves, spread))
    if not rows:
        return [Missing("What the sample cannot resolve: no held-back side was scored.")]
    table = Table(
        key="resolution",
        title="What this sample cannot resolve.",
        caption="Half-width of the 95% Wilson interval of an accuracy at this number of patients, "
        "and the interval of the AUC that was found. Two models whose accuracies differ by less "
        "than about this half-width cannot be told apart here by their intervals.",
        columns=(
            "Data set",
            "Head",
            "Patients",
            *(f"at accuracy {share:g}" for share in _RESOLVED),
            "AUC between",
        ),
        rows=tuple(rows),
        lead=2,
    )
    return [table]


def _half_width(successes: int, n: int) -> float:
    found = statistics.wilson(successes, n)
    assert found.low is not None  # noqa: S101 -- Wilson's interval always has both ends
    assert found.high is not None  # noqa: S101
    return (found.high - found.low) / 2


def timing_parts(evidence: Evidence) -> list[Part]:
    """Seconds of an epoch, of the test set and of one smear."""
    rows: list[tuple[Cell, ...]] = []
    epochs = [one["seconds"] for one in evidence.epochs if one.get("seconds") is not None]
    if epochs:
        rows.append(("One epoch (median)", _seconds(median(epochs)), len(epochs)))
    timing = evidence.card.figures.get("timing", {})
    smear_s, tested = timing.get("smear_s"), evidence.model.scoring("test")
    if smear_s is not None:
        rows.append(
            ("One smear, from file to answer (median)", _seconds(smear_s), timing.get("smears"))
        )
        if tested is not None and tested.answers:
            count = len(tested.answers)
            rows.append(("The test set (smears times one smear)", _seconds(count * smear_s), count))
    if not rows:
        return [
            Missing(
                "Timings: neither the epochs of this training nor a timed scoring are in this "
                "catalogue; train the model here to have them."
            )
        ]
    spec = evidence.card.training
    versions = ", ".join(f"{name} {version}" for name, version in evidence.card.versions.items())
    return [
        Table(
            key="timings",
            title="What it takes.",
            caption=f"Wall-clock time on the machines that did the work ({evidence.card.backbone}, "
            f"tune {spec.tune}, {spec.input_px} px, {versions}); n: what the time was measured on "
            "(epochs, or smears).",
            columns=("Step", "Time", "n"),
            rows=tuple(rows),
        )
    ]


def _seconds(seconds: float) -> str:
    if seconds >= 120:
        return f"{seconds / 60:.1f} min"
    return f"{seconds:.2f} s" if seconds >= 0.1 else f"{seconds * 1000:.0f} ms"
