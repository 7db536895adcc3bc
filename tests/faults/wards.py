"""A study with a tiny model and small smears, benches that work on it, and its processes."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
from sqlalchemy import select

from marrow.catalogue import jobs
from marrow.catalogue.schema import event, job_smear, piece
from marrow.client import Client
from marrow.records import Event, Job, ModelRecord, TrainingSpec
from marrow.schemes import AA_MDS_AML
from marrow.statefile import read_state
from marrow.study import Study
from worker.equipment import equip
from worker.owner import Owner
from worker.work import Bench, Equipment

WAIT_S = 90.0
ROOT = Path(__file__).parents[2]


def wait_for(holds: Callable[[], Any], timeout_s: float = WAIT_S, every_s: float = 0.05) -> Any:
    """What `holds` gives back once that is true."""
    pause = threading.Event()
    until = time.monotonic() + timeout_s
    while time.monotonic() < until:
        if found := holds():
            return found
        pause.wait(every_s)
    raise AssertionError(f"waited {timeout_s:.0f} s in vain")


class Ward:
    """A study, its client, and questions to its ledger."""

    def __init__(self, study: Study, folder: Path, small_smears: Any, tiny_model: Any) -> None:
        self.study, self.folder = study, folder
        self.client = Client(study, start_agent=lambda _: None)
        self._small_smears, self._tiny_model = small_smears, tiny_model
        self.stopping = threading.Event()

    def smears(self, count: int) -> list[int]:
        return self._small_smears(self.study, self.folder / "smears", count)

    def model(self) -> ModelRecord:
        return self._tiny_model(self.study)

    def labelled(self, count: int = 30) -> None:
        """Small smears of ten patients, with a diagnosis each."""
        self.smears(count)
        answers = AA_MDS_AML.head("diagnosis").classes
        table = self.folder / "smears" / "labels.csv"
        rows = [f"{n:05d}.png,P{n % 10},{answers[n % 10 % 3]}" for n in range(count)]
        table.write_text("file,patient,diagnosis\n" + "\n".join(rows))
        self.client.import_smears([self.folder / "smears"], table)

    def spec(self, **asked: Any) -> TrainingSpec:
        """A small training, unless asked otherwise."""
        tiny = {"backbone": "resnet18", "input_px": 32, "batch_size": 4, "epochs": 2}
        return TrainingSpec(**tiny | asked)

    def train(self, **asked: Any) -> Job:
        return self.client.train(self.spec(**asked))

    def bench(self, number: int = 1, equipment: Equipment | None = None, **options: Any) -> Bench:
        at_work = equipment or equip(self.study, self.stopping, "cpu")
        return Bench(self.study, Owner("here", number, 1.0), at_work, self.stopping, **options)

    def job(self, job_id: int) -> Job:
        return self.client.job(job_id)

    def errors(self, job_id: int) -> dict[int, str]:
        with self.study.database.read() as connection:
            return dict(jobs.errors(connection, job_id))

    def events(self, job_id: int) -> list[Event]:
        with self.study.database.read() as connection:
            return jobs.events(connection, job_id, 0)

    def notes(self, job_id: int) -> list[str]:
        return [str(e.payload["text"]) for e in self.events(job_id) if e.kind == "note"]

    def pieces(self, job_id: int) -> list[Any]:
        rows = select(piece).where(piece.c.job_id == job_id).order_by(piece.c.number)
        with self.study.database.read() as connection:
            return list(connection.execute(rows).all())

    def uncounted(self, job_id: int) -> bool:
        """Whether nothing was ever held against any piece of the job."""
        return all((p.exceptions, p.lost_leases) == (0, 0) for p in self.pieces(job_id))

    def assert_whole(self, job_id: int) -> None:
        """The job is done, each smear has one outcome, and no event is missing or told twice."""
        current = self.job(job_id)
        assert current.state == "done"
        with self.study.database.read() as connection:
            rows = connection.execute(select(job_smear).where(job_smear.c.job_id == job_id)).all()
            told = connection.execute(
                select(event).where(event.c.job_id == job_id).order_by(event.c.seq)
            ).all()
        assert [row.seq for row in told] == list(range(1, current.last_seq + 1))
        assert all((row.prediction_id is None) != (row.error is None) for row in rows)
        assert (current.done, current.failed) == (
            sum(row.prediction_id is not None for row in rows),
            sum(row.error is not None for row in rows),
        )
        smears = [smear for row in told if row.kind == "piece" for smear in row.payload["smears"]]
        assert sorted(smears) == sorted(row.smear_id for row in rows)


def marrow(study: Study, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run the command on a study's home."""
    command = [sys.executable, "-m", "marrow", "--home", str(study.settings.home), *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=WAIT_S, cwd=ROOT, **options
    )


def processes_of(study: Study) -> dict[str, psutil.Process]:
    """The agent of a study and its children, by name; {} when none runs."""
    folder = study.settings.agent_folder
    agent, broker = read_state(folder / "agent.json"), read_state(folder / "broker.json")
    if agent is None:
        return {}
    pids = {"agent": agent["pid"]} | {n: c["pid"] for n, c in agent["children"].items()}
    if broker is not None:
        pids["broker"] = broker["pid"]
    return {name: psutil.Process(pid) for name, pid in pids.items() if psutil.pid_exists(pid)}
