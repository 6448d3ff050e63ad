"""No address takes all connections of a server, and none is kept open by silence. Real sockets; addresses of
127.0.0.0/8 stand for different clients (uvicorn takes 127.0.0.1 itself for a reverse proxy)."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest
from starlette.websockets import WebSocket
from websockets.asyncio.client import connect

from gateway.gateway import Gateway
from gateway.settings import GatewaySettings
from shared.doorkeeper import Doorkeeper
from shared.errors import Unavailable
from shared.runtime import serve_http
from shared.testing import eventually

ASKED = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
Wire = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def says_hello(scope: Any, receive: Any, send: Any) -> None:
    """An app: `hello` to whoever asks, silence over a WebSocket until the client leaves."""
    if scope["type"] == "websocket":
        socket = WebSocket(scope, receive, send)
        await socket.accept()
        await socket.receive()
        return
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
    await send({"type": "http.response.body", "body": b"hello"})


@asynccontextmanager
async def a_server(door: Doorkeeper) -> AsyncIterator[int]:
    async with serve_http(says_hello, "127.0.0.1", 0, websockets=True, http=door.http, timeout_keep_alive=60) as port:
        yield port


async def opened(port: int, address: str = "127.0.0.2") -> Wire:
    return await asyncio.open_connection("127.0.0.1", port, local_addr=(address, 0))


async def status(wire: Wire) -> int:
    """Of the answer to a request, or of a refusal."""
    reader, writer = wire
    writer.write(ASKED)
    return int((await reader.readuntil(b"\r\n")).split()[1])


@contextmanager
def left(*wires: Wire) -> Iterator[None]:
    """Closed at the end."""
    try:
        yield
    finally:
        for _, writer in wires:
            writer.close()


async def test_one_address_takes_only_so_many_connections() -> None:
    door = Doorkeeper(per_address=3, head_s=60)
    async with a_server(door) as port:
        inside = [await opened(port) for _ in range(3)]
        with left(*inside):
            assert [await status(wire) for wire in inside] == [200] * 3
            beyond = await opened(port)
            assert await beyond[0].read() == (
                b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 5\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            )
            elsewhere, proxy = await opened(port, "127.0.0.3"), [await opened(port, "127.0.0.1") for _ in range(5)]
            with left(beyond, elsewhere, *proxy):
                assert await status(elsewhere) == 200
                assert [await status(wire) for wire in proxy] == [200] * 5, "a reverse proxy brings everybody's"

        async def nobody_inside() -> bool:
            return not door.open

        await eventually(nobody_inside, 5, "who left is counted no longer")


async def test_a_websocket_is_counted_by_who_accepts_it() -> None:
    door = Doorkeeper(per_address=1, head_s=60)
    async with (
        a_server(door) as port,
        connect(f"ws://127.0.0.1:{port}", local_addr=("127.0.0.2", 0), proxy=None),
        connect(f"ws://127.0.0.1:{port}", local_addr=("127.0.0.2", 0), proxy=None),
    ):
        assert not door.open


@pytest.mark.parametrize(
    "said", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ", ASKED + b"GET / HTTP/1.1"]
)
async def test_who_does_not_finish_a_head_is_left(said: bytes) -> None:
    async with a_server(Doorkeeper(per_address=3, head_s=0.2)) as port:
        reader, writer = await opened(port)
        writer.write(said)
        async with asyncio.timeout(5):
            assert (await reader.read()).endswith(b"hello" if ASKED in said else b"")
        writer.close()


def a_gateway(**settings: int) -> Gateway:
    """Only its settings are used here."""
    parts: dict[str, Any] = dict.fromkeys(Gateway.__dataclass_fields__)
    del parts["_streams"]
    given = GatewaySettings(nats_password="none", secret="a secret of the tests", **settings)  # type: ignore[arg-type]
    return Gateway(**(parts | {"settings": given}))


async def test_one_client_takes_only_so_many_streams() -> None:
    gateway = a_gateway(max_sources=4, max_sources_per_address=2)
    with gateway.room("10.0.0.1"), gateway.room("2001:db8::1"), gateway.room("2001:db8::2"):
        with pytest.raises(Unavailable), gateway.room("2001:db8::3"):
            raise AssertionError("an IPv6 host owns its whole /64")
        with gateway.room("10.0.0.1"), pytest.raises(Unavailable), gateway.room("10.0.0.9"):
            raise AssertionError("all taken")
        with gateway.room("10.0.0.9"):
            pass
    with gateway.room("2001:db8::3"):
        pass
