"""Waiting for facts, for tests and for start-up checks: never a fixed sleep."""

import asyncio
from collections.abc import Awaitable, Callable


async def eventually(condition: Callable[[], Awaitable[bool]], timeout: float = 10.0, what: str = "") -> None:
    """Ask until it is so; raises AssertionError with `what` after `timeout` seconds."""
    try:
        async with asyncio.timeout(timeout):
            while not await condition():
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"not within {timeout} s: {what or condition}") from None
