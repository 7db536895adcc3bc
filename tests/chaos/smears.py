"""Small smears, each with bytes of its own: written once, registered in bulk."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import numpy as np
from PIL import Image
from sqlalchemy import insert, select

from marrow.catalogue import models
from marrow.catalogue.schema import smear
from marrow.study import Study

EDGE_PX = 16
IN_FOLDER = 1000
_ROWS = 5000
_LIST = "sha256.txt"


def write_smears(folder: Path, count: int) -> list[tuple[str, Path]]:
    """(SHA-256, file) of `count` PNG files of about 1 kB; those that are there are kept.

    The list is written last: without it an interrupted run begins again.
    """
    paths = [folder / f"{number // IN_FOLDER:03d}" / f"{number:06d}.png" for number in range(count)]
    listed = folder / _LIST
    known = listed.read_text().split() if listed.exists() else []
    if len(known) < count:
        known = [_write(path, number) for number, path in enumerate(paths)]
        listed.write_text("\n".join(known))
    return list(zip(known, paths, strict=False))


def _write(path: Path, number: int) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(number).integers(0, 256, (EDGE_PX, EDGE_PX, 3), dtype=np.uint8)
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "PNG", compress_level=1)
    path.write_bytes(content.getvalue())
    return hashlib.sha256(content.getvalue()).hexdigest()


def register(study: Study, written: list[tuple[str, Path]]) -> list[int]:
    """Put the smears and a champion without weights into the catalogue; the smears' ids."""
    with study.database.write() as connection:
        at = study.database.now(connection)
        rows = [
            {
                "identity": sha256,
                "root": "local",
                "path": path.as_posix(),
                "members": [],
                "height_px": EDGE_PX,
                "width_px": EDGE_PX,
                "is_slide": False,
                "regions_revision": 0,
                "added_at": at,
            }
            for sha256, path in written
        ]
        for start in range(0, len(rows), _ROWS):
            connection.execute(insert(smear), rows[start : start + _ROWS])
        models.register(
            connection,
            at,
            sha256="a" * 64,
            path="models/stub",
            preprocessing="b" * 64,
            precision="fp32",
            card={},
            job_id=None,
        )
        return list(connection.execute(select(smear.c.id).order_by(smear.c.id)).scalars())
