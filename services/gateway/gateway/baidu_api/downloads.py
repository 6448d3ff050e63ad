"""`image_type=URL`: pictures fetched from hosts that the operator allows, and from nowhere inside the network.

A name is resolved once, every address it has must be public, and the connection goes to the address that was checked:
a name that answers differently the second time (DNS rebinding) gains nothing. No redirects, no proxies, bounded size
and time. Off unless hosts are allowed.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Iterable
from typing import Final
from urllib.parse import SplitResult, quote, urlsplit

import httpcore
import structlog

from gateway.baidu_api.refusals import refused
from shared.codes import FaceCode
from shared.errors import InvalidInput
from shared.vision.picture import MAX_BYTES

log = structlog.get_logger("downloads")

TOTAL_S: Final = 5.0
AT_ONCE: Final = 8
"""downloads at once, the rest wait within their TOTAL_S"""
MAX_URL: Final = 2_048
PORTS: Final = {"http": 80, "https": 443}
EMBEDDING: Final = ipaddress.ip_network("64:ff9b::/96")
"""NAT64: an IPv4 address in the last four bytes (RFC 6052)"""

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolve = Callable[[str, int], Awaitable[list[str]]]


class Forbidden(Exception):
    """An address that must not be spoken to."""


async def resolve(host: str, port: int) -> list[str]:
    """The addresses of a name, by the system."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def is_public(address: Address) -> bool:
    """Whether it leads out: not private, loopback, link-local, reserved or multicast, nor hides one that is."""
    if isinstance(address, ipaddress.IPv6Address) and (inner := _inside(address)) is not None:
        return is_public(inner)
    return address.is_global and not address.is_multicast


def _inside(address: ipaddress.IPv6Address) -> Address | None:
    """The IPv4 address that an IPv6 one stands for: mapped, NAT64, 6to4, Teredo."""
    if address in EMBEDDING:
        return ipaddress.IPv4Address(address.packed[-4:])
    return address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)


class GuardedNetwork(httpcore.AsyncNetworkBackend):
    """Connects to public addresses only. Tests bring their own `resolve` and `inner`."""

    def __init__(self, resolve: Resolve, inner: httpcore.AsyncNetworkBackend) -> None:
        self._resolve, self._inner = resolve, inner

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """To the first address of the name. Raises Forbidden, OSError."""
        addresses = await self._resolve(host, port)
        if not addresses or not all(is_public(ipaddress.ip_address(a.partition("%")[0])) for a in addresses):
            raise Forbidden(f"{host} leads to an address that is not public")
        return await self._inner.connect_tcp(addresses[0], port, timeout, local_address, socket_options)

    async def sleep(self, seconds: float) -> None:
        await self._inner.sleep(seconds)


class Downloads:
    """Fetches pictures from the hosts in `allowed`, separated by commas: `host`, `host:port`, `*.domain`; `*` is every
    public host."""

    def __init__(self, allowed: str, network: httpcore.AsyncNetworkBackend | None = None) -> None:
        self._allowed = frozenset(entry.strip().lower() for entry in allowed.split(",") if entry.strip())
        self._network = network or GuardedNetwork(resolve, httpcore.AnyIOBackend())
        self._room = asyncio.Semaphore(AT_ONCE)

    async def get(self, url: str) -> bytes:
        """At most MAX_BYTES. Raises 222013 (no address at all), 222204 (not allowed, not there, slow, too large)."""
        parts = _split(url)
        if not self._is_allowed(parts):
            raise refused(FaceCode.URL_DOWNLOAD_FAIL)
        try:
            async with asyncio.timeout(TOTAL_S), self._room:
                return await self._fetch(parts)
        except (Forbidden, OSError, TimeoutError, ValueError, *_HTTP_ERRORS) as error:
            log.info("picture not downloaded", host=parts.hostname, reason=repr(error)[:200])
            raise refused(FaceCode.URL_DOWNLOAD_FAIL) from None

    def _is_allowed(self, parts: SplitResult) -> bool:
        host, usual = (parts.hostname or "").rstrip("."), PORTS[parts.scheme]
        suffix = "" if (parts.port or usual) == usual else f":{parts.port}"
        names = ["*", host, *("*." + host.split(".", n)[n] for n in range(1, host.count(".") + 1))]
        return any(name + suffix in self._allowed for name in names)

    async def _fetch(self, parts: SplitResult) -> bytes:
        target = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~") + ("?" + parts.query if parts.query else "")
        url = httpcore.URL(
            scheme=parts.scheme.encode(),
            host=(parts.hostname or "").encode("idna"),
            port=parts.port,
            target=target.encode("ascii"),
        )
        async with (
            httpcore.AsyncConnectionPool(network_backend=self._network) as pool,
            pool.stream("GET", url, headers={"User-Agent": "Rollcall", "Accept": "image/*"}) as got,
        ):
            if got.status != 200:
                raise ValueError(f"HTTP {got.status}")
            return await _body(got)


_HTTP_ERRORS: Final = (
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.TimeoutException,
    httpcore.UnsupportedProtocol,
)


async def _body(got: httpcore.Response) -> bytes:
    body = bytearray()
    async for chunk in got.aiter_stream():
        body += chunk
        if len(body) > MAX_BYTES:
            raise ValueError(f"more than {MAX_BYTES} bytes")
    return bytes(body)


def _split(url: str) -> SplitResult:
    """Raises 222013 for what is no address of a picture: other schemes, names or passwords in it, odd characters."""
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - raises if it is no number
        sound = len(url) <= MAX_URL and parts.scheme in PORTS and parts.hostname and "@" not in parts.netloc
        if not sound or not url.isprintable() or " " in url:
            raise _no_address()
        parts.query.encode("ascii")
        (parts.hostname or "").encode("idna")
    except ValueError:
        raise _no_address() from None
    return parts


def _no_address() -> InvalidInput:
    return refused(FaceCode.IMAGE)
