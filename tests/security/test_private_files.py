"""What lies in a home is its owner's alone, whatever the umask and whatever lay there before."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from marrow.client import Client
from marrow.records import ModelRecord
from marrow.schemes import AA_MDS_AML
from marrow.settings import Settings
from marrow.statefile import private_folder, private_log, write_private, write_state
from marrow.study import Study

pytestmark = pytest.mark.skipif(os.name != "posix", reason="modes are POSIX")

CATALOGUE = ("catalogue.sqlite", "catalogue.sqlite-wal", "catalogue.sqlite-shm")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture(params=[0o022, 0o000], ids=["umask022", "umask000"])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


@pytest.mark.usefixtures("umask")
def test_a_new_home_and_its_catalogue_are_private(tmp_path: Path) -> None:
    study = Study.create(Settings(home=tmp_path / "home"), AA_MDS_AML)
    with study.database.write() as connection:
        connection.execute(text("CREATE TABLE t (a)"))
    assert mode(study.settings.home) == 0o700
    assert mode(study.store) == 0o700
    assert {name: mode(study.settings.home / name) for name in CATALOGUE} == dict.fromkeys(
        CATALOGUE, 0o600
    )
    study.close()


@pytest.mark.usefixtures("umask")
def test_in_a_home_that_others_may_enter_the_catalogue_is_closed(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    home.chmod(0o755)
    (home / "store").mkdir()
    (home / CATALOGUE[0]).touch()
    (home / CATALOGUE[0]).chmod(0o666)
    study = Study.create(Settings(home=home), AA_MDS_AML)
    assert mode(home) == 0o755
    assert mode(home / CATALOGUE[0]) == 0o600
    assert mode(home / "store") == 0o700
    study.close()


@pytest.mark.usefixtures("umask")
def test_opening_closes_a_catalogue_that_was_copied_with_wide_modes(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home")
    first = Study.create(settings, AA_MDS_AML)  # stays open: -wal and -shm are there
    for name in CATALOGUE:
        (settings.home / name).chmod(0o666)
    second = Study.open(settings)
    assert [mode(settings.home / name) for name in CATALOGUE] == [0o600] * 3
    second.close()
    first.close()


@pytest.mark.usefixtures("umask")
def test_state_files_and_logs_are_private_also_where_wider_ones_were(tmp_path: Path) -> None:
    folder = tmp_path / "agent"
    folder.mkdir()
    folder.chmod(0o777)
    names = ("state.json", "text.json", "worker.log")
    for name in names:
        (folder / name).write_text("old")
        (folder / name).chmod(0o666)
    private_folder(folder)
    write_state(folder / names[0], os.getpid())
    write_private(folder / names[1], "new")
    assert private_log(folder / names[2]) == len("old")
    assert mode(folder) == 0o700
    assert {mode(folder / name) for name in names} == {0o600}


@pytest.mark.usefixtures("umask")
def test_a_state_file_does_not_follow_a_link_to_another_file(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (tmp_path / "state.json").symlink_to(victim)
    write_private(tmp_path / "state.json", "new")
    assert victim.read_text() == "mine"
    assert not (tmp_path / "state.json").is_symlink()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no embedded broker here")
@pytest.mark.usefixtures("umask")
def test_everything_that_the_agent_makes_is_private(
    tiny_model: Callable[[Study], ModelRecord],
    small_smears: Callable[[Study, Path, int], list[int]],
    tmp_path: Path,
) -> None:
    study = Study.create(Settings(home=tmp_path / "home"), AA_MDS_AML)
    tiny_model(study)
    ids = small_smears(study, tmp_path / "smears", 4)
    client = Client(study)
    try:
        job = client.submit(ids)
        for _ in client.follow(job.id):
            pass
        assert client.job(job.id).done == len(ids)
        agent = study.settings.agent_folder
        below = [agent, *agent.rglob("*"), *study.settings.home.glob("*.*")]
        open_to_others = {
            str(path.relative_to(study.settings.home)): oct(mode(path))
            for path in below
            if path.exists() and mode(path) & 0o077
        }
        assert open_to_others == {}
    finally:
        home = str(study.settings.home)
        stop = [sys.executable, "-m", "marrow", "--home", home, "agent", "stop"]
        subprocess.run(stop, check=True, capture_output=True, timeout=90)
        study.close()
