"""Copies of smears in the study's own store, for workers that do not see the original folder."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from marrow.errors import UnreachableSmear
from marrow.images import Asset


def copy_asset(asset: Asset, folder: Path) -> tuple[Path, ...]:
    """Copy a smear's files below `folder`, named by content; returns their new places.

    A file that lies there already has the same content and is left alone. Names of single
    files are replaced by the hash, since a file name may hold a patient's name.

    Raises
    ------
    UnreachableSmear
        If a file cannot be read or the store cannot be written.
    """
    shelf = folder / asset.identity[:2]
    targets: tuple[Path, ...]
    if len(asset.members) == 1:
        targets = (shelf / f"{asset.identity}{asset.path.suffix.lower()}",)
    else:
        parent = Path(os.path.commonpath([member.parent for member in asset.members]))
        targets = tuple(
            shelf / asset.identity / member.relative_to(parent) for member in asset.members
        )
    for source, target in zip(asset.members, targets, strict=True):
        try:
            _copy(source, target)
        except OSError as error:
            reason = f"cannot be copied into the store ({error.strerror})"
            raise UnreachableSmear(source, reason) from error
    return targets


def _copy(source: Path, target: Path) -> None:
    if target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        shutil.copyfile(source, aside)
        aside.replace(target)
    finally:
        aside.unlink(missing_ok=True)
