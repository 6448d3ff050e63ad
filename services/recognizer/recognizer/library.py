"""Keeping the engine's copy of the library at the newest revision, and telling the gateways how far it is."""

import asyncio
import contextlib

import structlog

from recognizer.engines import Engine
from shared.bus import Bus
from shared.contracts.gallery import FaceChanged, LibraryChanges, LibraryDelta
from shared.contracts.recognition import ALIVE_EVERY_S, RecognizerAlive
from shared.errors import RollcallError

log = structlog.get_logger("library")

CHECK_EVERY_S = 5.0
"""News is lossy: the registry is asked this often even if none came, in seconds."""


class Library:
    """Follows the registry's revisions."""

    def __init__(self, bus: Bus, engine: Engine, instance: str) -> None:
        self._bus, self._engine, self._instance = bus, engine, instance
        self._nudge = asyncio.Event()
        self._one_at_a_time = asyncio.Lock()

    async def load(self) -> None:
        """Return only with the complete library; waits for the registry as long as it takes."""
        await self._bus.follow(FaceChanged.subject, FaceChanged, self._news)
        self._bus.on_reconnect(self._reconnected)
        while not await self._try_catch_up():
            await asyncio.sleep(0.5)
        log.info("library loaded", revision=self._engine.revision)

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
            recognizer=self._instance, revision=engine.revision, leaving=leaving, engine=engine.name
        )
        await self._bus.publish(RecognizerAlive.subject_for(self._instance), alive)

    async def _news(self, changed: FaceChanged, _: str) -> None:
        if changed.revision > self._engine.revision:
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
            if self._engine.revision != before:
                await self._announce()

    async def _changes(self) -> LibraryDelta:
        delta = await self._bus.ask(LibraryChanges(since=self._engine.revision))
        if delta.head < self._engine.revision:
            # The registry went back in time: a restored backup. Nothing we hold can be trusted.
            log.warning("library is older than our copy: loading it again", head=delta.head)
            await self._engine.reset()
            delta = await self._bus.ask(LibraryChanges(since=0))
        return delta
