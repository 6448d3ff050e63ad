"""What terminals were told to do, for the log of each: told to the registry at once, kept while it is away."""

import asyncio

import structlog

from shared.bus import Bus
from shared.contracts.base import now
from shared.contracts.hubs import Deed, DeedsDone
from shared.contracts.terminals import OpenDoor, Order, OrderOutcome, ShowMessage, TerminalOrder
from shared.errors import RollcallError

AT_ONCE = 500
RETRY_S = 1.0
MAX_WAITING = 10_000
"""Deeds kept while the registry is away, 4 MB; beyond it the oldest are only in this process's log."""

log = structlog.get_logger("deeds")


class Deeds:
    """Deeds that the registry has not heard of yet."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._waiting: dict[str, Deed] = {}
        self._work = asyncio.Event()

    def note(self, asked: TerminalOrder, outcome: OrderOutcome) -> None:
        """An order was answered, or was sent and not answered."""
        deed = deed_of(asked, outcome)
        log.info("order", device=deed.device_id, by=deed.by, action=deed.action, done=deed.done, detail=deed.detail)
        if len(self._waiting) >= MAX_WAITING:
            del self._waiting[next(iter(self._waiting))]
        self._waiting[deed.deed_id] = deed
        self._work.set()

    async def keep(self) -> None:
        """Tell what waits, for ever."""
        while True:
            await self._work.wait()
            if not await self.tell():
                await asyncio.sleep(RETRY_S)

    async def tell(self) -> bool:
        """Tell what waits; False if the registry did not take it."""
        while self._waiting:
            batch = tuple(self._waiting.values())[:AT_ONCE]
            try:
                await self._bus.ask(DeedsDone(deeds=batch))
            except RollcallError as error:
                log.warning("deeds not told", count=len(self._waiting), reason=error.en)
                return False
            for deed in batch:
                self._waiting.pop(deed.deed_id, None)
        self._work.clear()
        return True


def deed_of(asked: TerminalOrder, outcome: OrderOutcome) -> Deed:
    """The line for the log. An order that is sent again is one line for each way it ended."""
    details = (_wish(asked.order), outcome.error, outcome.detail)
    return Deed(
        deed_id=f"{asked.order_id}-{'done' if outcome.ok else 'failed'}",
        device_id=asked.device_id,
        at=now(),
        by=asked.by,
        action=asked.order.action,
        done=outcome.ok,
        detail=" · ".join(filter(None, details))[:256],
    )


def _wish(order: Order) -> str:
    match order:
        case OpenDoor():
            return order.reason
        case ShowMessage():
            return order.zh or order.en
    return ""
