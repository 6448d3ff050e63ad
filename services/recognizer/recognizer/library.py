"""Keeping the engine's copy of the library at the newest revision, and telling the gateways how far it is."""

import asyncio
import contextlib
import math
import time

import structlog

from recognizer.engines import Engine
from shared.bus import Bus
from shared.contracts.gallery import FaceChanged, LibraryChanges, LibraryDelta
from shared.contracts.recognition import ALIVE_EVERY_S, RecognizerAlive
from shared.errors import RollcallError, Unavailable

log = structlog.get_logger("library")

CHECK_EVERY_S = 5.0
"""News is lossy: the registry is asked this often even if none came, in seconds."""

BEHIND_S = 10.0
"""A recognizer that is this long behind a revision it heard of is not ready, in seconds."""


class Library:
    """Follows the registry's revisions."""

    def __init__(self, bus: Bus, engine: Engine, instance: str, behind_s: float = BEHIND_S) -> None:
        self._bus, self._engine, self._instance, self._behind_s = bus, engine, instance, behind_s
        self._nudge = asyncio.Event()
        self._one_at_a_time = asyncio.Lock()
        self.head = 0
        """the newest revision heard of"""
        self._newest_at = -math.inf
        self._behind_since = math.inf
        """on the monotonic clock: when the copy was last known to be the newest, and since when it is not"""

    def unchecked_s(self) -> float:
        """Seconds since the copy was last known to be the newest."""
        return time.monotonic() - self._newest_at

    async def ready(self) -> None:
        """The health check: the library was loaded, and no revision has been waited for longer than BEHIND_S. While
        the registry is away nobody knows of a newer one: the copy is good to work with."""
        if self._newest_at == -math.inf:
            raise Unavailable(en="the library was not read yet")
        if time.monotonic() - self._behind_since > self._behind_s:
            raise Unavailable(en=f"at revision {self._engine.revision} of {self.head}")

    async def load(self) -> None:
        """Return only with the complete library; waits for the registry as long as it takes."""
        await self._bus.follow(FaceChanged.subject, FaceChanged, self._news)
        self._bus.on_reconnect(self._reconnected)
        while not await self._try_catch_up():
            await asyncio.sleep(0.5)
        log.info("library loaded", revision=self._engine.revision)
        if self._engine.waiting:
            log.warning("photos wait to be measured again: run `rollcall reembed`", count=self._engine.waiting)

    async def follow(self) -> None:
        """Stay at the newest revision, for ever."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CHECK_EVERY_S):
                    await self._nudge.wait()
            self._nudge.clear()
            await self._try_catch_up()

    async def say_alive(self) -> None:
        """Tell the gateways, for ever; at the end say good-bye."""
        try:
            while True:
                await self._announce()
                await asyncio.sleep(ALIVE_EVERY_S)
        finally:
            await self._announce(leaving=True)

    async def _announce(self, *, leaving: bool = False) -> None:
        engine = self._engine
        alive = RecognizerAlive(
            recognizer=self._instance,
            revision=engine.revision,
            leaving=leaving,
            engine=engine.name,
            waiting=engine.waiting,
        )
        await self._bus.publish(RecognizerAlive.subject_for(self._instance), alive)

    async def _news(self, changed: FaceChanged, _: str) -> None:
        if changed.revision > self._engine.revision:
            self._heard_of(changed.revision)
            self._nudge.set()

    async def _reconnected(self) -> None:
        self._nudge.set()

    async def _try_catch_up(self) -> bool:
        try:
            await self._catch_up()
        except RollcallError as error:
            log.warning("library not reached", reason=error.en, revision=self._engine.revision)
            return False
        return True

    async def _catch_up(self) -> None:
        async with self._one_at_a_time:
            before = self._engine.revision
            while (delta := await self._changes()).revision < delta.head:
                await self._engine.apply(delta)
            await self._engine.apply(delta)
            self._is_newest(delta.head)
            if self._engine.revision != before:
                await self._announce()

    async def _changes(self) -> LibraryDelta:
        delta = await self._bus.ask(LibraryChanges(since=self._engine.revision))
        self._heard_of(delta.head)
        if delta.head < self._engine.revision:
            # The registry went back in time: a restored backup. Nothing we hold can be trusted.
            log.warning("library is older than our copy: loading it again", head=delta.head)
            await self._engine.reset()
            delta = await self._bus.ask(LibraryChanges(since=0))
        return delta

    def _heard_of(self, revision: int) -> None:
        if revision > self._engine.revision:
            self.head = max(self.head, revision)
            self._behind_since = min(self._behind_since, time.monotonic())

    def _is_newest(self, head: int) -> None:
        self.head, self._newest_at = head, time.monotonic()
        self._behind_since = math.inf
