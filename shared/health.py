"""Health comes from the resources: each brings a check. `/healthz` says the process runs, `/readyz` that it works."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

CHECK_S = 3.0

Check = Callable[[], Awaitable[None]]


class Health:
    """Named async checks; a check raises when its resource does not work."""

    def __init__(self, service: str) -> None:
        self.service = service
        self._checks: dict[str, Check] = {}

    def add(self, name: str, check: Check) -> None:
        """Let `check` count towards readiness under `name`."""
        self._checks[name] = check

    async def report(self) -> tuple[bool, dict[str, str]]:
        """(all well, what each check said): every check runs, each for at most CHECK_S."""
        said = await asyncio.gather(*(self._run(check) for check in self._checks.values()))
        return all(word == "ok" for word in said), dict(zip(self._checks, said, strict=True))

    async def _run(self, check: Check) -> str:
        try:
            async with asyncio.timeout(CHECK_S):
                await check()
        except Exception as error:
            return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        return "ok"

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """The ASGI app for services that have no other web face."""
        if scope["type"] != "http":
            return
        status, body = await self.answer(scope["path"])
        headers = [
            (b"content-type", b"application/json"),
            (b"cache-control", b"no-store"),
            (b"x-content-type-options", b"nosniff"),
        ]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def answer(self, path: str) -> tuple[int, bytes]:
        """(HTTP status, JSON body) of a health path."""
        if path == "/healthz":
            return 200, _json({"service": self.service, "status": "alive"})
        if path == "/readyz":
            ready, checks = await self.report()
            status = "ready" if ready else "not ready"
            return 200 if ready else 503, _json({"service": self.service, "status": status, "checks": checks})
        return 404, _json({"error": "only /healthz and /readyz live here"})


def _json(value: dict[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()
