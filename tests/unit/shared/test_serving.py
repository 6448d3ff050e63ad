"""The web server inside a service: it serves, or it says at once why not; the health check sees which."""

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import pytest
from starlette.websockets import WebSocket
from uvicorn.importer import ImportFromStringError
from websockets.asyncio.client import connect

from shared.probe import probe
from shared.runtime import serve_http


async def answers(scope: dict[str, Any], receive: Any, send: Any) -> None:
    status = 200 if scope["path"] == "/readyz" else 503
    await send({"type": "http.response.start", "status": status, "headers": []})
    await send({"type": "http.response.body", "body": b"the database is away"})


async def test_a_part_of_the_server_that_is_missing_is_an_error_and_no_endless_wait() -> None:
    with pytest.raises(ImportFromStringError):
        async with asyncio.timeout(10), serve_http(answers, "127.0.0.1", 0, http="no_such_package:Protocol"):
            pass


async def test_the_probe_tells_well_from_ill_and_says_why() -> None:
    async with serve_http(answers, "127.0.0.1", 0) as port:
        url = f"http://127.0.0.1:{port}"
        assert await asyncio.to_thread(probe, f"{url}/readyz") == ""
        assert await asyncio.to_thread(probe, f"{url}/other") == "503: the database is away"
    assert "refused" in await asyncio.to_thread(probe, f"{url}/readyz")


async def test_a_stop_waits_for_open_requests_and_for_no_websocket() -> None:
    """The answer comes when the usual 2 s are over."""
    asked, ready = asyncio.Event(), asyncio.Event()

    async def slow(scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":
            await WebSocket(scope, receive, send).accept()
            await receive()
            return
        asked.set()
        await ready.wait()
        await answers(scope, receive, send)

    async with AsyncExitStack() as server:
        port = await server.enter_async_context(serve_http(slow, "127.0.0.1", 0, websockets=True, grace_s=8))
        async with connect(f"ws://127.0.0.1:{port}/", proxy=None) as socket, asyncio.TaskGroup() as tasks:
            answer = tasks.create_task(asyncio.to_thread(probe, f"http://127.0.0.1:{port}/readyz"))
            await asked.wait()
            stopping = tasks.create_task(server.aclose())
            await socket.wait_closed()
            asyncio.get_running_loop().call_later(2.4, ready.set)
            await stopping
    assert answer.result() == ""
    assert socket.close_code == 1012
