"""The relay: publishes what was committed, in the order of the outbox, at least once.

A crash between publishing and marking publishes again; the broker drops the second by its message id, and every
reader is idempotent by event id. Rows get their `seq` inside transactions that hold the lock of what they are about
(a student's row, the library's row), so events about one thing leave in the order in which they happened.
"""

import asyncio
from datetime import timedelta
from typing import Final

import structlog
from sqlalchemy import delete, select, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from registry.store.database import Database
from registry.tables import Inbox, Outbox
from shared.bus import Bus
from shared.contracts.base import now
from shared.errors import Unavailable

BATCH: Final = 100
LOOK_S: Final = 0.25
"""Without news of our own we look this often: another replica's commits do not wake us. In seconds."""
RETRY_S: Final = 1.0
SENT_KEPT = timedelta(days=7)
INBOX_KEPT = timedelta(days=45)
"""Longer than the stream keeps an event (30 days): of the broker's none comes again unknown. A terminal may tell a
punch again after a year; those are looked up among the punches."""
PURGE_S: Final = 3_600.0

log = structlog.get_logger("outbox")


class Relay:
    """Publishes the outbox. Of several replicas one is active: the holder of the lock `relay`."""

    def __init__(self, bus: Bus, database: Database) -> None:
        self._bus = bus
        self._database = database
        self._purged_at = 0.0
        self.published = 0
        """events that the broker took, since the start"""
        self._unmarked: set[int] = set()
        """published, but the database went away before it was written down; listeners need not hear it twice"""

    async def run(self) -> None:
        """Publish until cancelled; broker or database away: wait and go on."""
        while True:
            try:
                async with self._database.exclusive("relay") as connection:
                    await self._while_held(connection)
            except (Unavailable, SQLAlchemyError, OSError) as error:
                log.warning("relay waits", reason=str(error)[:200])
            await asyncio.sleep(RETRY_S)

    async def _while_held(self, connection: AsyncConnection) -> None:
        while await self._database.holds(connection, "relay"):
            self._database.news.clear()
            if await self.publish_some() < BATCH:
                await self._purge()
                await self._news()

    async def _news(self) -> None:
        try:
            async with asyncio.timeout(LOOK_S):
                await self._database.news.wait()
        except TimeoutError:
            return

    async def publish_some(self) -> int:
        """Publish up to BATCH waiting events and mark them; how many. Raises Unavailable, the rest stays waiting."""
        waiting = await self._database.read(_waiting)
        try:
            for row in waiting:
                await self._publish(row)
        finally:
            await self._mark()
        return len(waiting)

    async def _publish(self, row: Outbox) -> None:
        if row.seq not in self._unmarked:
            with structlog.contextvars.bound_contextvars(trace=row.trace):
                await self._bus.record_bytes(row.subject, row.event_id, row.body)
            self._unmarked.add(row.seq)
            self.published += 1

    async def _mark(self) -> None:
        if self._unmarked:
            await self._database.write(lambda session: _mark(session, self._unmarked))
            self._unmarked.clear()

    async def _purge(self) -> None:
        clock = asyncio.get_running_loop().time()
        if clock - self._purged_at > PURGE_S or not self._purged_at:
            self._purged_at = clock
            await self._database.write(_forget)


async def _waiting(session: AsyncSession) -> list[Outbox]:
    rows = select(Outbox).where(Outbox.sent_at.is_(None)).order_by(Outbox.seq).limit(BATCH)
    return list(await session.scalars(rows))


async def _mark(session: AsyncSession, sent: set[int]) -> None:
    await session.execute(update(Outbox).where(Outbox.seq.in_(sent)).values(sent_at=now()))


async def _forget(session: AsyncSession) -> None:
    await session.execute(delete(Outbox).where(Outbox.sent_at < now() - SENT_KEPT))
    await session.execute(delete(Inbox).where(Inbox.settled_at < now() - INBOX_KEPT))
