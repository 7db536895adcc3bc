"""The Queue tab while the real worker, broker and agent are killed under a running job."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

pytest.importorskip("qtpy")
pytest.importorskip("torch")

from marrow.catalogue.schema import piece
from marrow.client import Client
from marrow.statefile import read_state
from marrow.study import Study
from napari_marrow._qt.background import QtBackground
from napari_marrow._qt.queue.panel import QueuePanel
from napari_marrow._qt.ticker import Ticker
from napari_marrow.desk import Desk
from napari_marrow.session import Session
from worker.agent import stop_agent
from worker.owner import Owner

pytestmark = [
    pytest.mark.viewer,
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="no broker for Windows"),
]
SMEARS = 600
SHOWN_WITHIN_S = 10.0
WAIT_MS = 120_000
LOOK_EVERY_MS = 10


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def panel(qtbot: Any, study: Study, tiny_model: Any, told: list[str]) -> Iterator[QueuePanel]:
    """The Queue tab on a study of its own, with the client that starts the real agent."""
    tiny_model(study)
    background, session = QtBackground(told.append), Session()
    made = QueuePanel(session, background)
    qtbot.addWidget(made.tab)
    made.tab.show()
    ticker = Ticker([made.tick])
    session.desk = Desk(study, Client(study))
    ticker.start()
    yield made
    ticker.stop()
    background.close()
    stop_agent(study.settings)


def test_a_killed_process_is_said_within_ten_seconds_and_the_job_ends_without_a_click(
    panel: QueuePanel,
    qtbot: Any,
    study: Study,
    small_smears: Callable[[Study, Path, int], list[int]],
    tmp_path: Path,
    told: list[str],
) -> None:
    tab, folder = panel.tab, study.settings.agent_folder
    panel.controller.submit(small_smears(study, tmp_path / "fields", SMEARS))

    def share() -> float:
        return tab.model.line(0).share_done if tab.model.rowCount() else 0.0

    def owner_at_work() -> str | None:
        held_by = select(piece.c.owner).where(piece.c.state == "running")
        with study.database.read() as connection:
            return connection.execute(held_by.limit(1)).scalar()

    def pid_at_work() -> int:
        """Of a worker that has a part of the job in hand, not of one that only starts."""
        while (owner := owner_at_work()) is None:
            qtbot.wait(LOOK_EVERY_MS)
        return Owner.from_id(owner).pid

    def pid_in(name: str) -> int:
        state = read_state(folder / name)
        assert state is not None
        return int(state["pid"])

    def kill(pid: int, words: str) -> float:
        assert not tab.model.line(0).is_finished
        os.kill(pid, signal.SIGKILL)
        killed = time.monotonic()
        qtbot.waitUntil(lambda: words in tab.news.text(), timeout=WAIT_MS)
        return time.monotonic() - killed

    seconds = {}
    qtbot.waitUntil(lambda: share() > 0, timeout=WAIT_MS)
    seconds["worker"] = kill(pid_at_work(), "A worker died; what it had in hand is done again.")
    seconds["broker"] = kill(pid_in("broker.json"), "The broker ")
    seconds["agent"] = kill(pid_in("agent.json"), "No agent runs: it is being started.")
    qtbot.waitUntil(
        lambda: "The agent had died and was started again." in tab.news.text(), timeout=WAIT_MS
    )
    qtbot.waitUntil(lambda: tab.model.line(0).is_finished, timeout=2 * WAIT_MS)
    line = tab.model.line(0)
    print({name: round(took, 1) for name, took in seconds.items()})
    assert line.cells[2] == "done"
    assert share() == 1.0
    assert int(line.cells[5]) > 1  # tries
    assert max(seconds.values()) < SHOWN_WITHIN_S
    assert told == []
