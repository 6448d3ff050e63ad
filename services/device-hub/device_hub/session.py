"""One terminal's talk with the hub: what it says, what waits for it, one deadline, and the orders that are out."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from sys import intern
from typing import Protocol

import structlog

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
    Punches,
    Reason,
    Unknown,
    Violation,
    Welcome,
    command_text,
)
from shared.contracts.base import new_id, now
from shared.contracts.devices import Device, DeviceConfig, DeviceMode
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
    punched: Callable[["Session", Punches], None]
    """it told punches of its own, and waits for an answer"""
    heartbeat_s: float
    sent: Callable[[float], None] = nobody_counts
    """told how long what waited took to go out, in seconds"""


class Wire(Protocol):
    """The connection below a session."""

    @property
    def clogged(self) -> bool:
        """Whether it takes no more just now; it calls `flush` when it does."""

    def send(self, text: str) -> None:
        """Write a text message."""

    def close(self, code: int) -> None:
        """Write a close frame and end, within `LAST_WORD_S`."""

    def end_within(self, seconds: float) -> None:
        """Cut it then, if it has not ended."""


class Session:
    """A connected terminal. Nothing here waits, so it costs no task: the wire calls `hear`, `flush` and `lost`. Dead
    terminals are found by the wire's pings."""

    __slots__ = (
        "_asks_for_faces",
        "_conversation",
        "_device",
        "_gone",
        "_offline",
        "_orders",
        "_outbox",
        "_terms",
        "_timer",
        "_waits_since",
        "_wire",
        "agent",
        "clock_offset_ms",
        "config_revision",
        "config_taken",
        "device_id",
        "secret",
        "session_id",
        "since",
    )

    def __init__(self, wire: Wire, device: Device, terms: Terms, secret: bytes = b"") -> None:
        """From now on the terminal has HELLO_S to say hello. `secret` is the one that it had when it was let in."""
        self.device_id = device.device_id
        self.session_id: str = new_id()
        self.since: datetime = now()
        self.agent = ""
        self.clock_offset_ms: int | None = None
        self.config_taken: int | None = None
        self.config_revision = device.config_revision
        self._offline = device.config.mode is DeviceMode.OFFLINE
        self._asks_for_faces = False
        self._device: Device | None = device
        """until it is welcomed: two kilobytes"""
        self.secret = secret
        """until it is welcomed"""
        self._wire, self._terms = wire, terms
        self._conversation, self._outbox = Conversation(), Outbox()
        self._waits_since = 0.0
        """when the first message was put into the empty outbox; 0 while it is empty"""
        self._gone = False
        self._timer: asyncio.TimerHandle | None = asyncio.get_running_loop().call_later(
            HELLO_S, self.finish, Reason.SILENT
        )
        """until hello"""
        self._orders: dict[str, asyncio.Future[OrderOutcome]] = {}

    def lost(self) -> None:
        """The connection is over, or as good as over; a second time changes nothing."""
        if not self._gone:
            self._gone = True
            self._calm()
            self._terms.closed(self)
            self._give_orders_up()

    def _calm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None

    @property
    def keeps_faces(self) -> bool:
        """Whether it wants to hear of changes of the library."""
        return self._offline or self._asks_for_faces

    @property
    def waiting(self) -> int:
        """Messages in the outbox."""
        return len(self._outbox)

    @property
    def dropped(self) -> int:
        """News that was dropped because the terminal did not read."""
        return self._outbox.dropped

    def push(self, text: str, kind: Kind = Kind.NEWS) -> None:
        """Put a message into the outbox."""
        self._send(kind, text)

    def configure(self, revision: int, config: DeviceConfig) -> None:
        """What the office wishes now; the terminal hears of it if that is another revision than it heard of last."""
        if revision != self.config_revision:
            self.config_revision = revision
            self._offline = config.mode is DeviceMode.OFFLINE
            self._send(Kind.CONFIG, Config(revision=revision, config=config).text())

    def renew(self, device: Device) -> None:
        """Before the welcome: the office wishes something else than at the handshake."""
        self._device, self.config_revision = device, device.config_revision
        self._offline = device.config.mode is DeviceMode.OFFLINE

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

    def hear(self, text: str | None) -> None:
        """A message from the terminal; None: a binary one."""
        if self._outbox.closing:
            return None
        clock = asyncio.get_running_loop().time()
        try:
            message = self._conversation.receive(text, clock)
        except Violation as broken:
            log.info("protocol broken", device=self.device_id, reason=str(broken))
            return self._end(broken.frame.text(), broken.close)
        return self._answer(message)

    def poked(self) -> None:
        """A WebSocket ping or pong: it says nothing, but a flood of them is a flood."""
        try:
            self._conversation.count(asyncio.get_running_loop().time())
        except Violation as broken:
            self._end(broken.frame.text(), broken.close)

    def _answer(self, message: Incoming) -> None:
        match message:
            case Hello(agent=agent):
                self._calm()
                self.agent, self._asks_for_faces = intern(agent), message.faces
                self._compare_clocks(message.time)
                self._terms.opened(self)  # first: a terminal that was revoked meanwhile is not welcomed
                if self._device is not None:
                    self._send(Kind.WELCOME, self._welcome(self._device))
                    self._device, self.secret = None, b""
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
            case Punches():
                self._terms.punched(self, message)
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

    def flush(self) -> None:
        """Write what waits for as long as the wire takes it."""
        while not self._wire.clogged and (text := self._outbox.take()) is not None:
            self._wire.send(text)
        if self._waits_since and not self._outbox:
            self._terms.sent(time.perf_counter() - self._waits_since)
            self._waits_since = 0.0
        if not self._wire.clogged and (code := self._outbox.take_close()) is not None:
            self._wire.close(code)

    def _send(self, kind: Kind, text: str, name: str = "") -> None:
        self._waits_since = self._waits_since or time.perf_counter()
        self._outbox.put(kind, text, name)
        self.flush()

    def _end(self, text: str | None, close: Close) -> None:
        self._outbox.last(text, close)
        self._wire.end_within(LAST_WORD_S)
        self.flush()
        self.lost()


def _give_up(outcome: asyncio.Future[OrderOutcome], error: RollcallError) -> None:
    if not outcome.done():
        outcome.set_exception(error)
        outcome.exception()  # whoever waited for it may have left
