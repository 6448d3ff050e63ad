"""A simulated terminal: shows photographs to the server as a door's camera would, and tells what came back."""

import asyncio
import io
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from random import Random
from typing import Final

from PIL import Image, ImageOps

from terminal.admission import Identity, Server
from terminal.client import Terminal
from terminal.events import Command, Event
from terminal.orders import CannotDo

SIZE: Final = (640, 480)
SECONDS_EACH: Final = 1.5
GAP_S: Final = 0.5
"""an empty doorway between two people"""
LINGER_S: Final = 2.0
"""after the last photo, for the news that a punch is recorded"""
BACKGROUND: Final = (32, 32, 32)
NOBODY: Final = ""


@dataclass(frozen=True, slots=True)
class Photo:
    """A JPEG and what to call it."""

    label: str
    jpeg: bytes


@dataclass(frozen=True, slots=True)
class Sight:
    """Something the terminal learnt, and the photo (NOBODY: none) that it sent last."""

    label: str
    event: Event


def letterbox(jpeg: bytes, size: tuple[int, int] = SIZE) -> bytes:
    """The picture upright, whole, in the middle of a frame of `size`."""
    with Image.open(io.BytesIO(jpeg)) as opened:
        picture = ImageOps.exif_transpose(opened).convert("RGB")
    return _encode(ImageOps.pad(picture, size, color=BACKGROUND))


def empty_frame(size: tuple[int, int] = SIZE) -> bytes:
    """A frame with nobody in it."""
    return _encode(Image.new("RGB", size, BACKGROUND))


def _encode(picture: Image.Image) -> bytes:
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=88)
    return out.getvalue()


class Show:
    """Which photo stands before the camera at a time. Pure; times in seconds since the show began."""

    def __init__(self, photos: Sequence[Photo], seconds_each: float = SECONDS_EACH, gap_s: float = GAP_S) -> None:
        self._photos, self._each, self._gap = tuple(photos), seconds_each, gap_s
        self._nobody = Photo(NOBODY, empty_frame())

    @property
    def length(self) -> float:
        """When the last photo is taken away."""
        return len(self._photos) * (self._each + self._gap)

    def at(self, elapsed: float) -> Photo:
        """The photo shown `elapsed` seconds in."""
        number, within = divmod(elapsed, self._each + self._gap)
        on = number < len(self._photos) and within < self._each
        return self._photos[int(number)] if on else self._nobody


class SimulatedDoor:
    """Door and display of a simulated terminal: remembers what it was told to do."""

    def __init__(self) -> None:
        self.opened = 0
        self.shown: list[str] = []

    async def obey(self, command: Command) -> str:
        """Does `open_door` and `show_message`; raises CannotDo for anything else."""
        match command.action:
            case "open_door":
                self.opened += 1
                return "simulated door opened"
            case "show_message":
                self.shown.append(str(command.wishes.get("zh") or command.wishes.get("en") or ""))
                return "shown"
        raise CannotDo("unsupported", f"a simulated terminal cannot {command.action}")


class SimulatedTerminal:
    """Plays its photos once, from the moment the server first asks for a frame, at the rate the server asks."""

    def __init__(
        self,
        identity: Identity,
        server: Server,
        photos: Sequence[Photo],
        *,
        seconds_each: float = SECONDS_EACH,
        gap_s: float = GAP_S,
        linger_s: float = LINGER_S,
        dice: Random | None = None,
    ) -> None:
        self._identity, self._server, self._dice = identity, server, dice
        self._photos, self._timing, self._linger_s = tuple(photos), (seconds_each, gap_s), linger_s
        self._began_at: float | None = None
        self._begun = asyncio.Event()
        self._label = NOBODY
        self.door = SimulatedDoor()

    async def play(self, saw: Callable[[Sight], None]) -> None:
        """Connect, show everything, linger, leave. Waits as long as it takes for the server to ask for a frame."""
        self._show = await asyncio.to_thread(self._render)
        terminal = Terminal(
            self._identity,
            self._server,
            lambda event: saw(Sight(self._label, event)),
            camera=self._camera,
            obey=self.door.obey,
            dice=self._dice,
        )
        running = asyncio.create_task(terminal.run())
        over = asyncio.create_task(self._until_over())
        try:
            await asyncio.wait((running, over), return_when=asyncio.FIRST_COMPLETED)
            if running.done():
                running.result()
        finally:
            await _cancel(running, over)

    @asynccontextmanager
    async def playing(self) -> AsyncIterator[AsyncIterator[Sight]]:
        """Play while inside; the iterator gives every sight and ends with the show."""
        queue: asyncio.Queue[Sight | None] = asyncio.Queue()

        async def play() -> None:
            try:
                await self.play(queue.put_nowait)
            finally:
                queue.put_nowait(None)

        task = asyncio.create_task(play())
        try:
            yield _drain(queue, task)
        finally:
            await _cancel(task)

    def _render(self) -> Show:
        framed = [Photo(photo.label, letterbox(photo.jpeg)) for photo in self._photos]
        return Show(framed, *self._timing)

    async def _camera(self) -> bytes:
        at = asyncio.get_running_loop().time()
        if self._began_at is None:
            self._began_at = at
            self._begun.set()
        photo = self._show.at(at - self._began_at)
        self._label = photo.label
        return photo.jpeg

    async def _until_over(self) -> None:
        await self._begun.wait()
        await asyncio.sleep(self._show.length + self._linger_s)


async def _drain(queue: asyncio.Queue[Sight | None], task: asyncio.Task[None]) -> AsyncIterator[Sight]:
    while (sight := await queue.get()) is not None:
        yield sight
    await task


async def _cancel(*tasks: asyncio.Task[None]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
