"""Labels that have not reached their study, for `marrow doctor`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from marrow.doctor.finding import Finding, ill, well
from marrow.settings import Settings
from napari_marrow.outbox import PLACE, REFUSED, folder_of, outbox_root, refused_in, waiting_in


def examine(settings: Settings) -> Iterator[Finding]:
    """The outboxes of this user: of this study, and of others that have something left."""
    own, root = folder_of(settings), outbox_root()
    folders = sorted(one for one in root.iterdir() if one.is_dir()) if root.is_dir() else []
    yield from _outbox(own, "this study") if own in folders else (well("labels", "none waits"),)
    for folder in folders:
        if folder != own and waiting_in(folder):
            yield from _outbox(folder, _place(folder))


def _outbox(folder: Path, whose: str) -> Iterator[Finding]:
    waiting, refused = waiting_in(folder), refused_in(folder)
    if waiting:
        found = f"{_labels(waiting)} of {whose} in the outbox {folder}"
        yield ill("labels", found, "open that study in napari: they are sent by themselves")
    else:
        yield well("labels", "none waits")
    if refused:
        found = f"{_labels(refused)} of {whose} refused: {folder / REFUSED} says why"
        yield ill("labels", found, "give them again where they are meant, then delete the file")


def _place(folder: Path) -> str:
    place = folder / PLACE
    return place.read_text(encoding="utf-8") if place.exists() else "a study"


def _labels(count: int) -> str:
    return f"{count:,} {'label' if count == 1 else 'labels'}"
