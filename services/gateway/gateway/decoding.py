"""Pictures are decoded in threads, a few at a time: one of 25 megapixels takes a hundred megabytes meanwhile."""

import asyncio
from collections.abc import Callable
from typing import Final, ParamSpec, TypeVar

AT_ONCE: Final = 4
"""pictures; the bodies that they come in wait under a bound of their own (gateway.body_limit)"""

P = ParamSpec("P")
T = TypeVar("T")


class Decoding:
    """One per gateway."""

    def __init__(self, at_once: int = AT_ONCE) -> None:
        self._room = asyncio.Semaphore(at_once)

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What `work` returns, in a thread, when it is its turn."""
        async with self._room:
            return await asyncio.to_thread(work, *args, **kwargs)
