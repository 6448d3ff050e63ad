"""What a terminal needs to go on without a server, and how it makes up with one: punches told, faces fetched."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from random import Random
from typing import Any, Final, Protocol

import httpx

from terminal.backoff import Backoff
from terminal.events import Delivered, Ended, Event, Rubbish, Trouble
from terminal.library import Library, LibraryFull
from terminal.orders import CannotDo
from terminal.punches import PunchStore, State, StoreFull
from terminal.sealing import CannotOpen

PUNCHES_ANSWER_S: Final = 20.0
"""how long the hub may take to answer a batch"""
PACE_S: Final = 0.1
"""between two batches: a hub takes 20 frames a second"""
LONGEST_RETRY_S: Final = 120.0
LOOK_S: Final = 60.0
"""how often the store is looked at unasked: another program may have put something there"""
FACES_S: Final = 600.0
"""how often the library is asked for unasked: a hint may have got lost"""
CONNECTED_WITHIN_S: Final = 10.0
"""after a connection it is asked for within this time: a whole fleet may have come back"""
ASKED_S: Final = 3.0
"""how long the office, which waits 5 s, is made to wait for the faces that it ordered"""
MODE: Final = "mode"
"""the note that says who recognises, for a start without a server"""
REFUSED: Final = "refused"
"""the note that the office does not let this terminal in: it recognises nobody then"""

LIBRARY: Final = "library"
"""what does not work when the copy cannot be brought up to date"""
STORAGE: Final = "storage"
"""what does not work when the store of the punches cannot be written or read"""
STORAGE_AGAIN_S: Final = 10.0
"""until it is tried again: a disk is not emptied in a moment"""

Camera = Callable[[], Awaitable[bytes]]
Send = Callable[[str], Awaitable[None]]


class Eye(Protocol):
    """terminal.offline.Eye, which needs the networks."""

    async def run(self, camera: Camera, hear: Callable[[Event], None], now: Callable[[], datetime]) -> None: ...


@dataclass(frozen=True, slots=True)
class Reserve:
    """`eye` None: another program recognises, this one only keeps and tells. `own`: who was registered on this box."""

    library: Library
    punches: PunchStore
    eye: Eye | None = None
    own: Library | None = None


class Teller:
    """Tells the hub of the stored punches, one batch at a time, until all are kept; over one connection after
    another."""

    def __init__(
        self,
        punches: PunchStore,
        hear: Callable[[Event], None],
        storage_again_s: float = STORAGE_AGAIN_S,
        now: Callable[[], datetime | None] = lambda: None,
    ) -> None:
        """`now` is the server's time, None while it is not told."""
        self._punches, self._hear, self._storage_again_s, self._now = punches, hear, storage_again_s, now
        self._more = asyncio.Event()
        self._stuck = False
        self._answer: asyncio.Future[dict[str, Any]] | None = None

    def look(self) -> None:
        """There may be something to tell."""
        self._more.set()

    def heard(self, message: dict[str, Any]) -> None:
        """A frame `punches_kept` or `punches_later`; one that nobody waits for says nothing new."""
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(message)

    async def run(self, send: Send) -> None:
        """While the connection stands. The first frame asks what the server misses, whatever is to tell."""
        self._punches.begin()
        asking = True
        while True:
            self._more.clear()
            try:
                frame = await asyncio.to_thread(self._punches.batch, asking=asking, now=self._now())
                wait = None if frame is None else await self._tell(send, frame)
            except StoreFull as error:  # what the server answered may be forgotten: it is asked again
                self._storage(str(error))
                await asyncio.sleep(self._storage_again_s)
                continue
            self._storage("")
            if wait is None:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_S):
                        await self._more.wait()
                continue
            asking = asking and wait > PACE_S
            await asyncio.sleep(wait)

    def _storage(self, reason: str) -> None:
        """Told when it begins and when it is over."""
        if bool(reason) != self._stuck:
            self._hear(Trouble(STORAGE, reason))
        self._stuck = bool(reason)

    async def _tell(self, send: Send, frame: str) -> float:
        """Seconds until the next frame."""
        self._answer = asyncio.get_running_loop().create_future()
        await send(frame)
        try:
            async with asyncio.timeout(PUNCHES_ANSWER_S):
                message = await self._answer
        except TimeoutError:
            return PACE_S
        if message["type"] == "punches_later":
            return _seconds(message.get("retry_s"), LONGEST_RETRY_S)
        kept = await asyncio.to_thread(self._punches.answered, message)
        counts = await asyncio.to_thread(self._punches.counts)
        self._hear(Delivered(kept, counts[State.WAITING], counts[State.REFUSED]))
        return PACE_S


class FaceKeeper:
    """Keeps the copy of the library up to date. `update` brings it there and says whether anything changed; `changed`
    is called if so."""

    def __init__(
        self,
        update: Callable[[], Awaitable[bool]],
        changed: Callable[[], None],
        hear: Callable[[Event], None],
        dice: Random,
    ) -> None:
        self._update, self._changed, self._hear, self._dice = update, changed, hear, dice
        self._due, self._within = asyncio.Event(), 0.0
        self._asking: list[asyncio.Future[str]] = []

    def hint(self, within_s: Any) -> None:
        """There are newer faces: fetch them within so many seconds."""
        self._within = _seconds(within_s, FACES_S)
        self._due.set()

    async def update_now(self, wait_s: float = ASKED_S) -> str:
        """Ask for newer faces at once; what came of it, or that it goes on: nobody waits longer for a large library.
        Raises CannotDo."""
        told: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._asking.append(told)
        self.hint(0)
        try:
            async with asyncio.timeout(wait_s):
                problem = await told
        except TimeoutError:
            return "the faces are being fetched"
        if problem:
            raise CannotDo("failed", problem)
        return "the faces are up to date"

    async def run(self) -> None:
        """Until cancelled."""
        backoff, failing, news = Backoff(self._dice), False, False
        while True:
            asking, self._asking, problem = self._asking, [], ""
            try:
                news = await self._update() or news
                if news:
                    self._changed()
                news = False
                backoff.worked()
                if failing:
                    self._hear(Trouble(LIBRARY, ""))
                failing = False
                wait = FACES_S
            except (httpx.HTTPError, Ended, Rubbish, LibraryFull, CannotOpen, OSError) as error:
                problem = str(error) or type(error).__name__
                self._hear(Trouble(LIBRARY, problem))
                failing = True
                wait = backoff.again()
            for told in asking:
                if not told.done():  # whoever asked may have gone
                    told.set_result(problem)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._due.wait()
            if self._due.is_set():
                self._due.clear()
                await asyncio.sleep(self._dice.uniform(0, self._within))


def _seconds(given: Any, most: float) -> float:
    return min(most, max(0.0, float(given))) if isinstance(given, int | float) else 1.0
