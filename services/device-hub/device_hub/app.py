"""The hub's door: who may connect, and what else is answered on its port."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final, Literal
from urllib.parse import parse_qs

import structlog

from device_hub.commands import TokenDesk
from device_hub.line import MOST_REQUESTS, Hearts, Line
from device_hub.requests import Asked, BadRequest, answer
from device_hub.session import LAST_WORD_S, Session, Terms
from device_hub.strangers import to_send_away
from shared.codes import DeviceCode
from shared.contracts.devices import Device
from shared.contracts.terminals import CheckToken
from shared.errors import NotAllowed, RollcallError, Unavailable
from shared.health import Health
from shared.metrics import nobody_counts
from shared.runtime import background

MOST_STRANGERS: Final = 500
"""connections that have not been let in yet; more wait in the kernel's queue. With `max_terminals` they stay below the
usual limit of 20,000 files"""
LOOK_S: Final = 0.25
"""how often a door that is full of strangers looks whom to send away"""
ACCEPT_AGAIN_S: Final = 0.2
"""after the kernel gave no connection, for want of files perhaps"""

CLOSING: Final = {"Connection": "close"}

log = structlog.get_logger("door")


Handshake = Literal["admitted", "refused", "unavailable"]
"""What became of a terminal at the door: in, not entitled, or nobody could say or had room."""
Told = Callable[[Handshake], None]


class Door:
    """`GET /terminal`: checks the token or the answered challenge, counts, lets in. A refusal is an HTTP answer before
    the upgrade, because it costs less than a WebSocket that is closed again."""

    def __init__(self, desk: TokenDesk, terms: Terms, limit: int, health: Health, told: Told = nobody_counts) -> None:
        self._desk, self._terms, self._limit, self._health = desk, terms, limit, health
        self._told = told
        self._hearts = Hearts(terms.heartbeat_s)
        self._lines: set[Line] = set()
        self._inside: set[Line] = set()
        """let in, or about to be"""
        self._tasks: set[asyncio.Task[None]] = set()
        self._looked_at = 0.0
        self._room, self._places, self._empty = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._room.set()

    # ---- accepting

    @asynccontextmanager
    async def receiving(self, listen: Callable[[], socket.socket], *, shared: bool = False) -> AsyncIterator[int]:
        """Accept connections while inside; gives the port. Leaving gives them LAST_WORD_S to end. `shared`: others
        listen there too, and a full hub steps aside, because the kernel would go on dealing it terminals."""
        self._listener = listen()
        try:
            async with background(self._accept(listen if shared else None), self._hearts.keep()):
                yield int(self._listener.getsockname()[1])
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            self._listener.close()
            await self._until_empty()

    async def _accept(self, listen_again: Callable[[], socket.socket] | None) -> None:
        """One at a time, the next when the last one is set up: between two of them the event loop gives every other
        connection its turn, so a storm is paced by what this process can do, and waits in the kernel's queue."""
        loop = asyncio.get_running_loop()
        while True:
            await self._until_room()
            try:
                if listen_again is not None and len(self._lines) >= self._limit:
                    await self._step_aside()
                if listen_again is not None and self._listener.fileno() < 0:
                    self._listener = listen_again()
                accepted, _ = await loop.sock_accept(self._listener)
                await loop.connect_accepted_socket(partial(Line, self), accepted)
            except OSError as error:
                log.warning("no connection accepted", reason=str(error))
                await asyncio.sleep(ACCEPT_AGAIN_S)

    async def _until_room(self) -> None:
        """While the door is full of strangers, those that only sit there are sent away: else a few hundred idle
        connections would shut it to everybody."""
        clock = asyncio.get_running_loop().time
        while not self._room.is_set():
            if clock() - self._looked_at >= LOOK_S:
                self._looked_at = clock()
                for line in to_send_away(self._lines - self._inside, self._looked_at):
                    line.abort()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await self._room.wait()

    async def _step_aside(self) -> None:
        """Until some places are free."""
        self._listener.close()
        log.info("full, and not listening", terminals=len(self._inside))
        self._places.clear()
        await self._places.wait()

    def came(self, line: Line) -> None:
        """A connection stands."""
        self._lines.add(line)
        self._look_for_room()

    def _look_for_room(self) -> None:
        if len(self._lines) - len(self._inside) < MOST_STRANGERS:
            self._room.set()
        else:
            self._room.clear()
        if len(self._lines) <= self._limit - max(1, self._limit // 50):
            self._places.set()

    async def _until_empty(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_WORD_S):
                while self._lines:
                    self._empty.clear()
                    for line in self._lines - self._inside:
                        line.abort()
                    await self._empty.wait()
        for line in self._lines:
            line.abort()

    def left(self, line: Line) -> None:
        """A connection is over."""
        self._lines.discard(line)
        self._inside.discard(line)
        self._hearts.drop(line)
        self._look_for_room()
        if not self._lines:
            self._empty.set()

    # ---- answering

    def asked(self, line: Line, head: bytes) -> None:
        """A whole request."""
        try:
            request = Asked(head)
        except BadRequest as error:
            return line.say(answer(error.status, _explained(str(error)), CLOSING), last=True)
        if request.path != "/terminal":
            return self._spawn(self._tell_health(line, request))
        if not request.wants_websocket:
            explained = _explained("this is a WebSocket: see docs/terminals.md", challenge=self._desk.challenge())
            last = request.has("connection", "close") or line.requests >= MOST_REQUESTS
            headers = {"Upgrade": "websocket", "Connection": "close" if last else "keep-alive"}
            return line.say(answer(426, explained, headers), last=last)
        return self._spawn(self._let_in(line, request))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _tell_health(self, line: Line, request: Asked) -> None:
        status, body = await self._health.answer(request.path)
        line.say(answer(status, body, CLOSING), last=True)

    async def _let_in(self, line: Line, request: Asked) -> None:
        if not line.is_open:
            return
        try:
            if len(self._inside) >= self._limit:
                raise Unavailable("连接数已满，请稍后再试", "this hub is full, please try again")
            self._inside.add(line)
            self._look_for_room()
            switched = request.switching()
            device = await self._check(request)
        except BadRequest as error:
            self._told("refused")
            self._refuse(line, answer(error.status, _explained(str(error)), CLOSING))
        except RollcallError as error:
            self._told("refused" if isinstance(error, NotAllowed) else "unavailable")
            self._refuse(line, denial(error))
        else:
            self._told("admitted")
            if line.is_open:
                self._hearts.add(line)
                line.upgrade(switched, Session(line, device, self._terms, self._desk.secret(device.device_id)))

    def _refuse(self, line: Line, words: bytes) -> None:
        self._inside.discard(line)
        line.say(words, last=True)

    async def _check(self, request: Asked) -> Device:
        match proof(request):
            case "rollcall", challenge, answered, sn:
                return await self._desk.admit(challenge, answered, sn)
            case "rollcall-at", at_ms, proved, sn:
                return await self._desk.admit_now(at_ms, proved, sn)
        return await self._desk.check(CheckToken(token=bearer(request), spend=True))


def bearer(request: Asked) -> str:
    """The token: of the Authorization header, else of the query, which more logs see. Cut to what a token may be."""
    scheme, _, credentials = request.header("authorization").partition(" ")
    if scheme.lower() == "bearer":
        return credentials.strip()[:64]
    return next(iter(parse_qs(request.query).get("token", ())), "")[:64]


def proof(request: Asked) -> tuple[str, str, str, str]:
    """(scheme in small letters, what is answered, answer, serial number), each cut to what it may be, of
    `Authorization: Rollcall CHALLENGE:ANSWER:SN` or `Rollcall-At MILLISECONDS:PROOF:SN`."""
    scheme, _, credentials = request.header("authorization").partition(" ")
    asked, _, rest = credentials.strip().partition(":")
    answered, _, sn = rest.partition(":")
    return scheme.lower(), asked[:128], answered[:128], sn[:64]


def denial(error: RollcallError) -> bytes:
    """401 for a token that does not count, 503 when another try may succeed."""
    refused = isinstance(error, NotAllowed)
    number = error.number or int(DeviceCode.PERMISSION_DENIED if refused else DeviceCode.UNKNOWN_ERROR)
    body = json.dumps({"flag": "terminal", "code": number, "message": error.en, "zh": error.zh}, ensure_ascii=False)
    if refused:
        return answer(401, body.encode(), CLOSING | {"WWW-Authenticate": "Bearer"})
    return answer(503, body.encode(), CLOSING | {"Retry-After": "5"})


def _explained(error: str, **more: str) -> bytes:
    return json.dumps({"error": error, **more}).encode()
