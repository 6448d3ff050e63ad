"""deploy/compose.yaml at work: its containers, what its database says, and kiosks that look at it through the proxy."""

import asyncio
import contextlib
import json
import os
import resource
import shlex
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from rollcall.local import free_port
from shared.testing import eventually
from tests.compose.engine import ROOT, Engine

PROJECT = "rollcall-test"
BACK_S = 240.0
"""recognizers that start together on two busy cores take a minute and a half"""


@dataclass(frozen=True)
class Stack:
    """A project of containers."""

    engine: Engine
    env_file: Path
    web_port: int
    hub_port: int
    mqtt_port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.web_port}"

    @property
    def hub_url(self) -> str:
        return f"ws://127.0.0.1:{self.hub_port}"

    @property
    def secrets(self) -> Path:
        return secrets_beside(self.env_file)

    def compose(self, *command: str) -> str:
        files = ("--env-file", str(self.env_file), "-f", str(ROOT / "deploy/compose.yaml"), "-p", PROJECT)
        return self.engine.run(*self.engine.compose, *files, *command)

    def containers(self, service: str) -> list[str]:
        return self.compose("ps", "-q", service).split()

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
        client = 'exec mysql --batch --skip-column-names -urollcall -p"$(cat /run/secrets/mysql_password)" rollcall'
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

        async def renewed() -> bool:
            since, health = await asyncio.to_thread(self.state, container)
            return since != before and health == "healthy"

        await eventually(renewed, BACK_S, f"{container} is back")


def written(begins: str) -> list[str]:
    """What docs/operating.md gives to `docker compose` in the line that begins so, without where its output goes."""
    lines = (ROOT / "docs/operating.md").read_text(encoding="utf-8").splitlines()
    (line,) = (line for line in lines if line.startswith(f"docker compose {begins}"))
    return shlex.split(line.partition(" > ")[0])[2:]


def secrets_beside(env_file: Path) -> Path:
    return env_file.parent / "secrets"


def rollcall(engine: Engine, secrets: Path, *command: str) -> str:
    """A command about the secrets, which are /secrets to it; its standard output."""
    user = f"{os.getuid()}:{os.getgid()}"
    mount = f"{secrets}:/secrets"
    return engine.docker("run", "--rm", "--network=none", "-u", user, "-v", mount, "rollcall-cli", *command)


@contextmanager
def running(engine: Engine, images: Mapping[str, str], folder: Path) -> Iterator[Stack]:
    """The stack from its secrets to its end; at the end containers, volumes and networks are gone."""
    env_file = folder / "env"
    secrets = secrets_beside(env_file)
    secrets.mkdir()
    rollcall(engine, secrets, "secrets", "/secrets")
    web, hub, tls, mqtt = free_port(), free_port(), free_port(), free_port()
    settings = {
        **images,
        "ROLLCALL_SECRETS": secrets,
        "ROLLCALL_HTTP": f"127.0.0.1:{web}",
        "ROLLCALL_HTTPS": f"127.0.0.1:{tls}",
        "ROLLCALL_HUB": f"127.0.0.1:{hub}",
        "ROLLCALL_MQTT": f"127.0.0.1:{mqtt}",
        "COMPOSE_PROFILES": "mqtt",
        "ROLLCALL_OPEN_FILES": min(65_536, resource.getrlimit(resource.RLIMIT_NOFILE)[1]),
        "ROLLCALL_DEBOUNCE_S": 86_400,  # one punch per person and place, however long the test takes
        "MYSQL_BUFFER_POOL": "64M",
    }
    env_file.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
    stack = Stack(engine, env_file, web, hub, mqtt)
    try:
        stack.compose("up", "-d")
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
