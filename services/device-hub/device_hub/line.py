"""One connection to the hub: HTTP requests until one of them makes it a WebSocket, then that one's frames.

There are sixteen thousand in a process and nearly all are silent, so one is no task, no queue and no timer once it is
welcomed: the event loop calls it when something comes, and Hearts when it is time for a ping.
"""

import asyncio
from typing import Final, Protocol, cast

from device_hub.frames import PING, Broken, Message, Opcode, Reader, close_frame, frame
from device_hub.heads import END, MAX_HEAD
from device_hub.protocol import MAX_FRAME, Close
from device_hub.session import LAST_WORD_S, Session

FIRST_WORD_S: Final = 10.0
"""how long a connection may say nothing"""
LINE_S: Final = 30.0
"""how long a terminal may take from its challenge to its answer: in a storm the hub itself is late"""
PATIENCE: Final = 1.5
"""heartbeats that a terminal may take to answer a WebSocket ping: it is dead after 2.5 without a sign of life"""
SLACK: Final = 0.1
"""heartbeats by which a turn may come too early"""


class House(Protocol):
    """What is behind the door."""

    def came(self, line: "Line") -> None:
        """A connection stands."""

    def asked(self, line: "Line", head: bytes) -> None:
        """A request is there whole; its line reads no other until `say` or `upgrade`."""

    def left(self, line: "Line") -> None:
        """The connection is over."""


class Line(asyncio.Protocol):
    """A connection. Times are the event loop's, in seconds."""

    __slots__ = ("_busy", "_house", "_over", "_reader", "_session", "_timer", "_transport", "_words", "clogged",
                 "heard_at", "pinged_at", "slot")  # fmt: skip

    def __init__(self, house: House) -> None:
        self._house = house
        self._transport: asyncio.Transport | None = None
        self._words = b""
        """of a request that is not whole yet"""
        self._busy = self._over = self.clogged = False
        self._reader: Reader | None = None
        self._session: Session | None = None
        self._timer: asyncio.TimerHandle | None = None
        """until the next request, or the end of the last word"""
        self.heard_at = self.pinged_at = 0.0
        self.slot = 0
        """its place among Hearts"""

    @property
    def is_open(self) -> bool:
        """Whether anything may still be said."""
        return self._transport is not None and not self._over

    # ---- requests

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.end_within(FIRST_WORD_S)
        self._house.came(self)

    def data_received(self, data: bytes) -> None:
        if self._over:
            return None
        if self._reader is not None:
            return self._hear(data)
        self._words += data
        return self._next_request()

    def _next_request(self) -> None:
        if len(self._words) > MAX_HEAD:
            return self.abort()
        head, end, rest = self._words.partition(END)
        if end and not self._busy:
            self._words, self._busy = rest, True
            self._house.asked(self, head)
        return None

    def say(self, answer: bytes, *, last: bool = False) -> None:
        """Answer the request; the next one may come, unless this is the last."""
        if not self.is_open:
            return None
        self._write(answer)
        if last:
            return self._end()
        self._busy = False
        self._calm()
        self.end_within(LINE_S)
        return self._next_request()

    def upgrade(self, answer: bytes, session: Session) -> None:
        """From now on it is a WebSocket, and what it says is the session's."""
        self._calm()
        self._session, self._reader = session, Reader(MAX_FRAME)
        self.heard_at = self.pinged_at = asyncio.get_running_loop().time()
        self._write(answer)
        words, self._words = self._words, b""
        if words:
            self._hear(words)

    # ---- frames

    def _hear(self, data: bytes) -> None:
        if self._reader is None or self._session is None:
            return
        self.heard_at = asyncio.get_running_loop().time()
        if self._reader.is_lone_pong(data):
            return
        try:
            for message in self._reader.read(data):
                self._take(message, self._session)
                if self._over:
                    return
        except Broken as broken:
            self._die(broken.code, str(broken))

    def _take(self, message: Message, session: Session) -> None:
        match message.opcode:
            case Opcode.TEXT:
                try:
                    session.hear(message.data.decode())
                except UnicodeDecodeError:
                    raise Broken(1007, "text is UTF-8") from None
            case Opcode.BINARY:
                session.hear(None)
            case Opcode.PING:
                session.poked()
                if not self.clogged and not self._over:  # else the peer reads nothing, and needs no answer
                    self._write(frame(Opcode.PONG, message.data))
            case Opcode.PONG:
                session.poked()
            case Opcode.CLOSE:
                self._die(int.from_bytes(message.data[:2]) or Close.BYE)

    def beat(self, now: float, heartbeat_s: float, *, lenient: bool) -> None:
        """Four times a heartbeat: ping when it is time; a terminal that did not answer the last one is dead.
        `lenient`: perhaps it did, and the hub has not had the time to read it."""
        since = (now - self.pinged_at) / heartbeat_s
        if self.heard_at >= self.pinged_at:
            if since >= 1 - SLACK and not self._over:
                self.pinged_at = now
                self._write(PING)
        elif since >= PATIENCE - SLACK and not lenient:
            self._die(Close.DEAD, "keepalive ping timeout")

    # ---- what a session wants of its wire

    def send(self, text: str) -> None:
        """A text message."""
        self._write(frame(Opcode.TEXT, text.encode()))

    def close(self, code: int, reason: str = "") -> None:
        """The last frame."""
        if self.is_open:
            self._write(close_frame(code, reason))
            self._end()

    def end_within(self, seconds: float) -> None:
        """Cut the connection then, unless it has ended or was to be cut earlier."""
        if self._timer is None and self._transport is not None:
            self._timer = asyncio.get_running_loop().call_later(seconds, self.abort)

    # ---- ending

    def _die(self, code: int, reason: str = "") -> None:
        """Close from here, and tell the session."""
        self.close(code, reason)
        if self._session is not None:
            self._session.lost()

    def _end(self) -> None:
        """Nothing follows. The peer sees the end of the stream after the last word and hangs up; it need not be
        listened to any more."""
        self._over = True
        self.end_within(LAST_WORD_S)
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write_eof()

    def abort(self) -> None:
        """Cut it now."""
        self._over = True
        if self._transport is not None:
            self._transport.abort()

    def _write(self, data: bytes) -> None:
        if self._transport is not None and not self._over and not self._transport.is_closing():
            self._transport.write(data)

    def _calm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None

    # ---- the transport

    def pause_writing(self) -> None:
        self.clogged = True

    def resume_writing(self) -> None:
        self.clogged = False
        if self._session is not None:
            self._session.flush()

    def connection_lost(self, exc: Exception | None) -> None:
        self._over, self._transport = True, None
        self._calm()
        if self._session is not None:
            self._session.lost()
        self._session = self._reader = None
        self._house.left(self)


