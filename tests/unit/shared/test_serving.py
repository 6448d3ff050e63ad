"""The web server inside a service: it serves, or it says at once why not; the health check sees which."""

import asyncio
from typing import Any

import pytest
from uvicorn.importer import ImportFromStringError

from shared.probe import probe
from shared.runtime import serve_http


async def answers(scope: dict[str, Any], receive: Any, send: Any) -> None:
    status = 200 if scope["path"] == "/readyz" else 503
    await send({"type": "http.response.start", "status": status, "headers": []})
    await send({"type": "http.response.body", "body": b"the database is away"})


async def test_a_part_of_the_server_that_is_missing_is_an_error_and_no_endless_wait() -> None:
    with pytest.raises(ImportFromStringError):
        async with asyncio.timeout(10), serve_http(answers, "127.0.0.1", 0, http="no_such_package:Protocol"):
            pass


async def test_the_probe_tells_well_from_ill_and_says_why() -> None:
    async with serve_http(answers, "127.0.0.1", 0) as port:
        url = f"http://127.0.0.1:{port}"
        assert await asyncio.to_thread(probe, f"{url}/readyz") == ""
        assert await asyncio.to_thread(probe, f"{url}/other") == "503: the database is away"
    assert "refused" in await asyncio.to_thread(probe, f"{url}/readyz")
