"""Thousands of simulated terminals in one process.

`python -m terminal.fleet` runs a `Squad` that stands as one line of JSON on stdin, tells what happens as one line of
JSON a second on stdout, and ends with stdin. `rollcall fleet` starts several and adds them up.
"""

import asyncio
import sys
from collections.abc import Callable, Coroutine
from random import Random
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field
from websockets.uri import parse_uri
from websockets.utils import accept_key, generate_key

from terminal.simulated import Simulated
from terminal.tally import Tally

TICK_S: Final = 0.1
STALL: Final = 0.5
"""heartbeats between two ticks after which this process, not the hub, was silent"""


class Squad(BaseModel):
    """What one process simulates."""

    model_config = ConfigDict(frozen=True)

    hub: str
    """ws://host:port"""
    terminals: tuple[tuple[str, str], ...] = Field(repr=False)
    """(serial number, secret)"""
    sources: tuple[str, ...] = ()
    """addresses to connect from, in turn; one has 28,000 ports"""
    ramp_s: float = Field(default=0, ge=0)
    """the first tries are spread over this time"""


class Fleet:
    """The terminals of one squad, in the running event loop."""

    def __init__(self, squad: Squad, dice: Random | None = None) -> None:
        self.loop = asyncio.get_running_loop()
        self.dice = dice or Random()  # noqa: S311 - jitter, no secret
        uri, key = parse_uri(f"{squad.hub}/terminal"), generate_key()
        self.address = uri.host, uri.port
        request = f"GET {uri.path} HTTP/1.1\r\nHost: {uri.host}:{uri.port}\r\n"
        self.knock = f"{request}\r\n".encode()
        self.upgrade = (
            f"{request}Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            f"Sec-WebSocket-Key: {key}\r\nAuthorization: "
        )
        self.accepted = accept_key(key).encode()
        self.hub_ahead_s: float | None = None
        self.tally = Tally()
        self.heartbeat_s = 20.0
        self._plan = squad
        self._sources = list(squad.sources)
        self._terminals = [Simulated(self, sn, secret) for sn, secret in squad.terminals]
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopped = False

    async def run(self) -> None:
        """Until cancelled: start them over `ramp_s`, then keep their hearts beating."""
        every = self._plan.ramp_s / max(1, len(self._terminals))
        for number, terminal in enumerate(self._terminals):
            self.later(number * every, terminal)
        try:
            await self._beat_for_ever()
        finally:
            self._stopped = True
            for terminal in self._terminals:
                terminal.stop()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _beat_for_ever(self) -> None:
        """A slice every TICK_S, so that each terminal has its turn once a heartbeat. When this process did not run for
        a while, what the hub said waits to be read: all are believed connected for one heartbeat more."""
        place, last, count, lenient_until = 0.0, self.loop.time(), len(self._terminals), 0.0
        while True:
            await asyncio.sleep(TICK_S)
            now = self.loop.time()
            if now - last > STALL * self.heartbeat_s:
                lenient_until = now + self.heartbeat_s
            end = place + min(1.0, (now - last) / self.heartbeat_s) * count
            for number in range(int(place), int(end)):
                if (terminal := self._terminals[number % count]).up:
                    terminal.beat(now, lenient=now < lenient_until)
            place, last = end % max(1, count), now

    def later(self, seconds: float, terminal: Simulated) -> None:
        """Let a terminal try in so many seconds."""
        if not self._stopped:
            self.loop.call_later(seconds, self._start, terminal)

    def _start(self, terminal: Simulated) -> None:
        if self._stopped:
            return
        source = None
        if self._sources:
            self._sources.append(source := self._sources.pop(0))
        terminal.start(source)

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Own a task until it is done."""
        task = self.loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


async def serve(squad: Squad, tell: Callable[[str], None], ended: asyncio.Event, every_s: float = 1.0) -> None:
    """Run a squad and tell a Report every `every_s` until `ended`."""
    fleet = Fleet(squad)
    running = asyncio.create_task(fleet.run())
    try:
        while not ended.is_set():
            tell(fleet.tally.report().model_dump_json())
            try:
                async with asyncio.timeout(every_s):
                    await ended.wait()
            except TimeoutError:
                continue
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


class _Leash(asyncio.Protocol):
    """Sees the end of stdin."""

    def __init__(self, ended: asyncio.Event) -> None:
        self._ended = ended

    def connection_lost(self, exc: Exception | None) -> None:
        self._ended.set()


async def _main(squad: Squad) -> None:
    ended = asyncio.Event()
    await asyncio.get_running_loop().connect_read_pipe(lambda: _Leash(ended), sys.stdin)

    def tell(line: str) -> None:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()

    await serve(squad, tell, ended)


if __name__ == "__main__":
    import gc

    import uvloop

    gc.set_threshold(20_000, 20, 20)  # as a hub does, and for the same reason

    uvloop.run(_main(Squad.model_validate_json(sys.stdin.readline())))
