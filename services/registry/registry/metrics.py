"""What operators are told of the registry: punches and how late they are written, what waits in the outbox."""

from collections.abc import Callable
from datetime import datetime
from typing import Final, get_args

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from registry.ledger import Settlement
from registry.outbox import Relay
from registry.store.database import Database
from registry.tables import Outbox
from shared.bus import Bus
from shared.bus.metrics import watch_bus
from shared.bus.topology import LEDGER_CONSUMER
from shared.contracts.base import now
from shared.metrics import LAG_S, UNKNOWN, Metrics

SETTLEMENTS: Final[tuple[Settlement, ...]] = get_args(Settlement)


class Punches:
    """Counts what becomes of identified faces."""

    def __init__(self, metrics: Metrics) -> None:
        outcomes = metrics.counter("rollcall_punches", "Identified faces, by what the ledger made of them", "outcome")
        self._outcomes: dict[Settlement, Callable[[], None]] = {each: outcomes.labels(each).inc for each in SETTLEMENTS}
        self._lag = metrics.histogram("rollcall_punch_lag_seconds", "From capture to a recorded punch", bounds=LAG_S)

    def settled(self, outcome: Settlement, captured_at: datetime) -> None:
        """The ledger is done with an event, for now."""
        self._outcomes[outcome]()
        if outcome == "recorded":
            self._lag.observe((now() - captured_at).total_seconds())


def watch_registry(metrics: Metrics, bus: Bus, database: Database, relay: Relay) -> None:
    """Tell of the connection and the outbox for as long as the registry runs."""
    watch_bus(metrics, bus, consumers=(LEDGER_CONSUMER,))
    metrics.read_total("rollcall_outbox_published_events", "Events that left the outbox", lambda: relay.published)
    waiting = metrics.gauge("rollcall_outbox_waiting_events", "Committed events that are not published yet")
    oldest = metrics.gauge("rollcall_outbox_oldest_seconds", "How long the oldest of them has waited")

    async def ask() -> None:
        depth, age = UNKNOWN, UNKNOWN
        try:
            depth, since = await database.read(_waiting)
            age = (now() - since).total_seconds() if since else 0
        finally:  # only now: somebody else may read the numbers meanwhile
            waiting.set(depth)
            oldest.set(age)

    metrics.ask(ask)


async def _waiting(session: AsyncSession) -> tuple[int, datetime | None]:
    asked = select(func.count(), func.min(Outbox.created_at)).where(Outbox.sent_at.is_(None))
    depth, since = (await session.execute(asked)).one()
    return depth, since
