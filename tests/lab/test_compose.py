"""The lab's compose file: no secret in it, nothing open to the network, nothing lost or evicted."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
OURS = {"upgrade", "scheduler", "worker", "worker-cpu"}


@pytest.fixture(scope="module")
def services(compose: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = compose["services"]
    return found


def interpolated(node: Any) -> list[str]:
    """All ${...} below a node."""
    return re.findall(r"\$\{[^}]*\}", yaml.safe_dump(node, width=10**6))


def test_our_services_run_known_commands(services: dict[str, Any]) -> None:
    assert set(services) == OURS | {"valkey", "postgres"}
    commands = {name: services[name]["command"] for name in OURS}
    assert {command[0] for command in commands.values()} == {"marrow"}
    assert {name: command[1:] for name, command in commands.items()} == {
        "upgrade": ["upgrade"],
        "scheduler": ["scheduler"],
        "worker": ["worker"],
        "worker-cpu": ["worker"],
    }


def test_our_commands_exist(services: dict[str, Any]) -> None:
    cli = pytest.importorskip("marrow.cli")
    typer_main = pytest.importorskip("typer.main")
    known = set(typer_main.get_command(cli.build()).commands)
    assert {services[name]["command"][1] for name in OURS} <= known


def test_every_password_is_required_and_none_has_a_default(compose: dict[str, Any]) -> None:
    secrets = [text for text in interpolated(compose) if "PASSWORD" in text]
    assert {text.split(":")[0] for text in secrets} == {"${VALKEY_PASSWORD", "${POSTGRES_PASSWORD"}
    assert all(re.fullmatch(r"\$\{\w+:\?[^}]+\}", text) for text in secrets)


def test_no_password_is_on_a_command_line(services: dict[str, Any]) -> None:
    for service in services.values():
        assert interpolated(service.get("command", [])) == []
        assert interpolated(service.get("healthcheck", {})) == []


def test_published_ports_are_on_the_loopback_unless_the_lab_says_otherwise(
    services: dict[str, Any],
) -> None:
    published = {name: service["ports"] for name, service in services.items() if "ports" in service}
    assert set(published) == {"postgres"}, "viewers and the network never see the broker"
    for ports in published.values():
        assert all(re.match(r"(\$\{\w+:-127\.0\.0\.1\}|127\.0\.0\.1):", port) for port in ports)


def test_the_broker_keeps_its_entries_and_never_evicts(compose: dict[str, Any]) -> None:
    valkey = compose["services"]["valkey"]
    (mounted,) = valkey["configs"]
    assert valkey["command"] == ["valkey-server", mounted["target"]]
    lines = compose["configs"][mounted["source"]]["content"].splitlines()
    settings = dict(line.split(maxsplit=1) for line in lines)
    assert settings["appendonly"] == "yes"
    assert settings["appendfsync"] == "everysec"
    assert settings["maxmemory-policy"] == "noeviction"
    assert settings["requirepass"].startswith("${VALKEY_PASSWORD:?")
    # Kept in a named volume, not in the container.
    assert valkey["volumes"] == [f"valkey:{settings['dir']}"]
    assert "valkey" in compose["volumes"]


def test_workers_wait_for_the_schema_and_the_broker(services: dict[str, Any]) -> None:
    for name in ("scheduler", "worker", "worker-cpu"):
        waits = {on: how["condition"] for on, how in services[name]["depends_on"].items()}
        assert waits == {
            "upgrade": "service_completed_successfully",
            "valkey": "service_healthy",
        }
    assert services["upgrade"]["depends_on"] == {"postgres": {"condition": "service_healthy"}}
    assert services["upgrade"]["restart"] == "no"
    assert {"healthcheck"} <= set(services["postgres"]) & set(services["valkey"])


def test_a_card_is_reserved_in_the_gpu_profile_only(services: dict[str, Any]) -> None:
    (device,) = services["worker"]["deploy"]["resources"]["reservations"]["devices"]
    assert device["driver"] == "nvidia"
    assert device["capabilities"] == ["gpu"]
    assert services["worker"]["profiles"] == ["gpu"]
    assert services["worker-cpu"]["profiles"] == ["cpu"]
    assert "deploy" not in services["worker-cpu"]


def test_workers_share_the_store_and_only_read_smears(services: dict[str, Any]) -> None:
    for name in OURS:
        service = services[name]
        inside = [volume.rsplit("}:", 1)[1] for volume in service["volumes"]]
        assert inside == ["/store", "/smears:ro"]
        assert service["environment"]["MARROW_STORE"] == "/store"
        assert "/smears" in service["environment"]["MARROW_ROOTS"]


def test_the_image_runs_as_a_plain_user_and_downloads_no_weights() -> None:
    lines = (ROOT / "worker" / "Dockerfile").read_text(encoding="utf-8").splitlines()
    instructions = [line.strip() for line in lines if not line.startswith("#")]
    assert "FROM python:3.12-slim" in instructions
    assert "STOPSIGNAL SIGTERM" in instructions
    user = instructions.index("USER marrow")
    assert user > max(n for n, line in enumerate(instructions) if line.startswith("RUN"))
    assert not [line for line in instructions if "curl" in line or "wget" in line or ".pth" in line]


def test_the_lab_page_names_the_addresses_that_are_tested() -> None:
    page = (ROOT / "docs" / "lab.md").read_text(encoding="utf-8")
    assert "?sslmode=verify-full&sslrootcert=" in page
    assert "?ssl_cert_reqs=required&ssl_check_hostname=true&ssl_ca_certs=" in page
    for command in ("backup", "restore", "upgrade", "scheduler", "worker", "retry", "init"):
        assert f"marrow {command}" in page
