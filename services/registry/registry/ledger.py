"""From `Identified` to a punch: exactly once, whatever dies in between.

The broker hands an event out until it is acknowledged, and it is acknowledged only after the commit. The inbox row,
written in the same transaction as the punch, makes every further delivery a no-op.

Pullers fetch events one by one (nats-py's batches hold the first event back until the batch is full or timed out)
into a short queue; the committer settles all that wait there in one transaction. One event alone waits for nobody;
a crowd shares the price of a commit.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Final, Literal

import structlog
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.errors import TimeoutError as NatsTimeout
from nats.js import JetStreamContext

from registry.store.database import Database
from registry.store.settle import Settled, settle
from shared.bus import Bus
from shared.bus.topology import EVENTS, LEDGER_CONSUMER
from shared.contracts.attendance import AttendanceRecorded
from shared.contracts.base import ContractError
from shared.contracts.recognition import Identified
from shared.errors import Unavailable
from shared.metrics import nobody_counts

PULLERS: Final = 4
BATCH: Final = 64
"""The consumer's max_ack_pending: the broker never hands out more than this at once."""
PULL_S: Final = 2.0
"""One pull waits this long; after a broker restart the next one finds it, in seconds."""
AGAIN_S: Final = 1.5
"""An event that could not be settled comes again after this time, in seconds."""
AFTER_FAULT_S: Final = 10.0
"""The same after a fault of ours, which more haste will not mend."""

log = structlog.get_logger("ledger")

Delivery = tuple[Msg, Identified]
Settlement = Literal["recorded", "repeated", "known", "nobody", "put_off"]
"""What the ledger made of an event: a punch, the repetition of one, nothing new, nobody's, nothing yet."""
Told = Callable[[Settlement, datetime], None]


class Ledger:
    """The consumer of identified faces."""

    def __init__(self, bus: Bus, database: Database, debounce_s: float, settled: Told = nobody_counts) -> None:
        """`settled` hears what became of each event."""
        self._told = settled
        self._bus = bus
        self._database = database
        self._debounce_s = debounce_s
        self._queue: asyncio.Queue[Delivery] = asyncio.Queue(maxsize=BATCH)

    async def run(self) -> None:
        """Settle events until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._commit())
            for _ in range(PULLERS):
                group.create_task(self._pull())

    async def _pull(self) -> None:
        pull = await self._bus.js.pull_subscribe_bind(LEDGER_CONSUMER, stream=EVENTS)
        while True:
            for message in await self._next(pull):
                await self._take(message)

    async def _next(self, pull: JetStreamContext.PullSubscription) -> list[Msg]:
        try:
            return await pull.fetch(1, timeout=PULL_S)
        except (NatsTimeout, TimeoutError):
            return []
        except NatsError as error:
            # The client is looking for the broker, or the consumer is just being made again.
            log.warning("no events to be had", reason=repr(error))
            await asyncio.sleep(0.5)
            return []

    async def _take(self, message: Msg) -> None:
        try:
            await self._queue.put((message, Identified.decode(message.data)))
        except ContractError as error:
            log.error("event refused for good", reason=str(error), sequence=message.metadata.sequence.stream)
            await _say(message.term())

    async def _commit(self) -> None:
        while True:
            batch = [await self._queue.get()]
            while len(batch) < BATCH and not self._queue.empty():
                batch.append(self._queue.get_nowait())
            await self._settle(batch)

    async def _settle(self, batch: Sequence[Delivery]) -> None:
        """Commit, then acknowledge. Nothing that goes wrong here may end the loop."""
        events = [event for _, event in batch]
        try:
            settled = await self._database.write(lambda session: settle(session, events, self._debounce_s))
        except Unavailable:
            for event in events:
                self._told("put_off", event.captured_at)
            await _say(*(message.nak(delay=AGAIN_S) for message, _ in batch))
        except Exception:
            await self._isolate(batch)
        else:
            for event in events:
                self._told(_tell(event, settled), event.captured_at)
            await _say(*(message.ack_sync(timeout=2) for message, _ in batch))

    async def _isolate(self, batch: Sequence[Delivery]) -> None:
        """One event that cannot be stored must not hold up the others."""
        if len(batch) > 1:
            for delivery in batch:
                await self._settle([delivery])
            return
        [(message, event)] = batch
        self._told("put_off", event.captured_at)
        log.exception("event not settled", event_id=event.event_id, trace=event.frame_id)
        await _say(message.nak(delay=AFTER_FAULT_S))


async def _say(*answers: Awaitable[object]) -> None:
    """Send answers to the broker. One that is lost brings its event again, and the inbox knows it."""
    for outcome in await asyncio.gather(*answers, return_exceptions=True):
        if isinstance(outcome, Exception):
            log.warning("not acknowledged", reason=repr(outcome))


def _tell(event: Identified, settled: dict[str, Settled]) -> Settlement:
    told = log.bind(event_id=event.event_id, trace=event.frame_id)
    if event.event_id not in settled:
        told.info("event known already")
        return "known"
    if news := settled[event.event_id]:
        told.info(news.subject, punch_id=news.punch_id)
        return "recorded" if isinstance(news, AttendanceRecorded) else "repeated"
    told.warning("nobody has this id", student_id=event.student_id)
    return "nobody"
