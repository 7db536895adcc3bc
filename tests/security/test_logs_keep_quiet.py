"""No password, patient or path in what the machine room writes down or sends, whatever fails."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
from kombu import Connection
from PIL import Image
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from marrow.client import Client
from marrow.importing import import_smears
from marrow.queue import QUEUES
from marrow.records import ModelRecord
from marrow.schemes import AA_MDS_AML
from marrow.settings import Settings
from marrow.statefile import read_state
from marrow.study import Study
from worker.broker import broker_url
from worker.logs import error_text

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="no embedded broker here"),
]

ARCHIVE = "Archiv-Quellenhof-7731"
FILE = "Zwickelmann_Erika_19520304"
PATIENT = "P-Geheimrat-4711"
READER = "Dr-Hornisgrinde"
SITE = "Sankt-Nimmerlein"
STRANGER = "Fremdkoerper-0815"
PASSWORD = "Datenbank-Kennwort-1789"  # noqa: S105 -- invented
NAMES = (ARCHIVE, FILE, PATIENT, READER, SITE)
SMEARS = 12


@pytest.fixture
def study(tmp_path: Path, tiny_model: Callable[[Study], ModelRecord]) -> Iterator[Study]:
    study = Study.create(Settings(home=tmp_path / "home", reader=READER), AA_MDS_AML)
    tiny_model(study)
    yield study
    home = str(study.settings.home)
    stop = [sys.executable, "-m", "marrow", "--home", home, "agent", "stop"]
    subprocess.run(stop, check=True, capture_output=True, timeout=90)
    study.close()


def tellingly_named(study: Study, folder: Path) -> list[int]:
    """Smears whose names, patient and site tell; the first is damaged later, the second goes."""
    folder.mkdir()
    lines = ["file,patient,site,diagnosis"]
    for number in range(SMEARS):
        pixels = np.random.default_rng(number).integers(0, 255, (40, 50, 3), dtype=np.uint8)
        name = f"{FILE}_{number:02d}.png"
        Image.fromarray(pixels).save(folder / name)
        lines.append(f"{name},{PATIENT}-{number},{SITE},MDS")
    table = folder / "labels.csv"
    table.write_text("\n".join(lines))
    ids = list(import_smears(study, [folder], table).smear_ids)
    (folder / f"{FILE}_00.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"\x00" * 100)
    (folder / f"{FILE}_01.png").unlink()
    return ids


def failed_of(client: Client, job_id: int) -> int:
    """Let the job end; how many of its smears have no answer."""
    for _ in client.follow(job_id):
        pass
    return client.job(job_id).failed


def holding(words: tuple[str, ...], folder: Path, but: frozenset[str] = frozenset()) -> list[str]:
    """`file: word` of each file below the folder that holds one of the words."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name not in but]
    return [
        f"{path.relative_to(folder)}: {word}"
        for path in files
        for word in words
        if word.encode() in path.read_bytes()
    ]


def said_in(agent: Path) -> str:
    """All logs of the agent's folder."""
    logs = [path for path in agent.rglob("*.log*") if path.is_file()]
    return "\n".join(path.read_text(encoding="utf-8", errors="replace") for path in logs)


