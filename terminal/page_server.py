"""The full-screen page on the terminal's own screen: http://127.0.0.1:PORT, for a browser on this machine only."""

import contextlib
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict
from importlib import resources
from typing import Final

from websockets.asyncio.server import ServerConnection, broadcast, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from terminal.cards import NUMBER
from terminal.display import IDLE, Scene

HOST: Final = "127.0.0.1"
MAX_BROWSERS: Final = 8
MAX_HEARD: Final = 512
"""bytes of what a page may say: a card number"""
FILES: Final = {
    "/": ("door.html", "text/html; charset=utf-8"),
    "/door.css": ("door.css", "text/css; charset=utf-8"),
    "/door.js": ("door.js", "text/javascript; charset=utf-8"),
}
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; frame-ancestors 'none'"
)


class Page:
    """The page, and what is on it."""

    def __init__(self, place: str, card: Callable[[str], None] | None = None) -> None:
        """`place` stands in its corner; `card` hears what a keyboard-wedge reader typed into it."""
        self._place, self._card = place, card
        self._scene = IDLE
        self._browsers: set[ServerConnection] = set()
        folder = resources.files("terminal") / "page"
        self._files = {path: ((folder / name).read_bytes(), kind) for path, (name, kind) in FILES.items()}

    def show(self, scene: Scene) -> None:
        """Change the scene. A browser that does not read misses scenes, and gets the newest when it comes back."""
        if scene != self._scene:
            self._scene = scene
            broadcast(self._browsers, self._text())

    @asynccontextmanager
    async def serve(self, port: int) -> AsyncIterator[int]:
        """Serve while inside; yields the port (0 takes a free one). Raises OSError when it is taken."""
        async with serve(
            self._talk,
            HOST,
            port,
            process_request=self._answer,
            compression=None,
            max_size=MAX_HEARD,
            server_header=None,
            close_timeout=1,
        ) as server:
            yield int(next(iter(server.sockets)).getsockname()[1])

    def _text(self) -> str:
        return json.dumps({"place": self._place, "scene": asdict(self._scene)}, ensure_ascii=False)

    def _answer(self, connection: ServerConnection, request: Request) -> Response | None:
        """None: a WebSocket of our own page."""
        port = connection.local_address[1]
        ours = {f"{HOST}:{port}", f"localhost:{port}"}
        path = request.path.partition("?")[0]
        if request.headers.get("Host") not in ours:  # a name that somebody else's page resolves to here
            return _response(403, "Forbidden", b"this page is for this machine", "text/plain")
        if path == "/live":
            if request.headers.get("Origin") not in {f"http://{host}" for host in ours}:
                return _response(403, "Forbidden", b"not from our page", "text/plain")
            if len(self._browsers) >= MAX_BROWSERS:
                return _response(503, "Service Unavailable", b"too many pages are open", "text/plain")
            return None
        if path not in self._files:
            return _response(404, "Not Found", b"there is nothing here", "text/plain")
        return _response(200, "OK", *self._files[path])

    async def _talk(self, browser: ServerConnection) -> None:
        self._browsers.add(browser)
        try:
            await browser.send(self._text())
            async for said in browser:
                self._hear(said)
        except ConnectionClosed:
            pass
        finally:
            self._browsers.discard(browser)

    def _hear(self, said: str | bytes) -> None:
        with contextlib.suppress(ValueError, TypeError, KeyError):  # not from our script
            number = json.loads(said)["card"]
            if self._card is not None and isinstance(number, str) and NUMBER.fullmatch(number):
                self._card(number)


def _response(status: int, reason: str, body: bytes, kind: str) -> Response:
    headers = Headers(
        {
            "Content-Type": kind,
            "Content-Length": str(len(body)),
            "Cache-Control": "no-store",
            "Content-Security-Policy": POLICY,
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Connection": "close",
        }
    )
    return Response(status, reason, headers, body)
