"""deploy/compose.yaml at work: its containers, what its database says, and kiosks that look at it through the proxy."""

import asyncio
import contextlib
import json
import os
import resource
import shlex
import shutil
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from rollcall.keys import Keys
from rollcall.local import free_port
from rollcall.running import Running
from shared.bus.topology import NEEDS
from shared.testing import eventually
from tests.compose.engine import ROOT, Engine, build_options
from tests.docs.guides import blocks_of
from tests.systems import Site

SERVICES = ("gateway", "recognizer", "registry", "device-hub")
"""those that tell of themselves on the operators' port"""
OPERATORS_PORT = 9100
NOT_SOURCES = (".git", ".venv", ".*_cache", ".cache", "__pycache__", "*.egg-info", "data", "secrets", ".env")
BACK_S = 240.0
"""recognizers that start together on two busy cores take a minute and a half"""


@dataclass(frozen=True)
class Ports:
    """Where a stack is published on loopback."""

    web: int = field(default_factory=free_port)
    https: int = field(default_factory=free_port)
    hub: int = field(default_factory=free_port)
    mqtt: int = field(default_factory=free_port)
    grafana: int = field(default_factory=free_port)


@dataclass(frozen=True)
class Stack:
    """A checkout of somebody who follows docs/operating.md, and the containers that they have started."""

    engine: Engine
    root: Path
    ports: Ports

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.ports.web}"

    @property
    def hub_url(self) -> str:
        return f"ws://127.0.0.1:{self.ports.hub}"

    @property
    def deploy(self) -> Path:
        return self.root / "deploy"

    @property
    def secrets(self) -> Path:
        return self.deploy / "secrets"

    def secret(self, name: str) -> str:
        return (self.secrets / name).read_text().strip()

    def follow(self, begins: str, guide: str = "operating.md") -> str:
        """Type the block of the guide that begins so; what it printed."""
        typed = block(guide, begins)
        return self.engine.run("sh", "-e", "-c", typed, folder=self.root if typed.startswith("cd ") else self.deploy)

    def compose(self, *command: str) -> str:
        return self.engine.run("docker", "compose", *command, folder=self.deploy)

    def containers(self, service: str) -> list[str]:
        return self.compose("ps", "-q", service).split()

    def address(self, container: str) -> str:
        """Its own, which the machine of the engine reaches also where nobody else does."""
        networks = "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}"
        return self.engine.docker("inspect", "--format", networks, container).split()[0]

    def site(self, folder: Path) -> Site:
        """For tests that do not care where they run; `folder` is good while this process and the containers live."""
        admin = {
            f"{service}-{number}": f"http://{self.address(container)}:{OPERATORS_PORT}"
            for service in SERVICES
            for number, container in enumerate(self.containers(service), start=1)
        }
        nats, mysql = (self.address(self.containers(service)[0]) for service in ("nats", "mysql"))
        return Site(
            folder,
            Keys(
                broker={user: self.secret(f"nats_{user}") for user in NEEDS},
                library=self.secret("library_key"),
                web=self.secret("web_secret"),
                token=self.secret("token_secret"),
            ),
            Running(
                pid=os.getpid(),
                nats_url=f"nats://{nats}:4222",
                url=self.url,
                hub_url=self.hub_url,
                admin_urls=admin,
            ),
            f"mysql://rollcall:{self.secret('mysql_password')}@{mysql}:3306/rollcall",
        )

    def state(self, container: str) -> tuple[str, str]:
        """(when it started, its health)."""
        said = self.engine.docker("inspect", "--format", "{{.State.StartedAt}} {{.State.Health.Status}}", container)
        since, health = said.split()
        return since, health

    def kill(self, container: str) -> None:
        """kill -9 of what runs in it. `docker kill` would count as the operator's wish: nothing would restart it."""
        self.engine.answers("docker", "exec", container, "sh", "-c", "kill -9 -1")

    def rows(self, query: str) -> list[list[str]]:
        """What the database says."""
        options = "--default-character-set=utf8mb4 --batch --skip-column-names"
        client = f'exec mysql {options} -urollcall -p"$(cat /run/secrets/mysql_password)" rollcall'
        said = self.compose("exec", "-T", "mysql", "sh", "-c", f"{client} -e '{query}'")
        return [line.split("\t") for line in said.splitlines()]

    async def healthy(self, service: str, count: int = 1) -> None:
        """Wait until so many containers of the service say that they are well."""

        async def all_well() -> bool:
            found = await asyncio.to_thread(self.containers, service)
            states = [(await asyncio.to_thread(self.state, container))[1] for container in found]
            return states == ["healthy"] * count

        await eventually(all_well, BACK_S, f"{count} × {service} healthy")

    async def killed_and_back(self, container: str) -> None:
        before, _ = self.state(container)
        self.kill(container)
        await self.back(container, before)

    async def back(self, container: str, before: str) -> None:
        """Wait until it runs and is well that was started `before`."""

        async def renewed() -> bool:
            since, health = await asyncio.to_thread(self.state, container)
            return since != before and health == "healthy"

        await eventually(renewed, BACK_S, f"{container} is back")


def block(guide: str, begins: str) -> str:
    """What somebody types who follows the guide, without its last line break."""
    (found,) = (b.text for b in blocks_of((ROOT / "docs" / guide).read_text("utf-8")) if b.text.startswith(begins))
    return found.rstrip()