class Hearts:
    """The lines that are WebSockets, so arranged that each has its turn four times a heartbeat, never all at once."""

    STEP_S: Final = 0.2
    """between two turns; sixteen thousand terminals are three milliseconds of pings in each"""
    TURNS: Final = 4

    def __init__(self, heartbeat_s: float) -> None:
        self._heartbeat_s = heartbeat_s
        self._slots: list[set[Line]] = [set() for _ in range(max(1, int(heartbeat_s / self.TURNS / self.STEP_S)))]
        self._next = 0

    def __len__(self) -> int:
        return sum(map(len, self._slots))

    def add(self, line: Line) -> None:
        line.slot = self._next = (self._next + 1) % len(self._slots)
        self._slots[line.slot].add(line)

    def drop(self, line: Line) -> None:
        """It need not be there."""
        self._slots[line.slot].discard(line)

    async def keep(self) -> None:
        """For ever. When this process did not run for a while, the terminals' answers wait to be read: all are believed
        alive for one heartbeat more."""
        loop = asyncio.get_running_loop()
        step = self._heartbeat_s / self.TURNS / len(self._slots)
        began, done, lenient_until = loop.time(), 0, 0.0
        while True:
            await asyncio.sleep(step)
            now = loop.time()
            due = int((now - began) / step)
            if (due - done) * step > self._heartbeat_s / self.TURNS:
                lenient_until, done = now + self._heartbeat_s, due - 1
            for turn in range(done, due):
                for line in tuple(self._slots[turn % len(self._slots)]):
                    line.beat(now, self._heartbeat_s, lenient=now < lenient_until)
            done = due
