"""The two conversations of a terminal, each from its greeting to its end; who keeps them up is in client.py."""

import asyncio
import base64
import contextlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from terminal.admission import ANSWER_S, IN_LINE_S, Server
from terminal.events import (
    Answer,
    Channel,
    Command,
    Configured,
    Ended,
    Event,
    Obeyed,
    Rubbish,
    command,
    configured,
    news,
    read_object,
)
from terminal.orders import Orders, ServerClock
from terminal.reserve import CONNECTED_WITHIN_S, Camera, FaceKeeper, Teller

LAST_WORD_S = 1.0
"""how long the hub may take to accept our bye"""
PATIENCE = 1.5
"""heartbeats that the hub may take to answer a WebSocket ping: it is dead after 2.5 without a sign of life"""
CLOCK_EVERY = 15
"""heartbeats between two comparisons of the clocks"""
MAX_FRAME = 2**20
AGENT = "rollcall-terminal/0.1"

TROUBLE = (OSError, TimeoutError, WebSocketException, httpx.HTTPError, Rubbish, Ended)
"""how a conversation ends"""


@asynccontextmanager
async def _open(
    server: Server, url: str, headers: dict[str, str], ping_s: float | None, patience_s: float = ANSWER_S
) -> AsyncIterator[ClientConnection]:
    # No proxy and no compression: a terminal talks to its own campus, and frames are compressed already.
    async with connect(
        url,
        ssl=server.tls(url),
        additional_headers=headers,
        max_size=MAX_FRAME,
        compression=None,
        proxy=None,
        open_timeout=patience_s,
        close_timeout=1,
        ping_interval=ping_s,
        user_agent_header=AGENT,
    ) as socket:
        yield socket


@asynccontextmanager
async def _beside(socket: ClientConnection, work: Awaitable[None]) -> AsyncIterator[None]:
    """Run `work` while inside; it ends with the block, and if it fails the connection is closed, which ends the
    block."""
    task = asyncio.create_task(_closing(socket, work))
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError, *TROUBLE):
            await task


async def _closing(socket: ClientConnection, work: Awaitable[None]) -> None:
    try:
        await work
    finally:
        await socket.close()


