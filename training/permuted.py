"""Whether the pipeline leaks: labels that mean nothing must give figures that mean nothing.

The diagnoses are exchanged among the patients at random, many times, and the study's own
pipeline (decoding, copies, frozen trunk, heads) is trained on them. An honest one reaches an
AUC of one half on average. A split of augmented images does not: copies of one smear lie on
both sides, and the heads recognise the smear.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from scipy import stats

from marrow.errors import CannotSplit
from marrow.records import Protocol, SegmentPayload, TrainingSpec
from marrow.schemes import Scheme
from marrow.splits import lot, patient_of
from marrow.statistics import Interval, macro_auc, macro_auc_metric, patient_bootstrap
from training.labellings import train_heads
from training.losses import balance_by_patient, head_weights
from training.precision import exact_float32
from training.splits import Sides
from training.stages import TrainingRun
from training.turn import Turn

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

CONFIDENCE = 0.95


@dataclass(frozen=True)
class ProtocolAudit:
    """What one protocol makes of true and of permuted labels.

    Attributes
    ----------
    protocol : str
    true : Interval
        Macro one-vs-rest AUC of the primary head with the labels as they are; n in `unit`.
    permuted : Interval
        Mean of that AUC over the permutations, with its t-interval; n permutations.
    areas : tuple of float
        AUC of each permutation.
    unit : str
        What an AUC is over: `patients`, `images` (each once), or `augmented images`.
    patients, test_patients : int
        In all, and those behind the AUCs.
    """

    protocol: Protocol
    true: Interval
    permuted: Interval
    areas: tuple[float, ...]
    unit: str
    patients: int
    test_patients: int

    @property
    def is_sound(self) -> bool:
        """Whether the interval of the permuted labels' mean AUC holds 0.5.

        Of sound pipelines one in twenty fails by chance, as with any 95% interval; another
        seed tells.
        """
        low, high = self.permuted.low, self.permuted.high
        return low is not None and high is not None and low <= 0.5 <= high

    @property
    def verdict(self) -> str:
        """One sentence."""
        what = f"{self.protocol}: permuted labels give a mean AUC of {self.permuted.value:.3f} "
        what += f"({self.permuted.low:.3f}-{self.permuted.high:.3f}, n = {self.permuted.n} "
        what += f"permutations of {self.patients} patients): "
        if self.is_sound:
            return what + "it does not leak"
        if (self.permuted.value or 0) > 0.5:
            return what + "it LEAKS, and its figures mean nothing"
        return what + "below chance, so that its figures cannot be trusted either"


def audit_protocol(
    spec: TrainingSpec,
    scheme: Scheme,
    sides: Sides,
    store: Path,
    permutations: int,
    on_view: Callable[[], None] = lambda: None,
) -> ProtocolAudit:
    """The permuted-label control of one protocol.

    Parameters
    ----------
    spec : TrainingSpec
        As for training, `tune` heads: its protocol decides what is split, and when.
    sides : Sides
        Under seed2022 without a test side, as `worker.cohort` gives them.
    store : Path
        Features of the trunk are kept below it, as in training.
    permutations : int
        2 or more; 20 tell a leak from chance.
    on_view : callable
        Called now and then while features are made.

    Raises
    ------
    CannotSplit
        If a class of the primary head has no test patient, or a patient is on two sides.

    Notes
    -----
    Labels are exchanged among the patients of one side, so that each side keeps its number of
    patients of each class, as the stratified draw would give it. Each patient has one label,
    whatever becomes of its smears. Heads share no parameter while the trunk is frozen, so
    that the primary one is trained alone; all permutations at once (`train_heads`).

    Source: Ojala and Garriga 2010, J Mach Learn Res 11:1833 (permutation tests of classifiers).
    """
    if spec.tune != "heads" or spec.fold is not None:
        raise ValueError("the control trains heads, on all training patients")
    known = Sides(*([s for s in side if s.answers[scheme.primary] is not None] for side in sides))
    run = _prepared(spec, scheme, known, store, on_view)
    inputs, tested = _inputs(run, _endless(on_view))
    classes = _labellings(run, scheme, known, permutations)  # permutations + 1, views
    said = _trained(run, scheme, classes, inputs, tested)
    unit, units = _units(run, scheme, tested)
    tables = [_by_unit(p, c[tested], units) for p, c in zip(said, classes, strict=True)]
    _refuse_missing(tables, scheme)
    areas = tuple(macro_auc(probabilities, own) for probabilities, own in tables)
    names = [run.material.patients[row] for row in tested]
    return ProtocolAudit(
        protocol=spec.protocol,
        true=_true_interval(tables[0], areas[0], units, names, spec.protocol),
        permuted=mean_interval(areas[1:]),
        areas=areas[1:],
        unit=unit,
        patients=len(set(run.material.patients)),
        test_patients=len(set(names)),
    )


def mean_interval(areas: Sequence[float]) -> Interval:
    """Mean AUC over the permutations with Student's interval: mean +- t s / sqrt(n).

    Source: Student 1908, Biometrika 6:1.
    """
    values = np.asarray(areas, dtype=np.float64)
    mean, count = float(values.mean()), len(values)
    half = float(stats.t.ppf(0.5 + CONFIDENCE / 2, count - 1) * values.std(ddof=1)) / math.sqrt(
        count
    )
    return Interval(mean, mean - half, mean + half, count, "t over permutations", CONFIDENCE)


def _prepared(
    spec: TrainingSpec,
    scheme: Scheme,
    sides: Sides,
    store: Path,
    on_view: Callable[[], None],
) -> TrainingRun:
    """The study's own run up to where its heads would be trained."""
    payload = SegmentPayload(run=0, segment=0)

    def keep(_harvest: object) -> None:
        raise AssertionError("an audit leaves no harvest")

    run = TrainingRun(
        spec,
        scheme,
        sides,
        store=store,
        folder=store / "audit",
        payload=payload,
        keep=keep,  # type: ignore[arg-type]
        on_epoch=lambda _figures: None,
    )
    with exact_float32(run.device):
        run.adapt(_endless(on_view))
        run.prepare(_endless(on_view))
    return run


