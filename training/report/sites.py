"""Sites beside each other: figures, colour and focus, and whether the features betray the site."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields

import numpy as np

from marrow.evaluate import figure, head_figures
from marrow.paper_tables import SITE, side_text
from marrow.statistics.shift import Appearance, site_auc, standardised_difference
from training.report.evidence import Evidence
from training.report.grid import Grid
from training.report.images import Seen
from training.report.parts import Cell, Missing, Part, Table
from training.report.words import intervals_text

_NAMES = {
    "od_red": "Optical density, red",
    "od_green": "Optical density, green",
    "od_blue": "Optical density, blue",
    "saturation": "Saturation",
    "sharpness": "Sharpness (variance of the Laplacian)",
}

_FOLDS = 5


def site_parts(grid: Grid, seen: Sequence[Seen]) -> list[Part]:
    """Figures by site, and how far the sites' images lie apart.

    Parameters
    ----------
    seen : sequence of Seen
        Images that were opened; up to 100 a site.
    """
    return [_figures(grid), *_shift(grid.evidence, seen)]


def _figures(grid: Grid) -> Part:
    evidence = grid.evidence
    sides = [one for one in grid.sides([evidence.model]) if one not in ("train", "seed2022")]
    rows = [
        row
        for head in evidence.scheme.heads
        for side in sides
        for row in _side(evidence, head.name, side)
    ]
    if not rows:
        return Missing("Sites: no side of this model was scored with its answers kept.")
    return Table(
        key="sites",
        title="Figures by site.",
        caption="Sites of the test side were trained on (other patients); those named External "
        f"were not. A patient belongs to the site of the first smear. "
        f"{intervals_text(evidence.unit)}",
        columns=(
            "Head",
            "Data set",
            "Site",
            "n",
            "Patients",
            "AUC",
            "Accuracy",
            "Balanced accuracy",
        ),
        rows=tuple(rows),
        lead=2,
    )


def _side(evidence: Evidence, head: str, side: str) -> list[tuple[Cell, ...]]:
    counted = evidence.rows(evidence.model, side, head)
    if counted is None:
        return []
    named = [evidence.smears[own[0]].site or "not given" for own in counted.smears]
    made: list[tuple[Cell, ...]] = []
    for site in sorted(set(named)):
        found = head_figures(counted.only(np.array([one == site for one in named])))
        measured = (found["auc"], found["accuracy"], found["balanced_accuracy"])
        made.append((head, side_text(side), site, found["n"], found["patients"], *measured))
    return made


def _shift(evidence: Evidence, seen: Sequence[Seen]) -> list[Part]:
    sites = sorted({one.site for one in seen})
    if len(sites) < 2:
        held = f"they are all of {sites[0]}" if sites else "none of them could be opened"
        return [
            Missing(
                f"Shift between sites takes images of two sites, and of those looked at {held}; "
                "name the sites with `marrow import --site`, or make the files reachable here."
            )
        ]
    rows: list[tuple[Cell, ...]] = []
    # Of two sites each is the other's rest: one line says it all.
    for site in sites if len(sites) > 2 else sites[1:]:
        of_site = np.array([one.site == site for one in seen])
        patients = [one.patient for one in seen]
        fewest = min(len({p for p, own in zip(patients, of_site, strict=True) if own == side})
                     for side in (True, False))  # fmt: skip
        if fewest < 2:
            rows.append((site, int(of_site.sum()), fewest, *[None] * (1 + len(_NAMES))))
            continue
        rows.append((site, int(of_site.sum()), _count(patients, of_site), *_row(seen, of_site)))
    external = {one.removeprefix(SITE) for one in evidence.looks if one.startswith(SITE)}
    return [
        Table(
            key="shift",
            title="How far each site lies from the others.",
            caption=f"Over {len(seen)} images, at most 100 a site (external: "
            f"{', '.join(sorted(external)) or 'none'}). Site AUC: how well a logistic regression "
            "on the network's pooled features tells the site from all others, patients apart "
            f"({_FOLDS} folds or fewer); 0.5: not at all, 1: always, so that the model may have "
            "learned the site. The others: standardised difference of means over patients, site "
            "minus the rest; 0.1 is negligible, 0.8 is large. 95% intervals by bootstrap of "
            "patients.",
            columns=("Site", "Images", "Patients", "Site AUC", *_NAMES.values()),
            rows=tuple(rows),
        )
    ]


def _count(patients: Sequence[str], of_site: np.ndarray) -> int:
    return len({patient for patient, own in zip(patients, of_site, strict=True) if own})


def _row(seen: Sequence[Seen], of_site: np.ndarray) -> list[Cell]:
    patients = [one.patient for one in seen]
    folds = min(_FOLDS, _count(patients, of_site), _count(patients, ~of_site))
    features = [one.features for one in seen]
    cells: list[Cell] = []
    if any(one is None for one in features):
        cells.append(None)
    else:
        found = site_auc(np.stack(features), of_site, patients, folds=folds)
        cells.append(figure(found, "patients"))
    for field in fields(Appearance):
        values = [getattr(one.appearance, field.name) for one in seen]
        if len(set(values)) < 2:
            cells.append(None)
        else:
            cells.append(figure(standardised_difference(values, of_site, patients), "patients"))
    return cells
