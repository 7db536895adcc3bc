from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import make_url

from marrow.doctor import examine
from marrow.errors import BadSettings
from marrow.schemes import AA_MDS_AML
from marrow.settings import Settings
from marrow.study import Study


def test_without_settings_one_machine_has_all(tmp_path: Path) -> None:
    settings = Settings.read(tmp_path)
    assert settings.is_single_machine
    assert make_url(settings.database_url).database == str(tmp_path / "catalogue.sqlite")
    assert settings.store_folder == tmp_path / "store"


def test_a_home_of_any_name_keeps_its_catalogue_inside(tmp_path: Path) -> None:
    home = tmp_path / "Study #1? 100% ü"
    Study.create(Settings.read(home), AA_MDS_AML).close()
    assert (home / "catalogue.sqlite").exists()
    assert [path.name for path in tmp_path.iterdir()] == [home.name]


def test_the_environment_wins_over_the_file_and_the_option_over_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "marrow.toml").write_text('reader = "file"\nthreads = 3\n[roots]\nsmears = "/a"\n')
    monkeypatch.setenv("MARROW_READER", "environment")
    monkeypatch.setenv("MARROW_HOME", str(tmp_path / "elsewhere"))
    settings = Settings.read(tmp_path)
    assert (settings.reader, settings.threads) == ("environment", 3)
    assert settings.roots == {"smears": Path("/a")}
    assert Settings.read().home == tmp_path / "elsewhere"


@pytest.mark.parametrize(
    ("given", "user", "name"),
    [("anna ", "root", "anna"), (" \t", "root", "root"), ("", " ", "reader"), (None, "bo ", "bo")],
)
def test_a_reader_has_the_name_that_a_blind_reader_would_have(
    given: str | None, user: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("USER", user)
    if given is not None:
        monkeypatch.setenv("MARROW_READER", given)
    assert Settings.read(tmp_path).reader == name


def test_passwords_do_not_show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MARROW_DATABASE", "postgresql://marrow:hidden@db/marrow")
    monkeypatch.setenv("MARROW_BROKER", "redis://:hidden@broker/0")
    settings = Settings.read(tmp_path)
    assert not settings.is_single_machine
    assert "hidden" not in repr(settings) + str(settings.model_dump())


@pytest.mark.parametrize(
    ("name", "value", "fault"),
    [
        ("MARROW_ROOTS", '{"local": "/a"}', "reserved name"),
        ("MARROW_THREADS", "0", "threads"),
        ("MARROW_READER", "anna\x1b[1m", "reader: must be a name without control characters"),
        ("MARROW_AGENT_IDLE_S", "soon", "agent_idle_s"),
    ],
)
def test_a_bad_setting_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str, fault: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(BadSettings, match=fault):
        Settings.read(tmp_path)


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "marrow.toml").write_text("threads = \n")
    with pytest.raises(BadSettings, match=r"marrow\.toml"):
        Settings.read(tmp_path)


@pytest.mark.parametrize(
    "url", ["redis://:p/w@host:6379/0", "redis://host:port/0", "http://host", "redis:///0"]
)
def test_refuses_a_broker_that_cannot_be_parsed_without_quoting_it(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MARROW_BROKER", url)
    with pytest.raises(BadSettings, match="%2F") as refused:
        Settings.read(tmp_path)
    assert url not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        "nonsense",
        "",
        "postgresql+psycopg2://marrow:pw@host/marrow",
        "mysql://marrow:pw@host/marrow",
        "postgresql+nodriver://marrow:pw@host/marrow",
        "postgresql://marrow:pw@host:port/marrow",
        "postgresql://marrow:se@cret@host/marrow",
        "postgresql://marrow:se@cr/et@host/marrow",
        "sqlite://",
        "sqlite://folder/catalogue.sqlite",
    ],
)
def test_refuses_a_database_that_no_driver_can_read_without_quoting_it(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MARROW_DATABASE", url)
    with pytest.raises(BadSettings, match="%40") as refused:
        Settings.read(tmp_path)
    said = str(refused.value)
    assert said.startswith("MARROW_database: must be postgresql://USER:PASSWORD@HOST:PORT/NAME")
    assert not any(part in said for part in ("cret", "pw@", "nonsense", "folder/c"))
    (finding,) = [one for one in examine(lambda: Settings.read(tmp_path)) if one.what == "settings"]
    assert (finding.is_well, finding.found) == (False, said)


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:///relative.sqlite",
        "sqlite:////data/catalogue.sqlite",
        "postgresql:///marrow?host=/run/postgresql",
        "postgresql+psycopg://marrow:se%40cret@[::1]:5432/marrow?sslmode=verify-full",
    ],
)
def test_takes_a_database_s_address(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MARROW_DATABASE", url)
    assert Settings.read(tmp_path).database_url == url


@pytest.mark.parametrize("url", ["redis://:pw@host:6379/0", "redis://host", "redis://:p%2Fw@h/1"])
def test_takes_a_broker_s_address(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MARROW_BROKER", url)
    assert not Settings.read(tmp_path).is_single_machine
