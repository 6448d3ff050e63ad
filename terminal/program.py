"""The program at the door: its fittings wired together, in online mode."""

import asyncio
import signal
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from shared.runtime import background
from terminal.cameras import Camera, opener
from terminal.cards import CardDesk, Cards, open_reader, read_cards
from terminal.client import Identity, Server, Terminal
from terminal.display import Console, Scene
from terminal.door import Door
from terminal.events import Blind, Event, Trouble
from terminal.gate import FindFaces, Watch
from terminal.latch import Latch
from terminal.lights import Light
from terminal.page_server import Page
from terminal.relays import open_switch

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


async def run_online(
    identity: Identity, server: Server, fittings: Fittings, say: Say, find: FindFaces | None = None
) -> bool:
    """The server recognises. Runs until a signal ends it (False), or the office orders a restart (True). `find` looks
    for faces; without it every picture that the server asks for is sent.

    Raises WrongAddress, SwitchError, ReaderError at once for fittings that cannot be; OSError if the page's port is
    taken. What fails later is told and tried again.
    """

    def hear(event: Event) -> None:
        door.hear(event)

    def trouble(what: str) -> Callable[[str], None]:
        return lambda reason: hear(Trouble(what, reason))

    readers = [(address, open_reader(address)) for address in fittings.cards]
    async with AsyncExitStack() as stack:
        latch = Latch(open_switch(fittings.relay, say), trouble("relay"))
        light = Light(open_switch(fittings.light, say, "light"), trouble("light")) if fittings.light else None
        watch: Watch | None = None
        if fittings.camera:
            source = opener(fittings.camera, loop=fittings.loop, seconds_each=fittings.seconds_each)
            camera = Camera(source, lambda reason: hear(Blind(reason)))
            watch = Watch(camera, find, hear, light.look if light else lambda brightness: None)
        console = Console(say, lambda: datetime.now().astimezone())
        shows: list[Callable[[Scene], None]] = [console.show]
        door = Door(
            latch,
            lambda scene: _show(shows, scene),
            light=light,
            take_picture=watch.snapshot if watch else None,
            log=console.log,
        )
        terminal = Terminal(identity, server, hear, camera=watch.frame if watch else None, obey=door.obey)
        door.now = terminal.now
        cards = Cards(CardDesk(identity, server, terminal.now).present, hear)
        if fittings.display is not None:
            page = Page(identity.name, cards.read)
            port = await stack.enter_async_context(page.serve(fittings.display))
            say(f"The screen: http://127.0.0.1:{port}")
            shows.append(page.show)
        if watch:
            await stack.enter_async_context(camera.open())
        await stack.enter_async_context(latch)  # the last to come and the first to go: a camera may be slow to let go
        jobs = [door.run(), terminal.run(), cards.run()]
        jobs += [read_cards(open_it, cards.read, trouble(f"card reader {address}")) for address, open_it in readers]
        if light:
            jobs.append(light.run())
        if watch:
            jobs.append(watch.run())
        async with background(*jobs):
            return await _until_the_end(door.restart)


def _show(shows: list[Callable[[Scene], None]], scene: Scene) -> None:
    for show in shows:
        show(scene)


async def _until_the_end(restart: asyncio.Event) -> bool:
    """True for a restart, False for a signal."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in STOPS:
        loop.add_signal_handler(number, stop.set)
    ends = [asyncio.create_task(event.wait()) for event in (restart, stop)]
    try:
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for end in ends:
            end.cancel()
        for number in STOPS:
            loop.remove_signal_handler(number)
    return restart.is_set() and not stop.is_set()
