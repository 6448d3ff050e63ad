"""One connection to the hub: HTTP requests until one of them makes it a WebSocket, then that one's frames.

There are sixteen thousand in a process and nearly all are silent, so one is no task, no queue and no timer once it is
welcomed: the event loop calls it when something comes, and Hearts when it is time for a ping.
"""

import asyncio
from typing import Final, Protocol, cast

from websockets.frames import CloseCode, Frame, Opcode
from websockets.protocol import Protocol as WebSocket
from websockets.protocol import Side, State

from device_hub.protocol import MAX_FRAME, Close
from device_hub.requests import END, MAX_HEAD, QUIET
from device_hub.session import LAST_WORD_S, Session

FIRST_WORD_S: Final = 10.0
"""how long a connection may say nothing"""
LINE_S: Final = 30.0
"""how long a terminal may take from its challenge to its answer: in a storm the hub itself is late"""
STRANGER_S: Final = 45.0
"""how long a connection may take to become a WebSocket, whatever it says"""
MOST_REQUESTS: Final = 4
"""that a connection is answered; two are enough to come in"""
PATIENCE: Final = 1.5
"""heartbeats that a terminal may take to answer a WebSocket ping: it is dead after 2.5 without a sign of life"""
SLACK: Final = 0.1
"""heartbeats by which a turn may come too early"""
MAX_FRAGMENTS: Final = 64
"""parts of one message: else empty ones could come for ever"""
PING: Final = Frame(Opcode.PING, b"").serialize(mask=False)
PONG_HEAD, PONG_SIZE = b"\x8a\x80", 6
"""how the empty pong of a client begins, and its bytes with the mask (RFC 6455, section 5.2)"""


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

    __slots__ = ("_busy", "_house", "_over", "_parts", "_session", "_timer", "_transport", "_unread", "_until", "_web",
                 "_words", "clogged", "heard_at", "owes_since", "pinged_at", "requests", "slot")  # fmt: skip

    def __init__(self, house: House) -> None:
        self._house = house
        self._transport: asyncio.Transport | None = None
        self._words = b""
        """of a request that is not whole yet"""
        self._busy = self._over = self.clogged = False
        self._web: WebSocket | None = None
        self._parts: list[Frame] | None = None
        """of a message that comes in several frames; None almost always"""
        self._unread = 0
        """bytes of a frame that is not whole yet"""
        self._session: Session | None = None
        self._timer: asyncio.TimerHandle | None = None
        """until the next request, or the end of the last word"""
        self.heard_at = self.pinged_at = 0.0
        self.requests = 0
        self._until = self.owes_since = 0.0
        """when it must be a WebSocket; since when it owes us a request, or its end: 0 while we owe it an answer"""
        self.slot = 0
        """its place among Hearts"""

    @property
    def is_open(self) -> bool:
        """Whether anything may still be said."""
        return self._transport is not None and not self._over

    @property
    def address(self) -> str:
        """Where it comes from; empty once it is over."""
        peer = None if self._transport is None else self._transport.get_extra_info("peername")
        return str(peer[0]) if peer else ""

    # ---- requests

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.owes_since = asyncio.get_running_loop().time()
        self._until = self.owes_since + STRANGER_S
        self.end_within(FIRST_WORD_S)
        self._house.came(self)

    def data_received(self, data: bytes) -> None:
        if self._over:
            return None
        if self._web is not None:
            return self._hear(data, self._web)
        self._words += data
        return self._next_request()

    def _next_request(self) -> None:
        if len(self._words) > MAX_HEAD:
            return self.abort()
        head, end, rest = self._words.partition(END)
        if end and not self._busy:
            self._words, self._busy, self.owes_since = rest, True, 0.0
            self.requests += 1
            self._house.asked(self, head + END)
        return None

    def say(self, answer: bytes, *, last: bool = False) -> None:
        """Answer the request; the next one may come, unless this is the last."""
        if not self.is_open:
            return None
        self._write(answer)
        self._calm()
        self.owes_since = asyncio.get_running_loop().time()
        if last:
            return self._end()
        self._busy = False
        self.end_within(min(LINE_S, self._until - self.owes_since))
        return self._next_request()

    def upgrade(self, answer: bytes, session: Session) -> None:
        """From now on it is a WebSocket, and what it says is the session's."""
        self._calm()
        self._session, self._web = session, WebSocket(Side.SERVER, max_size=MAX_FRAME, logger=QUIET)
        self.heard_at = self.pinged_at = asyncio.get_running_loop().time()
        self._write(answer)
        words, self._words = self._words, b""
        if words:
            self._hear(words, self._web)

    # ---- frames

    def _hear(self, data: bytes, web: WebSocket) -> None:
        self.heard_at = asyncio.get_running_loop().time()
        if not self._unread and len(data) == PONG_SIZE and data.startswith(PONG_HEAD):
            return  # nearly all that ever comes; the library takes twenty microseconds for it
        web.receive_data(data)
        self._unread += len(data)
        for event in web.events_received():
            frame = cast(Frame, event)
            self._unread -= _wire_size(frame)
            if not self._over:
                self._take(frame)
        if web.state is not State.OPEN and not self._over:  # it said goodbye or broke the RFC: the library answered
            self._spill(web)
            self._end()
            self._tell_of_the_end()
        elif not self._over:
            self._spill(web)

    def _take(self, frame: Frame) -> None:
        """Pings and closes are answered by the library."""
        if self._session is None or frame.opcode is Opcode.CLOSE:
            return None
        if frame.opcode in (Opcode.PING, Opcode.PONG):
            return self._session.poked()
        parts = [*(self._parts or ()), frame]
        self._parts = None if frame.fin else parts
        if len(parts) > MAX_FRAGMENTS:
            return self._die(CloseCode.MESSAGE_TOO_BIG, f"a message has {MAX_FRAGMENTS} parts at most")
        if not frame.fin:
            return None
        if parts[0].opcode is Opcode.BINARY:
            return self._session.hear(None)
        try:
            text = b"".join(part.data for part in parts).decode()
        except UnicodeDecodeError:
            return self._die(CloseCode.INVALID_DATA, "text is UTF-8")
        return self._session.hear(text)

    def _spill(self, web: WebSocket) -> None:
        """Write what the library has for the peer; an empty piece is the end of the stream, which `_end` sees to."""
        for data in web.data_to_send():
            if data:
                self._write(data)

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
        if self._web is not None and self._web.state is State.OPEN:
            self._web.send_text(text.encode())
            self._spill(self._web)

    def close(self, code: int, reason: str = "") -> None:
        """The last frame."""
        if self._web is not None and self.is_open:
            if self._web.state is State.OPEN:  # else a goodbye came right behind what was just read
                self._web.send_close(code, reason)
            self._spill(self._web)
            self._end()

    def end_within(self, seconds: float) -> None:
        """Cut the connection then, unless it has ended or was to be cut earlier."""
        if self._timer is None and self._transport is not None:
            self._timer = asyncio.get_running_loop().call_later(seconds, self.abort)

    # ---- ending

    def _die(self, code: int, reason: str = "") -> None:
        """Close from here, and tell the session."""
        self.close(code, reason)
        self._tell_of_the_end()

    def _tell_of_the_end(self) -> None:
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
        """Whoever does not read is not listened to: else the answers to its pings would pile up here."""
        self.clogged = True
        if self._transport is not None and not self._over:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        self.clogged = False
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()
        if self._session is not None:
            self._session.flush()

    def connection_lost(self, exc: Exception | None) -> None:
        self._over, self._transport = True, None
        self._calm()
        self._tell_of_the_end()
        self._session = self._web = self._parts = None
        self._house.left(self)


def _wire_size(frame: Frame) -> int:
    """Bytes that a client sent for it: header, mask, payload (RFC 6455, section 5.2)."""
    length = len(frame.data)
    return 6 + length + (0 if length < 126 else 2 if length < 2**16 else 8)


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
