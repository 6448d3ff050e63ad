"""`POST /faces/api/token` as seed 004 prints it, through the gateway's route to a real hub."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from shared.bus import Bus
from tests.conftest import Broker
from tests.integration.device_hub.conftest import Site
from tests.unit.gateway.terminal.host_double import HostDouble

URL = "/faces/api/token"
GOOD = {"deviceName": "门1", "sn": "SN1"}


def web(bus: Bus) -> httpx.AsyncClient:
    return HostDouble(bus).web()


@pytest.fixture
async def api(site: Site) -> AsyncIterator[httpx.AsyncClient]:
    async with web(site.gateway) as client:
        yield client


@pytest.mark.parametrize(
    "how",
    [{"data": GOOD}, {"json": GOOD}, {"files": {key: (None, value) for key, value in GOOD.items()}}],
    ids=["form", "json", "multipart"],
)
async def test_the_answer_is_as_printed(site: Site, api: httpx.AsyncClient, how: dict[str, Any]) -> None:
    answer = await api.post(URL, **how)
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    body = answer.json()
    assert body == {"flag": "token", "code": 0, "token": body["token"]}
    assert len(body["token"]) == 40
    assert (await site.whose(body["token"])).device_id == 1


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({}, 9002),
        ({"other": "x"}, 2),
        ({"deviceName": "门1"}, 9005),
        ({"sn": "SN1"}, 9005),
        ({"deviceName": "", "sn": "SN1"}, 9005),
        ({"deviceName": "门1", "sn": "  "}, 9005),
        ({"deviceName": "", "sn": ""}, 9005),
        ({"deviceName": "x" * 65, "sn": "SN1"}, 9003),
        ({"deviceName": "门1", "sn": "x" * 65}, 9003),
        ({"deviceName": "门\x001", "sn": "SN1"}, 9003),
        ({"deviceName": "门1", "sn": "SN\n1"}, 9003),
        ({"deviceName": "门1", "sn": "序列号"}, 9003),
        ({"deviceName": "门‮1", "sn": "SN1"}, 9003),
        ({"deviceName": "门1", "sn": "SN2"}, 9004),
        ({"deviceName": "门1", "sn": "SN0"}, 9004),
        ({"deviceName": "无此门", "sn": "SN0"}, 9001),
        ({"deviceName": "门4", "sn": "SN4"}, 9001),
        ({"deviceName": " 门1 ", "sn": " SN1 "}, 0),
    ],
)
@pytest.mark.parametrize("kind", ["data", "json"])
async def test_the_codes(api: httpx.AsyncClient, fields: dict[str, str], code: int, kind: str) -> None:
    answer = await api.post(URL, **{kind: fields})  # type: ignore[arg-type]
    assert answer.status_code == 200
    body = answer.json()
    assert (body["flag"], body["code"]) == ("token", code)
    assert ("message" in body) is (code != 0)


@pytest.mark.parametrize(
    ("content", "kind", "code"),
    [
        (b"", "", 9002),
        (b"", "application/json", 9002),
        (b"{", "application/json", 9115),
        (b"[]", "application/json", 9115),
        (b"[" * 60_000, "application/json", 9115),
        (b'{"deviceName":7,"sn":"SN1"}', "application/json", 9003),
        (b'{"deviceName":["a"],"sn":{}}', "application/json", 9003),
        (b'{"deviceName":null,"sn":null}', "application/json", 9002),
        (b'{"deviceName":"\\ud800","sn":"SN1"}', "application/json", 9003),
        (b"\xff\xfe", "application/json", 9115),
        (b"deviceName=%E9&sn=SN1", "application/x-www-form-urlencoded", 9003),
        (b"deviceName=a&sn=b" + b"&x=y" * 40, "application/x-www-form-urlencoded", 9115),
        (b"rubbish", "multipart/form-data", 9115),
        (b"rubbish", "multipart/form-data; boundary=x", 9115),
        (b"--x\r\nContent-Disposition: form-data\r\n\r\n\r\n--x--\r\n", "multipart/form-data; boundary=x", 9115),
        (b"deviceName=a&sn=b", "text/plain", 9002),
    ],
)
async def test_rubbish_is_refused_in_the_same_form(
    api: httpx.AsyncClient, content: bytes, kind: str, code: int
) -> None:
    answer = await api.post(URL, content=content, headers={"content-type": kind})
    assert answer.status_code == 200
    assert (answer.json()["flag"], answer.json()["code"]) == ("token", code)


async def test_a_file_is_no_name(api: httpx.AsyncClient) -> None:
    answer = await api.post(URL, files={"deviceName": ("a.jpg", b"\xff\xd8")}, data={"sn": "SN1"})
    assert answer.json()["code"] == 9003


async def test_a_body_without_end_is_not_read_to_the_end(api: httpx.AsyncClient) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 10_000

    answer = await api.post(URL, content=endless(), headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (413, 9)


async def test_without_a_hub_the_client_is_told_to_come_back(broker: Broker) -> None:
    async with broker.connect("gateway") as bus, web(bus) as api:
        answer = await api.post(URL, data=GOOD)
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "5"
    assert (answer.json()["flag"], answer.json()["code"]) == ("token", 1)


async def test_only_post(api: httpx.AsyncClient) -> None:
    assert (await api.get(URL)).status_code == 405
