"""Where the office asks for life: a photo is not named, a head that turns is, and who registers does as asked."""

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import expect
from websockets.asyncio.client import connect

from rollcall.local import System
from tests.browsers import browser, watched
from tests.performer import ANSWERS, moving, obedient_camera, sitting
from tests.systems import a_system, data_url, photos, register, rows, web_client
from train.moved_faces import Kind

WAIT_MS = 60_000
NUMBER = "2026101"
TRIES = 4
"""A machine with too much to do sees too few pictures of a nod; a person would press the button again."""
YAW = -10.0
"""How far the photo looks aside: turned back by this, it looks straight ahead."""


@pytest.fixture(scope="module")
def asked() -> Iterator[None]:
    """What an operator sets."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("ROLLCALL_LIVENESS_MOTION", "require-live")
        environment.setenv("ROLLCALL_REGISTER_CHALLENGE", "on")
        yield


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def system(tmp_path_factory: pytest.TempPathFactory, asked: None) -> AsyncIterator[System]:
    async with a_system(tmp_path_factory.mktemp("liveness") / "data") as running:
        yield running


pytestmark = [pytest.mark.alone, pytest.mark.asyncio(loop_scope="module")]


def students(system: System) -> list[tuple[object, ...]]:
    return rows(system, "select st_name, st_num from students")


async def test_a_photo_alone_does_not_register(system: System) -> None:
    picture = photos()["Emmanuel Macron"][0]
    async with web_client(system) as web:
        answer = await register(web, NUMBER, "Macron", picture)
        assert "请用摄像头完成页面提示的动作" in answer.text
        forged = {"img_data": data_url(picture), "proof": "9999999999.AAAA", "consent": "yes"}
        fields = {"stu_name": "M", "stu_class": "一班", "stu_num": NUMBER, "gender": "MAN"}
        assert "请用摄像头完成页面提示的动作" in (await web.post("/register", data={**fields, **forged})).text
    assert students(system) == []


async def test_who_holds_still_before_the_challenge_runs_out_of_time(system: System, tmp_path: Path) -> None:
    """A person who does nothing, as a photo would; the page says so and offers another try."""
    still = dict.fromkeys(ANSWERS, (0.0, 0.0, 0.0))
    camera = obedient_camera(sitting(photos()["Emmanuel Macron"][0], tmp_path), YAW, still)
    async with browser(tmp_path / "none.mjpeg") as context, watched(context) as page:
        await page.add_init_script(camera)
        await page.goto(f"{system.running.url}/register")
        await page.click("#tkpicture", timeout=WAIT_MS)
        await expect(page.locator("#ask_words")).to_have_text("时间到了，请再试一次", timeout=WAIT_MS)
        await expect(page.locator("#tkpicture")).to_have_text("再试一次")
        assert await page.input_value("#proof") == ""


async def test_register_by_doing_what_the_page_asks(system: System, tmp_path: Path) -> None:
    camera = obedient_camera(sitting(photos()["Emmanuel Macron"][0], tmp_path), YAW, ANSWERS)
    async with browser(tmp_path / "none.mjpeg") as context, watched(context) as page:
        await page.add_init_script(camera)
        await page.goto(f"{system.running.url}/register")
        for name, text in (("stu_name", "马克龙"), ("stu_class", "三年二班"), ("stu_num", NUMBER)):
            await page.fill(f"[name={name}]", text)
        await page.check("[name=gender][value=MAN]")
        await page.check("[name=consent]")
        again = page.locator("#tkpicture:enabled", has_text="再试一次")
        for _ in range(TRIES):
            await page.click("#tkpicture", timeout=WAIT_MS)
            await expect(again).to_have_count(0, timeout=WAIT_MS)  # the try has begun
            await expect(page.locator("#picture:visible").or_(again).first).to_be_visible(timeout=WAIT_MS)
            if await page.locator("#picture").is_visible():
                break
        assert await page.input_value("#proof") != ""
        await page.click("#submit")
        await page.wait_for_url(f"{system.running.url}/", timeout=WAIT_MS)
    assert students(system) == [("马克龙", NUMBER)]


async def streamed(system: System, frames: list[bytes]) -> list[dict[str, Any]]:
    """Send each frame when the server asks for one; every result, and the punches among them."""
    heard: list[dict[str, Any]] = []
    async with connect(system.running.url.replace("http", "ws") + "/stream", max_size=None, proxy=None) as socket:
        await socket.send(json.dumps({"type": "hello", "place": "东门"}))
        waiting = list(frames)
        results = 0
        while waiting or results < len(frames) // 2:
            message = json.loads(await socket.recv())
            heard.append(message)
            results += message["type"] == "result"
            if message["type"] == "next":
                if not waiting:
                    return heard
                await socket.send(waiting.pop(0))
    return heard


def faces(heard: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [face for message in heard if message["type"] == "result" for face in message["faces"]]


@pytest.mark.parametrize("kind", [Kind.SHEET_SHIFTED, Kind.SHEET_TILTED, Kind.SHEET_BENT])
async def test_a_photo_moved_by_hand_is_never_named(system: System, tmp_path: Path, kind: Kind) -> None:
    who = sitting(photos()["Emmanuel Macron"][0], tmp_path)
    heard = await streamed(system, moving(who, kind, (14, 8, 5, 0.2, 0.2, 0.5), 5, 5, seed=3))
    seen = faces(heard)
    assert len(seen) > 8
    assert "identified" not in {face["verdict"] for face in seen}
    told = {problem["zh"] for face in seen for problem in face["problems"]}
    assert any("转一下头" in sentence for sentence in told), told
    assert rows(system, "select 1 from punches") == []


async def test_a_single_picture_is_refused_in_words(system: System) -> None:
    async with web_client(system) as web:
        picture = data_url(photos()["Emmanuel Macron"][0])
        answer = (await web.post("/clockin", json={"img_data": picture, "place": "东门"})).json()
    assert (answer["errno"], answer["errmsg"]) == (223120, "这里不接受单张照片，请在镜头前实时打卡")
    assert rows(system, "select 1 from punches") == []


async def test_a_head_that_turns_is_named_and_clocks_in(system: System, tmp_path: Path) -> None:
    who = sitting(photos()["Emmanuel Macron"][0], tmp_path)
    heard = await streamed(system, moving(who, Kind.HEAD_TURNED, (20, 3, 2, 0.05, 0.05, 0.1), 8, 5, seed=5))
    verdicts = [face["verdict"] for face in faces(heard)]
    assert "identified" in verdicts
    assert "pending" in verdicts[: verdicts.index("identified")]
    assert [message["num"] for message in heard if message["type"] == "punch"] == [NUMBER]
    assert rows(system, "select st_num, place from punches") == [(NUMBER, "东门")]
