"""Whether a request comes from our own pages."""

import ipaddress
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection

from shared.errors import NotAllowed

FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip")


def is_same_origin(connection: HTTPConnection) -> bool:
    """Browsers say where a request comes from; a program that says nothing has no cookies to abuse."""
    site = connection.headers.get("sec-fetch-site")
    if site is not None and site not in ("same-origin", "none"):
        return False
    origin = connection.headers.get("origin")
    return origin is None or urlsplit(origin).netloc.lower() == connection.headers.get("host", "").lower()


def require_same_origin(connection: HTTPConnection) -> None:
    """Raises NotAllowed for a request that another site made a browser send."""
    if not is_same_origin(connection):
        raise NotAllowed("请求来自其他网站，已拒绝", "This request came from another site and was refused", number=6)


def client_address(connection: HTTPConnection) -> str:
    """The address at the other end, empty behind a Unix socket."""
    return connection.client.host if connection.client else ""


def is_this_machine(connection: HTTPConnection) -> bool:
    """Whether somebody sits at this very machine.

    A reverse proxy beside us also connects from loopback, and a rebound DNS name also leads here: so nothing may
    have been forwarded, and the address that was typed must itself be a loopback one.
    """
    if any(header in connection.headers for header in FORWARDED):
        return False
    typed = urlsplit(f"//{connection.headers.get('host', '')}").hostname or ""
    return _is_loopback(client_address(connection)) and (typed == "localhost" or _is_loopback(typed))


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