def _endless(on_view: Callable[[], None]) -> Turn:
    return Turn(on_view, lambda: False, math.inf, lambda: 0.0)


def _inputs(run: TrainingRun, turn: Turn) -> tuple[torch.Tensor, list[int]]:
    """Standardised features of all views, (n, C), and the rows that are tested."""
    material = run.material
    rows = range(len(material.rows.views))
    pooled = material.pooled(run.network, run.progress, rows, run.store, turn)
    assert pooled is not None  # noqa: S101 -- the turn has no end
    assert material.standardiser is not None  # noqa: S101 -- made wherever heads are trained
    is_read = pooled.is_read.tolist()
    sides = zip(material.rows.examined, material.rows.sides, strict=True)
    tested = [row for row, side in sides if side in ("test", "image") and is_read[row]]
    return material.standardiser(pooled.pooled).to(run.device), tested


def _labellings(run: TrainingRun, scheme: Scheme, sides: Sides, permutations: int) -> Ints:
    """Class of each view: the true ones, and those of each permutation, (1 + P, n)."""
    smears, head = run.material.rows.smears, scheme.head(scheme.primary)
    truth = np.array([head.classes.index(s.answers[head.name] or "") for s in smears])
    number_of = {one.smear.id: number for number, one in enumerate(smears)}
    strata = [side for side in (sides.train, sides.test) if side]
    rows = [[number_of[one.smear.id] for one in side] for side in strata]
    names = [[patient_of(s.smear, run.spec.smear_is_patient) for s in side] for side in strata]
    permuted = [
        exchanged(truth, rows, names, run.spec.data_seed, number)
        for number in range(1, permutations + 1)
    ]
    labellings: Ints = np.stack([truth, *permuted])
    return labellings[:, [view.smear for view in run.material.rows.views]]


