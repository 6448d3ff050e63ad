"""What is erased later than it disappeared: rows of deleted groups, looked-at faces whose time is over, and terminals
that asked for the office once and never again."""

import asyncio
import contextlib

import structlog

from registry.store import devices, faces
from registry.store.database import Database
from shared.errors import RollcallError

AT_ONCE = 500
"""rows in one transaction: others write in between"""
EVERY_S = 10.0

log = structlog.get_logger("sweeper")


class Sweeper:
    """One per registry; several do not disturb each other."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._nudge = asyncio.Event()

    def nudge(self) -> None:
        """There is something to do."""
        self._nudge.set()

    async def run(self) -> None:
        """Sweep when nudged and every EVERY_S, for ever."""
        while True:
            self._nudge.clear()
            try:
                await self.sweep()
            except RollcallError as error:
                log.warning("not swept", reason=error.en)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(EVERY_S):
                    await self._nudge.wait()

    async def sweep(self) -> None:
        """Everything that is due."""
        while await self._database.write(lambda session: faces.sweep_loose(session, AT_ONCE)):
            pass
        while await self._database.write(lambda session: devices.sweep_pending(session, AT_ONCE)):
            pass
        for group in await self._database.read(faces.deleted_groups):
            while not await self._swept(group):
                pass
            log.info("group erased", group=group)

    async def _swept(self, group: int) -> bool:
        return await self._database.write(lambda session: faces.sweep_group(session, group, AT_ONCE))
