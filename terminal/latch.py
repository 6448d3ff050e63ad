"""A door's lock: opened for a time, and always closed again."""

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Final, Protocol, Self

RETRY_S: Final = 1.0
"""between two tries to close, when the relay does not answer: an open door is nothing to be patient about"""
LAST_TRIES: Final = 3
"""tries to close when the program ends"""


class SwitchError(Exception):
    """The output did not do it, or nobody knows whether it did. The message is one sentence for people."""


class Switch(Protocol):
    """One output: a relay's coil, a line, a lamp. For one caller at a time."""

    async def turn(self, on: bool) -> None:
        """Raises SwitchError. The same again is harmless."""

    async def close(self) -> None:
        """Let the device go, in whatever position it is."""


async def turn(switch: Switch, *, on: bool) -> None:
    """Whatever a driver raises is a SwitchError: nobody knows then whether it did it."""
    try:
        await switch.turn(on)
    except SwitchError:
        raise
    except Exception as error:
        raise SwitchError(f"The driver has failed: {type(error).__name__}: {error}") from error


class Latch:
    """The lock behind a switch; on is open. It is locked when the latch is entered, whatever a program that crashed
    left behind, and when it is left."""

    def __init__(self, switch: Switch, trouble: Callable[[str], None], retry_s: float = RETRY_S) -> None:
        """`trouble` hears why the relay cannot be closed, once, and an empty text when it could."""
        self._switch, self._trouble, self._retry_s = switch, trouble, retry_s
        self._turning = asyncio.Lock()
        self._open_until = 0.0
        self._closing: asyncio.Task[None] | None = None
        self._stuck = False

    async def __aenter__(self) -> Self:
        self._close_in_time()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open_until = 0.0
        try:
            if self._closing is not None:
                self._closing.cancel()
                await asyncio.wait({self._closing})
        finally:
            await asyncio.shield(self._close_at_last())

    async def open(self, seconds: float) -> None:
        """Open now, for so long from now; an opening that lasts longer already stands. Raises SwitchError; then it
        is closed as well, for it may have opened."""
        self._open_until = max(self._open_until, self._now() + seconds)
        try:
            async with self._turning:
                await turn(self._switch, on=True)
        except BaseException:
            self._open_until = 0.0
            raise
        finally:
            self._close_in_time()

    def _close_in_time(self) -> None:
        if self._closing is None:
            self._closing = asyncio.create_task(self._close())

    async def _close(self) -> None:
        while True:
            await asyncio.sleep(self._open_until - self._now())
            async with self._turning:
                if self._now() < self._open_until:
                    continue  # opened again meanwhile
                if await self._is_closed():
                    self._closing = None  # inside the lock: an opening that waits for it makes a new one
                    return
            await asyncio.sleep(self._retry_s)

    async def _is_closed(self) -> bool:
        try:
            await turn(self._switch, on=False)
        except SwitchError as error:
            if not self._stuck:
                self._trouble(str(error))
            self._stuck = True
            return False
        if self._stuck:
            self._trouble("")
        self._stuck = False
        return True

    async def _close_at_last(self) -> None:
        for _ in range(LAST_TRIES):
            if await self._is_closed():
                break
            await asyncio.sleep(self._retry_s)
        try:
            await self._switch.close()
        except Exception as error:  # the door is as it is: the program ends in order
            self._trouble(f"The driver has failed: {type(error).__name__}: {error}")

    def _now(self) -> float:
        return asyncio.get_running_loop().time()
