"""`marrow report`: from the records of a model to a folder that a reviewer can read."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

from marrow.errors import BadModel
from marrow.study import Study
from training.report.certainty import (
    abstention_parts,
    calibration_parts,
    conformal_parts,
    decision_parts,
)
from training.report.cohort import (
    labels_parts,
    looks_parts,
    patients_parts,
    resolution_parts,
    timing_parts,
)
from training.report.confusion import confusion_parts
from training.report.evidence import Evidence, gather
from training.report.files import table_csv, write_report
from training.report.flags import flag_parts
from training.report.gallery import gallery_parts
from training.report.grid import Grid, paper_tables, whole_grid
from training.report.images import Eye, Seen, look_at_sites
from training.report.learning import learning_parts
from training.report.model_card import card_json, card_markdown, card_parts
from training.report.numbering import numbered
from training.report.optimism import optimism_parts, seed_parts
from training.report.page import page
from training.report.parts import Missing, Part, Plot, Section, Table
from training.report.roc import roc_parts
from training.report.sites import site_parts
from training.report.summary import summary_parts
from training.report.words import RESEARCH_ONLY, SEED_BANNER, sentence

PAGE = "report.html"

OnProgress = Callable[[str], None]
"""Called with the title of the section that is being made."""


class Made(NamedTuple):
    """What was written."""

    page: Path
    files: list[Path]
    missing: list[str]
    """What the report lacks, a sentence each."""


def make_report(
    study: Study, model_id: int, folder: Path, on_progress: OnProgress = lambda _title: None
) -> Made:
    """Write the report of a model into a folder: page, tables, figures and model card.

    Everything comes from the catalogue and the store; nothing is trained, and of the images
    only the wrongly called ones and up to 100 a site are opened.

    Raises
    ------
    NotFound
        If there is no such model.
    BadModel
        If its card is of another version.
    BadSettings
        If the folder cannot be written.
    """
    evidence = gather(study, model_id)
    grid = Grid(evidence)
    is_seed = evidence.card.training.protocol == "seed2022"
    sections = numbered(_sections(study, grid, on_progress), SEED_BANNER if is_seed else "")
    files: dict[str, bytes] = {PAGE: _page(evidence, sections).encode()}
    for part in _parts(sections):
        if isinstance(part, Table):
            files[f"tables/{part.key}.csv"] = table_csv(part).encode()
        elif isinstance(part, Plot):
            files[f"figures/{part.key}.svg"] = part.svg
            files[f"figures/{part.key}.png"] = part.png
    card = card_json(grid)
    files["model_card.json"] = json.dumps(card, indent=1, ensure_ascii=False).encode()
    files["model_card.md"] = card_markdown(grid).encode()
    missing = [part.sentence for part in _parts(sections) if isinstance(part, Missing)]
    written = write_report(folder, files, _facts(grid, sections, missing))
    return Made(folder.expanduser().absolute() / PAGE, written, missing)


def _sections(study: Study, grid: Grid, on_progress: OnProgress) -> list[Section]:
    evidence = grid.evidence
    eye, seen = _eye(study, evidence, on_progress)
    makers: list[tuple[str, str, Callable[[], Sequence[Part]]]] = [
        ("summary", "Summary", lambda: summary_parts(grid)),
        ("performance", "Performance", lambda: paper_tables(grid)),
        ("choice", "How the model was chosen", lambda: [*_choice(evidence), whole_grid(grid)]),
        ("patients", "Patients and split", lambda: patients_parts(grid)),
        ("learning", "Accuracy and loss over the epochs", lambda: learning_parts(evidence)),
        ("roc", "ROC curves", lambda: roc_parts(grid)),
        ("confusion", "Confusion matrices", lambda: confusion_parts(grid)),
        ("calibration", "Calibration", lambda: calibration_parts(grid)),
        ("abstention", "Risk and coverage", lambda: abstention_parts(grid)),
        ("conformal", "Conformal sets", lambda: conformal_parts(grid)),
        ("flags", "Flags", lambda: flag_parts(grid)),
        ("decision", "Decision curve", lambda: decision_parts(grid)),
        ("sites", "Sites", lambda: site_parts(grid, seen)),
        ("optimism", "The optimism gap", lambda: [*seed_parts(grid), *optimism_parts(grid)]),
        ("labels", "Blind labels", lambda: labels_parts(grid)),
        ("looks", "Looks at the patients held back", lambda: looks_parts(evidence)),
        ("resolution", "What the sample cannot resolve", lambda: resolution_parts(grid)),
        ("gallery", "Wrong calls", lambda: gallery_parts(grid, eye)),
        ("timings", "Timings", lambda: timing_parts(evidence)),
        ("card", "Model card", lambda: card_parts(grid)),
    ]
    sections = []
    for key, title, make in makers:
        on_progress(title)
        sections.append(Section(key, title, tuple(make())))
    return sections


def _eye(
    study: Study, evidence: Evidence, on_progress: OnProgress
) -> tuple[Eye | None, list[Seen]]:
    on_progress("Images")
    try:
        eye = Eye(study, evidence)
    except BadModel:
        return None, []
    return eye, look_at_sites(eye, evidence)


def _choice(evidence: Evidence) -> list[Part]:
    why = evidence.card.selection.get("why")
    if why:
        return [sentence(str(why))]
    return [
        Missing(
            "How the model was chosen is not on its card: it was trained alone, without folds; "
            "`marrow sweep` compares configurations on out-of-fold predictions."
        )
    ]


def _page(evidence: Evidence, sections: Sequence[Section]) -> str:
    record, spec = evidence.model.record, evidence.card.training
    made = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(evidence.made_at))
    lines = [
        f"Study scheme {evidence.scheme.name}; protocol {spec.protocol}; {evidence.card.backbone}, "
        f"tune {spec.tune}, augmentation {spec.augment}, {spec.epochs} epochs",
        f"Weights SHA-256 {record.sha256}",
        f"Model made {evidence.card.created}; report of the records as of {made}; napari-marrow "
        f"{_version()}",
    ]
    return page(f"Report of model {record.name}", lines, sections)


def _facts(grid: Grid, sections: Sequence[Section], missing: Sequence[str]) -> dict[str, Any]:
    evidence = grid.evidence
    model = evidence.model
    every = list(_parts(sections))
    return {
        "notice": RESEARCH_ONLY,
        "version": _version(),
        "made_at": evidence.made_at,
        "model": model.record.name,
        "weights_sha256": model.record.sha256,
        "scheme": evidence.scheme.model_dump(mode="json"),
        "training": evidence.card.training.model_dump(mode="json"),
        "sisters": [one.record.name for one in evidence.sisters],
        "looks": dict(evidence.looks),
        "openings": [
            one.model_dump(mode="json") for all_ in evidence.openings.values() for one in all_
        ],
        "figures_by_side": {
            side: {
                head.name: grid.figures(model.record.id, side, head.name)
                for head in evidence.scheme.heads
            }
            for side in grid.sides([model])
        },
        "tables": {
            part.key: {
                "title": part.title,
                "caption": part.caption,
                "banner": part.banner,
                "columns": part.columns,
                "rows": part.rows,
            }
            for part in every
            if isinstance(part, Table)
        },
        "plots": {
            part.key: {"title": part.title, "caption": part.caption}
            for part in every
            if isinstance(part, Plot)
        },
        "missing": list(missing),
    }


def _parts(sections: Sequence[Section]) -> list[Part]:
    return [part for section in sections for part in section.parts]


def _version() -> str:
    try:
        return version("napari-marrow")
    except PackageNotFoundError:  # run from a checkout that is not installed
        return "unknown"
