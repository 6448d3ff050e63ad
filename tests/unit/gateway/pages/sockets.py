"""A WebSocket client that talks ASGI to the app, no network between."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

from starlette.types import ASGIApp


class Refused(Exception):
    """The app closed before it accepted."""


class Viewer:
    """One open socket."""

    def __init__(self) -> None:
        self.inbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.outbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def hear(self) -> dict[str, Any]:
        """The next message; a close is {"closed": code}."""
        async with asyncio.timeout(5):
            message = await self.inbox.get()
        if message["type"] == "websocket.close":
            return {"closed": message.get("code", 1000)}
        heard: dict[str, Any] = json.loads(message["text"])
        return heard


@asynccontextmanager
async def watching(app: ASGIApp, address: str, **headers: str) -> AsyncIterator[Viewer]:
    """Connect; raises Refused when the app does not accept."""
    parts = urlsplit(address)
    viewer = Viewer()
    scope = {
        "type": "websocket",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "scheme": "ws",
        "path": parts.path,
        "raw_path": parts.path.encode(),
        "query_string": parts.query.encode(),
        "root_path": "",
        "headers": [(b"host", b"localhost"), *((k.encode(), v.encode()) for k, v in headers.items())],
        "client": ("127.0.0.1", 50_000),
        "server": ("localhost", 80),
        "subprotocols": [],
        "state": {},
    }
    viewer.outbox.put_nowait({"type": "websocket.connect"})
    serving = asyncio.create_task(_serve(app, scope, viewer))
    try:
        async with asyncio.timeout(5):
            first = await viewer.inbox.get()
        if first["type"] != "websocket.accept":
            raise Refused(first)
        yield viewer
    finally:
        viewer.outbox.put_nowait({"type": "websocket.disconnect", "code": 1001})
        async with asyncio.timeout(5):
            await serving


async def _serve(app: ASGIApp, scope: dict[str, Any], viewer: Viewer) -> None:
    await app(scope, viewer.outbox.get, viewer.inbox.put)  # type: ignore[arg-type]
