"""Requests at the hub's door, as text."""

import pytest
from websockets.client import ClientProtocol
from websockets.uri import parse_uri

from device_hub.heads import BadHead, answer, read_head, switching

UPGRADE = (
    b"GET /terminal?token=x HTTP/1.1\r\nHost: hub\r\nUpgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
)


def test_a_request_is_read() -> None:
    head = read_head(b"GET /terminal?token=a%20b HTTP/1.1\r\nHost: x\r\nX-Two: 1\r\nx-two:2")
    assert (head.path, head.query, head.headers["x-two"]) == ("/terminal", "token=a%20b", "1, 2")
    assert not head.wants_websocket


def test_the_upgrade_is_answered_as_the_rfc_says() -> None:
    head = read_head(UPGRADE)
    assert head.wants_websocket
    assert b"sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in switching(head)  # RFC 6455, section 1.3


def test_the_library_takes_the_answer() -> None:
    client = ClientProtocol(parse_uri("ws://hub/terminal"))
    client.send_request(client.connect())
    head = read_head(b"".join(client.data_to_send()).removesuffix(b"\r\n\r\n"))
    client.receive_data(switching(head))
    list(client.events_received())
    assert client.handshake_exc is None


@pytest.mark.parametrize(
    ("text", "status"),
    [
        (b"", 400),
        (b"rubbish", 400),
        (b"GET terminal HTTP/1.1", 400),
        (b"GET /terminal HTTP/1.0", 400),
        (b"POST /terminal HTTP/1.1", 405),
        (b"GET / HTTP/1.1\r\nno header", 400),
        (b"GET / HTTP/1.1\r\nName : x", 400),
        (b"GET / HTTP/1.1\r\nA: b\r\n folded", 400),
        (b"GET / HTTP/1.1\r\nContent-Length: 5", 400),
        (b"GET / HTTP/1.1\r\nContent-Length: 0\r\nContent-Length: 5", 400),
        (b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked", 400),
    ],
)
def test_what_is_no_request_is_refused(text: bytes, status: int) -> None:
    with pytest.raises(BadHead) as caught:
        read_head(text)
    assert caught.value.status == status


@pytest.mark.parametrize(
    ("without", "status"),
    [(b"Sec-WebSocket-Version: 13", 426), (b"dGhlIHNhbXBsZSBub25jZQ==", 400), (b"Bub25jZQ", 400)],
)
def test_an_upgrade_that_lacks_something_is_refused(without: bytes, status: int) -> None:
    with pytest.raises(BadHead) as caught:
        switching(read_head(UPGRADE.replace(without, b"X: y" if b":" in without else b"")))
    assert caught.value.status == status


def test_an_answer_is_whole() -> None:
    text = answer(503, b"{}", retry_after="5")
    assert text.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
    assert b"content-length: 2\r\n" in text and b"retry-after: 5\r\n" in text and text.endswith(b"\r\n\r\n{}")
