"""deploy/compose.yaml really run (`make test-compose`): real containers, through the proxy."""

import asyncio
import json
import os
import ssl
import sys
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
from tests.compose.engine import ROOT, Engine
from tests.compose.stack import Kiosk, Stack, a_checkout, block, check_ledger, flowing, kiosks_at, until_reachable
from tests.systems import data_url, photos, register

pytestmark = [
    pytest.mark.compose,
    pytest.mark.skipif(
        os.environ.get("ROLLCALL_COMPOSE") != "1", reason="takes 20 minutes and a Docker engine: make test-compose"
    ),
]
KILLED = ("recognizer", "registry", "gateway", "device-hub", "nats", "mysql", "proxy", "mqtt", "mqtt-bridge")
ANYWHERE = ("kiosk", "bad_input", "terminal_api", "baidu_sdk", "door", "orders")
"""the tests of tests/e2e that do not care where they run; the others start services with settings of their own, stop
them, or are about `rollcall up`"""
SUITE_S = 600
ROLLCALL_CLI = 'docker run --rm -u "$(id -u):$(id -g)" -v "$PWD/secrets:/secrets" rollcall-cli'


@pytest.fixture(scope="module")
def stack(engine: Engine, images: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with a_checkout(engine, images, tmp_path_factory.mktemp("compose")) as stack:
        stack.follow("cd deploy")
        yield stack


@pytest.fixture(scope="module")
def mqtt_password(stack: Stack) -> str:
    """Third parties' server is there, and knows `home`."""
    said = stack.follow(f"{ROLLCALL_CLI} mqtt add", "mqtt.md")
    return next(line.removeprefix("Password: ") for line in said.splitlines() if line.startswith("Password: "))


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
    assert stack.secret("library_key") not in said


@pytest.mark.parametrize("way", ["its own port", "the web's"])
async def test_a_terminal_connects_through_the_proxy(stack: Stack, people: list[bytes], way: str) -> None:
    name = f"gate by {way}"
    said = stack.compose("run", "--rm", "cli", "device", "add", name, f"SN-{len(way)}")
    secret = next(line.removeprefix("Secret: ") for line in said.splitlines() if line.startswith("Secret: "))
    hub = stack.hub_url if way == "its own port" else f"ws://127.0.0.1:{stack.ports.web}"
    heard = list[Event]()
    identity, server = Identity(name, f"SN-{len(way)}", secret.strip()), Server(stack.url, hub)
    async with background(Terminal(identity, server, heard.append, dice=Random(1)).run()):

        async def is_online() -> bool:
            return any(isinstance(event, Online) for event in heard)

        await eventually(is_online, timeout=30)


async def test_a_third_party_is_let_in_and_hears_a_punch(stack: Stack, people: list[bytes], mqtt_password: str) -> None:
    """TLS with the certificate that came with the secrets, then with one of one's own."""
    for number in range(2):
        await stack.healthy("mqtt")
        await stack.healthy("mqtt-bridge")
        place = f"by mqtt {number}"
        async with _at_home(stack, mqtt_password) as reader:
            await reader.subscribe("rollcall/v1/punch", 1)
            async with background(Kiosk(place, people[0]).stand(stack.url)), asyncio.timeout(60):
                async for message in reader.messages:
                    if json.loads(message.payload)["place"] == place:
                        break
        for name, kept in (("fullchain.pem", "mqtt_cert"), ("privkey.pem", "mqtt_key")):
            (stack.deploy / name).write_text(stack.secret(kept) + "\n")
        stack.follow("install -m 444", "mqtt.md")
    stack.follow(f"{ROLLCALL_CLI} secrets", "mqtt.md")


def _at_home(stack: Stack, password: str) -> Client:
    trust = ssl.create_default_context(cafile=str(stack.secrets / "mqtt_cert"))
    return Client("127.0.0.1", stack.ports.mqtt, username="home", password=password, tls_context=trust, timeout=20)


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
            grow = block("operating.md", "docker compose up -d --no-recreate")
            grow = grow.replace("recognizer=3", f"recognizer={recognizers}").replace("gateway=2", f"gateway={gateways}")
            await asyncio.to_thread(stack.compose, *grow.split()[2:])
            await stack.healthy("recognizer", recognizers)
            await stack.healthy("gateway", gateways)
            await flowing(kiosks)
        await check_ledger(stack, kiosks)
    assert set(answers) == {0}
    assert len(answers) > 10


@pytest.mark.usefixtures("mqtt_password")
async def test_each_container_is_killed_and_comes_back(stack: Stack, people: list[bytes]) -> None:
    async with kiosks_at(stack.url, people, each=2) as kiosks:
        await flowing(kiosks)
        for service in KILLED:
            await stack.killed_and_back(stack.containers(service)[0])
            await flowing(kiosks)
        await check_ledger(stack, kiosks)


async def test_what_was_saved_comes_back(stack: Stack, people: list[bytes]) -> None:
    """The database, and a punch that had not reached it when it was saved. Who came later is gone."""
    stack.compose("stop", "registry")
    async with kiosks_at(stack.url, people[:1], each=1) as (kiosk,):
        kiosk.place = "saved"

        async def is_identified() -> bool:
            return bool(kiosk.identified)

        await eventually(is_identified, 60, "somebody is recognised while there is no registry")
    stack.follow("mkdir -p backup")
    stack.compose("start", "registry")
    await check_ledger(stack, [kiosk])
    punched = stack.rows('select identified_event from punches where place = "saved"')
    async with _client(stack) as web:
        await register(web, "s3", "Emmanuel Macron", photos()["Emmanuel Macron"][0])

        stack.follow("docker compose stop registry nats")
        await stack.healthy("nats")
        await stack.healthy("registry")
        await check_ledger(stack, [kiosk])
        assert stack.rows('select identified_event from punches where place = "saved"') == punched
        assert stack.rows("select st_num from students order by st_num") == [["s1"], ["s2"]]

        async def errno(picture: bytes) -> int:
            return int((await web.post("/clockin", json={"img_data": data_url(picture)})).json()["errno"])

        async def later_ones_are_strangers() -> bool:
            return await errno(photos()["Emmanuel Macron"][1]) == 222207

        await eventually(later_ones_are_strangers, 60, "the recognizer has what was saved")
        assert await errno(people[0]) == 0


@pytest.mark.parametrize("name", ANYWHERE)
async def test_the_end_to_end_suite_holds_in_containers(stack: Stack, name: str, tmp_path: Path) -> None:
    await until_reachable(stack.url)
    stack.site(tmp_path).write()
    suite = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "pytest", "-p", "no:cacheprovider", f"tests/e2e/test_{name}.py"),
        cwd=ROOT,
        env={**os.environ, "ROLLCALL_TEST_SITE": str(tmp_path)},
    )
    async with asyncio.timeout(SUITE_S):
        assert await suite.wait() == 0
