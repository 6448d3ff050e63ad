"""deploy/compose.yaml really run (`make test-compose`): real containers, through the proxy."""

import asyncio
import json
import os
import ssl
from collections.abc import Iterator
from pathlib import Path
from random import Random

import httpx
import pytest
from aiomqtt import Client

from shared.runtime import background
from shared.testing import eventually
from terminal.admission import Identity, Server
from terminal.client import Terminal
from terminal.events import Event, Online
from terminal.simulator import letterbox
from tests.compose.engine import an_engine, prepare_images
from tests.compose.stack import (
    Kiosk,
    Stack,
    check_ledger,
    flowing,
    kiosks_at,
    rollcall,
    running,
    until_reachable,
    written,
)
from tests.systems import data_url, photos, register

pytestmark = [
    pytest.mark.compose,
    pytest.mark.skipif(
        os.environ.get("ROLLCALL_COMPOSE") != "1", reason="takes ten minutes and a Docker engine: make test-compose"
    ),
]
KILLED = ("recognizer", "registry", "gateway", "device-hub", "nats", "mysql", "proxy", "mqtt", "mqtt-bridge")
SCALE = written("up -d --no-recreate --scale")[:-3]
"""all but the numbers"""
SAVE = written("exec -T mysql sh -c 'exec mysqldump")


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("compose")
    with an_engine() as engine, running(engine, prepare_images(engine, folder), folder) as stack:
        yield stack


@pytest.fixture
async def people(stack: Stack) -> list[bytes]:
    """Two registered people; the pictures are others than those registered. To register again changes nothing."""
    await until_reachable(stack.url)
    faces = photos()
    async with _client(stack) as web:
        for number, name in enumerate(("Barack Obama", "Jacinda Ardern"), start=1):
            await register(web, f"s{number}", name, faces[name][0])
    assert stack.rows("select st_num from students order by st_num") == [["s1"], ["s2"]]
    return [letterbox(faces["Barack Obama"][1]), letterbox(faces["Jacinda Ardern"][1])]


def _client(stack: Stack) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=stack.url, timeout=30, trust_env=False)


async def test_a_registered_face_is_recognised_and_punched_once(stack: Stack, people: list[bytes]) -> None:
    async with _client(stack) as web:
        for picture in (people[0], people[0]):
            answer = (await web.post("/clockin", json={"img_data": data_url(picture)})).json()
            assert (answer["errno"], answer["dict"]["num"]) == (0, "s1")
    assert len(stack.rows("select st_num from punches")) == 1


async def test_what_is_for_operators_stays_inside(stack: Stack, people: list[bytes]) -> None:
    async with _client(stack) as web:
        assert [(await web.get(path)).status_code for path in ("/metrics", "/readyz")] == [404, 404]
    said = stack.engine.docker("inspect", "--format", "{{json .Config.Env}}", *stack.containers("registry"))
    key = (stack.secrets / "library_key").read_text()
    assert key not in said


@pytest.mark.parametrize("way", ["its own port", "the web's"])
async def test_a_terminal_connects_through_the_proxy(stack: Stack, people: list[bytes], way: str) -> None:
    name = f"gate by {way}"
    said = stack.compose("run", "--rm", "cli", "device", "add", name, f"SN-{len(way)}")
    secret = next(line.removeprefix("Secret: ") for line in said.splitlines() if line.startswith("Secret: "))
    hub = stack.hub_url if way == "its own port" else f"ws://127.0.0.1:{stack.web_port}"
    heard = list[Event]()
    identity, server = Identity(name, f"SN-{len(way)}", secret.strip()), Server(stack.url, hub)
    async with background(Terminal(identity, server, heard.append, dice=Random(1)).run()):

        async def is_online() -> bool:
            return any(isinstance(event, Online) for event in heard)

        await eventually(is_online, timeout=30)


async def test_a_third_party_is_let_in_and_hears_a_punch(stack: Stack, people: list[bytes]) -> None:
    """As docs/mqtt.md has it: added, the broker restarted, TLS with the certificate of the secrets."""
    name = "campus-app"
    password = rollcall(stack.engine, stack.secrets, "mqtt", "add", name, "--secrets", "/secrets").split()[-1]
    stack.compose("restart", "mqtt")
    await stack.healthy("mqtt")
    await stack.healthy("mqtt-bridge")
    trust = ssl.create_default_context(cafile=str(stack.secrets / "mqtt_cert"))
    port = stack.mqtt_port
    async with Client("127.0.0.1", port, username=name, password=password, tls_context=trust, timeout=20) as reader:
        await reader.subscribe("rollcall/v1/punch", 1)
        async with background(Kiosk("by mqtt", people[0]).stand(stack.url)), asyncio.timeout(60):
            async for message in reader.messages:
                if json.loads(message.payload)["place"] == "by mqtt":
                    break


async def test_recognizers_come_and_go_and_who_asks_is_answered(stack: Stack, people: list[bytes]) -> None:
    """-2: nobody was free in the time that a person waits, and the page says so. A busy machine may be that slow while
    containers start; who then tries once more, as the page asks, is answered."""

    async def ask(web: httpx.AsyncClient) -> int:
        answer = (await web.post("/clockin", json={"img_data": data_url(people[1])})).json()
        return int(answer["errno"])

    async def ask_for_ever(answers: list[int]) -> None:
        async with _client(stack) as web:
            while True:
                first = await ask(web)
                answers.append(first if first != -2 else await ask(web))

    answers: list[int] = []
    async with kiosks_at(stack.url, people, each=2) as kiosks, background(ask_for_ever(answers)):
        for recognizers, gateways in ((3, 2), (1, 1)):
            numbers = f"recognizer={recognizers}", "--scale", f"gateway={gateways}"
            await asyncio.to_thread(stack.compose, *SCALE, *numbers)
            await stack.healthy("recognizer", recognizers)
            await stack.healthy("gateway", gateways)
            await flowing(kiosks)
        await check_ledger(stack, kiosks)
    assert set(answers) == {0}
    assert len(answers) > 10


async def test_each_container_is_killed_and_comes_back(stack: Stack, people: list[bytes]) -> None:
    async with kiosks_at(stack.url, people, each=2) as kiosks:
        await flowing(kiosks)
        for service in KILLED:
            await stack.killed_and_back(stack.containers(service)[0])
            await flowing(kiosks)
        await check_ledger(stack, kiosks)


def test_backups_are_made(stack: Stack, tmp_path: Path) -> None:
    """The database as docs/operating.md has it; of the broker's volume, that there is something to save."""
    dump = stack.compose(*SAVE)
    assert "CREATE TABLE `students`" in dump
    assert "jetstream" in stack.compose("run", "--rm", "prepare", "ls", "/volumes/nats").split()
