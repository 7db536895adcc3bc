"""Studies to test on: on SQLite, and on PostgreSQL where its server programs are installed."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sqlalchemy import create_engine, text

from marrow.catalogue import models, smears
from marrow.catalogue.database import Database
from marrow.catalogue.migrate import migrate
from marrow.importing import import_smears
from marrow.records import ModelRecord, NewSmear, TrainingSpec
from marrow.schemes import AA_MDS_AML, Scheme
from marrow.settings import Settings
from marrow.study import CATALOGUE, Study

ROOT = Path(__file__).parent.parent


class Clock:
    """Seconds that a test moves by hand."""

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def forward(self, seconds: float) -> None:
        self.now += seconds


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests come first: the last to end decides how long several take at once."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="session")
def cache_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where programs keep what can be made again: thumbnails, napari's icons."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def state_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where programs keep what they remember of a user: labels that wait, how a dock was left."""
    return tmp_path_factory.mktemp("state")


@pytest.fixture(autouse=True)
def _no_settings_of_this_machine(
    monkeypatch: pytest.MonkeyPatch, state_folder: Path, cache_folder: Path
) -> None:
    for name in list(os.environ):
        if name.startswith("MARROW_") and not name.startswith("MARROW_TEST"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_STATE_HOME", str(state_folder))
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache_folder))


@pytest.fixture
def test_data() -> Path:
    """The folder of real images; the test is skipped where there is none."""
    folder = os.environ.get("MARROW_TEST_DATA")
    if not folder:
        pytest.skip("MARROW_TEST_DATA names no folder of real images")
    return Path(folder)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """URL of a PostgreSQL server on loopback, with its password; lives as long as the tests."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found or sys.platform == "win32":
        pytest.skip("PostgreSQL's server programs are not installed")
    # Not below pytest's own folder, which nobody but its owner may enter.
    folder = Path(tempfile.mkdtemp(prefix="marrow-postgres-"))
    as_user: dict[str, object] = {}
    if os.getuid() == 0:  # the server refuses to run as root
        account = pwd.getpwnam("postgres")
        as_user = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
        shutil.chown(folder, account.pw_uid, account.pw_gid)
    programs, cluster = found[-1].parent, folder / "data"
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    quiet: dict[str, object] = {"check": True, "capture_output": True, "cwd": folder, **as_user}
    password, secret = secrets.token_hex(16), folder / "password"
    secret.write_text(password)
    with_password = ["-U", "marrow", "-A", "scram-sha-256", f"--pwfile={secret}"]
    subprocess.run([programs / "initdb", "-D", cluster, *with_password], **quiet)
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off"
    log = folder / "log"
    control = [programs / "pg_ctl", "-D", cluster, "-w"]
    with log.open("wb") as output:
        if os.getuid() == 0:
            shutil.chown(log, account.pw_uid, account.pw_gid)
        start = [*control, "-l", log, "-o", options, "start"]
        subprocess.run(start, check=True, stdout=output, stderr=output, cwd=folder, **as_user)
    yield f"postgresql+psycopg://marrow:{password}@127.0.0.1:{port}"
    subprocess.run([*control, "-m", "immediate", "stop"], **quiet)
    shutil.rmtree(folder)


@pytest.fixture
def make_postgres_url(postgres_server: str) -> Iterator[Callable[..., str]]:
    """Makes PostgreSQL databases of the test's own, empty ones or copies of a template; gives
    back the URL of each."""
    admin = create_engine(f"{postgres_server}/postgres", isolation_level="AUTOCOMMIT")
    made: list[str] = []

    def make(template: str = "template1") -> str:
        made.append(f"m{uuid.uuid4().hex}")
        with admin.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {made[-1]} TEMPLATE {template}"))
        return f"{postgres_server}/{made[-1]}"

    yield make
    with admin.connect() as connection:
        for name in made:
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    admin.dispose()


@pytest.fixture
def postgres_url(make_postgres_url: Callable[[], str]) -> str:
    """URL of an empty PostgreSQL database of the test's own."""
    return make_postgres_url()


