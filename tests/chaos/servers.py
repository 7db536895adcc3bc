"""A PostgreSQL server of the long form's own, on loopback."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine, text


@contextmanager
def postgres_server() -> Iterator[str]:
    """URL of a server that lives as long as the context, with its data in a temporary folder.

    Unlike the server of the tests it waits for the disk, as a lab's does.

    Raises
    ------
    FileNotFoundError
        If PostgreSQL's server programs are not installed.
    """
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        raise FileNotFoundError("PostgreSQL's server is not installed: apt install postgresql")
    # Not in the run's folder, which nobody but its owner may be able to enter.
    folder = Path(tempfile.mkdtemp(prefix="marrow-postgres-"))
    as_user: dict[str, Any] = {"cwd": folder}
    if os.getuid() == 0:  # the server refuses to run as root
        account = pwd.getpwnam("postgres")
        as_user |= {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
        shutil.chown(folder, account.pw_uid, account.pw_gid)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    programs, data = found[-1].parent, folder / "data"
    initdb = [programs / "initdb", "-D", data, "-U", "marrow", "-A", "trust"]
    subprocess.run(initdb, check=True, capture_output=True, **as_user)
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories="
    control = [programs / "pg_ctl", "-D", data, "-w"]
    start = [*control, "-l", folder / "log", "-o", options, "start"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.run(start, check=True, **quiet, **as_user)
    try:
        yield f"postgresql+psycopg://marrow@127.0.0.1:{port}"
    finally:
        subprocess.run([*control, "-m", "fast", "stop"], check=True, **quiet, **as_user)
        shutil.rmtree(folder)


def new_database(server: str, name: str) -> str:
    """URL of an empty database; one of that name that is there is dropped first."""
    admin = create_engine(f"{server}/postgres", isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'))
        connection.execute(text(f'CREATE DATABASE "{name}"'))
    admin.dispose()
    return f"{server}/{name}"
