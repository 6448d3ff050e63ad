"""The live wall: a page for the hall's screen and the feed behind it."""

import asyncio
import json
from contextlib import suppress
from typing import Any, Final

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from gateway.origin import client_address, is_same_origin
from gateway.policies import LoginNeeded, wall_viewer
from gateway.site import Site, TheSite
from gateway.stream import telling_errors
from shared.contracts.attendance import PunchesOfDay
from shared.errors import NotAllowed, RollcallError

ALIVE_EVERY_S: Final = 15.0
"""A quiet feed says that it lives this often; a page that hears nothing for longer connects again."""


def live_pages() -> APIRouter:
    """The routes."""
    router = APIRouter(dependencies=[Depends(wall_viewer)])
    router.add_api_route("/live", live_page, methods=["GET"])
    router.add_api_websocket_route("/feed", feed)
    return router


async def live_page(request: Request, site: TheSite) -> HTMLResponse:
    """The wall. Its lines come by /feed; only today's count is looked up here."""
    return site.page(
        request,
        "live.html",
        ticket=request.query_params.get("ticket", ""),
        today=f"{site.today():%Y-%m-%d}",
        punches=await _punches_today(site),
    )


async def _punches_today(site: Site) -> int | None:
    """How many punches today has, None if nobody knows: the wall shows live results even then."""
    try:
        page = await site.gateway.bus.ask(PunchesOfDay(day=site.today().date(), limit=1))
    except RollcallError:
        return None
    return page.total


async def feed(socket: WebSocket, site: TheSite) -> None:
    """Results as they happen, one JSON text each; `?recent=1` begins with the last fifty in one message."""
    if not is_same_origin(socket):
        await socket.close(1008)
        return
    await socket.accept()
    async with telling_errors(socket):
        with site.gateway.room(client_address(socket)):  # one ticket opens a wall as often as it likes
            await _show(socket, site)


async def _show(socket: WebSocket, site: Site) -> None:
    sending = asyncio.create_task(_send(socket, site))
    try:
        await _until_left(socket)
    finally:
        sending.cancel()
        with suppress(asyncio.CancelledError):
            await sending


async def _until_left(socket: WebSocket) -> None:
    """A viewer has nothing to say; reading is how its leaving is noticed."""
    with suppress(WebSocketDisconnect, RuntimeError):
        while (await socket.receive())["type"] != "websocket.disconnect":
            pass


async def _send(socket: WebSocket, site: Site) -> None:
    """Pass lines on until the viewer leaves or may no longer watch."""
    with suppress(WebSocketDisconnect, RuntimeError):
        async with site.gateway.feed.subscribe() as lines:
            if socket.query_params.get("recent"):
                await _say(socket, {"type": "recent", "items": site.gateway.feed.recent()})
            while await _may_watch(socket, site):
                await _pass_on(socket, lines, site.check_viewers_s)
        if socket.client_state is WebSocketState.CONNECTED:
            await socket.close(1008)


async def _may_watch(socket: WebSocket, site: Site) -> bool:
    try:
        await wall_viewer(socket, site)
    except (LoginNeeded, NotAllowed):
        return False
    except RollcallError:
        return True  # nobody can say just now, and the wall should outlive a registry that restarts
    return True


async def _pass_on(socket: WebSocket, lines: "asyncio.Queue[dict[str, Any]]", seconds: float) -> None:
    """Send lines for so long, with a sign of life in between."""
    until = asyncio.get_running_loop().time() + seconds
    while (left := until - asyncio.get_running_loop().time()) > 0:
        try:
            async with asyncio.timeout(min(left, ALIVE_EVERY_S)):
                line = await lines.get()
        except TimeoutError:
            line = {"type": "alive"}
        await _say(socket, line)


async def _say(socket: WebSocket, message: dict[str, Any]) -> None:
    await socket.send_text(json.dumps(message, ensure_ascii=False))
