"""The weights of every model: there, and unaltered since they were registered."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from marrow.catalogue import models
from marrow.doctor.finding import Finding, ill, well
from marrow.model_files import CARD, WEIGHTS
from marrow.records import ModelRecord
from marrow.settings import STORE_ROOT
from marrow.study import Study


def examine(study: Study) -> Iterator[Finding]:
    """One finding a model, newest first; each weights file is read once."""
    with study.database.read() as connection:
        found = models.all_models(connection)
    if not found:
        yield well("models", "none yet", "`marrow train` makes one")
    for one in found:
        yield _model(study, one)


def _model(study: Study, one: ModelRecord) -> Finding:
    what = f"model {one.name}"
    remedy = f"restore {one.path} in the store from a backup, or train the model anew"
    folder = study.path_in(STORE_ROOT, one.path)
    if folder is None:
        return ill(what, "its folder leads out of the store", remedy)
    if not (folder / CARD).is_file():
        return ill(what, f"{folder / CARD} is missing", remedy)
    try:
        with (folder / WEIGHTS).open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        return ill(what, f"{folder / WEIGHTS}: {error.strerror}", remedy)
    if found != one.sha256:
        altered = f"{folder / WEIGHTS} was altered: SHA-256 {found[:12]}, not {one.sha256[:12]}"
        return ill(what, altered, remedy)
    return well(what, f"weights {one.sha256[:12]} as registered" + (", champion" * one.is_champion))
