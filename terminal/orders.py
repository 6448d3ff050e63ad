"""Doing what the office orders: each command once, in time, with an answer."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from terminal.events import Answer, Command

REMEMBERED: Final = 64
"""answers that are kept to be given again, should a command come twice: 3 MB, were all of them pictures"""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What came of `take_snapshot`: a JPEG of MAX_SNAPSHOT bytes at most, and a word about it."""

    jpeg: bytes = field(repr=False)
    detail: str = ""


Obey = Callable[[Command], Awaitable[str | Snapshot]]
"""Does what the command says and returns a word about it; raises CannotDo. Shall not wait for people or timers: a
door is unlocked and locked again later."""


class CannotDo(Exception):
    """The command was not done: `error` for programs, the message for people."""

    def __init__(self, error: str, detail: str = "") -> None:
        super().__init__(detail)
        self.error = error


async def cannot_obey(command: Command) -> str:
    """Obey, for a program that can do nothing."""
    raise CannotDo("unsupported", f"this terminal cannot {command.action}")


class ServerClock:
    """What the server's clock says, told from its last word and our monotonic clock: steps of ours do not matter."""

    def __init__(self) -> None:
        self._told: tuple[datetime, float] | None = None

    def tell(self, time: str, monotonic: float) -> None:
        """The server's time (ISO 8601) came just now; what is no time is ignored."""
        try:
            told = datetime.fromisoformat(time)
        except (TypeError, ValueError):
            return
        if told.tzinfo is not None:
            self._told = (told, monotonic)

    @property
    def is_told(self) -> bool:
        """Whether the server told its time yet."""
        return self._told is not None

    def now(self, monotonic: float) -> datetime:
        """Our own time, if the server never told its."""
        if self._told is None:
            return datetime.now(UTC)
        told, at = self._told
        return told + timedelta(seconds=monotonic - at)


class Orders:
    """Outlives connections, so that a command which comes again after a broken one is not done again."""

    def __init__(self, obey: Obey) -> None:
        self._obey = obey
        self._done: dict[str, asyncio.Task[Answer]] = {}

    async def do(self, command: Command, server_time: datetime) -> tuple[Answer, bool]:
        """The answer, and whether the command is new; if it is, it is done now."""
        known = self._done.get(command.id)
        if known is not None:
            return await asyncio.shield(known), False
        if server_time > command.deadline:
            return Answer(ok=False, error="late", detail="it came too late"), True
        self._done[command.id] = task = asyncio.create_task(self._answer(command))
        if len(self._done) > REMEMBERED:
            del self._done[next(iter(self._done))]
        return await asyncio.shield(task), True

    async def _answer(self, command: Command) -> Answer:
        try:
            done = await self._obey(command)
            if isinstance(done, Snapshot):
                return Answer(ok=True, detail=done.detail, picture=done.jpeg)
            return Answer(ok=True, detail=done)
        except CannotDo as error:
            return Answer(ok=False, error=error.error, detail=str(error))
        except Exception as error:  # a driver's fault: the office shall hear of it, the program goes on
            return Answer(ok=False, error="failed", detail=f"{type(error).__name__}: {error}"[:256])
