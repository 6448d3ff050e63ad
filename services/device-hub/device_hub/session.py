"""One terminal's connection: a reader, at most one writer, one deadline, and the orders that are out."""

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from starlette.types import Receive, Send

from device_hub.outbox import RULES, Kind, Outbox
from device_hub.protocol import (
    Ack,
    Bye,
    Close,
    Config,
    ConfigTaken,
    Conversation,
    Farewell,
    Hello,
    Incoming,
    Ping,
    Pong,
    Reason,
    Unknown,
    Violation,
    Welcome,
    command_text,
)
from shared.contracts.base import new_id, now
from shared.contracts.devices import Device
from shared.contracts.terminals import OrderOutcome, TerminalOrder
from shared.errors import Gone, RollcallError, Unavailable
from shared.metrics import nobody_counts

HELLO_S = 10.0
"""how long a terminal may take to say hello"""
LAST_WORD_S = 2.0
"""how long a terminal may take to accept the hub's last word"""
CLOCK_STEP_MS = 500
"""a terminal's clock that moved by more than this against ours is told of again"""
MAX_ORDERS = RULES[Kind.COMMAND].room
"""orders that may be out to one terminal, waiting to be sent or to be answered"""

UNANSWERED = ("终端没有回答，不知道是否已执行", "the terminal did not answer in time; nobody knows whether it was done")
CUT = ("终端已断开，不知道是否已执行", "the connection ended; nobody knows whether it was done")

log = structlog.get_logger("session")


@dataclass(frozen=True, slots=True)
class Terms:
    """What a session tells of its life, and the pace: the hub's side of the agreement."""

    opened: Callable[["Session"], None]
    closed: Callable[["Session"], None]
    told: Callable[["Session"], None]
    """it told something new about itself"""
    heartbeat_s: float
    sent: Callable[[float], None] = nobody_counts
    """told how long what waited took to go out, in seconds"""


