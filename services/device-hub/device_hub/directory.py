"""The hub's copy of the registry's devices, kept fresh, so that no token costs a trip to the database."""

import asyncio
import contextlib
from collections.abc import Callable
from sys import intern
from typing import Final

import structlog

from device_hub.book import Book
from shared.bus import Bus
from shared.contracts.base import ContractError
from shared.contracts.devices import Device, DeviceChange, DeviceChanged, DevicesConfigured
from shared.contracts.hubs import AnnounceDevice, FindHubDevices, GetDevicesMark, HubDevice, ListHubDevices
from shared.errors import Failed, RollcallError, Unavailable

REFRESH_S: Final = 30.0
"""how often the registry is asked whether anything was changed that no event told of"""
READ_ANYWAY_S: Final = 600.0
"""how often everything is read, whatever the registry's mark says"""
RETRY_S: Final = 1.0
PAUSE_S: Final = 0.2
"""between two listings, and at least as long as the last one took, so that a thousand changes are not a thousand
listings"""
AT_ONCE: Final = 4
"""questions about single terminals that the registry gets from a hub at a time"""
QUIET_S: Final = 2.0
MOST_QUIETS: Final = 60
"""after this many changes of many are read, however fast more of them come"""
PAGE: Final = 2_000
"""75 ms of the registry; smaller ones take a busy hub longer than they spare the registry"""

log = structlog.get_logger("directory")


