"""The bus: contracts in, contracts out, over NATS."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import (
    ConnectionClosedError,
    NoRespondersError,
    OutboundBufferLimitError,
)
from nats.errors import Error as NatsError
from nats.errors import TimeoutError as NatsTimeout
from nats.js import JetStreamContext
from nats.js.api import ConsumerInfo
from nats.js.errors import APIError, NoStreamResponseError

from shared.bus.topology import Needs, ensure, standing
from shared.bus.wire import context, encode_error, error_in, trace
from shared.contracts.base import Command, ContractError, Event, Message
from shared.errors import Internal, Nobody, RollcallError, Unavailable
from shared.metrics import nobody_counts

PENDING = 4_096
"""messages"""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.25, 5.0
"""between two tries to make the streams again after a reconnect, in seconds"""

Answered = Callable[[str, str, float], None]
"""Told of an answered command: its subject, "ok" or the error's code, the seconds it took."""

M = TypeVar("M", bound=Message)
R = TypeVar("R", bound=Message)

log = structlog.get_logger("bus")


class Bus:
    """One NATS connection that speaks contracts. Open with `connect`, one per process for events and commands;
    a second one where frames flow, because they share a write buffer."""

    def __init__(self, client: Client, service: str, needs: Needs, replicas: int = 1) -> None:
        """`needs`: the streams to make again after a reconnect, on so many nodes each."""
        self._client = client
        self._service = service
        self._needs, self._replicas = needs, replicas
        self._js: JetStreamContext = client.jetstream(timeout=5.0)
        self._subscriptions: list[Subscription] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._on_reconnect: list[Callable[[], Awaitable[None]]] = []
        self.answered: Answered = nobody_counts
        """told of every command of `serve` that was answered"""
        self.overflowed = 0
        """messages dropped because their handlers were too slow"""

    @property
    def js(self) -> JetStreamContext:
        """JetStream, for pull loops and buckets."""
        return self._js

    @property
    def is_connected(self) -> bool:
        """False while the client looks for the broker; core publishes are then dropped, never queued stale."""
        return self._client.is_connected

    def on_reconnect(self, callback: Callable[[], Awaitable[None]]) -> None:
        """Call back after every reconnect, once the streams stand again."""
        self._on_reconnect.append(callback)

    @property
    def reconnects(self) -> int:
        """How often the broker was found again."""
        return int(self._client.stats["reconnects"])

    @property
    def unheard(self) -> int:
        """Messages that came and wait for their handlers, PENDING at most for each subscription."""
        return sum(subscription.pending_msgs for subscription in self._subscriptions)

    async def ready(self) -> None:
        """The health check: a round trip to the broker, and what the service needs of it stands. Raises if not."""
        await self._standing()
        await self._client.flush(timeout=2)

    async def depths(self) -> dict[str, tuple[int, int]]:
        """(messages not yet handed out, handed out and not yet acknowledged) of each durable consumer that the service
        uses. Raises as `ready` does."""
        stands = await self._standing()
        return {name: (info.num_pending or 0, info.num_ack_pending or 0) for name, info in stands.items()}

    async def _standing(self) -> dict[str, ConsumerInfo]:
        if not self.is_connected:
            raise Unavailable(en="no connection to the broker")
        return await standing(self._js, self._needs)

    async def written(self, timeout: int = 5) -> None:
        """Return when the broker has processed all that was published and subscribed before.

        Two round trips: nats-py 2.16 writes the PING of a flush ahead of commands that still wait for its flusher,
        so the first one proves nothing of those; the second comes after them.
        """
        await self._client.flush(timeout=timeout)
        await self._client.flush(timeout=timeout)

    # ---- talking

    async def publish(self, subject: str, message: Message | None = None) -> bool:
        """Core publish, at most once. False: not connected, nothing was sent."""
        if not self.is_connected:
            return False
        try:
            await self._client.publish(subject, message.encode() if message else b"", headers=trace())
        except (OutboundBufferLimitError, ConnectionClosedError):
            return False
        return True

    async def record(self, event: Event, timeout: float = 5.0) -> None:
        """Store an event in its stream; returns when the broker has it on disk, and is safe to repeat.

        Raises Unavailable when it cannot be known whether the event was stored.
        """
        await self.record_bytes(event.subject, event.event_id, event.encode(), timeout)

    async def record_bytes(self, subject: str, event_id: str, body: bytes, timeout: float = 5.0) -> None:
        """As `record`, for an event that is already encoded (the outbox)."""
        headers = {"Nats-Msg-Id": event_id, **(trace() or {})}
        try:
            await self._js.publish(subject, body, headers=headers, timeout=timeout)
        except (
            NatsTimeout,
            NoRespondersError,
            APIError,
            NoStreamResponseError,  # a cluster that is choosing the stream's new leader
            ConnectionClosedError,
            OutboundBufferLimitError,
        ) as e:
            raise Unavailable(en=f"event not stored: {type(e).__name__}") from e

    async def ask(self, command: Command[R], timeout: float | None = None) -> R:
        """Send a command and wait for its answer. Raises what the service raised; Nobody where no service listens;
        Unavailable."""
        return await self.ask_at(command.subject, command, command.reply_type(), timeout or command.timeout)

    async def ask_at(self, subject: str, message: Message | None, reply: type[R], timeout: float) -> R:
        """A request on a subject that carries an address; see `ask`."""
        body = message.encode() if message else b""
        try:
            answer = await self._client.request(subject, body, timeout=timeout, headers=trace())
        except NoRespondersError as e:
            raise Nobody(en=f"nobody listens on {subject}") from e
        except (NatsTimeout, ConnectionClosedError, OutboundBufferLimitError) as e:
            raise Unavailable(en=f"no answer on {subject}: {type(e).__name__}") from e
        if error := error_in(answer):
            raise error
        return reply.decode(answer.data)

    # ---- listening

    async def serve(
        self,
        command: type[Command[R]],
        handler: Callable[[Any], Awaitable[R]],
        *,
        concurrency: int = 32,
    ) -> None:
        """Answer a command in this service's queue group; at most `concurrency` at once, the rest wait."""

        async def answer(message: Msg) -> R:
            return await handler(command.decode(message.data))

        await self._serve(command.subject, answer, self._service, concurrency, counted=True)

    async def serve_at(
        self,
        subject: str,
        handler: Callable[[Msg], Awaitable[Message]],
        *,
        queue: str = "",
        concurrency: int = 32,
    ) -> None:
        """As `serve`, for a subject with an address; the handler sees the raw message."""
        await self._serve(subject, handler, queue, concurrency, counted=False)

    async def _serve(
        self,
        subject: str,
        handler: Callable[[Msg], Awaitable[Message]],
        queue: str,
        concurrency: int,
        *,
        counted: bool,
    ) -> None:
        room = asyncio.Semaphore(concurrency)

        async def work(message: Msg) -> None:
            began = time.perf_counter()
            try:
                outcome = await self._answer(message, handler)
                if counted:
                    self.answered(subject, outcome, time.perf_counter() - began)
            finally:
                room.release()

        async def receive(message: Msg) -> None:
            await room.acquire()
            self.spawn(work(message))

        await self._subscribe(subject, receive, queue=queue)

    async def follow(self, subject: str, message_type: type[M], handler: Callable[[M, str], Awaitable[None]]) -> None:
        """Hear live messages one after another (core NATS, lossy); the handler also gets the subject."""

        async def receive(message: Msg) -> None:
            try:
                with structlog.contextvars.bound_contextvars(**context(message)):
                    await handler(message_type.decode(message.data), message.subject)
            except ContractError as error:
                log.warning("message refused", subject=message.subject, reason=str(error))
            except Exception:
                log.exception("handler failed", subject=message.subject)

        await self._subscribe(subject, receive)

    async def _subscribe(self, subject: str, receive: Callable[[Msg], Awaitable[None]], queue: str = "") -> None:
        """Returns when the broker knows of it. PENDING bounds what waits here; beyond it the newest are dropped."""
        subscription = await self._client.subscribe(subject, queue=queue, cb=receive, pending_msgs_limit=PENDING)
        self._subscriptions.append(subscription)
        await self.written()

    async def _answer(self, message: Msg, handler: Callable[[Msg], Awaitable[Message]]) -> str:
        """Answer a message; what came of it, for who counts."""
        outcome = "ok"
        with structlog.contextvars.bound_contextvars(**context(message)):
            try:
                body, headers = (await handler(message)).encode(), None
            except RollcallError as error:
                outcome, (body, headers) = error.code, encode_error(error)
            except ContractError as error:
                log.warning("message refused", subject=message.subject, reason=str(error))
                outcome, (body, headers) = "contract", encode_error(Internal("内部错误", f"contract: {error}"))
            except Exception:
                log.exception("handler failed", subject=message.subject)
                outcome, (body, headers) = "internal", encode_error(Internal("内部错误", "internal error"))
            if self.is_connected and message.reply:
                await self._client.publish(message.reply, body, headers=headers)
        return outcome

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run something in the background; `close` waits for it."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def reconnected(self) -> None:
        """Streams in memory are gone after a broker restart: make them again, however long the broker needs for that,
        then tell the service. Where the connection is lost again, the next one starts over."""
        pause = FIRST_PAUSE_S
        while not await self._ensured():
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_S)
            if not self.is_connected:
                return
        for callback in self._on_reconnect:
            try:
                await callback()
            except Exception:
                log.exception("after reconnect")
        log.info("broker is back")

    async def _ensured(self) -> bool:
        try:
            await ensure(self._js, self._needs, self._replicas)
        except Exception as error:
            log.warning("streams not ready", reason=repr(error))
            return False
        return True

    async def close(self) -> None:
        """Stop intake, let running handlers finish (2 s), send what is written, close.

        Not nats-py's drain: that also waits for pull subscriptions, which never run dry.
        """
        for subscription in self._subscriptions:
            with contextlib.suppress(NatsError):
                await subscription.unsubscribe()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=2)
        with contextlib.suppress(NatsError, TimeoutError):
            await self.written(timeout=1)
        await self._client.close()
