"""Requests at the hub's door and their answers: GET without a body, read by the library `websockets`. Pure."""

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

from websockets.datastructures import Headers
from websockets.http11 import Request, Response
from websockets.server import ServerProtocol

MAX_HEAD: Final = 8_192
"""bytes of a request"""
END: Final = b"\r\n\r\n"
QUIET: Final = logging.getLogger("websockets.server")
"""the library's own; handed in, because looking it up anew takes time"""


class BadRequest(Exception):
    """The request cannot be answered: the status, and why."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class Asked:
    """A request."""

    def __init__(self, head: bytes) -> None:
        """`head` is all of it, with its empty line. Raises BadRequest."""
        self._handshake = ServerProtocol(logger=QUIET)
        self._handshake.receive_data(head)
        match self._handshake.events_received():
            case [Request() as request]:
                self._request = request
            case _:
                raise BadRequest(400, "this is no HTTP/1.1 request, or it has a body")
        if request.method != "GET":
            raise BadRequest(405, "GET only")
        try:
            parts = urlsplit(request.path)
        except ValueError:  # a bracket in what it takes for a host
            raise BadRequest(400, "no such path") from None
        self.path, self.query = parts.path, parts.query

    def header(self, name: str) -> str:
        """Empty if it is not there; several are one list."""
        return ", ".join(self._request.headers.get_all(name))

    def has(self, header: str, word: str) -> bool:
        """Whether a header that is a list of words has this one, in any case."""
        return word in (each.strip() for each in self.header(header).lower().split(","))

    @property
    def wants_websocket(self) -> bool:
        return self.has("upgrade", "websocket") and self.has("connection", "upgrade")

    def switching(self) -> bytes:
        """The answer that makes a WebSocket of the connection. Raises BadRequest."""
        response = self._handshake.accept(self._request)
        if response.status_code != HTTPStatus.SWITCHING_PROTOCOLS:
            raise BadRequest(response.status_code, str(self._handshake.handshake_exc))
        return response.serialize()


def answer(status: int, body: bytes, more: Mapping[str, str] | None = None) -> bytes:
    """A whole answer in JSON, with `more` headers."""
    about = {"Content-Type": "application/json", "Content-Length": str(len(body)), "Cache-Control": "no-store"}
    return Response(status, HTTPStatus(status).phrase, Headers(about | dict(more or {})), body).serialize()
