"""What can be said of the compose files without running them. Running them: test_running.py, `make test-compose`."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from rollcall.installation import write_secrets
from shared.bus.topology import NEEDS

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
ONE_SHOTS = {"prepare", "migrate", "cli"}
FILES = {"compose.yaml": ("compose.yaml",), "compose.ha.yaml": ("compose.yaml", "compose.ha.yaml")}


def services(*files: str) -> dict[str, dict[str, Any]]:
    """The services as Compose would merge these files, as far as the tests look: one level deep."""
    merged: dict[str, dict[str, Any]] = {}
    for file in files:
        for name, service in yaml.safe_load((DEPLOY / file).read_text())["services"].items():
            merged[name] = merged.get(name, {}) | service
    return merged


SERVICES = services(*FILES["compose.ha.yaml"])


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_bounded_and_has_no_rights(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["user"].partition(":")[0] not in ("0", "root", "")
    assert service["mem_limit"]
    assert service["pids_limit"]
    assert service["stop_grace_period"]
    assert set(service["logging"]["options"]) == {"max-size", "max-file"}
    assert service["init"] is True
    assert "privileged" not in service
    assert name == "proxy" or "cap_add" not in service


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_says_whether_it_is_well_and_is_started_again(name: str) -> None:
    service = SERVICES[name]
    if name in ONE_SHOTS:
        assert (service["restart"], service["healthcheck"]) == ("no", {"disable": True})
    else:
        assert service["restart"] == "unless-stopped"
        assert service["healthcheck"]["test"][0] == "CMD"


def test_nobody_starts_before_what_it_needs_is_well() -> None:
    for name, service in SERVICES.items():
        for needed, how in service.get("depends_on", {}).items():
            expected = "service_completed_successfully" if needed in ONE_SHOTS else "service_healthy"
            assert how == {"condition": expected}, f"{name} needs {needed}"
    alone = services("compose.yaml")
    assert set(alone["registry"]["depends_on"]) == {"nats", "migrate"}
    assert set(alone["proxy"]["depends_on"]) == {"prepare", "gateway", "device-hub"}


def test_only_proxy_grafana_and_mqtt_can_be_reached_and_by_default_from_this_machine_only() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert published.keys() == {"proxy", "grafana", "mqtt"}
    assert all(":-127.0.0.1:" in port for ports in published.values() for port in ports)


def test_the_store_and_the_broker_have_no_way_out() -> None:
    networks = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["networks"]
    assert networks["back"] == {"internal": True}
    for name in ("nats", "nats-2", "nats-3", "mysql", "registry", "recognizer", "migrate"):
        assert list(SERVICES[name]["networks"]) == ["back"]


def test_third_parties_are_let_in_on_demand_and_reach_the_bridge_alone() -> None:
    assert {name for name, service in SERVICES.items() if service.get("profiles") == ["mqtt"]} == {
        "mqtt",
        "mqtt-bridge",
    }
    there = {name for name, service in SERVICES.items() if "mqtt" in service.get("networks", ())}
    assert there == {"mqtt", "mqtt-bridge"}
    assert SERVICES["mqtt"]["networks"] == ["mqtt"]


@pytest.mark.parametrize("file", FILES)
def test_secrets_come_from_files_that_the_command_makes(file: str, tmp_path: Path) -> None:
    write_secrets(tmp_path / "secrets")
    made = {path.name for path in (tmp_path / "secrets").iterdir()}
    text = (DEPLOY / file).read_text()
    assert set(re.findall(r"file: \"\$\{ROLLCALL_SECRETS:-\./secrets\}/([\w.-]+)\"", text)) <= made
    for name, service in services(file).items():
        for key in service.get("environment", {}):
            assert key.endswith("_FILE") or not re.search("PASSWORD|SECRET$|_KEY|TOKEN", key), f"{name}: {key}"


def test_secrets_stay_and_only_their_owner_gets_to_them(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    write_secrets(folder)
    first = {path.name: path.read_text() for path in folder.iterdir()}
    write_secrets(folder)
    assert {path.name: path.read_text() for path in folder.iterdir()} == first
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o444}
    assert len({first[f"nats_{user}"] for user in NEEDS}) == len(NEEDS)
    assert first["mysql_password"] in first["database"]
    assert all(first[f"nats_{user}"] in first["nats.conf"] for user in NEEDS)
    assert "cluster {" in first["nats-cluster.conf"]


def test_the_example_has_every_setting_of_the_files_with_its_default() -> None:
    """But for those that compose.ha.yaml sets itself, and Compose's own."""
    files = "".join((DEPLOY / file).read_text() for file in FILES)
    example = dict(re.findall(r"^#?([A-Z_]+)=(.*)", (DEPLOY / ".env.example").read_text(), re.MULTILINE))
    known = dict(re.findall(r"\$\{(\w+):-([^}]*)\}", files))
    assert known.keys() - example.keys() == {"ROLLCALL_NATS_URL", "ROLLCALL_NATS_REPLICAS"}
    assert example.keys() - known.keys() == {"COMPOSE_PROJECT_NAME", "COMPOSE_PROFILES"}
    sizes = [name for name in known if name.endswith(("_MEMORY", "_GOMEMLIMIT", "_KEEPS"))]
    assert {name: example[name] for name in sizes} == {name: known[name] for name in sizes}


@pytest.mark.parametrize("name", ["nats", "nats-2", "nats-3", "mqtt"])
def test_a_broker_aims_to_keep_below_its_memory(name: str) -> None:
    """nats-server is written in Go, which otherwise finds out when it is killed."""
    units = {"g": 2**30, "m": 2**20, "MiB": 2**20}
    service = services("compose.yaml")[name.partition("-")[0]] | SERVICES[name]
    environment = services("compose.yaml").get(name, {}).get("environment", {}) | service["environment"]
    aims, most = (
        int(number) * units[unit]
        for number, unit in (
            re.findall(r":-(\d+)(\w+)\}", value)[0] for value in (environment["GOMEMLIMIT"], service["mem_limit"])
        )
    )
    assert 0.7 * most < aims < 0.9 * most


@pytest.mark.parametrize("file", FILES)
def test_compose_itself_accepts_the_files(file: str, tmp_path: Path) -> None:
    program = next((command for command in (["docker", "compose"], ["docker-compose"]) if _runs(command)), None)
    if program is None:
        pytest.skip("no Docker Compose here to check the files with")
    write_secrets(tmp_path / "secrets")
    (tmp_path / "env").write_text(f"ROLLCALL_SECRETS={tmp_path / 'secrets'}\n")
    named = [argument for name in FILES[file] for argument in ("-f", str(DEPLOY / name))]
    profiles = ["--profile", "mqtt", "--profile", "monitoring", "--profile", "cli"]
    command = [*program, *profiles, "--env-file", str(tmp_path / "env"), *named, "config", "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def _runs(command: list[str]) -> bool:
    return bool(shutil.which(command[0])) and not subprocess.run([*command, "version"], capture_output=True).returncode