class Session:
    """A connected terminal. `run` reads; the writer exists only while something waits, so that an idle terminal
    costs no second task; the one deadline is hello's, and `finish` sets it to now. Dead terminals are closed by the
    server's WebSocket pings, which cost no JSON and wake nobody here."""

    __slots__ = (
        "_config_revision",
        "_conversation",
        "_deadline",
        "_device",
        "_orders",
        "_outbox",
        "_receive_event",
        "_send_event",
        "_terms",
        "_writer",
        "agent",
        "clock_offset_ms",
        "config_taken",
        "device_id",
        "session_id",
        "since",
    )

    def __init__(self, receive: Receive, send: Send, device: Device, terms: Terms) -> None:
        """`receive` and `send` of an accepted WebSocket (ASGI)."""
        self.device_id = device.device_id
        self.session_id: str = new_id()
        self.since: datetime = now()
        self.agent = ""
        self.clock_offset_ms: int | None = None
        self.config_taken: int | None = None
        self._config_revision = device.config_revision
        self._device: Device | None = device
        """until it is welcomed: two kilobytes"""
        self._receive_event, self._send_event, self._terms = receive, send, terms
        self._conversation, self._outbox = Conversation(), Outbox()
        self._deadline: asyncio.Timeout | None = None
        self._writer: asyncio.Task[None] | None = None
        self._orders: dict[str, asyncio.Future[OrderOutcome]] = {}

    async def run(self) -> None:
        """Serve the WebSocket until either side ends it."""
        try:
            await self._read_in_time()
        finally:
            self._terms.closed(self)
            self._give_orders_up()
            await self._end_writer()

    @property
    def waiting(self) -> int:
        """Messages in the outbox."""
        return len(self._outbox)

    @property
    def dropped(self) -> int:
        """News that was dropped because the terminal did not read."""
        return self._outbox.dropped

    def push(self, text: str) -> None:
        """Put news into the outbox."""
        self._send(Kind.NEWS, text)

    def configure(self, device: Device) -> None:
        """What the office says of the device now; the terminal hears of it if that is another configuration."""
        if device.config_revision != self._config_revision:
            self._config_revision = device.config_revision
            self._send(Kind.CONFIG, Config(revision=device.config_revision, config=device.config).text())

    def finish(self, reason: Reason) -> None:
        """Say bye and end, within LAST_WORD_S, whether the terminal listens or not."""
        self._end(Bye(reason=reason).text(), reason.close)

    # ---- orders

    def order(self, asked: TerminalOrder) -> asyncio.Future[OrderOutcome]:
        """Send an order; the terminal's answer, or Gone or Unavailable if none came and nobody knows whether it was
        done. Raises Unavailable if it was not even sent. One that is out already is not sent again."""
        if (earlier := self._orders.get(asked.order_id)) is not None:
            return earlier
        if self._outbox.closing or len(self._orders) >= MAX_ORDERS:
            raise Unavailable("终端还有未完成的命令，请稍后再试", "the terminal has too many orders already")
        loop = asyncio.get_running_loop()
        outcome: asyncio.Future[OrderOutcome] = loop.create_future()
        self._orders[asked.order_id] = outcome
        timer = loop.call_later(asked.within_s, _give_up, outcome, Unavailable(*UNANSWERED))
        outcome.add_done_callback(lambda _: self._order_is_over(asked.order_id, timer))
        deadline = now() + timedelta(seconds=asked.within_s)
        self._send(Kind.COMMAND, command_text(asked.order_id, deadline, asked.order), asked.order_id)
        return outcome

    def _order_is_over(self, order_id: str, timer: asyncio.TimerHandle) -> None:
        timer.cancel()
        self._outbox.withdraw(order_id)
        self._orders.pop(order_id, None)

    def _give_orders_up(self) -> None:
        for outcome in tuple(self._orders.values()):
            _give_up(outcome, Gone(*CUT))

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
            message = await self._receive_event()
            if message["type"] == "websocket.disconnect":
                return
            self._hear(message.get("text"))

    def _hear(self, text: str | None) -> None:
        clock = asyncio.get_running_loop().time()
        try:
            message = self._conversation.receive(text, clock)
        except Violation as broken:
            log.info("protocol broken", device=self.device_id, reason=str(broken))
            return self._end(broken.frame.text(), broken.close)
        return self._answer(message)

    def _answer(self, message: Incoming) -> None:
        match message:
            case Hello(agent=agent):
                if self._deadline is not None:
                    self._deadline.reschedule(None)
                self.agent = agent
                self._compare_clocks(message.time)
                if self._device is not None:
                    self._send(Kind.WELCOME, self._welcome(self._device))
                    self._device = None
                self._terms.opened(self)
            case Ping():
                self._send(Kind.PONG, Pong(id=message.id, time=now()).text())
                if self._compare_clocks(message.time):
                    self._terms.told(self)
            case ConfigTaken(revision=revision):
                if revision != self.config_taken:
                    self.config_taken = revision
                    self._terms.told(self)
            case Ack():
                self._take_answer(message)
            case Farewell():
                self._end(None, Close.BYE)
            case Unknown():
                pass

    def _take_answer(self, ack: Ack) -> None:
        """An answer that comes too late, or twice, says nothing to anybody."""
        outcome = self._orders.get(ack.id)
        if outcome is not None and not outcome.done():
            outcome.set_result(ack.outcome())

    def _compare_clocks(self, theirs: datetime | None) -> bool:
        """Whether their clock stands otherwise than when it was last compared. The way here counts as well."""
        if theirs is None:
            return False
        ahead = round((theirs - now()) / timedelta(milliseconds=1))
        if self.clock_offset_ms is not None and abs(ahead - self.clock_offset_ms) <= CLOCK_STEP_MS:
            return False
        self.clock_offset_ms = ahead
        return True

    def _welcome(self, device: Device) -> str:
        return Welcome(
            device=device.device_id,
            name=device.name,
            session=self.session_id,
            heartbeat_s=self._terms.heartbeat_s,
            time=now(),
            revision=device.config_revision,
            config=device.config,
        ).text()

    # ---- writing

    def _send(self, kind: Kind, text: str, name: str = "") -> None:
        self._outbox.put(kind, text, name)
        self._kick()

    def _end(self, text: str | None, close: Close) -> None:
        self._outbox.last(text, close)
        self._give_orders_up()
        self._kick()
        if self._deadline is not None:
            # Wakes the reader, which may wait for a frame that never comes.
            self._deadline.reschedule(asyncio.get_running_loop().time())

    def _kick(self) -> None:
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write(time.perf_counter()))

    async def _write(self, began: float) -> None:
        # The connection is gone (OSError), or uvicorn 0.54 has just closed it because a ping was not answered
        # (RuntimeError): the reader learns of it too, and ends the session.
        with contextlib.suppress(OSError, RuntimeError):
            while (text := self._outbox.take()) is not None:
                await self._send_event({"type": "websocket.send", "text": text})
            self._terms.sent(time.perf_counter() - began)
            if (code := self._outbox.take_close()) is not None:
                await self._send_event({"type": "websocket.close", "code": int(code), "reason": ""})

    async def _end_writer(self) -> None:
        """Let the last word out, if there is one and the terminal takes it."""
        if self._writer is None:
            return
        await asyncio.wait((self._writer,), timeout=LAST_WORD_S if self._outbox.closing else 0)
        self._writer.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._writer


def _give_up(outcome: asyncio.Future[OrderOutcome], error: RollcallError) -> None:
    if not outcome.done():
        outcome.set_exception(error)
        outcome.exception()  # whoever waited for it may have left
