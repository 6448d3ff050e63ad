"""A terminal and a server with a certificate of a campus's own authority: real TLS."""

import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import Request, Response, ServerConnection, serve

from rollcall.installation import write_secrets
from rollcall.local import free_port
from terminal.admission import Identity, Server, prove

WHO = Identity("东门", "E-1", "secret")


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    """Among them a certificate for localhost that signs itself."""
    write_secrets(tmp_path)
    return tmp_path


@pytest.fixture
async def port(secrets: Path) -> AsyncIterator[int]:
    """A hub, as far as its door."""

    async def greet(socket: ServerConnection) -> None:
        await socket.send("welcome")

    def challenge(socket: ServerConnection, request: Request) -> Response | None:
        asked = "Upgrade" not in request.headers
        return socket.respond(200, '{"challenge": "c"}') if asked else None

    identity = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    identity.load_cert_chain(secrets / "mqtt_cert", secrets / "mqtt_key")
    port = free_port()
    async with serve(greet, "127.0.0.1", port, ssl=identity, process_request=challenge):
        yield port


async def test_an_authority_that_is_named_is_trusted(secrets: Path, port: int) -> None:
    server = Server(f"https://localhost:{port}", f"wss://localhost:{port}", secrets / "mqtt_cert")
    async with httpx.AsyncClient(verify=server.trust, trust_env=False) as http:
        assert (await prove(http, server, WHO)).startswith("Rollcall c:")
    async with connect(server.channel_url, ssl=server.tls(server.channel_url), proxy=None) as socket:
        assert await socket.recv() == "welcome"


async def test_nobody_elses_is(port: int) -> None:
    server = Server(f"https://localhost:{port}", f"wss://localhost:{port}")
    async with httpx.AsyncClient(verify=server.trust, trust_env=False) as http:
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            await prove(http, server, WHO)
    with pytest.raises(ssl.SSLCertVerificationError):
        await connect(server.channel_url, ssl=server.tls(server.channel_url), proxy=None)


def test_without_tls_nothing_is_asked() -> None:
    server = Server("http://10.0.0.2:8000", "ws://10.0.0.2:8001")
    assert server.tls(server.channel_url) is None
