"""Who stands before the camera, and which pictures are worth sending: nothing leaves the terminal while nobody is
there."""

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import numpy as np

from terminal.cameras import Camera, Picture, Pixels, jpeg
from terminal.events import Event, Presence, Seen
from terminal.orders import CannotDo

NEAR_PX: Final = 56.0
"""shorter side of a face that is worth sending. The server wants 64; what lies between is its to judge, and to say in
words"""
FAR_PX: Final = 24.0
"""a smaller face walks by"""
GONE_S: Final = 0.7
"""nobody is there when no face was found for so long: people blink, turn and pass each other"""
IDLE_HZ: Final = 5.0
"""looks a second while nobody is there"""
BUSY_HZ: Final = 10.0
"""looks a second while somebody is"""
STALE_S: Final = 1.0
"""a picture that is older is not sent: its people may have left"""
SNAPSHOT_STALE_S: Final = 5.0

FindFaces = Callable[[Pixels], Sequence[float]]
"""The shorter sides of the faces in a picture, in pixels. For one thread."""


class NoFaceFinder(Exception):
    """This terminal cannot look for faces. The message says what to install."""


def open_face_finder() -> FindFaces:
    """Rollcall's own detector (YuNet at 320 pixels, 2 ms on one core). Raises NoFaceFinder."""
    try:
        from shared.vision.detector import Detector, DetectorSettings
        from shared.vision.runtime import RuntimeSettings
        from shared.vision.weights import WeightError, Weights
    except ImportError as error:
        raise NoFaceFinder(f"{error.name} is not installed: pip install 'rollcall[terminal,vision]'") from None
    try:
        detector = Detector(Weights.load().find("yunet"), RuntimeSettings(), DetectorSettings())
    except WeightError as error:
        raise NoFaceFinder(str(error)) from None

    def find(pixels: Pixels) -> Sequence[float]:
        return [float(size) for size in detector(pixels).boxes[:, 2:].min(axis=1)]

    return find


class Gate:
    """The rule. Pure; times in seconds of any clock."""

    def __init__(self) -> None:
        self.presence = Presence.NOBODY
        self._seen_at = float("-inf")

    def look(self, sizes: Iterable[float], at: float) -> bool:
        """Take note of the faces in a picture, by their shorter sides; whether it is worth sending."""
        largest = max(sizes, default=0.0)
        if largest >= FAR_PX:
            self._seen_at = at
            self.presence = Presence.NEAR if largest >= NEAR_PX else Presence.FAR
        elif at - self._seen_at >= GONE_S:
            self.presence = Presence.NOBODY
        return largest >= NEAR_PX


class Watch:
    """Looks at the camera's pictures, tells who is there, and hands on those that are worth it."""

    def __init__(
        self, camera: Camera, find: FindFaces | None, hear: Callable[[Event], None], light: Callable[[float], None]
    ) -> None:
        """Without `find` every picture is worth sending, and nobody is told who is there. `light` hears how bright
        each picture is: mean of all its bytes, 0–255."""
        self._camera, self._find, self._hear, self._light = camera, find, hear, light
        self._gate = Gate()
        self._newest: Picture | None = None
        self._worthy: Picture | None = None
        self._news = asyncio.Event()

    async def run(self) -> None:
        """Look, until cancelled."""
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(1, "gate") as pool:
            while True:
                picture = self._newest = await self._camera.next()
                sizes = await loop.run_in_executor(pool, self._find, picture.pixels) if self._find else None
                self._take(picture, sizes)
                self._light(brightness(picture.pixels))
                busy = sizes is None or self._gate.presence is not Presence.NOBODY
                await asyncio.sleep(picture.at + 1 / (BUSY_HZ if busy else IDLE_HZ) - time.monotonic())

    def _take(self, picture: Picture, sizes: Sequence[float] | None) -> None:
        before = self._gate.presence
        worthy = sizes is None or self._gate.look(sizes, picture.at)
        self._worthy = picture if worthy else None
        if worthy:
            self._news.set()
        if self._gate.presence is not before:
            self._hear(Seen(self._gate.presence))

    async def worthy(self) -> Picture:
        """The newest picture that is worth sending and was not given yet; waits until there is one."""
        while True:
            picture, self._worthy = self._worthy, None
            if picture is not None and time.monotonic() - picture.at <= STALE_S:
                return picture
            self._news.clear()
            await self._news.wait()

    async def frame(self) -> bytes:
        """The same as a JPEG: what a terminal sends to the server."""
        return await asyncio.to_thread(jpeg, (await self.worthy()).pixels)

    async def snapshot(self, max_bytes: int) -> bytes:
        """What the camera sees now, whoever is there. Raises CannotDo."""
        newest = self._newest
        if newest is None or time.monotonic() - newest.at > SNAPSHOT_STALE_S:
            raise CannotDo("no_picture", "the camera gives no pictures")
        return await asyncio.to_thread(jpeg, newest.pixels, max_bytes)


def brightness(pixels: Pixels) -> float:
    """Mean of every eighth pixel, 0–255."""
    return float(np.mean(pixels[::8, ::8]))
