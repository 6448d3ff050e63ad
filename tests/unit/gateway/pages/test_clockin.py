"""GET/POST /clockin: the seed's JSON, and clear words for every broken request."""

import base64
import json
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from gateway.app import create_app
from gateway.clockin import Answer, Punch
from gateway.throttle import Rate, Rates
from shared.contracts.people import Gender, Person
from shared.errors import Unavailable
from tests.unit.gateway.pages.conftest import ENGLISH, browser_at
from tests.unit.gateway.pages.gateway_double import GatewayDouble

PICTURE = b"\xff\xd8\xff some picture"
DATA_URL = "data:image/jpeg;base64," + base64.b64encode(PICTURE).decode()
ASKED = {"img_data": DATA_URL}
WHO = Person(student_id=1, num="001", name="李思涵", class_name="高一(1)班", gender=Gender.WOMAN)
AT = datetime(2026, 3, 2, 0, 1, 22, tzinfo=UTC)


def recognised(state: str = "recorded") -> Answer:
    return Answer(0, "识别成功", "recognised", WHO, Punch(state, AT), 93.44)


async def test_success_is_the_seeds_json_and_a_little_more(browser: httpx.AsyncClient, gateway: GatewayDouble) -> None:
    gateway.recognition.answer = recognised()
    answer = await browser.post("/clockin", json=ASKED)
    assert answer.status_code == 200
    assert answer.json() == {
        "errno": 0,
        "errmsg": "识别成功",
        "dict": {"name": "李思涵", "class": "高一(1)班", "num": "001", "gender": "女"},
        "punch": {"state": "recorded", "at": "2026-03-02T08:01:22+08:00", "at_text": "08:01"},
        "score": 93.4,
    }
    assert gateway.recognition.seen == [(PICTURE, "web")]


async def test_the_place_goes_along(browser: httpx.AsyncClient, gateway: GatewayDouble) -> None:
    gateway.recognition.answer = recognised("repeated")
    answer = await browser.post("/clockin", json={**ASKED, "place": " 东门 "})
    assert answer.json()["punch"]["state"] == "repeated"
    assert gateway.recognition.seen == [(PICTURE, "东门")]


async def test_what_a_page_says_of_the_match_counts_for_nothing(
    browser: httpx.AsyncClient, gateway: GatewayDouble
) -> None:
    """Only the picture says who it is: peers took the name and the score from the browser."""
    claim = {"num": "001", "name": "李思涵", "student_id": 1, "score": 100, "matched": True, "verdict": "identified"}
    answer = await browser.post("/clockin", json={**ASKED, **claim, "dict": claim})
    assert answer.json() == {"errno": 222207, "errmsg": "未找到匹配的学员"}
    assert gateway.recognition.seen == [(PICTURE, "web")]


async def test_a_stranger_is_an_outcome_not_an_error(browser: httpx.AsyncClient) -> None:
    answer = await browser.post("/clockin", json=ASKED)
    assert answer.status_code == 200
    assert answer.json() == {"errno": 222207, "errmsg": "未找到匹配的学员"}


async def test_failures_speak_the_visitors_language(app: FastAPI) -> None:
    async with browser_at(app, **ENGLISH) as browser:
        assert (await browser.post("/clockin", json=ASKED)).json()["errmsg"] == "No matching student was found"


@pytest.mark.parametrize(
    ("body", "status", "errno", "words"),
    [
        (b"", 400, 222200, "JSON"),
        (b"{", 400, 222200, "JSON"),
        (b"[1]", 400, 222200, "JSON"),
        (b'"text"', 400, 222200, "JSON"),
        (b"\xff\xfe\x00", 400, 222200, "JSON"),
        (b"[" * 200_000, 400, 222200, "JSON"),
        (b"{}", 400, 222001, "img_data"),
        (b'{"img_data": 5}', 400, 222001, "img_data"),
        (b'{"img_data": ""}', 400, 222001, "img_data"),
        (b'{"img_data": "abc"}', 400, 222203, "data:image"),
        (b'{"img_data": "data:image/png;base64,a"}', 400, 222203, "base64"),
        (b'{"img_data": "data:image/png;base64,****"}', 400, 222203, "base64"),
        (b'{"img_data": "data:image/png;base64,\xc3\xa4\xc3\xa4"}', 400, 222203, "base64"),
        (b'{"img_data": "data:image/png;base64,"}', 400, 222203, "空"),
    ],
)
async def test_broken_requests(
    browser: httpx.AsyncClient, gateway: GatewayDouble, body: bytes, status: int, errno: int, words: str
) -> None:
    answer = await browser.post("/clockin", content=body)
    assert (answer.status_code, answer.json()["errno"]) == (status, errno)
    assert words in answer.json()["errmsg"]
    assert not gateway.recognition.seen


@pytest.mark.parametrize("place", [7, None, "很" * 65, ["东门"]])
async def test_a_place_is_a_short_text(browser: httpx.AsyncClient, place: Any) -> None:
    answer = await browser.post("/clockin", json={**ASKED, "place": place})
    assert answer.status_code == 400
    assert "place" in answer.json()["errmsg"]


async def test_a_picture_beyond_ten_megabytes(browser: httpx.AsyncClient) -> None:
    big = "data:image/jpeg;base64," + "A" * (14 * 2**20)
    answer = await browser.post("/clockin", json={"img_data": big})
    assert (answer.status_code, answer.json()["errno"]) == (413, 222304)
    assert "10 MB" in answer.json()["errmsg"]


async def test_a_body_beyond_sixteen_megabytes(browser: httpx.AsyncClient) -> None:
    big = "data:image/jpeg;base64," + "A" * (17 * 2**20)
    answer = await browser.post("/clockin", content=json.dumps({"img_data": big}).encode())
    assert (answer.status_code, answer.json()["errno"]) == (413, 222304)
    assert "16 MB" in answer.json()["errmsg"]


async def test_an_outage_has_the_same_shape(browser: httpx.AsyncClient, gateway: GatewayDouble) -> None:
    gateway.recognition.answer = Unavailable()
    answer = await browser.post("/clockin", json=ASKED)
    assert (answer.status_code, answer.json()) == (503, {"errno": -2, "errmsg": "系统繁忙，请稍后再试"})


async def test_another_site_may_not_post(browser: httpx.AsyncClient, gateway: GatewayDouble) -> None:
    answer = await browser.post("/clockin", json=ASKED, headers={"origin": "https://evil.example"})
    assert (answer.status_code, answer.json()["errno"]) == (403, 6)
    assert not gateway.recognition.seen


async def test_a_flood_gets_baidus_code_for_it(gateway: GatewayDouble) -> None:
    app = create_app(gateway, Rates(clock_in=Rate(burst=1, per_second=0.1)))  # type: ignore[arg-type]
    async with browser_at(app) as browser:
        await browser.post("/clockin", json=ASKED)
        answer = await browser.post("/clockin", json=ASKED)
    assert (answer.status_code, answer.json()["errno"]) == (429, 18)
    assert "retry-after" in answer.headers


async def test_the_page_has_the_seeds_elements(browser: httpx.AsyncClient) -> None:
    page = (await browser.get("/clockin")).text
    for element in ("video", "show_result", "camera", "overlay", "banner", "place", "upload"):
        assert f'id="{element}"' in page
    page = (await browser.get("/register")).text
    for element in ("video", "picture", "tkpicture", "retkpicture", "img_data"):
        assert f'id="{element}"' in page
    for field in ("stu_name", "stu_class", "stu_num", "gender", "img_data", "photo", "consent"):
        assert f'name="{field}"' in page
