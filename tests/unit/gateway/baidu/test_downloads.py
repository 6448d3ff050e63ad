"""Pictures by address: what may be fetched, and that nothing inside the network is (no patching: the name service and
the network below are handed in)."""

import asyncio
import base64
import ipaddress
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager

import httpcore
import pytest

from gateway.baidu_api.downloads import TOTAL_S, Downloads, GuardedNetwork, is_public
from shared.errors import InvalidInput
from shared.vision.picture import MAX_BYTES
from tests.unit.gateway.baidu.conftest import PICTURE, an_api

PUBLIC = "93.184.216.34"
JPEG = base64.b64decode(PICTURE)
Serve = Callable[[asyncio.StreamWriter], Awaitable[None]]


class Wires(httpcore.AsyncNetworkBackend):
    """Connects to a server of the test, whatever address is asked for, and remembers which one was."""

    def __init__(self, port: int) -> None:
        self._port, self._real = port, httpcore.AnyIOBackend()
        self.connected: list[tuple[str, int]] = []

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        self.connected.append((host, port))
        return await self._real.connect_tcp("127.0.0.1", self._port, timeout)


class Names:
    """A name service: the answers to give, one after the other; the last one stays."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers, self.asked = list(answers), 0

    async def resolve(self, host: str, port: int) -> list[str]:
        self.asked += 1
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@asynccontextmanager
async def a_server(answer: bytes | Serve) -> AsyncIterator[tuple[int, list[bytes]]]:
    """(port, requests) of an HTTP server that says this."""
    requests: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            requests.append(await reader.readuntil(b"\r\n\r\n"))
            if isinstance(answer, bytes):
                writer.write(answer)
                await writer.drain()
            else:
                await answer(writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1], requests


def http(body: bytes, status: str = "200 OK", headers: str = "") -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n{headers}\r\n"
    return head.encode() + body


PICTURE_ANSWER = http(JPEG)


async def fetched(
    url: str, answer: bytes | Serve = PICTURE_ANSWER, allowed: str = "img.example", names: Names | None = None
) -> tuple[bytes | int, Wires, list[bytes]]:
    """(the picture, or the code it was refused with), what was connected to, what was asked there."""
    async with a_server(answer) as (port, requests):
        wires = Wires(port)
        network = GuardedNetwork((names or Names([PUBLIC])).resolve, wires)
        try:
            got: bytes | int = await Downloads(allowed, network).get(url)
        except InvalidInput as error:
            got = error.number
        return got, wires, requests


async def test_a_picture_is_fetched_from_the_address_that_was_checked() -> None:
    names = Names([PUBLIC], ["127.0.0.1"])
    got, wires, requests = await fetched("http://img.example/a/学.jpg?x=1&y=%20", names=names)
    assert got == JPEG
    assert wires.connected == [(PUBLIC, 80)]
    assert names.asked == 1, "a name that moves after the check gains nothing"
    assert requests[0].startswith(b"GET /a/%E5%AD%A6.jpg?x=1&y=%20 HTTP/1.1\r\n")
    assert b"Host: img.example\r\n" in requests[0]


@pytest.mark.parametrize(
    ("allowed", "url", "is_allowed"),
    [
        ("", "http://img.example/a", False),
        ("img.example", "http://img.example/a", True),
        ("img.example", "http://IMG.example./a", True),
        ("img.example", "http://img.example:80/a", True),
        ("img.example", "http://img.example:8080/a", False),
        ("img.example:8080", "http://img.example:8080/a", True),
        ("img.example:8080", "http://img.example/a", False),
        ("img.example", "http://other.example/a", False),
        ("img.example", "http://img.example.evil/a", False),
        ("img.example", "http://evil-img.example/a", False),
        ("*.example", "http://img.example/a", True),
        ("*.example", "http://a.b.example/a", True),
        ("*.img.example", "http://img.example/a", False),
        ("cdn.example, *", "http://anywhere.org/a", True),
    ],
)
async def test_only_hosts_that_are_allowed(allowed: str, url: str, is_allowed: bool) -> None:
    got, wires, _ = await fetched(url, allowed=allowed)
    assert got == (JPEG if is_allowed else 222204)
    assert bool(wires.connected) is is_allowed


@pytest.mark.parametrize(
    "url",
    [
        "ftp://img.example/a",
        "file:///etc/passwd",
        "gopher://img.example/",
        "//img.example/a",
        "img.example/a",
        "http://",
        "http:///a",
        "http://me:secret@img.example/a",
        "http://img.example@evil.example/",
        "http://img.example:x/a",
        "http://img.example:99999/a",
        "http://img.example/a b",
        "http://img.example/a\r\nHost: evil",
        "http://img.example/?q=学",
        "http://[::1/a",
        "http://img.example/" + "a" * 2_048,
        "javascript:alert(1)",
    ],
)
async def test_what_is_no_address_of_a_picture(url: str) -> None:
    got, wires, _ = await fetched(url, allowed="*")
    assert got == 222013
    assert wires.connected == []


PRIVATE = [
    "127.0.0.1",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "0.0.0.0",
    "224.0.0.1",
    "255.255.255.255",
    "192.0.2.1",
    "198.18.0.1",
    "240.0.0.1",
    "::1",
    "::",
    "fe80::1",
    "fe80::1%eth0",
    "fc00::1",
    "ff02::1",
    "2001:db8::1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::7f00:1",
    "2002:7f00:1::",
    "2002:a9fe:a9fe::1",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",
]


@pytest.mark.parametrize("address", PRIVATE)
async def test_no_address_inside_is_spoken_to(address: str) -> None:
    for answer in ([address], [PUBLIC, address], [address, PUBLIC]):
        got, wires, _ = await fetched("http://img.example/a", names=Names(answer))
        assert got == 222204
        assert wires.connected == []


@pytest.mark.parametrize(
    "address", [PUBLIC, "2606:2800:220:1:248:1893:25c8:1946", "::ffff:93.184.216.34", "64:ff9b::5db8:d822"]
)
def test_public_addresses(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "169.254.169.254", "localhost", "2130706433", "0x7f.1"])
async def test_addresses_written_out_go_the_same_way(host: str) -> None:
    """With the system's own name service, and everything allowed."""
    async with a_server(http(JPEG)) as (port, requests):
        with pytest.raises(InvalidInput) as refused:
            await Downloads(f"*:{port}").get(f"http://{host}:{port}/a")
    assert refused.value.number == 222204
    assert requests == []


