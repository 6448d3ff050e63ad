"""Health comes from the resources: each brings a check. `/healthz` says that the process is alive: its event loop
turns, or nobody would answer. `/readyz` says that it works: every check passes."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from shared.errors import Unavailable

CHECK_S = 3.0

Check = Callable[[], Awaitable[None]]


async def _starting() -> None:
    raise Unavailable(en="not there yet, the service is starting")


async def _nothing_to_ask() -> None:
    pass


class Health:
    """Named async checks; a check raises when its resource does not work."""

    def __init__(self, service: str, *needs: str) -> None:
        """`needs`: names whose checks will be added; until then the service is still starting, and not ready."""
        self.service = service
        self._checks: dict[str, Check] = dict.fromkeys(needs, _starting)

    def expect(self, name: str) -> None:
        """Not ready before `name` is added."""
        self._checks[name] = _starting

    def add(self, name: str, check: Check = _nothing_to_ask) -> None:
        """Let `check` count towards readiness under `name`; without one it is enough that it was added."""
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

    async def answer(self, path: str) -> tuple[int, bytes]:
        """(HTTP status, JSON body) of a health path."""
        if path == "/healthz":
            return 200, _json({"service": self.service, "status": "alive"})
        if path == "/readyz":
            ready, checks = await self.report()
            status = "ready" if ready else "not ready"
            return 200 if ready else 503, _json({"service": self.service, "status": status, "checks": checks})
        return 404, _json({"error": "not here: /healthz, /readyz and, on the operators' port, /metrics"})


def _json(value: dict[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()