class Directory:
    """Answers from the copy; asks the registry for what the copy does not know; works on while it is away."""

    def __init__(self, bus: Bus, lost: Callable[[int], None]) -> None:
        """`lost` is told of every device that turns out not to be authorised, or to have another secret (again and
        again, if need be)."""
        self._bus, self._lost = bus, lost
        self._book = Book()
        self._stale = asyncio.Event()
        self._listed = asyncio.Event()
        self._touched: set[int] = set()
        self._changes = 0
        self._mark = -1
        self._missed = 0
        """changes of single devices that nobody could be asked about in time"""
        self._read_at = 0.0
        self._many_at = -QUIET_S
        self._hurry = False
        """somebody came whom the copy does not know"""
        self._few = asyncio.Semaphore(AT_ONCE)
        self._first = asyncio.Event()

    @property
    def loaded(self) -> bool:
        """Whether a copy was read since the start."""
        return self._first.is_set()

    async def first_copy(self, timeout: float) -> None:
        """Wait until a copy was read, for `timeout` seconds at most."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._first.wait()

    async def ready(self) -> None:
        """The health check: a copy was read since the start."""
        if not self.loaded:
            raise Unavailable(en="the devices were not read yet")

    def is_authorised(self, device_id: int) -> bool:
        """What the copy says, now."""
        return self._book.is_authorised(device_id)

    def config_revision(self, device_id: int) -> int | None:
        """The revision of its configuration that the copy knows."""
        return self._book.config_revision(device_id)

    def newer(self, device_id: int, revision: int) -> Device | None:
        """The device, if the copy knows it in another revision of its configuration than this."""
        known = self._book.config_revision(device_id)
        return None if known in (None, revision) else self._book.get(device_id)

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

    async def by_serial(self, sn: str) -> Device | None:
        """The device that bears this serial number; the registry is asked if the copy knows none that is authorised,
        for AT_ONCE at a time: of a fleet that comes before it was read, most find themselves in the copy when it is
        their turn. Raises Unavailable if nobody knows."""
        if (device := self._admitted(sn)) is not None:
            return device
        self._hurry = True
        async with self._few:
            if (device := self._admitted(sn)) is not None:
                return device
            return next((found for found in await self._ask(FindHubDevices(sn=sn)) if found.sn == sn), None)

    def _admitted(self, sn: str) -> Device | None:
        return next((device for device in self._book.find("", sn) if device.authorised), None)

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
        found = tuple((await self._bus.ask(question)).rows())
        if self._changes == changes:
            for known in found:
                self._learn(known)
        return tuple(known.device() for known in found)

    async def by_id(self, device_id: int) -> Device | None:
        """The device. For an id that the copy lacks, up to two listings are waited for: the first may have begun
        before the device was added."""
        for _ in range(2):
            if (device := self._book.get(device_id)) is not None:
                return device
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
        loop = asyncio.get_running_loop()
        while True:
            self._stale.clear()
            began = loop.time()
            pause = REFRESH_S if await self._try_list() else RETRY_S
            await asyncio.sleep(max(PAUSE_S, loop.time() - began))
            try:
                async with asyncio.timeout(pause):
                    await self._stale.wait()
            except TimeoutError:
                continue
            await self._until_quiet()

    async def _until_quiet(self) -> None:
        """While devices come by the thousand, one reading at the end is enough."""
        self._hurry = False
        for _ in range(MOST_QUIETS):
            if self._hurry or asyncio.get_running_loop().time() - self._many_at > QUIET_S:
                return
            await asyncio.sleep(QUIET_S)

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
        """Nothing, if the registry's mark is the one of the last time."""
        mark, clock = (await self._bus.ask(GetDevicesMark())).mark, asyncio.get_running_loop().time()
        if mark == self._mark and clock - self._read_at < READ_ANYWAY_S:
            return
        missed = self._missed
        await self._read_all()
        # What was missed meanwhile may stand in a page that was read before it changed.
        self._mark, self._read_at = mark if missed == self._missed else -1, clock
        self._first.set()

    async def _read_all(self) -> None:
        """Pages by id are no snapshot: what changed meanwhile is left as the change says, and what was learnt meanwhile
        may have missed its page. What was known before and is in no page is gone."""
        self._touched.clear()
        before = self._book.ids()
        listed: set[int] = set()
        last = 0
        while (page := await self._bus.ask(ListHubDevices(after=last, limit=PAGE))).ids:
            for known in page.rows():
                if known.device_id not in self._touched:
                    self._learn(known)
            last = page.ids[-1]
            listed.update(page.ids)
            await asyncio.sleep(0)  # terminals may speak between two pages
        for device_id in before - listed - self._touched:
            self._forget(device_id)

    async def changed(self, event: DeviceChanged, _: str) -> None:
        """evt.device.changed: a removal or suspension counts at once, anything else is asked for; many are read again
        together."""
        self._changes += 1
        if event.change is DeviceChange.MANY:
            self._many_at = asyncio.get_running_loop().time()
            return self._stale.set()
        self._touched.add(event.device_id)
        if event.change is DeviceChange.REMOVED:
            return self._forget(event.device_id)
        if event.change is DeviceChange.SUSPENDED:
            self._book.suspend(event.device_id)
            self._lost(event.device_id)
        try:
            await self._look_again(event.device_id)
        except Failed:
            self._miss(event.device_id)

    def configured(self, event: DevicesConfigured) -> dict[int, int]:
        """evt.device.configured: it says everything. Those to whom it was news, with their revision."""
        self._changes += 1
        config = intern(event.config.model_dump_json())
        pairs = zip(event.ids, event.revisions, strict=True)
        news = {key: revision for key, revision in pairs if self._book.configure(key, revision, config)}
        self._touched.update(news)
        return news

    async def _look_again(self, device_id: int) -> None:
        """Ask for one device."""
        changes = self._changes
        found = await self._ask(FindHubDevices(device_id=device_id))
        if self._changes != changes:
            self._miss(device_id)
        elif not found:
            self._forget(device_id)

    def _miss(self, device_id: int) -> None:
        """Its change came to nothing: everything is read again, soon, whatever the registry's mark says."""
        self._touched.discard(device_id)
        self._missed, self._mark = self._missed + 1, -1
        self._stale.set()

    def _learn(self, known: HubDevice) -> None:
        if self._book.put(known) or not known.authorised:
            self._lost(known.device_id)

    def _forget(self, device_id: int) -> None:
        self._book.drop(device_id)
        self._lost(device_id)
