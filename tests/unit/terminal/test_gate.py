"""Nothing is sent while nobody is there."""

import asyncio
import io
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import numpy as np
import pytest
from PIL import Image

from shared.runtime import background
from shared.testing import eventually
from terminal.cameras import Camera, Pixels
from terminal.events import Event, Presence, Seen
from terminal.gate import FAR_PX, GONE_S, NEAR_PX, Gate, Watch, open_face_finder
from terminal.orders import CannotDo
from tests.systems import photos


def test_only_a_face_that_is_large_enough_is_sent() -> None:
    gate = Gate()
    assert gate.look([], 0) is False
    assert gate.presence is Presence.NOBODY
    assert gate.look([FAR_PX, NEAR_PX], 0) is True
    assert gate.presence is Presence.NEAR
    assert gate.look([NEAR_PX - 1], 0) is False
    assert gate.presence is Presence.FAR
    assert Gate().look([FAR_PX - 1], 0) is False


def test_a_blink_is_no_farewell() -> None:
    gate = Gate()
    gate.look([100], 0)
    assert gate.look([], GONE_S - 0.1) is False
    assert gate.presence is Presence.NEAR
    gate.look([], GONE_S)
    assert gate.presence is Presence.NOBODY


class Scenery:
    """A camera before which the test puts people: the grey value is the size of the largest face."""

    def __init__(self) -> None:
        self.size = 0

    def read(self) -> Pixels:
        return np.full((48, 64, 3), self.size, np.uint8)

    def close(self) -> None:
        pass


def find(pixels: Pixels) -> Sequence[float]:
    return [float(pixels[0, 0, 0])]


@asynccontextmanager
async def watching(scenery: Scenery, heard: list[Event], *, gate: bool = True) -> AsyncIterator[Watch]:
    camera = Camera(lambda stop: scenery, lambda reason: None)
    async with camera.open():
        watch = Watch(camera, find if gate else None, heard.append, lambda brightness: None)
        async with background(watch.run()):
            yield watch


async def test_a_frame_comes_when_somebody_does() -> None:
    scenery, heard = Scenery(), list[Event]()
    async with watching(scenery, heard) as watch:
        frame = asyncio.create_task(watch.frame())

        async def is_seen_by_the_office() -> bool:  # although nobody is there
            try:
                return bool(await watch.snapshot(45_000))
            except CannotDo:
                return False

        await eventually(is_seen_by_the_office)
        assert not frame.done()
        assert heard == []
        scenery.size = 100
        with Image.open(io.BytesIO(await frame)) as picture:
            assert (picture.format, picture.size) == ("JPEG", (64, 48))
        assert heard == [Seen(Presence.NEAR)]
        scenery.size = 0

        async def is_gone() -> bool:
            return heard[-1] == Seen(Presence.NOBODY)

        await eventually(is_gone)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await watch.frame()


async def test_a_picture_is_given_once() -> None:
    scenery, heard = Scenery(), list[Event]()
    scenery.size = 100
    async with watching(scenery, heard) as watch:
        first, second = await watch.worthy(), await watch.worthy()
        assert second.at > first.at


async def test_without_a_gate_everything_is_sent() -> None:
    heard: list[Event] = []
    async with watching(Scenery(), heard, gate=False) as watch:
        await watch.frame()
    assert heard == []


def test_the_real_face_finder_finds_real_faces() -> None:
    finder = open_face_finder()
    with Image.open(io.BytesIO(photos()["Emmanuel Macron"][0])) as photo:
        person = np.asarray(photo.convert("RGB"))[:, :, ::-1]
    assert max(finder(person)) >= NEAR_PX
    assert list(finder(np.full((480, 640, 3), 90, np.uint8))) == []
