"""Whether a process says that it is ready."""

import asyncio

import pytest

from rollcall.local import free_port
from rollcall.running import says_ok

READY = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"


@pytest.mark.parametrize(
    ("answer", "ok"),
    [(READY, True), (b"HTTP/1.1 503 Service Unavailable\r\n\r\n", False), (b"", False), (b"rubbish", False)],
)
async def test_only_200_is_yes(answer: bytes, ok: bool) -> None:
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readline())
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        assert await says_ok(server.sockets[0].getsockname()[1], "/readyz") is ok
    assert asked == [b"GET /readyz HTTP/1.0\r\n"]


async def test_where_nobody_listens_it_is_no() -> None:
    assert not await says_ok(free_port(), "/readyz")
