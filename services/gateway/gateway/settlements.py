"""What became of identified faces: the registry's word, and nothing else, makes a screen say "recorded"."""

import asyncio
from collections import OrderedDict

from shared.bus import Bus
from shared.contracts.attendance import AttendanceRecorded, AttendanceRepeated, GetPunchOutcome
from shared.errors import RollcallError

Settled = AttendanceRecorded | AttendanceRepeated

REMEMBERED = 8_192
"""Outcomes kept for results that arrive after their punch."""
CATCH_UP_TRIES = 20
CATCH_UP_AGAIN_S = 0.5
"""between two tries to reach the registry, in seconds: ten in all, about what it needs to start again"""


class Settlements:
    """Hears attendance events and answers who waits for one."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._known: OrderedDict[str, Settled] = OrderedDict()
        self._waiting: dict[str, set[asyncio.Future[Settled]]] = {}

    def settle(self, outcome: Settled) -> None:
        """An attendance event came in."""
        self._known[outcome.identified_event] = outcome
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        for waiting in self._waiting.pop(outcome.identified_event, ()):
            if not waiting.done():
                waiting.set_result(outcome)

    async def wait(self, event_id: str, timeout: float) -> Settled | None:
        """The outcome of an `Identified` event; None if it is not known after `timeout` seconds.

        Live news is lossy, so the registry is asked before giving up.
        """
        if event_id in self._known:
            return self._known[event_id]
        told: asyncio.Future[Settled] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(event_id, set()).add(told)
        try:
            async with asyncio.timeout(timeout):
                return await told
        except TimeoutError:
            pass
        finally:
            self._stop_waiting(event_id, told)
        try:
            return await self._ask(event_id)
        except RollcallError:
            return None

    async def catch_up(self) -> None:
        """The broker was away, and news that somebody waits for may be lost: the registry is asked, as soon as it is
        back itself, for a screen that hears of an earlier punch after a later one tells them in the wrong order."""
        missed = [*self._waiting]
        for _ in range(CATCH_UP_TRIES):
            try:
                for event_id in missed:
                    if event_id in self._waiting:
                        await self._ask(event_id)
            except RollcallError:
                await asyncio.sleep(CATCH_UP_AGAIN_S)
            else:
                return

    def _stop_waiting(self, event_id: str, told: asyncio.Future[Settled]) -> None:
        others = self._waiting.get(event_id, set())
        others.discard(told)
        if not others:
            self._waiting.pop(event_id, None)

    async def _ask(self, event_id: str) -> Settled | None:
        """None: nothing is settled yet. Raises RollcallError."""
        outcome = await self._bus.ask(GetPunchOutcome(identified_event=event_id), timeout=1.0)
        found = outcome.recorded or outcome.repeated
        if found is not None:
            self.settle(found)
        return found
