"""One of thousands of simulated terminals: connects to the hub with its secret, answers its pings, obeys and takes over
what it is told, and comes back with jitter when it loses it. No camera, no door: a fleet's load, not its work."""

import asyncio
import json
import time
from collections.abc import Coroutine
from datetime import UTC, datetime
from random import Random
from typing import Any, Final, Protocol, cast

from websockets.frames import Frame, Opcode
from websockets.protocol import Protocol as WebSocket
from websockets.protocol import Side

from terminal.admission import Identity, proved_at, proved_by
from terminal.backoff import HUB_FIRST_S, Backoff
from terminal.events import Rubbish, read_object
from terminal.talks import MAX_FRAME
from terminal.tally import Tally

HELLO: Final = b'{"type":"hello","versions":[1],"agent":"rollcall-fleet/1"}'
MOST_HEAD: Final = 8_192
"""bytes that the answer with the challenge may have"""
PATIENCE_S: Final = 30.0
"""how long a step of the way in may take, in seconds: of a fleet in line, those that give up sooner only make
it longer"""
SILENCE: Final = 2.5
"""heartbeats without a word from the hub after which the connection is dead"""
SHORTEST_S: Final = 0.05
SENT_AT: Final = "fleet_sent_ns"
"""in a pushed result: when it was sent, by the machine's monotonic clock"""


class Company(Protocol):
    """What simulated terminals have in common."""

    loop: asyncio.AbstractEventLoop
    dice: Random
    address: tuple[str, int]
    """the hub's host and port"""
    knock: bytes
    """the request for a challenge"""
    upgrade: str
    """the request for a WebSocket up to what it says in `Authorization`"""
    accepted: bytes
    """what the hub says when it understood the one key that all of a squad use: each of its own would be right, and
    another tenth of the way in"""
    hub_ahead_s: float | None
    """how far the hub's clock is ahead of ours; None: it has not told, or did not believe ours"""
    tally: Tally
    heartbeat_s: float

    def later(self, seconds: float, terminal: "Simulated") -> None:
        """Let a terminal try in so many seconds."""

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Own a task until it is done."""


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

    __slots__ = ("_backoff", "_began", "_dialling", "_known", "_secret", "_sn", "_squad", "_timer", "_transport",
                 "_words", "_ws", "heard_at", "pinged_at", "up")  # fmt: skip

    def __init__(self, squad: Company, sn: str, secret: str) -> None:
        self._squad, self._sn, self._secret = squad, sn, secret
        self._transport: asyncio.Transport | None = None
        self._ws: WebSocket | None = None
        self._dialling: asyncio.Task[None] | None = None
        self._words = b""
        """of an HTTP answer"""
        self._known = False
        """its WebSocket is asked for"""
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
            await squad.loop.create_connection(lambda: self, *squad.address, local_addr=local)
        except OSError as error:
            self._fail(type(error).__name__)
        finally:
            self._dialling = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        if self._squad.hub_ahead_s is None:
            return self._transport.write(self._squad.knock)
        at = datetime.fromtimestamp(time.time() + self._squad.hub_ahead_s, UTC)
        return self._ask_in(proved_at(Identity("", self._sn, self._secret), at))

    def data_received(self, data: bytes) -> None:
        if self._ws is None:
            self._words += data
            return self._upgrade() if self._known else self._answer()
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
        return self._ask_in(proved_by(challenge, Identity("", self._sn, self._secret)))

    def _ask_in(self, authorization: str) -> None:
        if self._transport is not None:
            self._known = True
            self._transport.write(f"{self._squad.upgrade}{authorization}\r\n\r\n".encode())

    def _upgrade(self) -> None:
        head, gap, rest = self._words.partition(b"\r\n\r\n")
        if not gap and len(head) < MOST_HEAD:
            return None
        if not (head.startswith(b"HTTP/1.1 101 ") and self._squad.accepted in head):
            if head.startswith(b"HTTP/1.1 401 "):  # perhaps its clock was set
                self._squad.hub_ahead_s = None
            return self._fail(head[:12].decode("ascii", "replace").replace("/1.1", ""))
        self._words = b""
        self._be_patient()
        self._ws = WebSocket(Side.CLIENT, max_size=MAX_FRAME)
        self._ws.send_text(HELLO)
        self._flush()
        return self.data_received(rest) if rest else None

    def _hear(self, event: Any) -> None:
        match event:
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
                self._compare_clocks(str(message["time"]))
            case "pong":
                self._squad.tally.echo_ms.append(time.monotonic_ns() / 1e6 - int(message["id"]) / 1e3)
            case "command":
                self._obey(message)
            case "config":
                self._take_config(message)
            case "result" if SENT_AT in message:
                self._squad.tally.push_ms.append((time.monotonic_ns() - int(message[SENT_AT])) / 1e6)
        return None

    def _obey(self, message: dict[str, Any]) -> None:
        if self._ws is not None:
            ack = {"type": "ack", "id": message.get("id", ""), "ok": True, "detail": "simulated"}
            self._ws.send_text(json.dumps(ack).encode())
            self._squad.tally.obeyed += 1

    def _take_config(self, message: dict[str, Any]) -> None:
        if self._ws is not None:
            self._ws.send_text(b'{"type":"config_taken","revision":%d}' % int(message["revision"]))
            self._squad.tally.taken += 1
            self._squad.tally.taken_at = time.monotonic()

    def _welcomed(self, heartbeat_s: float) -> None:
        self.up, self._backoff = True, None
        self._calm()
        self._squad.heartbeat_s = heartbeat_s
        self.pinged_at = self.heard_at
        tally = self._squad.tally
        tally.online += 1
        tally.welcomed += 1
        tally.connect_ms.append((self._squad.loop.time() - self._began) * 1e3)

    def _compare_clocks(self, theirs: str) -> None:
        if self._squad.hub_ahead_s is None:
            self._squad.hub_ahead_s = datetime.fromisoformat(theirs).timestamp() - time.time()

    # ---- living

    def beat(self, now: float, *, lenient: bool) -> None:
        """Once a heartbeat: a ping, unless the hub pings by itself; silence ends the connection, unless it was ours."""
        if not lenient and now - self.heard_at > SILENCE * self._squad.heartbeat_s:
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
        self.up, self._known, self._ws, self._words = False, False, None, b""
        self.stop()
        if self._backoff is None:
            self._backoff = Backoff(self._squad.dice, HUB_FIRST_S)
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
