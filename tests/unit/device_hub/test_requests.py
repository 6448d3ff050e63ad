"""Requests at the hub's door, as text."""

import pytest

from device_hub.requests import Asked, BadRequest, answer

UPGRADE = (
    b"GET /terminal?token=x HTTP/1.1\r\nHost: hub\r\nUpgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


def test_a_request_is_read() -> None:
    asked = Asked(b"GET /terminal?token=a%20b HTTP/1.1\r\nHost: x\r\nX-Two: 1\r\nx-two:2\r\n\r\n")
    assert (asked.path, asked.query, asked.header("X-TWO"), asked.header("none")) == (
        "/terminal",
        "token=a%20b",
        "1, 2",
        "",
    )
    assert not asked.wants_websocket


def test_the_upgrade_is_answered_as_the_rfc_says() -> None:
    asked = Asked(UPGRADE)
    assert asked.wants_websocket
    assert b"sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=" in asked.switching().lower()  # RFC 6455, section 1.3


@pytest.mark.parametrize(
    "text",
    [
        b"\r\n\r\n",
        b"rubbish\r\n\r\n",
        b"GET /terminal\r\n\r\n",
        b"POST /terminal HTTP/1.1\r\n\r\n",
        b"GET //[ HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nno header\r\n\r\n",
        b"GET / HTTP/1.1\r\nName : x\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: 5\r\n\r\n",
        b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
    ],
)
def test_what_is_no_request_is_refused(text: bytes) -> None:
    with pytest.raises(BadRequest) as caught:
        Asked(text)
    assert caught.value.status == (405 if text.startswith(b"POST") else 400)


@pytest.mark.parametrize("missing", [b"Sec-WebSocket-Version: 13", b"dGhlIHNhbXBsZSBub25jZQ==", b"Bub25jZQ"])
def test_an_upgrade_that_lacks_something_is_refused(missing: bytes) -> None:
    with pytest.raises(BadRequest) as caught:
        Asked(UPGRADE.replace(missing, b"X: y" if b":" in missing else b"")).switching()
    assert caught.value.status == 400


def test_an_answer_is_whole() -> None:
    text = answer(503, b"{}", {"Retry-After": "5"})
    assert text.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
    assert b"Content-Length: 2\r\n" in text and b"Retry-After: 5\r\n" in text and text.endswith(b"\r\n\r\n{}")
