"""Both services of a lab over TLS: the addresses that docs/lab.md names, against real servers."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from sqlalchemy import create_engine, text

from marrow.catalogue import jobs
from marrow.catalogue.database import Database
from marrow.errors import BadSettings, NoStudy
from marrow.queue import make_app, wake
from marrow.records import ModelRecord
from marrow.settings import Settings
from marrow.study import Study

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="no redis-server here"),
    pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed"),
]


def certificate(folder: Path) -> tuple[Path, Path]:
    """(certificate, key) of a self-signed 127.0.0.1, which is its own authority."""
    folder.mkdir()
    made, key = folder / "ca.pem", folder / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    command += ["-subj", "/CN=lab", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*command, "-keyout", key, "-out", made], check=True, capture_output=True)
    return made, key


@pytest.fixture
def authority(tmp_path: Path) -> tuple[Path, Path]:
    return certificate(tmp_path / "authority")


@pytest.fixture
def another_authority(tmp_path: Path) -> Path:
    return certificate(tmp_path / "another")[0]


@pytest.fixture
def tls_postgres(postgres_server: str, authority: tuple[Path, Path]) -> Iterator[None]:
    """The server of all tests speaks TLS, and speaks it no more after the test."""
    admin = create_engine(f"{postgres_server}/postgres", isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        data = Path(connection.execute(text("SHOW data_directory")).scalar_one())
        owner = data.stat()
        names = ("ssl_cert_file", "ssl_key_file")
        for name, source in zip(names, authority, strict=True):
            target = Path(shutil.copyfile(source, data / source.name))
            target.chmod(0o600)
            os.chown(target, owner.st_uid, owner.st_gid)
            connection.execute(text(f"ALTER SYSTEM SET {name} = '{target.name}'"))
        connection.execute(text("ALTER SYSTEM SET ssl = on"))
        connection.execute(text("SELECT pg_reload_conf()"))
    yield
    with admin.connect() as connection:
        for name in ("ssl", *names):
            connection.execute(text(f"ALTER SYSTEM RESET {name}"))
        connection.execute(text("SELECT pg_reload_conf()"))
    admin.dispose()


@pytest.fixture
def tls_broker(lab: Any, authority: tuple[Path, Path]) -> str:
    """URL of the compose file's broker with TLS and nothing in the clear."""
    made, key = authority
    return lab.broker.start_tls(made, key)


def test_the_database_is_verified_in_full(
    tls_postgres: None, postgres_url: str, authority: tuple[Path, Path], another_authority: Path
) -> None:
    def url(authority: Path) -> str:
        address = postgres_url.replace("postgresql+psycopg", "postgresql")
        return f"{address}?sslmode=verify-full&sslrootcert={authority}"

    database = Database(url(authority[0]))
    with database.read() as connection:
        encrypted = text("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
        assert connection.execute(encrypted).scalar_one() is True
    database.close()

    home = Path(another_authority).parent
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MARROW_DATABASE", url(another_authority))
        settings = Settings.read(home)
    with pytest.raises(NoStudy, match="certificate verify failed") as caught:
        Study.open(settings)
    assert "\n" not in str(caught.value)
    password = postgres_url.partition("@")[0].rpartition(":")[2]
    assert password not in str(caught.value)


def test_the_broker_is_verified(
    tls_broker: str,
    another_authority: Path,
    authority: tuple[Path, Path],
    make_study: Callable[..., Study],
    add_model: Callable[[Study], ModelRecord],
    add_smears: Callable[..., list[int]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    study = make_study()
    model, ids = add_model(study), add_smears(study, 2)
    with study.database.write() as connection:
        jobs.submit_classify(connection, study.database.now(connection), model, ids)
    strange = tls_broker.replace(str(authority[0]), str(another_authority))
    with caplog.at_level(logging.WARNING):
        assert wake(study, make_app(strange)) == 0
    assert "hints are sent again later" in caplog.text
    password = tls_broker.partition("@")[0].rpartition(":")[2]
    assert password not in caplog.text
    assert wake(study, make_app(tls_broker)) == 1
    with redis.Redis.from_url(tls_broker) as client:
        assert client.llen("interactive") == 1


def test_a_broker_that_would_not_be_verified_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MARROW_BROKER", "rediss://:the-password@broker.lab:6379/0")
    with pytest.raises(
        BadSettings,
        match=r"^MARROW_broker: a rediss:// address must end with \?ssl_cert_reqs=required",
    ) as caught:
        Settings.read(tmp_path)
    assert "the-password" not in str(caught.value)


def test_scheduler_and_worker_work_over_tls(
    lab: Any,
    tls_postgres: None,
    tls_broker: str,
    authority: tuple[Path, Path],
    open_study: Callable[..., Study],
    tiny_model: Callable[[Study], ModelRecord],
    small_smears: Callable[[Study, Path, int], list[int]],
    follow_to_the_end: Callable[[Study, int], str],
) -> None:
    safely = f"?sslmode=verify-full&sslrootcert={authority[0]}"
    database = lab.environment("upgrade")["MARROW_DATABASE"] + safely
    tls = {"MARROW_DATABASE": database, "MARROW_BROKER": tls_broker}
    made = lab.run("upgrade", "marrow", "init", **tls)
    assert made.returncode == 0, made.stderr
    study = open_study(lab.folder / "viewer", lab.viewer | {"MARROW_DATABASE": database})
    model = tiny_model(study)
    ids = small_smears(study, lab.folder / "viewer-mount", 20)
    with study.database.write() as connection:
        job = jobs.submit_classify(connection, study.database.now(connection), model, ids)
    with lab.running("scheduler", **tls) as log, lab.running("worker-cpu", **tls):
        assert follow_to_the_end(study, job.id) == "done"
    assert "does not answer" not in log.read_text()
