"""A whole Rollcall under load: what it listens on, and what it never writes into a log."""

import asyncio
import base64
import hashlib
import hmac
import re
import sqlite3
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
from pydantic import SecretStr

from rollcall.local import Options, System, free_port, local_system
from rollcall.office import bus_of, set_password
from shared.contracts.devices import AddDevice, Proof
from shared.contracts.library import CreateKey
from shared.security import make_ticket
from tests.systems import data_url, photos, register, web_client

pytestmark = pytest.mark.asyncio(loop_scope="module")

PASSWORD = "correct horse battery"
PEOPLE = ("Barack Obama", "Jacinda Ardern")


@dataclass
class Watched:
    """A system, and every line that any of its processes has written."""

    system: System
    lines: list[str] = field(default_factory=list)

    @property
    def logs(self) -> str:
        """All of them, the broker's file included."""
        files = [path for path in (self.system.options.data / "nats").rglob("*.log") if path.is_file()]
        return "\n".join([*self.lines, *(path.read_text("utf-8", "replace") for path in files)])


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def watched(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Watched]:
    lines: list[str] = []
    options = Options(
        data=tmp_path_factory.mktemp("watched") / "data", port=free_port(), hub_port=free_port(), recognizers=1
    )
    async with local_system(options, lambda name, line: lines.append(f"{name} {line}"), lines.append) as system:
        yield Watched(system, lines)


# ---- ports


def family(system: System) -> set[int]:
    """The system's processes and what they have started."""
    roots = [child.process for child in system.children.values()] + [system.broker.process]
    found = {process.pid for process in roots if process is not None}
    while more := {pid for pid, parent in _parents() if parent in found} - found:
        found |= more
    return found


def _parents() -> Iterator[tuple[int, int]]:
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                yield int(folder.name), int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            except (OSError, IndexError):
                continue  # it has just ended


def listening(pids: set[int]) -> set[tuple[str, int]]:
    """(address, port) of every TCP socket that these processes listen on; an IPv6 address is in hexadecimal."""
    sockets: dict[str, tuple[str, int]] = {}
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            _, local, _, state, *rest = line.split()
            address, _, port = local.partition(":")
            if state == "0A":
                octets = ".".join(str(byte) for byte in reversed(bytes.fromhex(address))) if table == "tcp" else address
                sockets[rest[5]] = (octets, int(port, 16))
    found = set()
    for pid in pids:
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            try:
                link = str(descriptor.readlink())
            except OSError:
                continue  # closed just now
            if (inode := link.removeprefix("socket:[").removesuffix("]")) in sockets:
                found.add(sockets[inode])
    return found


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="Linux tells who listens")
async def test_every_port_is_known_and_on_this_machine(watched: Watched) -> None:
    """Two doors for people and terminals, the broker, and the operators' ports; nothing for the network by default."""
    system = watched.system
    known = {system.options.port, system.options.hub_port}
    known |= {httpx.URL(url).port or 0 for url in system.ready_urls.values()}
    known |= {httpx.URL(system.broker.monitor_url).port or 0, int(system.running.nats_url.rpartition(":")[2])}
    found = listening(family(system))
    assert {port for _, port in found} == known
    assert {address for address, _ in found} == {"127.0.0.1"}


STATED = {"/healthz", "/readyz", "/metrics"}
"""What an operator's port may answer, without proof: counts and states, nobody's name (docs/security.md)."""
GUESSED = [
    "/",
    "/admin",
    "/debug",
    "/docs",
    "/openapi.json",
    "/office",
    "/students",
    "/config",
    "/env",
    "/varz",
    "/.git",
]


async def test_operators_ports_and_the_hub_answer_nothing_else(watched: Watched) -> None:
    """The gateway's routes each state a policy (tests/unit/gateway/pages/test_app.py); these are all the others."""
    system = watched.system
    urls = {name: url.removesuffix("/readyz") for name, url in system.ready_urls.items()}
    assert {"registry", "recognizer-1", "gateway", "device-hub"} <= set(urls)
    hub = f"http://127.0.0.1:{system.options.hub_port}"
    async with httpx.AsyncClient(trust_env=False) as web:
        for name, url in {**urls, "hub's door": hub}.items():
            for path in GUESSED:
                for method in ("GET", "POST"):
                    answer = await web.request(method, url + path)
                    assert answer.status_code in (404, 405), (name, method, path)
        for name, url in urls.items():
            for path in STATED:
                answer = await web.get(url + path)
                assert answer.status_code in (200, 503), (name, path)
                assert answer.headers["x-content-type-options"] == "nosniff"
        for public in (hub, system.running.url):
            assert (await web.get(public + "/metrics")).status_code == 404
            assert (await web.get(public + "/healthz")).status_code == 200
        assert (await web.get(hub + "/terminal")).status_code == 426


