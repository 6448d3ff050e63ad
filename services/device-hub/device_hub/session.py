"""One terminal's connection: a reader, at most one writer, one deadline."""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import structlog
from starlette.websockets import WebSocket, WebSocketDisconnect

from device_hub.outbox import Outbox
from device_hub.protocol import Bye, Close, Conversation, Farewell, Hello, Ping, Pong, Reason, Violation, Welcome
from shared.contracts.base import new_id, now
from shared.contracts.devices import Device

HELLO_S = 10.0
"""how long a terminal may take to say hello"""
LAST_WORD_S = 2.0
"""how long a terminal may take to accept the hub's last word"""
SILENCE = 2.5
"""heartbeats without a sign of life after which a terminal is gone"""

log = structlog.get_logger("session")


@dataclass(frozen=True, slots=True)
class Terms:
    """What a session tells of its life, and the pace: the hub's side of the agreement."""

    opened: Callable[["Session"], None]
    closed: Callable[["Session"], None]
    heartbeat_s: float


class Session:
    """A connected terminal. `run` reads; the writer exists only while something waits, so that an idle terminal
    costs no second task; the one deadline is hello's, then the heartbeat's, and `finish` brings it forward."""

    __slots__ = (
        "_conversation",
        "_deadline",
        "_outbox",
        "_socket",
        "_terms",
        "_writer",
        "agent",
        "device",
        "session_id",
        "since",
    )

    def __init__(self, socket: WebSocket, device: Device, terms: Terms) -> None:
        self.device = device
        self.session_id: str = new_id()
        self.since: datetime = now()
        self.agent = ""
        self._socket, self._terms = socket, terms
        self._conversation, self._outbox = Conversation(), Outbox()
        self._deadline: asyncio.Timeout | None = None
        self._writer: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Serve the accepted WebSocket until either side ends it."""
        try:
            await self._read_in_time()
        finally:
            self._terms.closed(self)
            await self._end_writer()

    def push(self, text: str) -> None:
        """Put news into the outbox."""
        self._outbox.news(text)
        self._kick()

    def finish(self, reason: Reason) -> None:
        """Say bye and end, within LAST_WORD_S, whether the terminal listens or not."""
        self._end(Bye(reason=reason).text(), reason.close)

    # ---- reading

    async def _read_in_time(self) -> None:
        try:
            async with asyncio.timeout(HELLO_S) as self._deadline:
                await self._read()
        except TimeoutError:
            self._deadline = None  # it is over, and cannot be brought forward any more
            self.finish(Reason.SILENT)
        self._deadline = None

    async def _read(self) -> None:
        while not self._outbox.closing:
            message = await self._socket.receive()
            if message["type"] == "websocket.disconnect":
                return
            self._hear(message.get("text"))

    def _hear(self, text: str | None) -> None:
        clock = asyncio.get_running_loop().time()
        try:
            message = self._conversation.receive(text, clock)
        except Violation as broken:
            log.info("protocol broken", device=self.device.device_id, reason=str(broken))
            return self._end(broken.frame.text(), broken.close)
        if self._deadline is not None:
            self._deadline.reschedule(clock + SILENCE * self._terms.heartbeat_s)
        return self._answer(message)

    def _answer(self, message: Hello | Ping | Farewell) -> None:
        match message:
            case Hello(agent=agent):
                self.agent = agent
                self._outbox.welcome(self._welcome())
                self._kick()
                self._terms.opened(self)
            case Ping():
                self._outbox.pong(Pong(id=message.id, time=now()).text())
                self._kick()
            case Farewell():
                self._end(None, Close.BYE)

    def _welcome(self) -> str:
        return Welcome(
            device=self.device.device_id,
            name=self.device.name,
            session=self.session_id,
            heartbeat_s=self._terms.heartbeat_s,
            time=now(),
        ).text()

    # ---- writing

    def _end(self, text: str | None, close: Close) -> None:
        self._outbox.last(text, close)
        self._kick()
        if self._deadline is not None:
            # Wakes the reader, which may wait for a frame that never comes.
            self._deadline.reschedule(asyncio.get_running_loop().time())

    def _kick(self) -> None:
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write())

    async def _write(self) -> None:
        with contextlib.suppress(WebSocketDisconnect):  # the reader learns of it too, and ends the session
            while (text := self._outbox.take()) is not None:
                await self._socket.send_text(text)
            if (code := self._outbox.take_close()) is not None:
                await self._socket.close(code)

    async def _end_writer(self) -> None:
        """Let the last word out, if there is one and the terminal takes it."""
        if self._writer is None:
            return
        await asyncio.wait((self._writer,), timeout=LAST_WORD_S if self._outbox.closing else 0)
        self._writer.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._writer
