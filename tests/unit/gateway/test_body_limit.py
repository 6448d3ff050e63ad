"""All bodies together have a bound, and each has a time; what one is is in tests/unit/gateway/pages/test_app.py."""

import asyncio
import json
from collections.abc import AsyncIterator

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.app import create_app
from gateway.body_limit import BodiesTooMany, BodyLimit
from tests.unit.gateway.pages.conftest import ENGLISH, browser_at
from tests.unit.gateway.pages.gateway_double import GatewayDouble

PROGRAM = {"content-type": "application/json", "accept": "application/json"}


class Slow:
    """Reads the whole body, then thinks until it may go on."""

    def __init__(self) -> None:
        self.has_read, self.go_on = asyncio.Event(), asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await Request(scope, receive).body()
        self.has_read.set()
        await self.go_on.wait()
        await PlainTextResponse(str(len(body)))(scope, receive, send)


def program_at(app: ASGIApp) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://localhost")


async def test_bodies_in_work_count_until_they_are_answered() -> None:
    app = Slow()
    limit = BodyLimit(app, total=1_000)
    async with program_at(limit) as program, asyncio.TaskGroup() as tasks:
        first = tasks.create_task(program.post("/", content=b"x" * 600))
        await app.has_read.wait()
        assert limit.free == 400
        with pytest.raises(BodiesTooMany):
            await program.post("/", content=b"x" * 401)
        assert limit.free == 400, "what was refused gives its share back"
        app.go_on.set()
        assert (await program.post("/", content=b"x" * 400)).text == "400"
    assert first.result().text == "600"
    assert limit.free == 1_000


async def test_a_broken_request_gives_its_share_back() -> None:
    async def broken(scope: Scope, receive: Receive, send: Send) -> None:
        await Request(scope, receive).body()
        raise ZeroDivisionError

    limit = BodyLimit(broken, total=1_000)
    async with program_at(limit) as program:
        with pytest.raises(ZeroDivisionError):
            await program.post("/", content=b"x" * 600)
    assert limit.free == 1_000


async def in_parts(count: int) -> AsyncIterator[bytes]:
    for _ in range(count):
        yield b"x" * 100


async def test_a_body_beyond_all_of_them_is_refused_while_it_comes() -> None:
    limit = BodyLimit(Slow(), total=1_000)
    async with program_at(limit) as program:
        with pytest.raises(BodiesTooMany):
            await program.post("/", content=in_parts(11))
    assert limit.free == 1_000


@pytest.mark.parametrize("path", ["/clockin", "/register"])
async def test_who_comes_when_there_is_no_room_is_told_in_words(path: str) -> None:
    app = BodyLimit(create_app(GatewayDouble()), total=1_000)  # type: ignore[arg-type]
    headers = {"content-type": "application/x-www-form-urlencoded"}
    async with browser_at(app, **ENGLISH) as browser:  # type: ignore[arg-type]
        answer = await browser.post(path, content=b"x" * 1_001, headers=headers)
    assert answer.status_code == 503
    assert "Too many pictures are in work" in answer.text


async def never() -> AsyncIterator[bytes]:
    yield b"{"
    await asyncio.Event().wait()


async def test_a_body_that_does_not_come_is_left() -> None:
    app = BodyLimit(create_app(GatewayDouble()), total=1_000, seconds=0.1)  # type: ignore[arg-type]
    async with program_at(app) as program, asyncio.timeout(5):
        answer = await program.post("/clockin", content=never(), headers=PROGRAM)
    assert answer.status_code == 408
    assert answer.headers["connection"] == "close"
    assert "上传太慢" in json.loads(answer.text)["errmsg"]


async def test_once_the_body_is_there_its_time_does_not_count() -> None:
    """Starlette listens then whether the client has left."""
    go_on = asyncio.Event()

    async def listens(scope: Scope, receive: Receive, send: Send) -> None:
        await Request(scope, receive).body()
        left = asyncio.create_task(receive())
        asyncio.get_running_loop().call_later(0.3, go_on.set)
        await go_on.wait()
        assert not left.done()
        await PlainTextResponse("well")(scope, receive, send)
        assert (await left)["type"] == "http.disconnect"

    async with program_at(BodyLimit(listens, total=1_000, seconds=0.1)) as program:
        assert (await program.post("/", content=b"x")).text == "well"


def test_the_operator_sets_what_all_may_have() -> None:
    app = create_app(GatewayDouble(max_bodies_mib=32))  # type: ignore[arg-type]
    limits = [layer.kwargs for layer in app.user_middleware if layer.cls is BodyLimit]
    assert limits == [{"total": 32 * 2**20}]
