"""Who may keep an HTTP connection open: so many for each address, and only while it says something.

uvicorn alone lets one address hold every open file of the process, and waits for ever for a request's first line.
WebSockets are counted by whoever accepts them; here they count until they are one.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

TOO_MANY: Final = b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 5\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Doorkeeper:
    """The connections of one server: at most `per_address` open for each address at once (0: no limit), and a request's
    head within `head_s` seconds of the connection's or the request's first sign. `client_of` says which addresses are
    one client.

    A reverse proxy (uvicorn's FORWARDED_ALLOW_IPS, by default this machine) brings everybody's connections under its
    own address: it is not counted, and must have limits of its own.
    """

    def __init__(self, per_address: int, head_s: float, client_of: Callable[[str], str] = str) -> None:
        self.per_address, self.head_s, self._client_of = per_address, head_s, client_of
        self.open: Counter[str] = Counter()
        self._proxies: Any = None

    @property
    def http(self) -> Any:
        """For uvicorn's `http` setting."""
        return partial(_Watched, self)

    def enter(self, address: str, proxies: list[str] | str) -> bool:
        """Count a connection; False, and not counted, if its address has too many."""
        if self._proxies is None:
            self._proxies = ProxyHeadersMiddleware(_nothing, proxies).trusted_hosts
        client = self._client_of(address)
        if self.per_address and self.open[client] >= self.per_address and address not in self._proxies:
            return False
        self.open[client] += 1
        return True

    def leave(self, address: str) -> None:
        """Count it no longer."""
        client = self._client_of(address)
        self.open[client] -= 1
        if not self.open[client]:
            del self.open[client]


async def _nothing(*_: Any) -> None:
    """An app that is never called."""


class _Watched(HttpToolsProtocol):
    """One connection."""

    def __init__(self, door: Doorkeeper, **parts: Any) -> None:
        super().__init__(**parts)
        self._door, self._address, self._inside = door, "", False
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._address = self.client[0] if self.client else ""
        self._inside = self._door.enter(self._address, self.config.forwarded_allow_ips)
        if self._inside:
            self._await_head()
        else:
            transport.write(TOO_MANY)
            transport.close()

    def data_received(self, data: bytes) -> None:
        if self._inside:
            super().data_received(data)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._await_head()

    def on_headers_complete(self) -> None:
        self._head_is_there()
        super().on_headers_complete()

    def handle_websocket_upgrade(self) -> None:
        self._gone()
        super().handle_websocket_upgrade()

    def connection_lost(self, exc: Exception | None) -> None:
        self._gone()
        super().connection_lost(exc)

    def _await_head(self) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(self._door.head_s, self.transport.close)

    def _head_is_there(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _gone(self) -> None:
        self._head_is_there()
        if self._inside:
            self._inside = False
            self._door.leave(self._address)
