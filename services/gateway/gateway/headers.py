"""Headers that every answer carries, and HEAD for every page that can be got."""

import re
from collections.abc import Mapping
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

FIXED: Final[Mapping[str, str]] = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
CAMERA_PAGES: Final = frozenset({"/", "/register", "/clockin"})
"""The pages that look through the camera; no other may."""
WAKING_PAGES: Final = CAMERA_PAGES | {"/live"}
"""The pages that keep a kiosk's screen on."""
HTTPS_ONLY: Final = "max-age=31536000"
"""For a year browsers come by HTTPS; told only where they came by it."""
HOST: Final = re.compile(r"[A-Za-z0-9._-]+(:\d+)?|\[[0-9A-Fa-f:.]+\](:\d+)?")


def content_policy(host: str) -> str:
    """The Content-Security-Policy of a page served under `host`.

    'self' covers WebSockets in browsers from 2022 on; older ones need the address spelled out.
    """
    sockets = f" ws://{host} wss://{host}" if HOST.fullmatch(host) else ""
    return (
        "default-src 'self'; img-src 'self' data: blob:; media-src 'self' blob:; "
        f"connect-src 'self'{sockets}; object-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
    )


def permissions(path: str) -> str:
    """The Permissions-Policy of a page."""
    camera = "camera=(self)" if path in CAMERA_PAGES else "camera=()"
    waking = "screen-wake-lock=(self)" if path in WAKING_PAGES else "screen-wake-lock=()"
    return f"{camera}, {waking}, microphone=(), geolocation=(), payment=(), usb=()"


class SecurityHeaders:
    """Adds the headers; a route that set one of them itself keeps its own. `https`: everybody comes by HTTPS, even if
    the proxy does not say so."""

    def __init__(self, app: ASGIApp, https: bool = False) -> None:
        self._app, self._https = app, https

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        added = {
            **FIXED,
            "Content-Security-Policy": content_policy(Headers(scope=scope).get("host", "")),
            "Permissions-Policy": permissions(scope["path"]),
            "Cache-Control": "no-store",
        }
        if self._https or scope.get("scheme") == "https":
            added["Strict-Transport-Security"] = HTTPS_ONLY

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in added.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, with_headers)


class HeadAsGet:
    """Answers HEAD as the GET of the same address, without its body."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return

        async def without_body(message: Message) -> None:
            if message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        await self._app({**scope, "method": "GET"}, receive, without_body)
