"""The end of a sweep: choose, calibrate, score the test side once, and store the models."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from marrow.errors import BadModel
from marrow.records import Cell, ConclusionPayload, SweepSpec, TrainingSpec
from marrow.schemes import Scheme
from marrow.scored import ScoredRows, scored_rows
from marrow.splits import patient_of
from marrow.statistics.novelty import Reference
from marrow.statistics.temperature import TEMPERATURES
from training.calibrate import Calibration, OutOfFold, fit_calibration
from training.checkpoints import ModelCard
from training.dataset import Decoder, LabelledSmear, data_hash
from training.duplicates import hash_smears, near_duplicates, told
from training.harvest import Harvest, load_harvest
from training.losses import class_indices
from training.network import build_network
from training.preprocess import Preprocessing
from training.scoring import Scored, scorings_of
from training.selection import Choice, choose
from training.splits import Sides, split_of
from training.storing import store_model, versions
from training.trial import serving_precision, timing

HASHED_AT_ONCE = 64
"""Pictures between two looks whether to stop."""


@dataclass(frozen=True)
class Concluded:
    """A model of the grid: stored, and scored by side."""

    folder: Path
    card: ModelCard
    scorings: dict[str, Scored]


@dataclass(frozen=True)
class _Candidate:
    """One finished model and the cells that it serves."""

    run: int
    cells: list[int]
    harvest: Harvest
    folds: list[Harvest]


def conclude(
    spec: SweepSpec,
    scheme: Scheme,
    sides: Sides,
    payload: ConclusionPayload,
    *,
    store: Path,
    check: Callable[[], None],
    excluded: Mapping[str, int] | None = None,
) -> list[Concluded]:
    """The models of a sweep, the chosen cell's first.

    The choice and everything that is fitted rest on out-of-fold predictions of training
    patients; the test side is scored after it, once a model. Doing it again gives the same.

    Parameters
    ----------
    sides : Sides
        At least the smears that the runs began with; their answers are those of then.
    check : callable
        Called now and then; what it raises (Cancelled, LeaseLost) passes through.
    excluded : mapping of str to int, optional
        How many labelled smears were left out, by reason; for the cards.

    Raises
    ------
    BadModel
        If a harvest is missing or altered, or a smear that the runs began with is gone.
    """
    candidates = _candidates(spec, payload, store, check)
    smears = _as_begun(candidates[0].harvest, sides)
    out_of_fold = {
        index: _primary_rows(one.folds, smears, scheme, spec.runs[one.run])
        for one in candidates
        for index in one.cells
        if one.folds
    }
    choice = choose(spec.cells, out_of_fold, scheme)
    candidates.sort(key=lambda one: choice.chosen not in one.cells)
    notes = (*spec.notes, *_cohort_notes(candidates[0].harvest, smears, excluded or {}, check))
    concluded = []
    for one in candidates:
        check()
        concluded.append(_conclude(one, spec, scheme, smears, choice, notes, store, check))
    return concluded


def _cohort_notes(
    harvest: Harvest,
    smears: Mapping[int, LabelledSmear],
    excluded: Mapping[str, int],
    check: Callable[[], None],
) -> list[str]:
    """What was left out, and which pictures on different sides look like one."""
    notes = []
    if excluded:
        counts = ", ".join(f"{count} {reason}" for reason, count in sorted(excluded.items()))
        notes.append(f"labelled smears left out: {counts}")
    sides = dict(zip(harvest.smears, harvest.sides, strict=True))
    if "image" in sides.values():  # seed2022 has every smear on both sides
        return notes
    examined = [smears[one] for one in sides]
    hashes: list[int | None] = []
    for at in range(0, len(examined), HASHED_AT_ONCE):
        check()
        hashes += hash_smears(examined[at : at + HASHED_AT_ONCE])
    names = [one.smear.name for one in examined]
    own = list(sides.values())
    return [*notes, told(near_duplicates(hashes, own), names, own)]


def _candidates(
    spec: SweepSpec, payload: ConclusionPayload, store: Path, check: Callable[[], None]
) -> list[_Candidate]:
    served: dict[tuple[int, int], list[int]] = {}
    for index, cell in enumerate(spec.cells):
        served.setdefault((cell.run, cell.epochs), []).append(index)

    def load(run: int, epochs: int) -> Harvest:
        check()
        refs = {ref.epoch: ref for ref in payload.harvests[run]}
        return load_harvest(store, refs[epochs])

    return [
        _Candidate(
            run,
            cells,
            load(run, epochs),
            [load(fold, epochs) for fold in spec.cells[cells[0]].fold_runs],
        )
        for (run, epochs), cells in served.items()
    ]


def _as_begun(harvest: Harvest, sides: Sides) -> dict[int, LabelledSmear]:
    """The smears by id, with the answers that the runs began with; whether those were given
    blind is what is known of it now."""
    given = {one.smear.id: one for side in sides for one in side}
    answers = {int(smear): its for smear, its in harvest.facts["answers"].items()}
    lost = sorted(answers.keys() - given.keys())
    if lost:
        raise BadModel(
            f"{len(lost)} smears that this training began with are gone (S{lost[0]:06d} ...); "
            "start the training anew"
        )
    return {smear: replace(given[smear], answers=its) for smear, its in answers.items()}


def _out_of_fold(
    folds: Sequence[Harvest],
    smears: Mapping[int, LabelledSmear],
    scheme: Scheme,
    spec: TrainingSpec,
) -> OutOfFold:
    rows = [
        (one, row) for one in folds for row, side in enumerate(one.sides) if side == "validation"
    ]
    known = [smears[one.smears[row]] for one, row in rows]
    truth = class_indices(known, scheme).numpy()
    return OutOfFold(
        patients=[patient_of(one.smear, spec.smear_is_patient) for one in known],
        truth={head.name: truth[:, column] for column, head in enumerate(scheme.heads)},
        probabilities={
            head.name: np.array([one.probabilities[head.name][row].numpy() for one, row in rows])
            for head in scheme.heads
        },
        distances=np.array([float(one.distances[row]) for one, row in rows]),
    )


def _primary_rows(
    folds: Sequence[Harvest],
    smears: Mapping[int, LabelledSmear],
    scheme: Scheme,
    spec: TrainingSpec,
) -> ScoredRows:
    """The out-of-fold rows of the primary head; a temperature would not change their order."""
    head = scheme.head(scheme.primary)
    answers = {
        one.smears[row]: {head.name: one.probabilities[head.name][row].numpy()}
        for one in folds
        for row, side in enumerate(one.sides)
        if side == "validation"
    }
    known = [smears[smear] for smear in answers]
    return scored_rows(head, answers, known, scheme, spec.smear_is_patient)


def _conclude(
    one: _Candidate,
    spec: SweepSpec,
    scheme: Scheme,
    smears: Mapping[int, LabelledSmear],
    choice: Choice,
    notes: Sequence[str],
    store: Path,
    check: Callable[[], None],
) -> Concluded:
    run, harvest = spec.runs[one.run], one.harvest
    network = build_network(run.backbone, scheme, run.dropout, run.seed)
    network.load_state_dict(harvest.network)
    preprocessing = Preprocessing.model_validate(harvest.facts["preprocessing"])
    trained = [smears[smear] for smear in _names(harvest, "train")]
    calibration = None
    if one.folds:
        calibration = fit_calibration(
            _out_of_fold(one.folds, smears, scheme, run), scheme, len(one.folds)
        )
    scored = scorings_of(harvest, one.folds, smears, scheme, run, calibration)
    decoder = Decoder(trained, preprocessing, run.data_seed)
    precision, parity = serving_precision(network, decoder, check)
    tested = [smears[smear] for smear in _names(harvest, "test")]
    held_out = [smears[smear] for smear in _names(harvest, "held-out")]
    sides = split_of(trained, tested, run.smear_is_patient, held_out)
    cell = spec.cells[choice.chosen if choice.chosen in one.cells else one.cells[0]]
    skipped = {
        smears[int(smear)].smear.name: why for smear, why in harvest.facts["skipped"].items()
    }
    side = "seed2022" if run.protocol == "seed2022" else "test"
    figures = {name: its for name, its in scored[side].figures.items() if name != "flags"}
    if side == "test":
        figures["all_labels"] = scored[side].facts["all_labels"]
    taken = timing(network, decoder) | {"epoch_s": harvest.facts["last"].get("seconds")}
    card = ModelCard(
        scheme=scheme,
        backbone=run.backbone,
        preprocessing=preprocessing,
        preprocessing_hash=preprocessing.hash,
        data_sha256=data_hash(trained),
        training=_spec_of(run, cell),
        split={
            "train": sides.train_patients,
            "test": sides.test_patients,
            "held_out": sides.held_out_patients,
        },
        split_sha256=sides.hashes,
        versions=versions(),
        figures={
            **figures,
            "training": harvest.facts["last"],
            "skipped": skipped,
            "timing": taken,
        },
        precision=precision,
        parity=parity,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        notes=(*harvest.facts["notes"], *notes, *_notes(run, calibration, skipped)),
        calibration=calibration,
        selection=_selection(spec, choice, one),
        cells=tuple(spec.cells[index] for index in one.cells),
    )
    check()
    folder, complete = store_model(store, network, card, _reference(harvest, trained, run))
    return Concluded(folder, complete, scored)


def _names(harvest: Harvest, side: str) -> list[int]:
    """Ids of the smears of a side, each once."""
    rows = zip(harvest.smears, harvest.sides, strict=True)
    return list(dict.fromkeys(smear for smear, its in rows if its == side))


def _spec_of(run: TrainingSpec, cell: Cell) -> TrainingSpec:
    """The spec of a run that would have trained this model alone."""
    update = {"epochs": cell.epochs, "snapshots": (), "loss_weights": cell.loss_weights}
    return run.model_copy(update=update)


def _selection(spec: SweepSpec, choice: Choice, one: _Candidate) -> dict[str, Any]:
    """How this model came to be chosen, or not, fit for JSON."""
    is_chosen = choice.chosen in one.cells
    own = choice.chosen if is_chosen else one.cells[0]
    return {
        "cells": len(spec.cells),
        "chosen": is_chosen,
        "why": choice.why,
        "metric": choice.metrics[own],
    }


def _reference(
    harvest: Harvest, trained: Sequence[LabelledSmear], run: TrainingSpec
) -> Reference | None:
    """Where the training patients lie among the features; None where there are no folds.

    Without out-of-fold distances nothing could be compared with it.
    """
    patients = {one.smear.id: patient_of(one.smear, run.smear_is_patient) for one in trained}
    rows = [row for row, side in enumerate(harvest.sides) if side == "train"]
    own = [patients[harvest.smears[row]] for row in rows]
    if not run.folds or len(set(own)) < 2:
        return None
    return Reference.fit(harvest.features[rows].numpy(), own)


def _notes(
    run: TrainingSpec, calibration: Calibration | None, skipped: Mapping[str, str]
) -> list[str]:
    notes = [
        "loss balanced: every class counts alike, and in it every patient, so that "
        "probabilities refer to equally frequent classes"
    ]
    if run.tune == "heads":
        notes.append(
            "heads trained on features standardised over the training side, which is folded "
            "into their weights"
        )
    if calibration is not None:
        notes.append(f"temperatures, thresholds and conformal sets from {calibration.source}")
        notes += [
            f"{head}: its temperature {own.temperature:.3g} is the bound of the search; out of "
            "fold its probabilities say little of how sure it is"
            for head, own in calibration.heads.items()
            if own.temperature >= TEMPERATURES[1] * 0.999
        ]
    elif run.protocol == "honest":
        notes.append("no folds: probabilities are as the network gives them, without thresholds")
    if skipped:
        some = "; ".join(f"{name}: {why}" for name, why in list(skipped.items())[:3])
        more = f"; and {len(skipped) - 3} more" if len(skipped) > 3 else ""
        notes.append(f"{len(skipped)} smears could not be read and were left out ({some}{more})")
    return notes
