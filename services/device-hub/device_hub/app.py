"""The hub's web face: the terminals' WebSocket and the health checks."""

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

from device_hub.commands import TokenDesk
from device_hub.session import Session, Terms
from shared.codes import DeviceCode
from shared.contracts.devices import Device
from shared.contracts.terminals import CheckToken
from shared.errors import NotAllowed, RollcallError, Unavailable
from shared.health import Health
from shared.metrics import nobody_counts

GONE_S = 2.0


Handshake = Literal["admitted", "refused", "unavailable"]
"""What became of a terminal at the door: in, not entitled, or nobody could say or had room."""
Told = Callable[[Handshake], None]


class Door:
    """`GET /terminal`: checks the token or the answered challenge, counts, lets in. A refusal is an HTTP answer before
    the upgrade, because it costs less than a WebSocket that is closed again."""

    def __init__(self, desk: TokenDesk, terms: Terms, limit: int, told: Told = nobody_counts) -> None:
        self._desk, self._terms, self._limit, self._told = desk, terms, limit, told
        self._inside = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one WebSocket from handshake to end (an ASGI app)."""
        try:
            with self._room():
                await Session(receive, send, await self._let_in(WebSocket(scope, receive, send)), self._terms).run()
        except RollcallError as error:
            self._told("refused" if isinstance(error, NotAllowed) else "unavailable")
            await WebSocket(scope, receive, send).send_denial_response(denial(error))
            await _until_gone(receive)

    async def _let_in(self, socket: WebSocket) -> Device:
        if answered := challenge_answer(socket):
            device = await self._desk.admit(*answered)
        else:
            device = await self._desk.check(CheckToken(token=bearer(socket), spend=True))
        self._told("admitted")
        await socket.accept()
        socket.scope["headers"].clear()  # 1 KiB that would be kept as long as the connection stands
        return device

    @contextmanager
    def _room(self) -> Iterator[None]:
        if self._inside >= self._limit:
            raise Unavailable("连接数已满，请稍后再试", "this hub is full, please try again")
        self._inside += 1
        try:
            yield
        finally:
            self._inside -= 1


async def _until_gone(receive: Receive) -> None:
    """uvicorn 0.54 logs an answer without an upgrade as an error if the app returns before the connection is gone,
    which is the third message: connect, the end of the answer, the end of the connection."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(GONE_S):
            for _ in range(3):
                await receive()


def bearer(socket: WebSocket) -> str:
    """The token: of the Authorization header, else of the query, which more logs see. Cut to what a token may be."""
    scheme, _, credentials = socket.headers.get("authorization", "").partition(" ")
    token = credentials.strip() if scheme.lower() == "bearer" else socket.query_params.get("token", "")
    return token[:64]


def challenge_answer(socket: WebSocket) -> tuple[str, str, str] | None:
    """(challenge, answer, serial number) of `Authorization: Rollcall CHALLENGE:ANSWER:SN`, each cut to what it may be;
    None if the header is of another kind."""
    scheme, _, credentials = socket.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "rollcall":
        return None
    challenge, _, rest = credentials.strip().partition(":")
    answer, _, sn = rest.partition(":")
    return challenge[:128], answer[:128], sn[:64]


def denial(error: RollcallError) -> Response:
    """401 for a token that does not count, 503 when another try may succeed."""
    refused = isinstance(error, NotAllowed)
    number = error.number or int(DeviceCode.PERMISSION_DENIED if refused else DeviceCode.UNKNOWN_ERROR)
    body = {"flag": "terminal", "code": number, "message": error.en, "zh": error.zh}
    headers = {"www-authenticate": "Bearer"} if refused else {"retry-after": "5"}
    return JSONResponse(body, 401 if refused else 503, headers)


def hub_app(health: Health, door: Door, challenge: Callable[[], str]) -> ASGIApp:
    """The ASGI app. Terminals do not pass through Starlette, whose layers would take 3 KiB of each connection."""

    async def answer_health(request: Request) -> Response:
        status, body = await health.answer(request.url.path)
        return Response(body, status, {"cache-control": "no-store"}, "application/json")

    async def explain(request: Request) -> Response:
        body = {"error": "this is a WebSocket: see docs/terminals.md", "challenge": challenge()}
        return JSONResponse(body, 426, {"upgrade": "websocket", "cache-control": "no-store"})

    pages = Starlette(
        routes=[
            Route("/terminal", explain),
            Route("/healthz", answer_health),
            Route("/readyz", answer_health),
        ]
    )

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        at_the_door = scope["type"] == "websocket" and scope["path"] == "/terminal"
        await (door if at_the_door else pages)(scope, receive, send)

    return app