def test_a_night_with_everything_that_fails_names_nobody(
    study: Study, tmp_path: Path, wait_until: Callable[..., None]
) -> None:
    ids = tellingly_named(study, tmp_path / ARCHIVE)
    agent = study.settings.agent_folder
    client = Client(study)
    # 1. Successes, a damaged and a missing file.
    assert failed_of(client, client.submit(ids).id) == 2
    url = broker_url(agent)
    assert url is not None
    # 2. A foreign message.
    with Connection(url) as connection:
        connection.Producer().publish(
            STRANGER.encode(),
            exchange="",
            routing_key=QUEUES[0],
            content_type="application/x-yaml",
            content_encoding="utf-8",
            headers={"task": STRANGER, "id": STRANGER},
        )
    wait_until(lambda: "refused a message" in said_in(agent), "it is refused")
    # 3. A killed worker, then a model that was altered: refused in every piece.
    state = read_state(agent / "agent.json")
    assert state is not None
    holders = [one["pid"] for one in state["children"].values() if one["holds_leases"]]
    for pid in holders:
        os.kill(pid, signal.SIGKILL)
    psutil.wait_procs([psutil.Process(pid) for pid in holders if psutil.pid_exists(pid)], 20)
    weights = study.store / "models" / "tiny" / "weights.safetensors"
    stored = weights.read_bytes()
    weights.write_bytes(stored[:-1] + b"x")
    with study.database.write() as connection:
        connection.execute(text("DELETE FROM prediction_map"))
        connection.execute(text("UPDATE job_smear SET prediction_id = NULL"))
        connection.execute(text("DELETE FROM prediction"))
    assert failed_of(client, client.submit(ids).id) == len(ids)
    # 4. A database that takes nothing for a while.
    weights.write_bytes(stored)
    with study.database.write() as connection:
        connection.execute(text("ALTER TABLE prediction_map RENAME TO elsewhere"))
    job = client.submit(ids[2:])
    wait_until(lambda: "The database takes nothing" in said_in(agent), "it is written down")
    with study.database.write() as connection:
        connection.execute(text("ALTER TABLE elsewhere RENAME TO prediction_map"))
    assert failed_of(client, job.id) == 0

    password = url.split(":")[2].split("@")[0]
    # The agent's folder holds the logs, the broker's configuration, and every message sent.
    assert holding((*NAMES, str(tmp_path / ARCHIVE)), agent) == []
    assert STRANGER not in said_in(agent)
    assert holding((password,), agent, but=frozenset({"broker.json"})) == []


@pytest.mark.parametrize("command", ["worker", "scheduler", "jobs", "upgrade", "doctor"])
def test_a_database_that_does_not_answer_is_told_without_its_password(
    command: str, tmp_path: Path
) -> None:
    url = f"postgresql+psycopg://marrow:{PASSWORD}@127.0.0.1:1/marrow"
    said = subprocess.run(
        [sys.executable, "-m", "marrow", "--home", str(tmp_path), command],
        env={**os.environ, "MARROW_DATABASE": url},
        capture_output=True,
        timeout=120,
    )
    assert said.returncode == 1
    assert PASSWORD.encode() not in said.stdout + said.stderr
    assert b"Traceback" not in said.stderr


@pytest.mark.parametrize("url", ["postgresql+psycopg://marrow:{}@[x/", "mysql://marrow:{}@h/d"])
def test_a_database_url_that_is_none_is_told_without_its_password(url: str, tmp_path: Path) -> None:
    said = subprocess.run(
        [sys.executable, "-m", "marrow", "--home", str(tmp_path), "jobs"],
        env={**os.environ, "MARROW_DATABASE": url.format(PASSWORD)},
        capture_output=True,
        timeout=120,
    )
    assert said.returncode == 1
    assert PASSWORD.encode() not in said.stdout + said.stderr
    assert b"Traceback" not in said.stderr


def test_a_broker_that_does_not_answer_is_told_without_its_password(
    study: Study, tmp_path: Path, wait_until: Callable[..., None]
) -> None:
    log = tmp_path / "worker.log"
    home = str(study.settings.home)
    with log.open("wb") as output:
        worker = subprocess.Popen(
            [sys.executable, "-m", "marrow", "--home", home, "worker"],
            env={**os.environ, "MARROW_BROKER": f"redis://:{PASSWORD}@127.0.0.1:1/0"},
            stdout=output,
            stderr=output,
        )
    try:
        wait_until(lambda: b"Cannot connect" in log.read_bytes(), "Celery tries again")
    finally:
        worker.kill()
        worker.wait()
    assert PASSWORD.encode() not in log.read_bytes()


def test_an_error_of_the_database_is_logged_without_its_values(study: Study) -> None:
    with study.database.read() as connection, pytest.raises(DBAPIError) as failed:
        connection.execute(text("SELECT * FROM nowhere WHERE patient = :who"), {"who": PATIENT})
    assert PATIENT not in error_text(failed.value)
    assert PATIENT not in str(failed.value)  # hide_parameters: whoever prints it
