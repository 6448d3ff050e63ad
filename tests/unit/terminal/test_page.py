"""The full-screen page: for a browser of this machine only; what a keyboard-wedge reader types is a card."""

import json
from dataclasses import asdict
from pathlib import Path

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from rollcall.local import free_port
from shared.testing import eventually
from terminal.display import IDLE, LOOKING, Kind, Scene
from terminal.page_server import MAX_BROWSERS, Page
from tests.browsers import browser, watched

DONE = Scene(Kind.RECORDED, "打卡成功", "Clocked in", name="张三", num="20250101", more_zh="早上好")


def live(port: int, origin: str = "") -> connect:
    return connect(f"ws://127.0.0.1:{port}/live", origin=origin or f"http://127.0.0.1:{port}", proxy=None)  # type: ignore[arg-type]


async def test_a_page_hears_each_scene() -> None:
    page = Page("东门")
    async with page.serve(0) as port, live(port) as socket:
        assert json.loads(await socket.recv()) == {"place": "东门", "scene": asdict(IDLE)}
        page.show(LOOKING)
        page.show(LOOKING)
        page.show(DONE)
        assert [json.loads(await socket.recv())["scene"]["kind"] for _ in range(2)] == ["looking", "recorded"]
        async with live(port) as late:
            assert json.loads(await late.recv())["scene"] == asdict(DONE)


@pytest.mark.parametrize(
    ("path", "kind"), [("/", "text/html"), ("/door.css", "text/css"), ("/door.js?x=1", "text/javascript")]
)
async def test_its_files(path: str, kind: str) -> None:
    async with Page("东门").serve(0) as port, httpx.AsyncClient(trust_env=False) as web:
        answer = await web.get(f"http://127.0.0.1:{port}{path}")
        assert (answer.status_code, answer.headers["content-type"]) == (200, f"{kind}; charset=utf-8")
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["cache-control"] == "no-store"


async def test_nobody_elses_page_looks_in() -> None:
    async with Page("东门").serve(0) as port, httpx.AsyncClient(trust_env=False) as web:
        here = f"http://127.0.0.1:{port}"
        assert (await web.get(f"{here}/", headers={"Host": "evil.example"})).status_code == 403
        assert (await web.get(f"{here}/../program.py")).status_code == 404
        for origin in ("http://evil.example", f"http://evil.example:{port}"):
            with pytest.raises(InvalidStatus, match="403"):
                async with live(port, origin):
                    pass


async def test_only_so_many_browsers() -> None:
    async with Page("东门").serve(0) as port:
        sockets = [await live(port) for _ in range(MAX_BROWSERS)]
        for socket in sockets:
            await socket.recv()
        with pytest.raises(InvalidStatus, match="503"):
            await live(port)
        for socket in sockets:
            await socket.close()


async def test_what_is_no_card_is_passed_over() -> None:
    cards: list[str] = []
    async with Page("东门", cards.append).serve(0) as port, live(port) as socket:
        for said in ("rubbish", "[]", "{}", '{"card":7}', '{"card":"张三"}', '{"card":""}', '{"card":"2026001"}'):
            await socket.send(said)

        async def is_read() -> bool:
            return cards == ["2026001"]

        await eventually(is_read)


async def test_in_a_real_browser_with_a_reader_that_types(tmp_path: Path) -> None:
    cards: list[str] = []
    screen, port = Page("东门", cards.append), free_port()
    async with browser(None) as context, watched(context) as page:
        async with screen.serve(port):
            await page.goto(f"http://127.0.0.1:{port}/")
            await page.wait_for_selector("body[data-kind=idle]")
            assert await page.inner_text("#zh") == "请看镜头"
            assert await page.inner_text("#place") == "东门"
            screen.show(DONE)
            await page.wait_for_selector("body[data-kind=recorded]")
            assert await page.inner_text("#name") == "张三"
            assert await page.inner_text("#more") == "早上好"
            await page.keyboard.type("20260")
            await page.keyboard.press("Enter")

            async def is_read() -> bool:
                return cards == ["20260"]

            await eventually(is_read)
        await page.wait_for_selector("body[data-kind=starting]")  # the program is being started again
        async with screen.serve(port):
            await page.wait_for_selector("body[data-kind=recorded]")