def _trained(
    run: TrainingRun,
    scheme: Scheme,
    classes: Ints,
    inputs: torch.Tensor,
    tested: Sequence[int],
) -> Floats:
    """What the primary head, trained on each labelling, says of the tested rows, (P, m, K)."""
    train = run.material.train
    patients = [run.material.patients[row] for row in train]
    labels = torch.from_numpy(classes[:, train])
    balance = [balance_by_patient(own[:, None], patients)[:, 0] for own in labels]
    share = head_weights(scheme, run.spec.loss_weights)[scheme.primary]
    layer = run.network.heads[scheme.primary]
    assert isinstance(layer, torch.nn.Linear)  # noqa: S101 -- all heads are
    asked = inputs[list(tested)]
    return train_heads(layer, inputs[train], labels, torch.stack(balance) * share, run.spec, asked)


def exchanged(
    truth: Ints,
    rows: Sequence[Sequence[int]],
    patients: Sequence[Sequence[str]],
    seed: int,
    number: int,
) -> Ints:
    """The classes after the patients of each stratum have exchanged theirs, (n,).

    Patients are ordered by a hash of (seed, number, patient), and each takes the place of
    another. Where they have several smears, each takes the other's classes in turn: of a
    diagnosis the same for all, of cells as they come.

    Parameters
    ----------
    truth : int64 (n,)
    rows : for each stratum, the rows of its smears
    patients : for each stratum, the patient of each of these rows
    number : int
        Which permutation, from 1.
    """
    permuted = truth.copy()
    for members, names in zip(rows, patients, strict=True):
        own: dict[str, list[int]] = {}
        for row, patient in zip(members, names, strict=True):
            own.setdefault(patient, []).append(row)
        givers = sorted(own, key=lambda patient: lot(seed, number, f"audit:{patient}"))
        for receiver, giver in zip(sorted(own), givers, strict=True):
            for place, row in enumerate(own[receiver]):
                permuted[row] = truth[own[giver][place % len(own[giver])]]
    return permuted


def _units(run: TrainingRun, scheme: Scheme, tested: Sequence[int]) -> tuple[str, Ints]:
    """What an AUC counts, and to which of them each tested row belongs."""
    material = run.material
    if run.spec.protocol == "seed2022":
        return "augmented images", np.arange(len(tested))
    if scheme.unit == "patient":
        names = [material.patients[row] for row in tested]
        return "patients", np.unique(names, return_inverse=True)[1]
    smears = [material.rows.views[row].smear for row in tested]
    return "images", np.unique(smears, return_inverse=True)[1]


def _by_unit(probabilities: Floats, classes: Ints, units: Ints) -> tuple[Floats, Ints]:
    """Mean probabilities (u, K) and most frequent class (u,) of each unit's rows."""
    count, size = int(units.max(initial=-1)) + 1, probabilities.shape[1]
    sums, votes = np.zeros((count, size)), np.zeros((count, size))
    np.add.at(sums, units, probabilities)
    np.add.at(votes, (units, classes), 1)
    return sums / votes.sum(axis=1, keepdims=True), votes.argmax(axis=1).astype(np.int64)


def _refuse_missing(tables: Sequence[tuple[Floats, Ints]], scheme: Scheme) -> None:
    head = scheme.head(scheme.primary)
    for _, classes in tables:
        counts = np.bincount(classes, minlength=len(head.classes))
        if not counts.all():
            told = ", ".join(f"{n} of {name}" for n, name in zip(counts, head.classes, strict=True))
            raise CannotSplit(
                f"the test side lacks a class ({head.name}: {told}), so that it has no AUC; "
                "label more patients of each class"
            )


def _true_interval(
    table: tuple[Floats, Ints],
    area: float,
    units: Ints,
    names: Sequence[str],
    protocol: Protocol,
) -> Interval:
    probabilities, classes = table
    if protocol == "seed2022":
        reason = "copies of one smear lie on both sides"
        return Interval(area, None, None, len(classes), "none", CONFIDENCE, reason)
    patient = {int(unit): name for unit, name in zip(units, names, strict=True)}
    groups = [patient[unit] for unit in range(len(classes))]
    is_stratified = len(set(groups)) == len(classes) and np.bincount(classes).min() > 1
    return patient_bootstrap(
        macro_auc_metric(probabilities, classes), groups, classes if is_stratified else None
    )
