"""The hub's copy of the registry's devices, kept fresh, so that no token costs a trip to the database."""

import asyncio
from collections.abc import Callable
from typing import Final

import structlog

from device_hub.book import Book
from shared.bus import Bus
from shared.contracts.base import ContractError
from shared.contracts.devices import (
    AnnounceDevice,
    Device,
    DeviceChange,
    DeviceChanged,
    FindHubDevices,
    HubDevice,
    ListHubDevices,
)
from shared.errors import Failed, RollcallError, Unavailable

REFRESH_S: Final = 30.0
RETRY_S: Final = 1.0
PAUSE_S: Final = 0.2
"""between two listings, so that a thousand changes are not a thousand listings"""
PAGE: Final = 2_000

log = structlog.get_logger("directory")


class Directory:
    """Answers from the copy; asks the registry for what the copy does not know; works on while it is away."""

    def __init__(self, bus: Bus, lost: Callable[[int], None]) -> None:
        """`lost` is told of every device that turns out not to be authorised (again and again, if need be)."""
        self._bus, self._lost = bus, lost
        self._book = Book()
        self._stale = asyncio.Event()
        self._listed = asyncio.Event()
        self._touched: set[int] = set()
        self._changes = 0
        self.loaded = False

    async def ready(self) -> None:
        """The health check: a copy was read since the start."""
        if not self.loaded:
            raise Unavailable(en="the devices were not read yet")

    def is_authorised(self, device_id: int) -> bool:
        """What the copy says, now."""
        device = self._book.get(device_id)
        return device is not None and device.authorised

    async def find(self, name: str, sn: str) -> tuple[Device, ...]:
        """The devices that bear this name or serial number. Only an exact, authorised match is taken from the copy
        without asking; a refusal is worth a question. Raises Unavailable if nobody knows."""
        copied = self._book.find(name, sn)
        if len(copied) == 1 and (copied[0].name, copied[0].sn) == (name, sn) and copied[0].authorised:
            return copied
        try:
            return await self._ask(FindHubDevices(name=name, sn=sn))
        except Failed:
            if not copied:
                raise
            return copied

    def secret(self, device_id: int) -> bytes:
        """The device's secret, empty if it has none."""
        return self._book.secret(device_id)

    async def announce(self, name: str, sn: str) -> Device:
        """Let a terminal that nobody knows wait for the office. Raises InvalidInput, Conflict, NotAllowed,
        Unavailable."""
        return await self._bus.ask(AnnounceDevice(name=name, sn=sn))

    async def _ask(self, question: FindHubDevices) -> tuple[Device, ...]:
        """The registry's answer, copied unless a change came while it was on its way: it may be the older news."""
        changes = self._changes
        found = (await self._bus.ask(question)).devices
        if self._changes == changes:
            for known in found:
                self._learn(known)
        return tuple(known.device for known in found)

    async def by_id(self, device_id: int) -> Device | None:
        """The device. For an id that the copy lacks, up to two listings are waited for: the first may have begun
        before the device was added."""
        for _ in range(2):
            if self._book.get(device_id) is not None:
                break
            self._stale.set()
            await self._next_listing()
        return self._book.get(device_id)

    async def _next_listing(self) -> None:
        try:
            async with asyncio.timeout(RETRY_S):
                await self._listed.wait()
        except TimeoutError:
            log.warning("no listing in time")

    # ---- keeping it fresh

    async def refresh(self) -> None:
        """Read everything again, soon."""
        self._stale.set()

    async def keep_fresh(self) -> None:
        """List at the start, after a change that cannot be asked for one by one, and every REFRESH_S."""
        while True:
            self._stale.clear()
            pause = REFRESH_S if await self._try_list() else RETRY_S
            await asyncio.sleep(PAUSE_S)
            try:
                async with asyncio.timeout(pause):
                    await self._stale.wait()
            except TimeoutError:
                continue

    async def _try_list(self) -> bool:
        try:
            await self._list()
        except (RollcallError, ContractError) as error:
            log.warning("devices not read", reason=str(error))
            return False
        finally:
            self._listed.set()
            self._listed = asyncio.Event()
        return True

    async def _list(self) -> None:
        """Pages by id are no snapshot: what changed meanwhile is left as the change says, what seems to be gone is
        asked for before anybody is cut."""
        self._touched.clear()
        listed: set[int] = set()
        while page := (await self._bus.ask(ListHubDevices(after=max(listed, default=0), limit=PAGE))).devices:
            for known in page:
                if known.device.device_id not in self._touched:
                    self._learn(known)
            listed |= {known.device.device_id for known in page}
        for device_id in self._book.ids() - listed - self._touched:
            await self._look_again(device_id)
        self.loaded = True

    async def changed(self, event: DeviceChanged, _: str) -> None:
        """evt.device.changed: a removal counts at once, anything else is asked for."""
        self._changes += 1
        self._touched.add(event.device_id)
        if event.change is DeviceChange.REMOVED:
            return self._forget(event.device_id)
        try:
            await self._look_again(event.device_id)
        except Failed:
            self._touched.discard(event.device_id)
            self._stale.set()

    async def _look_again(self, device_id: int) -> None:
        """Ask for one device."""
        if not await self._ask(FindHubDevices(device_id=device_id)):
            self._forget(device_id)

    def _learn(self, known: HubDevice) -> None:
        self._book.put(known)
        if not known.device.authorised:
            self._lost(known.device.device_id)

    def _forget(self, device_id: int) -> None:
        self._book.drop(device_id)
        self._lost(device_id)
