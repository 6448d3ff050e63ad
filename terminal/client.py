"""A terminal's side of both channels: gets tokens, keeps the connections, sends frames when asked, tells what it hears.

    POST /faces/api/token                          → a token, a fresh one for each connection
    GET  hub:8001/terminal                         → a challenge: with a secret, the hub needs no token
    WS   hub:8001/terminal    Authorization        hello, ping, ack …  ← welcome, command, config, result, punch, bye
    WS   gateway:8000/stream  hello {token}        one JPEG after each {"type":"next"}  ← result, punch

The protocol is in docs/terminals.md.
"""

import asyncio
import base64
import contextlib
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from random import Random
from typing import Any

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus, WebSocketException

from terminal.backoff import Backoff
from terminal.events import (
    Answer,
    Channel,
    Command,
    Configured,
    Ended,
    Event,
    Obeyed,
    Offline,
    Online,
    Rubbish,
    command,
    configured,
    news,
    read_object,
)
from terminal.orders import Obey, Orders, ServerClock, cannot_obey

ANSWER_S = 10.0
"""how long the server may take to answer a request or a hello"""
LAST_WORD_S = 1.0
"""how long the hub may take to accept our bye"""
PATIENCE = 1.5
"""heartbeats that the hub may take to answer a WebSocket ping: it is dead after 2.5 without a sign of life"""
CLOCK_EVERY = 15
"""heartbeats between two comparisons of the clocks"""
MAX_FRAME = 2**20
AGENT = "rollcall-terminal/0.1"

Camera = Callable[[], Awaitable[bytes]]
"""Gives the newest picture as JPEG; may wait until there is one."""

TROUBLE = (OSError, TimeoutError, WebSocketException, httpx.HTTPError, Rubbish, Ended)


@dataclass(frozen=True, slots=True)
class Identity:
    """What the office authorised. Without a secret only a terminal that the office believes on its serial number
    alone gets a token; an unknown one is announced to the office by asking."""

    name: str
    sn: str
    secret: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Server:
    """Where the server is: `api` like http://127.0.0.1:8000, `hub` like ws://127.0.0.1:8001."""

    api: str
    hub: str

    @property
    def token_url(self) -> str:
        return f"{self.api}/faces/api/token"

    @property
    def stream_url(self) -> str:
        return f"ws{self.api.removeprefix('http')}/stream"

    @property
    def channel_url(self) -> str:
        return f"{self.hub}/terminal"

    @property
    def challenge_url(self) -> str:
        return f"http{self.hub.removeprefix('ws')}/terminal"


class Terminal:
    """Both channels of one terminal, kept open while `run` runs; without a camera, only the hub's. `obey` does what the
    office orders."""

    def __init__(
        self,
        identity: Identity,
        server: Server,
        hear: Callable[[Event], None],
        *,
        camera: Camera | None = None,
        obey: Obey = cannot_obey,
        dice: Random | None = None,
    ) -> None:
        self._identity, self._server, self._hear, self._camera = identity, server, hear, camera
        self._orders, self._clock = Orders(obey), ServerClock()
        self._dice = dice or Random()  # noqa: S311 - jitter, no secret

    def now(self) -> datetime:
        """What the server's clock says; ours, until it told."""
        return self._clock.now(time.monotonic())

    async def run(self) -> None:
        """Until cancelled: connect, serve, and connect again."""
        async with httpx.AsyncClient(timeout=ANSWER_S, trust_env=False) as http, asyncio.TaskGroup() as group:
            hub = _HubTalk(self._hear, self._orders, self._clock)
            group.create_task(self._keep(Channel.HUB, partial(self._to_hub, http, hub)))
            if self._camera is not None:
                stream = _StreamTalk(self._hear, self._camera)
                group.create_task(self._keep(Channel.STREAM, partial(self._to_gateway, http, stream)))

    async def _to_hub(self, http: httpx.AsyncClient, talk: "_HubTalk", stands: Callable[[], None]) -> None:
        """With the secret alone, if there is one. Whom the hub refuses asks for a token: that announces it to the
        office, and says why."""
        if self._identity.secret:
            try:
                return await talk.run(self._server, await prove(http, self._server, self._identity), stands)
            except InvalidStatus as refused:
                if refused.response.status_code != httpx.codes.UNAUTHORIZED:
                    raise
        token = await fetch_token(http, self._server, self._identity)
        return await talk.run(self._server, f"Bearer {token}", stands)

    async def _to_gateway(self, http: httpx.AsyncClient, talk: "_StreamTalk", stands: Callable[[], None]) -> None:
        await talk.run(self._server, await fetch_token(http, self._server, self._identity), stands)

    async def _keep(self, channel: Channel, talk: "Talk") -> None:
        backoff = Backoff(self._dice)

        def stands() -> None:
            backoff.worked()
            self._hear(Online(channel))

        while True:
            try:
                await talk(stands)
                reason, wait = "closed", backoff.again()
            except TROUBLE as error:
                reason = str(error) or type(error).__name__
                by_person = isinstance(error, Ended) and error.by_person
                wait = backoff.patient() if by_person else backoff.again()
            self._hear(Offline(channel, reason, wait))
            await asyncio.sleep(wait)


