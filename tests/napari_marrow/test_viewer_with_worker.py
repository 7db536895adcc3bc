"""The real napari with the real agent, broker and worker, on a model that was trained here."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("qtpy")
pytest.importorskip("torch")

from marrow.synthetic import cohort, write_cohort
from napari_marrow._qt.opening import cases_dock
from napari_marrow.layers import HEATMAP_LAYER

pytestmark = [
    pytest.mark.viewer,
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="no broker for Windows"),
]
ROOT = Path(__file__).parents[2]
WAIT_MS = 120_000


@pytest.fixture
def marrow(tmp_path: Path) -> Iterator[Callable[..., None]]:
    """The `marrow` command on a home of its own, whose agent is stopped at the end."""

    def run(*arguments: str) -> None:
        command = [sys.executable, "-m", "marrow", "--home", str(tmp_path / "home"), *arguments]
        done = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False
        )
        assert done.returncode == 0, done.stderr

    yield run
    run("agent", "stop")


def test_twenty_smears_are_answered_and_a_second_job_outlives_the_viewer(
    marrow: Callable[..., None],
    make_napari_viewer: Callable[..., Any],
    qtbot: Any,
    tmp_path: Path,
) -> None:
    home, first, second = (tmp_path / name for name in ("home", "first", "second"))
    counts = {"AA": 7, "MDS": 7, "AML": 6}
    table = write_cohort(first, cohort(counts), size_px=128, pixel_size_um=0.8)
    write_cohort(second, cohort(counts, seed=1), size_px=128, pixel_size_um=0.8)
    marrow("init")
    marrow("import", str(first), "--labels", str(table))
    model = ("--backbone", "mobilenet_v2", "--weights", "none", "--tune", "heads")
    marrow("train", *model, "--epochs", "1", "--seed", "1", "--wait")

    viewer = make_napari_viewer(show=True)
    desktop = cases_dock(viewer, home).desktop
    page, results = desktop.cases.page, desktop.results.tab
    qtbot.waitUntil(lambda: desktop.is_listed, timeout=WAIT_MS)
    assert page.list.model.rowCount() == 20
    page.list.table.selectAll()
    page.queue_selected.trigger()
    qtbot.waitUntil(lambda: results.model.rowCount() == 20, timeout=WAIT_MS)
    assert all(line.error is None for line in results.model.lines())
    results.table.opened.emit(0)
    qtbot.waitUntil(lambda: desktop.session.evidence is not None, timeout=WAIT_MS)
    assert viewer.layers[HEATMAP_LAYER].visible
    assert max(viewer.layers[HEATMAP_LAYER].data.shape) <= 16  # as the network made it

    desktop.cases.controller.add_smears([second])
    qtbot.waitUntil(lambda: page.list.model.rowCount() == 40, timeout=WAIT_MS)
    page.queue_all.trigger()
    qtbot.waitUntil(lambda: desktop.session.result_job == 3, timeout=WAIT_MS)
    viewer.close()
    qtbot.wait(50)

    viewer = make_napari_viewer(show=True)
    desktop = cases_dock(viewer, home).desktop
    qtbot.waitUntil(lambda: desktop.is_listed, timeout=WAIT_MS)
    desktop.queue.controller.show_results(3)
    results = desktop.results.tab
    qtbot.waitUntil(lambda: results.model.rowCount() == 40, timeout=WAIT_MS)
    desktop.workbench.open()
    queue = desktop.queue.tab.model
    qtbot.waitUntil(
        lambda: queue.rowCount() == 3 and queue.line(0).cells[2] == "done", timeout=WAIT_MS
    )
    assert desktop.session.unfinished == ()
    viewer.close()
    qtbot.wait(50)
