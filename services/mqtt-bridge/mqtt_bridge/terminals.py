"""The terminals that the office knows, and which of them are connected."""

import asyncio
import contextlib
from collections.abc import Callable

import structlog
from nats.errors import Error as NatsError
from nats.js.errors import Error as JetStreamError
from nats.js.errors import KeyNotFoundError
from nats.js.kv import KeyValue

from shared.bus import Bus
from shared.bus.topology import HUBS, LEASE_S, PRESENCE
from shared.contracts.base import ContractError
from shared.contracts.devices import Device, DeviceChange, DeviceChanged, DeviceState, GetDevice, ListDevices
from shared.contracts.hubs import Presence
from shared.errors import NotFound, RollcallError

PAGE = 2_000
REFRESH_S = 600.0
"""how often all terminals are listed, in case the news of a change was lost"""
WATCH_S = 300.0
"""how long one look at the presence bucket lasts; then it is read anew"""
RETRY_S = 1.0
LOOK_S = LEASE_S / 3
"""how often it is asked which hubs live, in seconds"""

TROUBLE = (NatsError, JetStreamError, TimeoutError, OSError, ContractError)

log = structlog.get_logger("terminals")


class Terminals:
    """A copy of the registry's terminals, those that wait for the office left out, and of presence. `changed` is told
    of each terminal that is new, gone, edited, or came or went."""

    def __init__(self, bus: Bus, changed: Callable[[int], None]) -> None:
        self._bus, self._changed = bus, changed
        self._devices: dict[int, Device] = {}
        self._held: dict[int, Presence] = {}
        self._alive: dict[str, bool] = {}
        self._stale = asyncio.Event()
        self._again = asyncio.Event()
        self._listed = asyncio.Event()
        self._placed = asyncio.Event()

    def get(self, device_id: int) -> Device | None:
        return self._devices.get(device_id)

    def presence(self, device_id: int) -> Presence | None:
        """None: it is not connected."""
        held = self._held.get(device_id)
        return held if held is not None and self._alive.get(held.hub, False) else None

    async def read(self) -> None:
        """Return when all terminals, and where they are, have been read since the start."""
        await self._listed.wait()
        await self._placed.wait()

    # ---- who there is

    async def hear(self, event: DeviceChanged, _: str) -> None:
        """The office changed something."""
        if event.change is DeviceChange.MANY:
            self._stale.set()
            return
        try:
            self._put(event.device_id, await self._bus.ask(GetDevice(device_id=event.device_id)))
        except NotFound:
            self._put(event.device_id, None)
        except RollcallError as error:
            log.warning("a terminal was not read", device=event.device_id, reason=str(error))
            self._stale.set()

    def _put(self, device_id: int, device: Device | None) -> None:
        if device is None or device.state is DeviceState.PENDING:
            if self._devices.pop(device_id, None) is not None:
                self._changed(device_id)
        elif self._devices.get(device_id) != device:
            self._devices[device_id] = device
            self._changed(device_id)

    async def refresh(self) -> None:
        """Read everything again: the broker was away."""
        self._stale.set()
        self._again.set()

    async def keep_listed(self) -> None:
        """List at the start, when it is needed, and every REFRESH_S."""
        while True:
            self._stale.clear()
            pause = REFRESH_S
            try:
                await self._list()
            except RollcallError as error:
                log.warning("terminals not read", reason=str(error))
                pause = RETRY_S
            await asyncio.sleep(RETRY_S)  # a thousand changes are not a thousand listings
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._stale.wait()

    async def _list(self) -> None:
        found: dict[int, Device] = {}
        offset = 0
        while page := (await self._bus.ask(ListDevices(offset=offset, limit=PAGE))).devices:
            offset += len(page)
            found |= {device.device_id: device for device in page}
        for device_id in self._devices.keys() - found.keys():
            self._put(device_id, None)
        for device_id, device in found.items():
            self._put(device_id, device)
        self._listed.set()

    # ---- who is connected

    async def watch_presence(self) -> None:
        """Follow the bucket; from the beginning after every reconnect, and every WATCH_S."""
        while True:
            self._again.clear()
            try:
                watcher = await (await self._bus.js.key_value(PRESENCE)).watchall()
                try:
                    async with asyncio.timeout(WATCH_S):
                        await self._follow(watcher)
                except TimeoutError:
                    continue
                finally:
                    await watcher.stop()  # type: ignore[no-untyped-call]
            except TROUBLE as error:
                log.warning("presence not read", reason=repr(error))
                await asyncio.sleep(RETRY_S)

    async def _follow(self, watcher: KeyValue.KeyWatcher) -> None:
        before = set(self._held)
        while not self._again.is_set():
            try:
                entry = await watcher.updates(timeout=RETRY_S)  # type: ignore[no-untyped-call]
            except NatsError:  # nothing new
                continue
            if entry is None:  # all that was there has come
                for device_id in before:
                    self._hold(device_id, None)
                before = set()
                self._placed.set()
            elif entry.key.isdigit():
                before.discard(int(entry.key))
                await self._take(int(entry.key), entry)

    async def _take(self, device_id: int, entry: KeyValue.Entry) -> None:
        held = Presence.decode(entry.value or b"") if entry.operation is None else None
        if held is not None and held.hub not in self._alive:
            self._alive[held.hub] = await self._lives(held.hub)
        self._hold(device_id, held)

    def _hold(self, device_id: int, held: Presence | None) -> None:
        if held is None:
            self._held.pop(device_id, None)
        else:
            self._held[device_id] = held
        self._changed(device_id)

    async def watch_hubs(self) -> None:
        """A dead hub's terminals are offline when its lease is over."""
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                for hub in {held.hub for held in self._held.values()}:
                    self._set_alive(hub, await self._lives(hub))
            except TROUBLE as error:
                log.warning("hubs not read", reason=repr(error))

    def _set_alive(self, hub: str, alive: bool) -> None:
        if self._alive.get(hub) is alive:
            return
        self._alive[hub] = alive
        for device_id, held in self._held.items():
            if held.hub == hub:
                self._changed(device_id)

    async def _lives(self, hub: str) -> bool:
        try:
            await (await self._bus.js.key_value(HUBS)).get(hub)
        except KeyNotFoundError:
            return False
        return True