MakeStudy = Callable[..., Study]
MIGRATED = "marrow_migrated"
"""A database with this version's schema and nothing in it: to copy it takes a tenth of the time
of the migrations, which have tests of their own."""


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty catalogue on SQLite."""
    file = tmp_path_factory.mktemp(MIGRATED) / CATALOGUE
    file.touch(mode=0o600)
    _migrate(f"sqlite:///{file}")
    return file


@pytest.fixture(scope="session")
def migrated_postgres(postgres_server: str) -> str:
    """Name of an empty catalogue on PostgreSQL."""
    admin = create_engine(f"{postgres_server}/postgres", isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {MIGRATED}"))
    admin.dispose()
    _migrate(f"{postgres_server}/{MIGRATED}")
    return MIGRATED


def _migrate(url: str) -> None:
    database = Database(url)
    migrate(database)
    database.close()


@pytest.fixture
def make_study(tmp_path: Path, migrated_file: Path) -> Iterator[MakeStudy]:
    """Makes studies on SQLite below tmp_path; closes them after the test."""
    made: list[Study] = []

    def make(
        scheme: Scheme = AA_MDS_AML, name: str = "home", database: str | None = None, **clock: Clock
    ) -> Study:
        settings = Settings.read(tmp_path / name)
        if database is not None:
            settings = settings.model_copy(update={"database": database})
            settings = Settings.model_validate(settings.model_dump())
        elif not (settings.home / CATALOGUE).exists():
            settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)
            shutil.copy(migrated_file, settings.home)  # with its mode, which is private
        study = Study.create(settings, scheme, **clock)
        made.append(study)
        return study

    yield make
    for study in made:
        study.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def any_study(request: pytest.FixtureRequest, make_study: MakeStudy) -> Study:
    """An empty study, on each kind of database."""
    if request.param == "sqlite":
        return make_study()
    template = request.getfixturevalue("migrated_postgres")
    return make_study(database=request.getfixturevalue("make_postgres_url")(template))


def _add_smears(study: Study, count: int, *, slides: int = 0) -> list[int]:
    """Register smears that have no file; the last `slides` of them are slides."""
    with study.database.write() as connection:
        at = study.database.now(connection)
        first = smears.count(connection, smears.SmearFilter())
        return [
            smears.register(
                connection,
                at,
                NewSmear(
                    identity=f"{number:064x}",
                    root="local",
                    path=f"/nowhere/{number}.png",
                    height_px=512,
                    width_px=512,
                    is_slide=number - first >= count - slides,
                    patient=f"P{number // 2}",
                ),
            )[0]
            for number in range(first, first + count)
        ]


def _add_model(study: Study, sha256: str = "a" * 64) -> ModelRecord:
    """Register a model that has no file."""
    with study.database.write() as connection:
        return models.register(
            connection,
            study.database.now(connection),
            sha256=sha256,
            path=f"models/{sha256[:16]}",
            preprocessing="b" * 64,
            precision="fp32",
            card={},
            job_id=None,
        )


@pytest.fixture
def add_smears() -> Callable[..., list[int]]:
    return _add_smears


@pytest.fixture
def add_model() -> Callable[..., ModelRecord]:
    return _add_model


INPUT_PX = 32
"""Edge of what the tiny model sees."""


def _tiny_model(study: Study) -> ModelRecord:
    """A resnet18 with random weights that sees 32 x 32 px, saved and registered."""
    # Not for every test: torch takes seconds to import.
    from training.checkpoints import ModelCard, save_model
    from training.network import build_network
    from training.preprocess import Preprocessing

    network = build_network("resnet18", study.scheme, dropout=0.0, seed=0)
    preprocessing = Preprocessing(input_px=INPUT_PX)
    card = ModelCard(
        scheme=study.scheme,
        backbone="resnet18",
        preprocessing=preprocessing,
        preprocessing_hash=preprocessing.hash,
        data_sha256="0" * 64,
        training=TrainingSpec(backbone="resnet18", input_px=INPUT_PX),
        split={},
        versions={},
        figures={},
        created="2026-01-01T00:00:00Z",
    )
    folder = study.store / "models" / "tiny"
    saved = save_model(folder, network, card)
    with study.database.write() as connection:
        return models.register(
            connection,
            study.database.now(connection),
            sha256=saved.weights_sha256,
            path="models/tiny",
            preprocessing=saved.preprocessing_hash,
            precision=saved.precision,
            card=saved.model_dump(mode="json"),
            job_id=None,
        )


def _small_smears(study: Study, folder: Path, count: int) -> list[int]:
    """Register `count` different smears of 40 x 50 px, P0 to P9 in turn; returns their ids."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = ["file,patient"]
    for number in range(count):
        pixels = np.random.default_rng(number).integers(0, 255, (40, 50, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:05d}.png", compress_level=1)
        lines.append(f"{number:05d}.png,P{number % 10}")
    table = folder / "labels.csv"
    table.write_text("\n".join(lines))
    return list(import_smears(study, [folder], table).smear_ids)


@pytest.fixture
def tiny_model() -> Callable[[Study], ModelRecord]:
    return _tiny_model


@pytest.fixture
def small_smears() -> Callable[[Study, Path, int], list[int]]:
    return _small_smears
