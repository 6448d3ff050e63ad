"""Heads of HTTP/1.1 requests and answers, as far as the hub's door needs them: GET without a body. Pure."""

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

MAX_HEAD: Final = 8_192
"""bytes of a request"""
END: Final = b"\r\n\r\n"
_ACCEPTS: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
"""RFC 6455, section 1.3"""


class BadHead(Exception):
    """The request cannot be answered: the status, and why."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


@dataclass(frozen=True, slots=True)
class Head:
    """A request's first lines; names of headers in lower case."""

    path: str
    query: str
    headers: Mapping[str, str]

    def has(self, header: str, word: str) -> bool:
        """Whether a header that is a list of words has this one, in any case."""
        return word in (each.strip() for each in self.headers.get(header, "").lower().split(","))

    @property
    def wants_websocket(self) -> bool:
        return self.has("upgrade", "websocket") and self.has("connection", "upgrade")


def read_head(text: bytes) -> Head:
    """A request up to its empty line. Raises BadHead; one with a body is refused, lest that be taken for the next."""
    first, *lines = text.decode("latin-1").split("\r\n")
    words = first.split(" ")
    if len(words) != 3 or not words[1].startswith("/") or words[2] != "HTTP/1.1":
        raise BadHead(400, "this is no HTTP/1.1 request")
    if words[0] != "GET":
        raise BadHead(405, "GET only")
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip():
            raise BadHead(400, "this is no header")
        name = name.lower()
        headers[name] = f"{headers[name]}, {value.strip()}" if name in headers else value.strip()
    if headers.get("content-length", "0") != "0" or "transfer-encoding" in headers:
        raise BadHead(400, "no body, please")
    path, _, query = words[1].partition("?")
    return Head(path, query, headers)


def answer(status: int, body: bytes, kind: str = "application/json", **headers: str) -> bytes:
    """A whole answer; underscores in the names of headers are hyphens."""
    more = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    head = (
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n"
        f"cache-control: no-store\r\n{more}\r\n"
    )
    return head.encode("latin-1") + body


def switching(head: Head) -> bytes:
    """The answer that makes a WebSocket of the connection. Raises BadHead."""
    if head.headers.get("sec-websocket-version") != "13":
        raise BadHead(426, "WebSocket version 13, please")
    key = head.headers.get("sec-websocket-key", "")
    try:
        whole = len(base64.b64decode(key, validate=True)) == 16
    except ValueError:
        whole = False
    if not whole:
        raise BadHead(400, "sec-websocket-key is not 16 bytes in base64")
    accept = base64.b64encode(hashlib.sha1(key.encode() + _ACCEPTS, usedforsecurity=False).digest())
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-accept: "
        + accept
        + END
    )
