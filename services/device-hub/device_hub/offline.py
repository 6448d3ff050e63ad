"""What terminals that recognise by themselves need of a hub: their punches handed on, and word of a changed library."""

import asyncio
from random import Random
from typing import Final

import structlog

from device_hub.hub import Hub
from device_hub.outbox import Kind
from device_hub.protocol import Kept, Later, Library, Punches
from device_hub.session import Session
from shared.bus import Bus
from shared.contracts.gallery import FaceChanged
from shared.errors import RollcallError

AT_ONCE: Final = 4
"""batches that a hub has at the registry at a time: writing is the registry's narrow place"""
MOST_WAITING: Final = 256
"""batches that wait in a hub, 60 KB each at the very most; whoever comes then shall come again"""
RETRY_S: Final = (5.0, 15.0)
"""between these, by chance"""
GATHER_S: Final = 2.0
"""changes of the library within this time are told as one"""
ASKING_PER_S: Final = 100
"""terminals of this hub that ask the gateways for changes in one second, as they are told"""
SLICE: Final = 500
"""terminals that are told before others of the hub have their turn"""

log = structlog.get_logger("offline")


class PunchDesk:
    """Hands terminals' own punches to the registry and answers when the database has them. A terminal has one batch
    here at a time; what it sends meanwhile is not read, and comes again."""

    def __init__(self, bus: Bus, dice: Random | None = None) -> None:
        self._bus = bus
        self._dice = dice or Random()  # noqa: S311 - jitter, no secret
        self._at_registry = asyncio.Semaphore(AT_ONCE)
        self._waiting: set[Session] = set()

    def take(self, session: Session, punches: Punches) -> None:
        """Answer the frame, some time."""
        if session in self._waiting:
            return
        if len(self._waiting) >= MOST_WAITING:
            session.push(self._later(punches), Kind.KEPT)
            return
        self._waiting.add(session)
        self._bus.spawn(self._answer(session, punches))

    async def _answer(self, session: Session, punches: Punches) -> None:
        try:
            async with self._at_registry:
                text = await self._keep(session.device_id, punches)
        finally:
            self._waiting.discard(session)
        session.push(text, Kind.KEPT)

    async def _keep(self, device_id: int, punches: Punches) -> str:
        try:
            found = await self._bus.ask(punches.question(device_id))
        except RollcallError as error:
            log.warning("punches not kept", device=device_id, count=len(punches.punches), reason=error.en)
            return self._later(punches)
        return Kept(epoch=punches.epoch, kept=found.kept, refused=found.refused, missing=found.missing).text()

    def _later(self, punches: Punches) -> str:
        return Later(epoch=punches.epoch, retry_s=round(self._dice.uniform(*RETRY_S), 1)).text()


class FaceHints:
    """Tells the terminals that keep faces that there are newer ones; those themselves go over HTTP
    (docs/adr/0009-library-by-http.md)."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._revision = 0
        self._news = asyncio.Event()

    async def changed(self, event: FaceChanged, _: str) -> None:
        """evt.face.changed."""
        self._revision = event.revision
        self._news.set()

    async def keep(self) -> None:
        """Tell of changes, for ever."""
        while True:
            await self._news.wait()
            await asyncio.sleep(GATHER_S)
            self._news.clear()
            await self._tell()

    async def _tell(self) -> None:
        sessions = self._hub.keeping_faces()
        text = Library(revision=self._revision, within_s=max(1.0, len(sessions) / ASKING_PER_S)).text()
        for number, session in enumerate(sessions):
            if number % SLICE == 0:
                await asyncio.sleep(0)
            session.push(text, Kind.LIBRARY)