DOCKER = """#!/bin/sh
# `docker` of who follows the guides here: this engine, this project, and how packages are found.
case "$1" in
compose) shift; exec {compose} -p {project} "$@" ;;
build) shift; exec {docker} build {options} "$@" ;;
*) exec {docker} "$@" ;;
esac
"""


@contextmanager
def a_checkout(engine: Engine, images: Mapping[str, str], folder: Path) -> Iterator[Stack]:
    """A copy of the sources, in whose deploy/ the guides are followed. At the end containers, volumes and networks are
    gone."""
    root, ports = folder / "rollcall", Ports()
    shutil.copytree(ROOT, root, ignore=shutil.ignore_patterns(*NOT_SOURCES))
    project = f"rollcall-test-{ports.web}"
    program = folder / "bin" / "docker"
    program.parent.mkdir()
    program.write_text(
        DOCKER.format(
            compose=shlex.join(engine.compose),
            docker=shlex.quote(str(shutil.which("docker", path=engine.env["PATH"]))),
            project=project,
            options=shlex.join(build_options(folder)),
        )
    )
    program.chmod(0o755)
    settings = {
        **images,
        "ROLLCALL_HTTP": f"127.0.0.1:{ports.web}",
        "ROLLCALL_HTTPS": f"127.0.0.1:{ports.https}",
        "ROLLCALL_HUB": f"127.0.0.1:{ports.hub}",
        "ROLLCALL_MQTT": f"127.0.0.1:{ports.mqtt}",
        "ROLLCALL_GRAFANA": f"127.0.0.1:{ports.grafana}",
        "ROLLCALL_OPEN_FILES": min(65_536, resource.getrlimit(resource.RLIMIT_NOFILE)[1]),
        "ROLLCALL_DEBOUNCE_S": 86_400,  # one punch per person and place, however long the test takes
        "MYSQL_BUFFER_POOL": "64M",
    }
    env = engine.env | {name: str(value) for name, value in settings.items()}
    env["PATH"] = os.pathsep.join((str(program.parent), env["PATH"]))
    stack = Stack(replace(engine, env=env), root, ports)
    try:
        yield stack
    finally:
        print(stack.compose("logs", "--no-color", "--tail=60"))
        stack.compose("down", "--volumes", "--remove-orphans")


@dataclass
class Kiosk:
    """A camera that sees one person for ever, and what its screen was shown."""

    place: str
    jpeg: bytes
    results: int = 0
    identified: set[str] = field(default_factory=set)
    punches: dict[str, str] = field(default_factory=dict)
    """event → recorded or repeated"""

    async def stand(self, url: str) -> None:
        """For ever; reconnects."""
        address = f"ws{url.removeprefix('http')}/stream"
        async with contextlib.aclosing(aiter(connect(address, proxy=None, compression=None))) as sockets:
            async for socket in sockets:
                with contextlib.suppress(WebSocketException):
                    await socket.send(json.dumps({"type": "hello", "place": self.place}))
                    async for text in socket:
                        await self._answer(socket, json.loads(text))

    async def _answer(self, socket: Any, message: dict[str, Any]) -> None:
        match message["type"]:
            case "next":
                await socket.send(self.jpeg)
            case "result":
                self.results += 1
                self.identified |= {face["event"] for face in message["faces"] if face["verdict"] == "identified"}
            case "punch":
                self.punches[message["event"]] = message["state"]


@asynccontextmanager
async def kiosks_at(url: str, people: list[bytes], each: int) -> AsyncIterator[list[Kiosk]]:
    """`each` kiosks for every person, at work while inside."""
    kiosks = [Kiosk(f"place-{number}", people[number % len(people)]) for number in range(len(people) * each)]
    tasks = [asyncio.create_task(kiosk.stand(url)) for kiosk in kiosks]
    try:
        yield kiosks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def flowing(kiosks: list[Kiosk]) -> None:
    """Every kiosk gets fresh results."""
    before = [kiosk.results for kiosk in kiosks]

    async def all_moved() -> bool:
        return all(kiosk.results > old for kiosk, old in zip(kiosks, before, strict=True))

    await eventually(all_moved, 60, "results flow to every kiosk")


async def check_ledger(stack: Stack, kiosks: list[Kiosk]) -> None:
    """What people were shown against what the database says: nothing lost, nothing doubled."""
    shown = {event for kiosk in kiosks for event in kiosk.identified}

    async def all_in_inbox() -> bool:
        told = await asyncio.to_thread(stack.rows, "select event_id from inbox")
        return shown <= {row[0] for row in told}

    await eventually(all_in_inbox, 60, "every identified frame reached the ledger")
    punches = stack.rows("select identified_event, st_num, place from punches")
    events = Counter(event for event, _, _ in punches)
    assert max(events.values()) == 1
    assert max(Counter((number, place) for _, number, place in punches).values()) == 1
    for kiosk in kiosks:
        assert [place for _, _, place in punches if place == kiosk.place] == [kiosk.place]
        for event, state in kiosk.punches.items():
            assert (event in events) == (state == "recorded")


async def until_reachable(url: str) -> None:
    """Wait until the proxy has somebody behind it."""
    async with httpx.AsyncClient(base_url=url, timeout=5, trust_env=False) as web:

        async def answers() -> bool:
            try:
                return (await web.get("/healthz")).status_code == 200
            except httpx.HTTPError:
                return False

        await eventually(answers, BACK_S, "the proxy answers")
