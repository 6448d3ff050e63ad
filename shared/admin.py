"""The operators' port of a process: `/healthz`, `/readyz`, `/metrics`. On loopback unless the settings say otherwise,
and never for the public."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from shared.health import Health
from shared.metrics import CONTENT_TYPE, Metrics
from shared.runtime import serve_http
from shared.settings import Settings


@asynccontextmanager
async def serve_admin(settings: Settings, health: Health, metrics: Metrics) -> AsyncIterator[int]:
    """Answer while inside; yields the port. From a service's first moment to its last, so that one that waits for its
    database is alive and says so. Raises OSError when the address is taken."""
    ready = metrics.gauge("rollcall_ready", "1 if what the service needs answers, by what it needs", "check")

    async def check() -> None:
        _, said = await health.report()
        for name, word in said.items():
            ready.labels(name).set(word == "ok")

    metrics.ask(check)
    async with serve_http(Admin(health, metrics), settings.health_host, settings.health_port) as port:
        yield port


class Admin:
    """The ASGI app."""

    def __init__(self, health: Health, metrics: Metrics) -> None:
        self._health, self._metrics = health, metrics

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await _send(send, *await self._answer(scope["path"]))

    async def _answer(self, path: str) -> tuple[int, bytes, str]:
        if path == "/metrics":
            return 200, await self._metrics.text(), CONTENT_TYPE
        status, body = await self._health.answer(path)
        return status, body, "application/json"


async def _send(send: Any, status: int, body: bytes, content_type: str) -> None:
    headers = [(b"content-type", content_type.encode()), (b"cache-control", b"no-store")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
