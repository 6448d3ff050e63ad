"""Telling the registry when terminals were last there: gathered, and sent in one piece now and then."""

import asyncio
from itertools import islice

import structlog

from device_hub.session import Session
from shared.bus import Bus
from shared.contracts.base import now
from shared.contracts.hubs import DevicesSeen, Sighting
from shared.errors import RollcallError

EVERY_S = 10.0
"""A fleet that reconnects is some dozens of pieces, not sixty-five thousand."""
AT_ONCE = 500
"""sightings in a piece: 15 ms of the registry, which has other work"""
PAUSE_S = 0.2
"""between two pieces"""

log = structlog.get_logger("seen")


class Seen:
    """The newest sighting of each terminal that the registry has not heard of yet."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._waiting: dict[int, Sighting] = {}

    def note(self, session: Session) -> None:
        """A terminal came, went, or told something new about itself just now."""
        device_id = session.device_id
        self._waiting[device_id] = Sighting(
            device_id=device_id,
            at=now(),
            clock_offset_ms=session.clock_offset_ms,
            agent=session.agent,
            config_taken=session.config_taken,
        )

    async def keep(self) -> None:
        """Tell every EVERY_S, for ever; what could not be told is told next time."""
        while True:
            await asyncio.sleep(EVERY_S)
            while self._waiting and await self._tell_some():
                await asyncio.sleep(PAUSE_S)

    async def tell(self) -> None:
        """Tell what waits, without a pause."""
        while self._waiting and await self._tell_some():
            pass

    async def _tell_some(self) -> bool:
        """One piece; False if the registry did not take it."""
        batch = dict(islice(self._waiting.items(), AT_ONCE))
        try:
            await self._bus.ask(DevicesSeen(seen=tuple(batch.values())))
        except RollcallError as error:
            log.warning("not told who was seen", waiting=len(self._waiting), reason=error.en)
            return False
        for device_id, sighting in batch.items():
            if self._waiting.get(device_id) is sighting:
                del self._waiting[device_id]
        return True
