"""docs/operating.md followed to its end by an operator (`make test-compose`): what grows beside the plain stack of
test_running.py, in the order of the guide."""

import asyncio
import json
import os
import ssl
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.async_api import expect

from shared.bus.topology import EVENTS, TURNS, buckets
from shared.testing import eventually
from terminal.simulator import letterbox
from tests.browsers import browser, camera_film, watched
from tests.compose.engine import Engine
from tests.compose.stack import (
    SERVICES,
    Kiosk,
    Stack,
    a_checkout,
    block,
    check_ledger,
    flowing,
    kiosks_at,
    until_reachable,
)
from tests.compose.test_monitoring import alerts, panels
from tests.e2e.test_door import door_program
from tests.systems import photos, register
from tests.unit.gateway.pages.conftest import post_form

pytestmark = [
    pytest.mark.compose,
    pytest.mark.skipif(
        os.environ.get("ROLLCALL_COMPOSE") != "1", reason="takes 20 minutes and a Docker engine: make test-compose"
    ),
]
BROKERS = ("nats", "nats-2", "nats-3")
STREAMS = {TURNS, EVENTS, *(f"KV_{name}" for name in buckets())}
PROMETHEUS_PORT = 9090


@pytest.fixture(scope="module")
def stack(engine: Engine, images: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with a_checkout(engine, images, tmp_path_factory.mktemp("operating")) as stack:
        stack.follow("cd deploy")
        yield stack


@pytest.fixture
async def kiosks(stack: Stack) -> AsyncIterator[list[Kiosk]]:
    """Two people, each before two cameras; the pictures are others than those registered."""
    await until_reachable(stack.url)
    faces = photos()
    async with httpx.AsyncClient(base_url=stack.url, timeout=30, trust_env=False) as web:
        for number, name in enumerate(("Barack Obama", "Jacinda Ardern"), start=1):
            await register(web, f"s{number}", name, faces[name][0])
    people = [letterbox(faces[name][1]) for name in ("Barack Obama", "Jacinda Ardern")]
    async with kiosks_at(stack.url, people, each=2) as standing:
        await flowing(standing)
        yield standing


@pytest.fixture(scope="module")
def password(stack: Stack) -> str:
    """The office's, and a terminal besides."""
    assert "may connect." in stack.follow("printf 'choose-a-long-one")
    return "choose-a-long-one"


async def test_the_first_password_opens_the_office(stack: Stack, kiosks: list[Kiosk], password: str) -> None:
    async with httpx.AsyncClient(base_url=stack.url, timeout=30, trust_env=False) as web:
        answer = await post_form(web, "/office/login", "/office/login", password=password)
        assert answer.headers["location"] == "/office/punches"
        assert "Barack Obama" in (await web.get("/office/punches")).text


async def test_one_broker_becomes_three_of_which_any_may_die(stack: Stack, kiosks: list[Kiosk]) -> None:
    await asyncio.to_thread(stack.follow, "echo COMPOSE_FILE")
    for broker in BROKERS:
        await stack.healthy(broker)
    await flowing(kiosks)

    async def each_has_everything() -> bool:
        stores = [streams_of(stack, broker) for broker in BROKERS]
        return all(store == dict.fromkeys(STREAMS, 3) for store in stores)

    await eventually(each_has_everything, 60, "each broker has every stream")
    for broker in BROKERS:
        container = stack.containers(broker)[0]
        before, _ = stack.state(container)
        stack.kill(container)
        await flowing(kiosks)
        await stack.back(container, before)
    await flowing(kiosks)
    await check_ledger(stack, kiosks)


def streams_of(stack: Stack, broker: str) -> dict[str, int]:
    """The streams that a broker keeps, and how often the cluster keeps each."""
    ask = ("wget", "-q", "-O", "-", "http://127.0.0.1:8222/jsz?streams=true&config=true")
    told = json.loads(stack.engine.docker("exec", *stack.containers(broker), *ask))
    return {
        stream["name"]: stream["config"]["num_replicas"]
        for account in told["account_details"]
        for stream in account["stream_detail"]
    }


class Prometheus:
    """Its API."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http

    async def get(self, path: str, **params: str) -> Any:
        answer = (await self._http.get(path, params=params)).json()
        assert answer["status"] == "success", answer
        return answer["data"]

    async def found(self, expression: str) -> list[Any]:
        return list((await self.get("/query", query=expression))["result"])


@pytest.fixture
async def prometheus(stack: Stack, images: dict[str, str]) -> AsyncIterator[Prometheus]:
    """Inside the network that nobody but the engine's machine reaches."""
    if "GRAFANA_IMAGE" in images:
        await asyncio.to_thread(stack.follow, "echo COMPOSE_PROFILES")
        await stack.healthy("grafana")
    else:
        print("no image of Grafana here: Prometheus alone")
        await asyncio.to_thread(stack.compose, "--profile", "monitoring", "up", "-d", "prometheus")
    await stack.healthy("prometheus")
    address = stack.address(stack.containers("prometheus")[0])
    async with httpx.AsyncClient(base_url=f"http://{address}:{PROMETHEUS_PORT}/api/v1", trust_env=False) as http:
        yield Prometheus(http)


async def test_prometheus_hears_every_service_and_raises_the_alarm(
    stack: Stack, kiosks: list[Kiosk], prometheus: Prometheus
) -> None:
    async def all_are_heard() -> bool:
        up = await prometheus.found("up == 1")
        return {each["metric"]["job"] for each in up} == set(SERVICES)

    await eventually(all_are_heard, 60, "every service is heard")

    asked = [target["expr"].replace("$__rate_interval", "1m") for panel in panels() for target in panel["targets"]]

    async def every_panel_shows_something() -> bool:
        return all([await prometheus.found(expression) for expression in asked])

    await eventually(every_panel_shows_something, 90, "every panel has something to show")

    rules = [rule for group in (await prometheus.get("/rules"))["groups"] for rule in group["rules"]]
    assert {rule["name"]: rule["health"] for rule in rules} == {alert["alert"]: "ok" for alert in alerts()}

    stack.compose("stop", "recognizer")

    async def is_told_of_it() -> bool:
        raised = (await prometheus.get("/alerts"))["alerts"]
        return ("ServiceGone", "recognizer") in {(a["labels"]["alertname"], a["labels"].get("job")) for a in raised}

    await eventually(is_told_of_it, 120, "an alert for the recognizer that is gone")
    stack.compose("start", "recognizer")
    await stack.healthy("recognizer")
    await flowing(kiosks)


def test_a_face_library_is_taken_along_sealed(stack: Stack) -> None:
    (stack.deploy / "backup").mkdir()
    stack.follow("printf 'a-long-passphrase")
    sealed = (stack.deploy / "backup" / "library.rollcall").read_bytes()
    assert len(sealed) > 1_000
    assert b"Obama" not in sealed


async def test_an_upgrade_loses_nothing(stack: Stack, kiosks: list[Kiosk]) -> None:
    """To other images than those that run: their version is another."""
    with (stack.root / "shared" / "runtime.py").open("a") as source:
        source.write("# Another version.\n")
    before = {service: stack.containers(service) for service in SERVICES}
    await asyncio.to_thread(stack.follow, "sh images.sh")
    for service, containers in before.items():
        await stack.healthy(service)
        assert stack.containers(service) != containers
    await flowing(kiosks)
    await check_ledger(stack, kiosks)


@pytest.mark.usefixtures("kiosks")
async def test_reached_from_outside_by_tls_alone(stack: Stack, password: str, tmp_path: Path) -> None:
    """The certificates of the proxy's own authority, which a browser, a program and a terminal are given."""
    secret = stack.compose("run", "--rm", "cli", "device", "add", "东门", "E-1").partition("Secret: ")[2].split()[0]
    settings = block("operating.md", "ROLLCALL_SITE=").replace("rollcall.school.example", "localhost")
    with (stack.deploy / ".env").open("a") as env:
        env.write(f"{settings}\nROLLCALL_PROXY_OPTION=local_certs\n")
    await asyncio.to_thread(stack.compose, "up", "-d")
    await stack.healthy("proxy")
    stack.follow("docker compose exec -T proxy cat")
    root = stack.deploy / "root.crt"
    url, hub_url = f"https://localhost:{stack.ports.https}", f"wss://localhost:{stack.ports.hub}"
    async with httpx.AsyncClient(
        base_url=url, timeout=30, verify=ssl.create_default_context(cafile=str(root)), trust_env=False
    ) as web:

        async def is_there() -> bool:
            try:
                return (await web.get("/healthz")).status_code == 200
            except httpx.HTTPError:
                return False

        await eventually(is_there, 60, "the proxy answers with TLS")
        logged_in = await post_form(web, "/office/login", "/office/login", password=password)
        assert all("secure" in cookie.lower() for cookie in logged_in.headers.get_list("set-cookie"))
        assert logged_in.headers["location"] == "/office/punches"
        plain = await web.get(f"http://localhost:{stack.ports.web}/clockin")
        assert plain.headers["location"] == "https://localhost/clockin"

    film = camera_film(tmp_path / "film.mjpeg", [photos()["Barack Obama"][1]])
    async with browser(film, any_certificate=True) as context, watched(context) as page:
        await page.goto(f"{url}/clockin?place=outside")
        await expect(page.locator("#banner_state")).to_contain_text("已打卡", timeout=30_000)

    site = stack.site(tmp_path)
    site = replace(site, running=site.running.model_copy(update={"url": url, "hub_url": hub_url}))
    camera = tmp_path / "camera"
    camera.mkdir()
    (camera / "a.jpg").write_bytes(photos()["Jacinda Ardern"][1])
    async with door_program(site, secret, camera, "--ca", str(root)) as door:
        await door.says("online: hub")
        await door.says("recorded · Jacinda Ardern")
    places = [place for (place,) in stack.rows("select place from punches order by id")]
    assert places[-2:] == ["outside", "东门"]