Talk = Callable[[Callable[[], None]], Awaitable[None]]
"""One conversation; calls its argument when it stands, and returns or raises one of TROUBLE when it is over."""


async def prove(http: httpx.AsyncClient, server: Server, identity: Identity) -> str:
    """What to say in `Authorization` to the hub: its challenge, answered with the secret. Raises Ended,
    httpx.HTTPError."""
    response = await http.get(server.challenge_url, headers={"Connection": "close"})
    try:
        challenge = str(response.json()["challenge"])
    except (ValueError, KeyError, TypeError):
        raise Ended(f"no challenge: HTTP {response.status_code}") from None
    return f"Rollcall {challenge}:{_answer_to(challenge, identity)}:{identity.sn}"


def _answer_to(challenge: str, identity: Identity) -> str:
    return hmac.new(identity.secret.encode(), challenge.encode(), hashlib.sha256).hexdigest()


async def fetch_token(http: httpx.AsyncClient, server: Server, identity: Identity) -> str:
    """A fresh token, through a challenge if the server gives one. Raises Ended with the server's words;
    httpx.HTTPError when there is no server."""
    form = {"deviceName": identity.name, "sn": identity.sn}
    answer = await _ask_for_token(http, server, form)
    if challenge := str(answer.get("challenge", "")):
        answered = {"challenge": challenge, "answer": _answer_to(challenge, identity)}
        answer = await _ask_for_token(http, server, form | answered)
    if "token" not in answer:
        raise Ended(f"no token: {answer['code']} {answer.get('message', '')}", by_person=True)
    return str(answer["token"])


async def _ask_for_token(http: httpx.AsyncClient, server: Server, form: dict[str, str]) -> dict[str, Any]:
    response = await http.post(server.token_url, data=form)
    try:
        answer: dict[str, Any] = response.json()
        code = answer["code"]
    except (ValueError, KeyError, TypeError):
        raise Ended(f"no token: HTTP {response.status_code}") from None
    if response.status_code >= 500:
        raise Ended(f"no token: {code} {answer.get('message', '')}")
    return answer


@asynccontextmanager
async def _open(url: str, headers: dict[str, str], ping_s: float | None) -> AsyncIterator[ClientConnection]:
    # No proxy and no compression: a terminal talks to its own campus, and frames are compressed already.
    async with connect(
        url,
        additional_headers=headers,
        max_size=MAX_FRAME,
        compression=None,
        proxy=None,
        open_timeout=ANSWER_S,
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


class _HubTalk:
    """Connections to the device-hub, one after another."""

    def __init__(self, hear: Callable[[Event], None], orders: Orders, clock: ServerClock) -> None:
        self._hear, self._orders, self._clock = hear, orders, clock
        self._answering: set[asyncio.Task[None]] = set()

    async def run(self, server: Server, authorization: str, stands: Callable[[], None]) -> None:
        async with _open(server.channel_url, {"Authorization": authorization}, ping_s=None) as socket:
            welcome = await self._greet(socket)
            stands()
            await self._take_config(socket, welcome)
            heartbeat_s = _heartbeat(welcome)
            async with (
                _beside(socket, self._watch(socket, heartbeat_s)),
                _beside(socket, self._ask_time(socket, heartbeat_s * CLOCK_EVERY)),
            ):
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
        await socket.send(json.dumps({"type": "hello", "versions": [1], "agent": AGENT, "time": _our_time()}))
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


class _StreamTalk:
    """One connection to the gateway's frame stream."""

    def __init__(self, hear: Callable[[Event], None], camera: Camera) -> None:
        self._hear, self._camera = hear, camera
        self._wanted = asyncio.Event()

    async def run(self, server: Server, token: str, stands: Callable[[], None]) -> None:
        self._wanted.clear()
        async with _open(server.stream_url, {}, ping_s=20) as socket:
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
