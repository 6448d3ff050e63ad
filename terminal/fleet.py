"""Thousands of simulated terminals in one process: they connect to the hub with a secret each, answer its pings, hear
what is pushed to them, and come back with jitter when they lose it. No camera, no door: a fleet's load, not its work.

`python -m terminal.fleet` runs a `Squad` that stands as one line of JSON on stdin, tells what happens as one line of
JSON a second on stdout, and ends with stdin. `rollcall fleet` starts several and adds them up.
"""

import asyncio
import hashlib
import hmac
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from random import Random
from typing import Any, Final, cast

from pydantic import BaseModel, ConfigDict, Field
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.uri import WebSocketURI, parse_uri

from terminal.backoff import Backoff
from terminal.client import MAX_FRAME
from terminal.events import Rubbish, read_object

HELLO: Final = b'{"type":"hello","versions":[1],"agent":"rollcall-fleet/1"}'
MOST_HEAD: Final = 8_192
"""bytes that the answer with the challenge may have"""
SAMPLES: Final = 200
"""times of each kind that one report holds at most"""
PATIENCE_S: Final = 30.0
"""how long a step of the way in may take, in seconds: of a fleet in line, those that give up sooner only make
it longer"""
SILENCE: Final = 2.5
"""heartbeats without a word from the hub after which the connection is dead"""
TICK_S: Final = 0.1
SHORTEST_S: Final = 0.05
SENT_AT: Final = "fleet_sent_ns"
"""in a pushed result: when it was sent, by the machine's monotonic clock"""


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


class Report(BaseModel):
    """What became of a squad since its last report; times are samples. Counters run from the beginning."""

    model_config = ConfigDict(frozen=True)

    online: int = 0
    welcomed: int = 0
    dropped: int = 0
    """connections that were lost after the welcome"""
    failed: dict[str, int] = {}
    """tries that led to no welcome, by reason"""
    rss_kib: int = 0
    cpu_s: float = 0.0
    connect_ms: tuple[float, ...] = ()
    echo_ms: tuple[float, ...] = ()
    """from a ping of the channel to its pong"""
    push_ms: tuple[float, ...] = ()
    """from the sender on the bus to the terminal"""


class Tally:
    """Counts what happens in a squad."""

    def __init__(self) -> None:
        self.online = self.welcomed = self.dropped = 0
        self.failed: Counter[str] = Counter()
        self.connect_ms: list[float] = []
        self.echo_ms: list[float] = []
        self.push_ms: list[float] = []

    def report(self) -> Report:
        """The present state; the samples begin anew."""
        report = Report(
            online=self.online,
            welcomed=self.welcomed,
            dropped=self.dropped,
            failed=dict(self.failed),
            rss_kib=rss_kib(os.getpid()),
            cpu_s=time.process_time(),
            connect_ms=thinned(self.connect_ms),
            echo_ms=thinned(self.echo_ms),
            push_ms=thinned(self.push_ms),
        )
        self.connect_ms, self.echo_ms, self.push_ms = [], [], []
        return report


