"""The program at the door: its fittings wired together, and with whoever recognises."""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from shared.runtime import background
from terminal.admission import Identity, Server
from terminal.cameras import Camera, opener
from terminal.cards import KEEP_AFTER_S, CardDesk, Cards, Present, open_reader, read_cards
from terminal.client import Terminal
from terminal.display import Console, Scene, Show
from terminal.door import Door
from terminal.events import Blind, CardAnswer, Trouble
from terminal.gate import FindFaces, Watch
from terminal.latch import Latch
from terminal.lights import Light
from terminal.offline_cards import keep_card
from terminal.page_server import Page
from terminal.relays import open_switch
from terminal.reserve import Reserve

STOPS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Fittings:
    """What the door has. Addresses as in terminal/cameras.py, relays.py and cards.py; an empty one: there is none."""

    camera: str = ""
    loop: bool = True
    """a film or a folder of pictures begins again at its end"""
    seconds_each: float = 2.0
    """how long each picture of a folder is shown"""
    relay: str = "simulated:"
    light: str = ""
    cards: tuple[str, ...] = ()
    display: int | None = None
    """port of the full-screen page; None: the console only"""


@dataclass(frozen=True, slots=True)
class Recogniser:
    """Whoever says who it is that stands there: the server, or the terminal by itself. `run` tells the door all that it
    learns, until cancelled; `present` makes a punch of a card; `now` is the clock that punches are told by."""

    run: Callable[[], Awaitable[None]]
    present: Present
    now: Callable[[], datetime]


Recognise = Callable[[Door, Watch | None], Recogniser]
"""Makes the recogniser of a door; without a camera there is no Watch."""


def by_server(identity: Identity, server: Server, reserve: Reserve | None = None) -> Recognise:
    """Online mode: frames go to the server, its answers come back. With a reserve this terminal recognises by itself
    where the office configures `offline`, and while no server answers; cards too."""

    def recognise(door: Door, watch: Watch | None) -> Recogniser:
        camera = watch.frame if watch else None
        terminal = Terminal(identity, server, door.hear, camera=camera, obey=door.obey, reserve=reserve)
        if reserve is None:
            return Recogniser(terminal.run, CardDesk(identity, server, terminal.now).present, terminal.now)

        async def keep(card: str, at: datetime) -> CardAnswer:
            answer = await keep_card(reserve, card, at)
            terminal.look()
            return answer

        desk = CardDesk(identity, server, terminal.now, KEEP_AFTER_S, keep)
        return Recogniser(terminal.run, desk.present, terminal.now)

    return recognise


async def run_door(
    name: str, fittings: Fittings, recognise: Recognise, say: Say, find: FindFaces | None = None
) -> bool:
    """Runs until a signal ends it (False), or the office orders a restart (True). `name` stands on the screen; `find`
    looks for faces, and without it every picture is worth recognising.

    Raises WrongAddress, SwitchError, ReaderError at once for fittings that cannot be; OSError if the page's port is
    taken. What fails later is told and tried again.
    """

    def trouble(what: str) -> Callable[[str], None]:
        return lambda reason: door.hear(Trouble(what, reason))

    readers = [(address, open_reader(address)) for address in fittings.cards]
    latch = Latch(open_switch(fittings.relay, say), trouble("relay"))
    light = Light(open_switch(fittings.light, say, "light"), trouble("light")) if fittings.light else None
    console = Console(say, lambda: datetime.now().astimezone())
    shows: list[Show] = [console.show]
    door = Door(latch, lambda scene: _show(shows, scene), light=light, log=console.log)
    async with AsyncExitStack() as stack:
        stop = stack.enter_context(_stopped_by_signals())
        watch: Watch | None = None
        if fittings.camera:
            source = opener(fittings.camera, loop=fittings.loop, seconds_each=fittings.seconds_each)
            camera = await stack.enter_async_context(Camera(source, lambda reason: door.hear(Blind(reason))).open())
            watch = Watch(camera, find, door.hear, light.look if light else lambda brightness: None)
            door.take_picture = watch.snapshot
        recogniser = recognise(door, watch)
        door.now = recogniser.now
        cards = Cards(recogniser.present, door.hear)
        if fittings.display is not None:
            page = Page(name, cards.read)
            port = await stack.enter_async_context(page.serve(fittings.display))
            say(f"The screen: http://127.0.0.1:{port}")
            shows.append(page.show)
        await stack.enter_async_context(latch)  # the last to come and the first to go: a camera may be slow to let go
        jobs = [door.run(), recogniser.run(), cards.run()]
        jobs += [read_cards(open_it, cards.read, trouble(f"card reader {address}")) for address, open_it in readers]
        jobs += [part.run() for part in (light, watch) if part is not None]
        async with background(*jobs):
            await _first(stop, door.restart)
        return door.restart.is_set() and not stop.is_set()


def _show(shows: list[Show], scene: Scene) -> None:
    for show in shows:
        show(scene)


@contextmanager
def _stopped_by_signals() -> Iterator[asyncio.Event]:
    """Set by the first one; while inside, none ends the process in the middle of locking the door."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in STOPS:
        loop.add_signal_handler(number, stop.set)
    try:
        yield stop
    finally:
        for number in STOPS:
            loop.remove_signal_handler(number)


async def _first(*events: asyncio.Event) -> None:
    """Wait for any of them."""
    waiting = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waiting:
            task.cancel()
