"""Small pictures of smears on this computer's disk, by content: made once, and never needed."""

from __future__ import annotations

import os
import re
import threading
from contextlib import suppress
from pathlib import Path

import numpy as np
from PIL import Image
from platformdirs import user_cache_path

from marrow.errors import NotASmear, UnreachableSmear, UnreadableSmear
from marrow.images.boundary import decoding
from marrow.images.colour import Pixels
from marrow.statefile import private_folder

THUMBNAIL_PX = 128
"""Longer edge of a thumbnail."""
LIMIT_BYTES = 512 * 1024 * 1024
"""Some 15,000 thumbnails; a smear's is about 35 KB."""
_IDENTITY = re.compile(r"[0-9a-f]{64}")
_DAMAGES = (NotASmear, UnreachableSmear, UnreadableSmear)


class ThumbnailCache:
    """Thumbnails by the identity of their smears, the oldest given up where there are too many.

    Everything in it can be made anew: a disk that is full or must not be written to, and a file
    that is damaged, are no errors.

    Parameters
    ----------
    folder : Path or None
        None: in the user's cache folder.
    limit_bytes : int
        What all thumbnails together may take.
    """

    def __init__(self, folder: Path | None = None, limit_bytes: int = LIMIT_BYTES) -> None:
        self._folder = folder
        self._limit_bytes = limit_bytes
        self._unswept: int | None = None
        """Bytes written since the folder was last measured; None: never measured."""

    def get(self, identity: str) -> Pixels | None:
        """The thumbnail, uint8 (h, w, 3), None if there is none or it is damaged."""
        path = self._place(identity)
        if path is None:
            return None
        try:
            with decoding(path), Image.open(path, formats=("PNG",)) as image:
                if max(image.size) > THUMBNAIL_PX or image.mode != "RGB":
                    return None
                return np.array(image, dtype=np.uint8)
        except _DAMAGES:
            return None

    def put(self, identity: str, pixels: Pixels) -> None:
        """Keep a thumbnail, uint8 (h, w, 3)."""
        path = self._place(identity)
        if path is None:
            return
        aside = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
        try:
            private_folder(path.parent)
            Image.fromarray(pixels).save(aside, format="PNG")
            size = aside.stat().st_size
            os.replace(aside, path)
            self._sweep_after(size)
        except OSError:
            with suppress(OSError):
                aside.unlink(missing_ok=True)

    def _place(self, identity: str) -> Path | None:
        if not _IDENTITY.fullmatch(identity):
            return None
        return self._root() / identity[:2] / f"{identity}.png"

    def _root(self) -> Path:
        if self._folder is None:
            self._folder = user_cache_path("napari-marrow", appauthor=False) / "thumbnails"
        return self._folder

    def _sweep_after(self, written_bytes: int) -> None:
        """Measure the folder now and then, and give up the oldest thumbnails."""
        if self._unswept is not None:
            self._unswept += written_bytes
            if self._unswept < self._limit_bytes // 20:
                return
        self._unswept = 0
        found = sorted(
            (status.st_mtime, status.st_size, path)
            for path in self._root().glob("??/*.png")
            if (status := path.stat())
        )
        total = sum(size for _, size, _ in found)
        for _, size, path in found:
            if total <= self._limit_bytes:
                break
            path.unlink(missing_ok=True)
            total -= size