async def test_the_broker_lets_nobody_in_without_a_password(watched: Watched) -> None:
    port = int(watched.system.running.nats_url.rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    assert b'"auth_required":true' in await reader.readline()
    writer.write(b'CONNECT {"verbose":false}\r\nPUB x 0\r\n\r\nPING\r\n')
    assert b"Authorization Violation" in await reader.read()
    writer.close()


# ---- logs


async def a_busy_hour(system: System) -> set[str]:
    """People, terminals, programs and the office at once, right and wrong; every secret that was in it."""
    secrets = {PASSWORD, *system.keys.broker.values(), system.keys.library, system.keys.web, system.keys.token}
    await set_password(system.options.data, PASSWORD)
    async with bus_of(system.options.data) as bus:
        issued = await bus.ask(AddDevice(name="东门", sn="E-1", proof=Proof.SECRET, by="test"))
        key = await bus.ask(CreateKey(name="door", by="test"))
    secret = issued.secret.get_secret_value()
    secrets |= {secret, key.secret_key.get_secret_value()}
    async with web_client(system) as web:
        jobs = [people(web), terminal(web, secret), program(web, key.key.api_key, key.secret_key), office(web, system)]
        for found in await asyncio.gather(*jobs):
            secrets |= found
    with sqlite3.connect(f"file:{system.options.data / 'rollcall.db'}?mode=ro", uri=True) as database:
        for (sealed,) in database.execute("select embedding from faces"):
            secrets |= {sealed.hex(), base64.b64encode(sealed).decode()}
    return secrets


async def people(web: httpx.AsyncClient) -> set[str]:
    for number, name in enumerate(PEOPLE):
        await register(web, f"busy{number}", name, photos()[name][0])
        await register(web, f"busy{number}", name, b"not a picture" * 9)
    for name in PEOPLE * 3:
        await web.post("/clockin", json={"img_data": data_url(photos()[name][1])})
        await web.post("/clockin", json={"img_data": data_url(photos()[name][1])[:5_000]})
    return {base64.b64encode(photo).decode() for name in PEOPLE for photo in photos()[name][:2]}


async def terminal(web: httpx.AsyncClient, secret: str) -> set[str]:
    who, found = {"deviceName": "东门", "sn": "E-1"}, set()
    for number in range(6):
        challenge = (await web.post("/faces/api/token", data=who)).json()["challenge"]
        answer = hmac.new(secret.encode(), challenge.encode(), hashlib.sha256).hexdigest()
        token = (await web.post("/faces/api/token", data={**who, "challenge": challenge, "answer": answer})).json()
        found |= {challenge, answer, token["token"]}
        picture = {"image": ("a.jpg", photos()[PEOPLE[number % 2]][1])}
        await web.post("/faces/api/faceDetect", data={"token": token["token"]}, files=picture)
        await web.post("/faces/api/getDbs", data={"token": token["token"]})  # used up
    return found


async def program(web: httpx.AsyncClient, api_key: str, secret_key: SecretStr) -> set[str]:
    asked = {"grant_type": "client_credentials", "client_id": api_key, "client_secret": secret_key.get_secret_value()}
    token = (await web.get("/oauth/2.0/token", params=asked)).json()["access_token"]
    await web.get("/oauth/2.0/token", params={**asked, "client_secret": "wrong-but-somebodys-secret"})
    image = base64.b64encode(photos()[PEOPLE[0]][0]).decode()
    found = {token, "wrong-but-somebodys-secret"}
    for call in ("detect", "search", "nothing"):
        body = {"image": image, "image_type": "BASE64", "group_id_list": "students"}
        answer = await web.post(f"/rest/2.0/face/v3/{call}", params={"access_token": token}, json=body)
        found |= set(re.findall(r'"face_token": ?"(\w+)"', answer.text))
    await web.post("/rest/2.0/face/v3/detect", params={"access_token": token + "x"}, json={})
    return found


async def office(web: httpx.AsyncClient, system: System) -> set[str]:
    async with web_client(system) as browser:
        page = await browser.get("/office/login")
        form = {"form_token": re.findall(r'name="form_token" value="(\w+)"', page.text)[0], "password": PASSWORD}
        await browser.post("/office/login", data={**form, "password": "somebodys typing error"})
        assert (await browser.post("/office/login", data=form)).status_code == 303
        assert (await browser.get("/office/students")).status_code == 200
        wall = make_ticket(system.keys.web, "wall", 60)
        assert (await browser.get("/live", params={"ticket": wall})).status_code == 200
        await browser.get("/live", params={"ticket": wall[:-2]})
        return {form["form_token"], wall, "somebodys typing error", *browser.cookies.values()}


async def test_no_secret_token_picture_or_cookie_is_in_a_log(watched: Watched) -> None:
    secrets = await a_busy_hour(watched.system)
    long = {secret[start : start + 48] for secret in secrets if len(secret) > 96 for start in (0, len(secret) // 2)}
    assert len(secrets) > 35 and len(long) > 8 and min(map(len, secrets)) >= 16
    logs = watched.logs
    assert "punch" in logs, "the logs of a busy hour say something"
    assert [secret[:12] for secret in secrets | long if secret in logs] == []
    assert not re.search(r"[0-9A-Za-z+/]{200}|(?:-?\d\.\d+, ){8}", logs), "no picture, no embedding"
    assert "Traceback" not in logs