def thinned(times: list[float]) -> tuple[float, ...]:
    """At most SAMPLES of them, evenly from the smallest to the largest, both ends included."""
    ordered = sorted(times)
    if len(ordered) <= SAMPLES:
        return tuple(ordered)
    return tuple(ordered[i * (len(ordered) - 1) // (SAMPLES - 1)] for i in range(SAMPLES))


def rss_kib(pid: int) -> int:
    """Resident memory of a process, in KiB; 0 where there is no /proc, or no process."""
    try:
        with open(f"/proc/{pid}/status") as status:  # noqa: PTH123 - no Path: asked for often
            return next((int(line.split()[1]) for line in status if line.startswith("VmRSS:")), 0)
    except OSError:
        return 0


def challenge_in(answer: bytes) -> str | None:
    """The challenge in the hub's HTTP answer to `GET /terminal`; None while it is not all there. Raises Rubbish."""
    head, gap, body = answer.partition(b"\r\n\r\n")
    if not gap and len(answer) < MOST_HEAD:
        return None
    lengths = [line.partition(b":")[2] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    try:
        (length,) = map(int, lengths)
        if len(body) < length <= MOST_HEAD:
            return None
        return str(json.loads(body[:length])["challenge"])
    except (ValueError, KeyError, TypeError):
        raise Rubbish("no challenge") from None


class Simulated(asyncio.Protocol):
    """One terminal: a socket, the sans-IO WebSocket once there is one, and little else, since there are so many."""

    __slots__ = ("_backoff", "_began", "_dialling", "_secret", "_sn", "_squad", "_timer", "_transport", "_words", "_ws",
                 "heard_at", "pinged_at", "up")  # fmt: skip

    def __init__(self, squad: "Fleet", sn: str, secret: str) -> None:
        self._squad, self._sn, self._secret = squad, sn, secret.encode()
        self._transport: asyncio.Transport | None = None
        self._ws: ClientProtocol | None = None
        self._dialling: asyncio.Task[None] | None = None
        self._words = b""
        """of the answer with the challenge"""
        self._timer: asyncio.TimerHandle | None = None
        """until the next try, or the end of this one's patience"""
        self._backoff: Backoff | None = None
        self._began = self.heard_at = self.pinged_at = 0.0
        self.up = False
        """welcomed"""

    # ---- trying

    def start(self, source: str | None) -> None:
        """Connect now."""
        self._began = self._squad.loop.time()
        self._be_patient()
        self._dialling = self._squad.spawn(self._dial(source))

    def _be_patient(self) -> None:
        self._calm()
        self._timer = self._squad.loop.call_later(PATIENCE_S, self._fail, "no answer in time")

    async def _dial(self, source: str | None) -> None:
        squad = self._squad
        local = (source, 0) if source else None
        try:
            await squad.loop.create_connection(lambda: self, squad.uri.host, squad.uri.port, local_addr=local)
        except OSError as error:
            self._fail(type(error).__name__)
        finally:
            self._dialling = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(self._squad.knock)

    def data_received(self, data: bytes) -> None:
        if self._ws is None:
            self._words += data
            return self._answer()
        self.heard_at = self._squad.loop.time()
        self._ws.receive_data(data)
        for event in self._ws.events_received():
            self._hear(event)
        return self._flush()

    def _answer(self) -> None:
        try:
            challenge = challenge_in(self._words)
        except Rubbish as error:
            return self._fail(str(error))
        if challenge is None:
            return None
        self._words = b""
        self._be_patient()
        answer = hmac.new(self._secret, challenge.encode(), hashlib.sha256).hexdigest()
        self._ws = ClientProtocol(self._squad.uri, max_size=MAX_FRAME)
        request = self._ws.connect()
        request.headers["Authorization"] = f"Rollcall {challenge}:{answer}:{self._sn}"
        self._ws.send_request(request)
        return self._flush()

    def _hear(self, event: Any) -> None:
        ws = self._ws
        match event:
            case Response() if ws is not None and ws.handshake_exc is None:
                self._be_patient()
                ws.send_text(HELLO)
            case Response():
                self._fail(f"HTTP {event.status_code}")
            case Frame(opcode=Opcode.TEXT):
                self._read(bytes(event.data))
            case Frame(opcode=Opcode.PING):
                self.pinged_at = self.heard_at
            case Frame(opcode=Opcode.CLOSE):
                self._fail("closed")

    def _read(self, text: bytes) -> None:
        try:
            message = read_object(text)
        except Rubbish as error:
            return self._fail(str(error))
        match message["type"]:
            case "welcome":
                self._welcomed(float(message["heartbeat_s"]))
            case "pong":
                self._squad.tally.echo_ms.append(time.monotonic_ns() / 1e6 - int(message["id"]) / 1e3)
            case "result" if SENT_AT in message:
                self._squad.tally.push_ms.append((time.monotonic_ns() - int(message[SENT_AT])) / 1e6)
        return None

    def _welcomed(self, heartbeat_s: float) -> None:
        self.up, self._backoff = True, None
        self._calm()
        self._squad.heartbeat_s = heartbeat_s
        self.pinged_at = self.heard_at
        tally = self._squad.tally
        tally.online += 1
        tally.welcomed += 1
        tally.connect_ms.append((self._squad.loop.time() - self._began) * 1e3)

    # ---- living

    def beat(self, now: float) -> None:
        """Once a heartbeat: a ping, unless the hub pings by itself; silence ends the connection."""
        if now - self.heard_at > SILENCE * self._squad.heartbeat_s:
            return self._fail("silent")
        if now - self.pinged_at > self._squad.heartbeat_s and self._ws is not None:
            self._ws.send_text(b'{"type":"ping","id":%d}' % (time.monotonic_ns() // 1_000))
            self._flush()
        return None

    def _flush(self) -> None:
        if self._ws is not None and self._transport is not None and not self._transport.is_closing():
            self._transport.write(b"".join(self._ws.data_to_send()))

    # ---- losing

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._fail("connection lost")

    def _fail(self, reason: str) -> None:
        """End this connection or try, and try again later; a second reason for the same end changes nothing."""
        if not self.up and self._timer is None:
            return
        tally = self._squad.tally
        if self.up:
            tally.online -= 1
            tally.dropped += 1
        else:
            tally.failed[reason] += 1
        self.up, self._ws, self._words = False, None, b""
        self.stop()
        if self._backoff is None:
            self._backoff = Backoff(self._squad.dice)
        # Not at once: the old connection's end is still to be told, and must not be taken for the new one's.
        self._squad.later(SHORTEST_S + self._backoff.again(), self)

    def stop(self) -> None:
        """Leave without a word."""
        self._calm()
        if self._dialling is not None and self._dialling is not asyncio.current_task():
            self._dialling.cancel()
        if self._transport is not None:
            self._transport.abort()

    def _calm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None


class Fleet:
    """The terminals of one squad, in the running event loop."""

    def __init__(self, squad: Squad, dice: Random | None = None) -> None:
        self.loop = asyncio.get_running_loop()
        self.dice = dice or Random()  # noqa: S311 - jitter, no secret
        self.uri: WebSocketURI = parse_uri(f"{squad.hub}/terminal")
        self.knock = f"GET {self.uri.path} HTTP/1.1\r\nHost: {self.uri.host}:{self.uri.port}\r\n\r\n".encode()
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
        """A slice every TICK_S, so that each terminal has its turn once a heartbeat."""
        place, last, count = 0.0, self.loop.time(), len(self._terminals)
        while True:
            await asyncio.sleep(TICK_S)
            now = self.loop.time()
            end = place + min(1.0, (now - last) / self.heartbeat_s) * count
            for number in range(int(place), int(end)):
                if (terminal := self._terminals[number % count]).up:
                    terminal.beat(now)
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
    import uvloop

    uvloop.run(_main(Squad.model_validate_json(sys.stdin.readline())))