class HubTalk:
    """Connections to the device-hub, one after another."""

    def __init__(
        self,
        hear: Callable[[Event], None],
        orders: Orders,
        clock: ServerClock,
        teller: Teller | None = None,
        keeper: FaceKeeper | None = None,
    ) -> None:
        self._hear, self._orders, self._clock = hear, orders, clock
        self._teller, self._keeper = teller, keeper
        self._answering: set[asyncio.Task[None]] = set()

    async def run(self, server: Server, authorization: str, stands: Callable[[], None]) -> None:
        headers = {"Authorization": authorization}
        async with _open(server, server.channel_url, headers, ping_s=None, patience_s=IN_LINE_S) as socket:
            welcome = await self._greet(socket)
            stands()
            await self._take_config(socket, welcome)
            heartbeat_s = _heartbeat(welcome)
            async with contextlib.AsyncExitStack() as chores:
                for chore in self._chores(socket, heartbeat_s):
                    await chores.enter_async_context(_beside(socket, chore))
                try:
                    while True:
                        await self._take(socket, read_object(await socket.recv()))
                except asyncio.CancelledError:  # we stop
                    with contextlib.suppress(WebSocketException, TimeoutError):
                        async with asyncio.timeout(LAST_WORD_S):
                            await socket.send(json.dumps({"type": "bye", "reason": "stopping"}))
                    raise
                finally:
                    for task in self._answering:
                        task.cancel()

    async def _greet(self, socket: ClientConnection) -> dict[str, Any]:
        """hello → welcome."""
        hello = {"type": "hello", "versions": [1], "agent": AGENT, "time": _our_time()}
        await socket.send(json.dumps(hello | ({"faces": True} if self._keeper else {})))
        async with asyncio.timeout(ANSWER_S):
            welcome = read_object(await socket.recv())
        news(Channel.HUB, welcome)
        self._clock.tell(welcome.get("time", ""), time.monotonic())
        return welcome

    async def _take(self, socket: ClientConnection, message: dict[str, Any]) -> None:
        match message["type"]:
            case "command":
                task = asyncio.create_task(self._obey(socket, command(message)))
                self._answering.add(task)
                task.add_done_callback(self._answering.discard)
            case "config":
                await self._take_config(socket, message)
            case "pong":
                self._clock.tell(message.get("time", ""), time.monotonic())
            case "punches_kept" | "punches_later" if self._teller is not None:
                self._teller.heard(message)
            case "library" if self._keeper is not None:
                self._keeper.hint(message.get("within_s"))
            case _:
                if event := news(Channel.HUB, message):
                    self._hear(event)

    async def _take_config(self, socket: ClientConnection, message: dict[str, Any]) -> None:
        wished = configured(message)
        if isinstance(wished, Configured):
            self._hear(wished)
            await socket.send(json.dumps({"type": "config_taken", "revision": wished.revision}))

    async def _obey(self, socket: ClientConnection, ordered: Command) -> None:
        answer, new = await self._orders.do(ordered, self._clock.now(time.monotonic()))
        with contextlib.suppress(WebSocketException):  # the next connection answers, if it is asked again
            await socket.send(ack(ordered.id, answer))
        if new:
            self._hear(Obeyed(ordered, answer))

    def _chores(self, socket: ClientConnection, heartbeat_s: float) -> Iterator[Awaitable[None]]:
        """What is done beside listening; and what happened while there was no hub is made up for."""
        yield self._watch(socket, heartbeat_s)
        yield self._ask_time(socket, heartbeat_s * CLOCK_EVERY)
        if self._keeper is not None:
            self._keeper.hint(CONNECTED_WITHIN_S)
        if self._teller is not None:
            yield self._teller.run(socket.send)

    async def _watch(self, socket: ClientConnection, heartbeat_s: float) -> None:
        """A half-open connection looks alive from one side: what the hub sends of itself need not be seen here."""
        while True:
            await asyncio.sleep(heartbeat_s)
            async with asyncio.timeout(PATIENCE * heartbeat_s):
                await (await socket.ping())

    async def _ask_time(self, socket: ClientConnection, every_s: float) -> None:
        number = 0
        while True:
            await asyncio.sleep(every_s)
            number += 1
            await socket.send(json.dumps({"type": "ping", "id": number, "time": _our_time()}))


def ack(order_id: str, answer: Answer) -> str:
    """The frame that answers a command; a picture goes as base64."""
    frame = {"type": "ack", "id": order_id, "ok": answer.ok, "error": answer.error, "detail": answer.detail}
    if answer.picture:
        frame["picture"] = base64.b64encode(answer.picture).decode()
    return json.dumps(frame, ensure_ascii=False)


def _heartbeat(welcome: dict[str, Any]) -> float:
    """In seconds. Raises Rubbish."""
    try:
        return max(0.05, float(welcome["heartbeat_s"]))
    except (KeyError, TypeError, ValueError):
        raise Rubbish("no welcome") from None


def _our_time() -> str:
    return datetime.now(UTC).isoformat()


class StreamTalk:
    """One connection to the gateway's frame stream."""

    def __init__(self, hear: Callable[[Event], None], camera: Camera) -> None:
        self._hear, self._camera = hear, camera
        self._wanted = asyncio.Event()

    async def run(self, server: Server, token: str, stands: Callable[[], None]) -> None:
        self._wanted.clear()
        async with _open(server, server.stream_url, {}, ping_s=20) as socket:
            await socket.send(json.dumps({"type": "hello", "token": token}))
            async with asyncio.timeout(ANSWER_S):
                self._take(read_object(await socket.recv()))
            stands()
            async with _beside(socket, self._send_frames(socket)):
                async for text in socket:
                    self._take(read_object(text))

    def _take(self, message: dict[str, Any]) -> None:
        if message["type"] == "next":
            self._wanted.set()
        elif event := news(Channel.STREAM, message):
            self._hear(event)

    async def _send_frames(self, socket: ClientConnection) -> None:
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            await socket.send(await self._camera())