@pytest.mark.parametrize(
    "answer",
    [
        http(b"", "302 Found", "Location: http://127.0.0.1/\r\n"),
        http(b"", "301 Moved Permanently", "Location: http://img.example/b\r\n"),
        http(b"", "404 Not Found"),
        http(b"", "500 Internal Server Error"),
        b"garbage\r\n\r\n",
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort",
        http(bytes(MAX_BYTES + 1)),
    ],
)
async def test_answers_that_are_no_picture(answer: bytes) -> None:
    got, wires, requests = await fetched("http://img.example/a", answer)
    assert got == 222204
    assert len(wires.connected) == len(requests) == 1, "nothing is followed, nothing is tried again"


async def test_a_picture_of_the_largest_size_that_is_taken() -> None:
    got, _, _ = await fetched("http://img.example/a", http(bytes(MAX_BYTES)))
    assert got == bytes(MAX_BYTES)


async def test_a_server_that_never_ends_is_left_in_time() -> None:
    async def drip(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        await writer.drain()
        await writer.wait_closed()

    began = asyncio.get_running_loop().time()
    got, _, _ = await fetched("http://img.example/a", drip)
    assert got == 222204
    assert asyncio.get_running_loop().time() - began < TOTAL_S + 3


async def test_the_api_takes_addresses() -> None:
    async with a_server(http(JPEG)) as (port, _):
        network = GuardedNetwork(Names([PUBLIC]).resolve, Wires(port))
        async with an_api(Downloads("img.example", network)) as api:
            by_url = await api.result("/detect", {"image": "http://img.example/a", "image_type": "URL"})
            by_bytes = await api.result("/detect", {"image": PICTURE, "image_type": "BASE64"})
    assert by_url == by_bytes, "the same picture, the same token"
