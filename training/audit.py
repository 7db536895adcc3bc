"""A study's audit: the permuted-label control of both protocols, and near-duplicates."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from marrow.catalogue import smears
from marrow.errors import CannotSplit
from marrow.records import Smear, TrainingSpec
from marrow.splits import draw_test_patients, split
from marrow.statistics import Interval
from marrow.study import Study
from training.dataset import LabelledSmear
from training.duplicates import Pair, hash_smears, near_duplicates, told
from training.labelled import labelled_smears
from training.permuted import ProtocolAudit, audit_protocol
from training.splits import Sides


@dataclass(frozen=True)
class StudyAudit:
    """Both protocols on true and on permuted labels, and what lies on both sides.

    Attributes
    ----------
    spec : TrainingSpec
        Of the honest one.
    head : str
        The primary one, which the AUCs are of.
    honest, seed2022 : ProtocolAudit
    compared : list of LabelledSmear
        Those with an answer to the head, and behind them all of locked sites.
    sides : list of str
        `train`, `test` or `locked site NAME`, of each of these.
    duplicates : list of Pair
        Near-duplicates on different sides; indices into `compared`.
    unread : int
        Smears that could not be read, and were compared with none.
    """

    spec: TrainingSpec
    head: str
    honest: ProtocolAudit
    seed2022: ProtocolAudit
    compared: list[LabelledSmear]
    sides: list[str]
    duplicates: list[Pair]
    unread: int

    @property
    def leaks(self) -> bool:
        """Whether the honest pipeline fails its control."""
        return not self.honest.is_sound

    @property
    def smears(self) -> int:
        """How many smears were trained and tested on."""
        return sum(side in ("train", "test") for side in self.sides)

    @property
    def values(self) -> dict[str, Any]:
        """Fit for JSON."""
        names = self._names
        return {
            "leaks": self.leaks,
            "head": self.head,
            "spec": self.spec.model_dump(mode="json"),
            "smears": self.smears,
            "protocols": [
                {**asdict(one), "is_sound": one.is_sound, "verdict": one.verdict}
                for one in (self.honest, self.seed2022)
            ],
            "near_duplicates": [
                {
                    "files": [names[pair.first], names[pair.second]],
                    "sides": [self.sides[pair.first], self.sides[pair.second]],
                    "distance_bits": pair.distance,
                }
                for pair in self.duplicates
            ],
            "not_compared": self.unread,
        }

    @property
    def text(self) -> str:
        """The table, the verdicts and the near-duplicates, for a person."""
        spec = self.spec
        lines = [
            f"Permuted-label control: {self.honest.patients} patients, {self.smears} smears; "
            f"heads on a frozen {spec.backbone}, {spec.epochs} epochs, augmentation {spec.augment}",
            f"Macro one-vs-rest AUC of {self.head}:",
            f"{'protocol':9} {'labels':9} {'AUC':>6}  {'95% interval':13} over",
        ]
        for one in (self.honest, self.seed2022):
            what = f"{one.true.n} {one.unit}"
            if one.unit != "patients":
                what += f" of {one.test_patients} patients"
            lines.append(_row(one.protocol, "true", one.true, what))
            mean = f"mean of {one.permuted.n} permutations, each over {what}"
            lines.append(_row(one.protocol, "permuted", one.permuted, mean))
        verdicts = [self.honest.verdict, self.seed2022.verdict]
        found = told(self.duplicates, self._names, self.sides)
        lines += [*verdicts, f"Near-duplicates among {len(self.compared)} smears: {found}"]
        if self.unread:
            lines.append(f"{self.unread} smears could not be read and were compared with none")
        return "\n".join(lines)

    @property
    def _names(self) -> list[str]:
        return [one.path.name for one in self.compared]


def audit_study(
    study: Study, spec: TrainingSpec, permutations: int, on_view: Callable[[], None]
) -> StudyAudit:
    """Audit the study's pipeline on its labelled smears; nothing is drawn for good.

    The honest split is the study's own, or the one that its first training would draw.
    Arguments as in `permuted.audit_protocol`.

    Raises
    ------
    CannotSplit
        If no honest split can be made of the labels.
    """
    scheme = study.scheme
    labelled = labelled_smears(study, spec.smear_is_patient)
    known = [one for one in labelled.smears if one.answers[scheme.primary] is not None]
    if not known:
        raise CannotSplit(
            f"No smear has an answer to {scheme.primary}: import a labels.csv, or label smears"
        )
    honest = _honest_sides(study, spec, known)
    seed2022 = Sides(known, [], [])
    both = [
        audit_protocol(
            spec.model_copy(update={"protocol": protocol}),
            scheme,
            sides,
            study.store,
            permutations,
            on_view,
        )
        for protocol, sides in (("honest", honest), ("seed2022", seed2022))
    ]
    hidden = [LabelledSmear(one, _place(study, one), {}) for one in labelled.locked]
    compared = [*honest.train, *honest.test, *hidden]
    names = ["train"] * len(honest.train) + ["test"] * len(honest.test)
    names += [f"locked site {one.smear.site}" for one in hidden]
    hashes = hash_smears(compared)
    return StudyAudit(
        spec=spec,
        head=scheme.primary,
        honest=both[0],
        seed2022=both[1],
        compared=compared,
        sides=names,
        duplicates=near_duplicates(hashes, names),
        unread=hashes.count(None),
    )


def _honest_sides(study: Study, spec: TrainingSpec, known: list[LabelledSmear]) -> Sides:
    """By the study's own draw of test patients; where there is none yet, by the one to come."""
    with study.database.read() as connection:
        drawn = smears.test_patients(connection)
    if not drawn:
        drawn = draw_test_patients(
            known, study.scheme, spec.test_share, spec.data_seed, spec.smear_is_patient
        )
    train, test = split(known, drawn, spec.smear_is_patient)
    if not train or not test:
        side = "training" if not train else "test"
        raise CannotSplit(f"No labelled smear is left on the {side} side; label more patients")
    return Sides(train, test, [])


def _place(study: Study, smear: Smear) -> Path:
    """Where a smear of a locked site should lie; opening it tells whether it does."""
    return study.path_in(smear.root, smear.path) or Path(smear.path)


def _row(protocol: str, labels: str, figure: Interval, over: str) -> str:
    ends = "not estimable"
    if figure.low is not None and figure.high is not None:
        ends = f"{figure.low:.3f}-{figure.high:.3f}"
    return f"{protocol:9} {labels:9} {figure.value:6.3f}  {ends:13} {over}"
