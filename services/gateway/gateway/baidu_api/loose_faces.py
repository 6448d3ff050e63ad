"""Faces that were seen but not registered: their tokens can be used for an hour (V3 §2.5).

The picture is remembered here at once and handed to the registry in the background, so that no answer waits for it and
other gateways can resolve the token too. That is one write for a picture that is new, and none for one that was seen in
the last half hour. While the registry is writing, others gather and go together in the next message: one call at a time
costs a transaction each, many at once share them (bench/README.md).
"""

import asyncio
import contextlib
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import structlog

from gateway.baidu_api.refusals import refused
from shared.bus import Bus
from shared.codes import FaceCode
from shared.contracts.library import (
    LOOSE_FOR_S,
    MAX_KEPT,
    MAX_KEPT_BYTES,
    App,
    FindFace,
    KeepFaces,
    LooseFace,
    StoredFace,
)
from shared.errors import NotFound, RollcallError

log = structlog.get_logger("loose_faces")

ROOM: Final = 64 * 2**20
"""bytes of pictures; beyond it the oldest are forgotten here and the registry is asked"""
MAX_WAITING: Final = 64
"""pictures on their way to the registry; beyond it new ones stay here only"""
AGAIN_S: Final = LOOSE_FOR_S / 2
"""A face that is seen again after this long is kept anew."""
SWEEP_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class _Kept:
    face: StoredFace
    since: float


class LooseFaces:
    """Bounded memory, newest kept; `keep` runs beside the service."""

    def __init__(self, bus: Bus, clock: Callable[[], float] = time.monotonic, room: int = ROOM) -> None:
        self._bus, self._clock, self._room = bus, clock, room
        self._faces: OrderedDict[tuple[int, str], _Kept] = OrderedDict()
        self._size = 0
        self._dropped = 0
        self._waiting: deque[LooseFace] = deque()
        self._news = asyncio.Event()

    def remember(self, app: App, token: str, face: StoredFace) -> None:
        """Never waits."""
        key, now = (app.app_id, token), self._clock()
        known = self._faces.get(key)
        if known is not None and now - known.since < AGAIN_S:
            return
        self._put(key, _Kept(face, now))
        if len(self._waiting) < MAX_WAITING:
            self._waiting.append(LooseFace(app_id=app.app_id, token=token, face=face))
            self._news.set()
        else:
            self._dropped += 1

    async def find(self, app: App, token: str) -> StoredFace:
        """Kept or registered. Raises 222209, Unavailable."""
        known = self._faces.get((app.app_id, token))
        if known is not None and self._clock() - known.since < LOOSE_FOR_S:
            return known.face
        try:
            return await self._bus.ask(FindFace(app_id=app.app_id, token=token))
        except NotFound:
            raise refused(FaceCode.FACE_TOKEN_UNKNOWN) from None

    async def keep(self) -> None:
        """Hand over to the registry what has gathered, and forget what is too old, for ever."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(SWEEP_S):
                    await self._news.wait()
            self._news.clear()
            while self._waiting:
                await self._hand_over(self._next())
            self._forget_old()
            self._tell_dropped()

    def _next(self) -> KeepFaces:
        """The oldest that fit into one message."""
        batch = [self._waiting.popleft()]
        size = len(batch[0].face.jpeg)
        while self._waiting and len(batch) < MAX_KEPT:
            size += len(self._waiting[0].face.jpeg)
            if size > MAX_KEPT_BYTES:
                break
            batch.append(self._waiting.popleft())
        return KeepFaces(faces=tuple(batch))

    async def _hand_over(self, command: KeepFaces) -> None:
        try:
            await self._bus.ask(command)
        except RollcallError as error:
            log.warning("face tokens not kept by the registry", count=len(command.faces), reason=str(error))

    def _forget_old(self) -> None:
        """The oldest come first."""
        now = self._clock()
        while self._faces and now - next(iter(self._faces.values())).since >= LOOSE_FOR_S:
            self._drop(next(iter(self._faces)))

    def _tell_dropped(self) -> None:
        """Once for all that were dropped while the queue was full."""
        if self._dropped and not self._waiting:
            log.warning("face tokens known to this gateway only: too many at once", count=self._dropped)
            self._dropped = 0

    def _put(self, key: tuple[int, str], kept: _Kept) -> None:
        self._drop(key)
        self._faces[key] = kept
        self._size += len(kept.face.jpeg)
        while self._size > self._room:
            self._drop(next(iter(self._faces)))

    def _drop(self, key: tuple[int, str]) -> None:
        dropped = self._faces.pop(key, None)
        if dropped is not None:
            self._size -= len(dropped.face.jpeg)
