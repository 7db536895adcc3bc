"""`marrow view --screenshot` as a program of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("qtpy")

from napari_marrow.desk import Desk

pytestmark = pytest.mark.viewer
ROOT = Path(__file__).parents[2]


def test_the_picture_shows_the_first_answer_with_its_heatmap_and_the_table(
    desk: Desk, worker: Any, fields: Path, tmp_path: Path
) -> None:
    desk.cases.add([fields], lambda _done, _total: None)
    desk.queue.submit(range(1, 21))
    worker.work_off()
    target = tmp_path / "viewer.png"
    command = [sys.executable, "-m", "marrow", "--home", str(desk.home)]
    run = subprocess.run(
        [*command, "view", "--screenshot", str(target)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert "Traceback" not in run.stderr
    picture = np.asarray(Image.open(target).convert("RGB")).astype(int)
    height, width, _ = picture.shape
    assert width >= 1360
    assert height >= 1150
    red, green, blue = (picture[..., k] for k in range(3))
    smear = (red > 215) & (green > 200) & (blue > 215)  # the pale ground of the field
    cells = (abs(red - 96) < 20) & (abs(green - 60) < 20) & (abs(blue - 140) < 20)
    heat = (green > red + 10) & (green > blue + 10)
    canvas = np.s_[:820, 330:1000]
    assert smear[canvas].mean() > 0.2
    assert cells[canvas].sum() > 1000
    assert heat[canvas].sum() > 500
    table = np.s_[880:, :]
    assert (picture[table].max(axis=-1) > 200).mean() > 0.005  # text
    assert not smear[table].any(axis=1).all()
