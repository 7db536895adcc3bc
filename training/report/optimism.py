"""The optimism gap: what the paper's protocol would have printed, beside what is true."""

from __future__ import annotations

from typing import Any

from training.report.evidence import Evidence, ScoredModel
from training.report.grid import Grid
from training.report.parts import Cell, Missing, Part, Table
from training.report.words import PAPER, SEED_BANNER

_ALIKE = ("backbone", "weights_sha256", "tune", "augment", "input_px", "epochs", "loss_weights")
"""What two models must have in common for their difference to be that of the protocols."""

_RATES = ("accuracy", "auc", "sensitivity", "specificity", "ppv", "npv")


def optimism_parts(grid: Grid) -> list[Part]:
    """seed2022 minus honest, for the pair of models that are trained alike."""
    evidence = grid.evidence
    own = evidence.model
    other = _counterpart(evidence)
    if other is None:
        spec = own.card.training
        wanted = "honest" if spec.protocol == "seed2022" else "seed2022"
        return [
            Missing(
                f"The optimism gap needs a model of the protocol {wanted} that is trained alike; "
                f"make it with `marrow sweep --protocol {wanted} --augment {spec.augment} "
                f"--backbone {spec.backbone} --tune {spec.tune} --epochs {spec.epochs}`."
            )
        ]
    seed, honest = (own, other) if own.card.training.protocol == "seed2022" else (other, own)
    rows: list[tuple[Cell, ...]] = []
    for head in evidence.scheme.heads:
        printed = _seed_figures(seed, head.name)
        true = grid.figures(honest.record.id, "test", head.name)
        if printed is None or true is None:
            continue
        for rate in _RATES:
            if rate not in printed or rate not in true:
                continue
            gap = _gap(printed[rate], true[rate])
            rows.append((head.name, rate.upper() if rate in ("auc", "ppv", "npv") else rate,
                         printed[rate], true[rate], gap))  # fmt: skip
    if not rows:
        return [
            Missing(
                f"The optimism gap: {seed.record.name} (seed2022) and {honest.record.name} "
                "(honest) are trained alike, but one of them has no test figures."
            )
        ]
    return [
        Table(
            key="optimism",
            title="The optimism gap.",
            caption=f"{seed.record.name} under seed2022 (images of the paper's split, pooled, Wald "
            f"intervals as in {PAPER}) minus {honest.record.name} under honest (patients, Wilson "
            "or bootstrap), with the same backbone, weights, tuning, augmentation "
            f"({own.card.training.augment}), epochs and loss weights. A gap above 0 is what the "
            "protocol adds to the figure, not what the model can do. The gap has no interval: the "
            "two rest on different patients.",
            columns=("Head", "Figure", "seed2022 (images)", "honest (patients)", "Gap"),
            rows=tuple(rows),
            banner=SEED_BANNER,
        )
    ]


def seed_parts(grid: Grid) -> list[Part]:
    """The paper's own figures of a model that was made by its protocol."""
    model = grid.evidence.model
    rows: list[tuple[Cell, ...]] = []
    for head in grid.evidence.scheme.heads:
        found = _seed_figures(model, head.name)
        if found is None:
            continue
        counts = found.get("counts", {})
        shown = " ".join(
            f"{name.upper()} {counts.get(name, '–')}" for name in ("tp", "fn", "fp", "tn")
        )
        rates = ("sensitivity", "specificity", "ppv", "npv", "auc", "accuracy")
        pooled = ", ".join(found.get("pooled", ()))
        rows.append((head.name, pooled, found["n"], shown, *(found.get(rate) for rate in rates)))
    if not rows:
        return []
    return [
        Table(
            key="seed2022",
            title="The paper's figures by the paper's protocol.",
            caption="Unit: the image (augmented copies count); one-vs-rest tables of the pooled "
            "classes are added up, so that with two pooled classes each image counts twice; Wald "
            f"intervals. For comparison with {PAPER} alone.",
            columns=(
                "Head",
                "Pooled classes",
                "Images",
                "Counts",
                "Sensitivity",
                "Specificity",
                "PPV",
                "NPV",
                "AUC",
                "Accuracy",
            ),
            rows=tuple(rows),
            banner=SEED_BANNER,
        )
    ]


def _counterpart(evidence: Evidence) -> ScoredModel | None:
    """The newest model of the other protocol that is trained alike."""
    own = evidence.model.card.training
    for other in sorted(evidence.others, key=lambda one: -one.record.id):
        spec = other.card.training
        same = all(_value(own, name) == _value(spec, name) for name in _ALIKE)
        if same and spec.protocol != own.protocol and other.card.scheme == evidence.scheme:
            return other
    return None


def _value(spec: Any, name: str) -> Any:
    value = getattr(spec, name)
    if name == "loss_weights" and (not value or len(set(value)) == 1):
        return ()
    # Heads alone learn the same whatever their loss weights are.
    return () if name == "loss_weights" and spec.tune == "heads" else value


def _seed_figures(model: ScoredModel, head: str) -> dict[str, Any] | None:
    scoring = model.scoring("seed2022")
    found = None if scoring is None else scoring.figures.get("heads", {}).get(head)
    return found if isinstance(found, dict) else None


def _gap(printed: dict[str, Any], true: dict[str, Any]) -> str:
    if printed["value"] is None or true["value"] is None:
        return "–"
    return f"{printed['value'] - true['value']:+.3f}".replace("-", "−")
