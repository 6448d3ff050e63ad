"""The open streams of terminals follow what the office decides: a token is looked at once, a camera stays for days."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Protocol

import structlog

from shared.bus import Bus
from shared.codes import DeviceCode
from shared.contracts.base import ContractError
from shared.contracts.devices import Device, DeviceChange, DeviceChanged, GetDevice
from shared.errors import NotAllowed, NotFound, RollcallError

log = structlog.get_logger("streams")

AT_ONCE: Final = 8
"""terminals that are asked for side by side, whatever the office changed at once"""
ASK_AGAIN_S: Final = 5.0
"""after this the registry is asked again that could not say who may go on, in seconds"""
FRESH_S: Final = 2.0
"""A change so recent may have crossed the hello: the hub that answered for the token hears of it when we do, in
seconds."""


CUTS: Final = frozenset({DeviceChange.REMOVED, DeviceChange.SUSPENDED, DeviceChange.SECRET_RENEWED})
"""After these nobody goes on who came in before; a terminal with the new secret comes in again."""


class OpenStream(Protocol):
    """What is needed of gateway.stream.Stream."""

    def look_again(self) -> None:
        """Let `TerminalStreams.look` decide whether it goes on."""

    def take_over(self, device: Device) -> None:
        """The terminal is this one now."""

    def cut(self, error: RollcallError) -> None:
        """End at once, with this for its last word."""


class TerminalStreams:
    """One per gateway. The registry is asked, not a hub: a hub's copy may be a moment older than the change."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._open: dict[int, set[OpenStream]] = {}
        self._asking = asyncio.Semaphore(AT_ONCE)
        self._changed_at = -FRESH_S
        self.ask_again_s = ASK_AGAIN_S

    async def start(self) -> None:
        """Hear of changes; look at all after the broker was away, for what was said meanwhile is lost."""
        await self._bus.follow(DeviceChanged.subject, DeviceChanged, self._changed)
        self._bus.on_reconnect(self._look_at_all)

    @contextmanager
    def watching(self, device_id: int, stream: OpenStream) -> Iterator[None]:
        """While inside, the stream hears of its terminal; 0 is none."""
        if not device_id:
            yield
            return
        self._open.setdefault(device_id, set()).add(stream)
        if time.monotonic() - self._changed_at < FRESH_S:
            stream.look_again()
        try:
            yield
        finally:
            self._open[device_id].discard(stream)
            if not self._open[device_id]:
                del self._open[device_id]

    async def look(self, device_id: int, stream: OpenStream) -> None:
        """Ask for the terminal: end its stream, or let it take over what was changed."""
        async with self._asking:  # while the registry is away, those who wait for it keep the others from asking
            device = await self._ask(device_id)
        if device is not None and device.authorised:
            stream.take_over(device)
        else:
            self._cut(device_id)

    async def _ask(self, device_id: int) -> Device | None:
        """Until somebody knows."""
        while True:
            try:
                return await self._bus.ask(GetDevice(device_id=device_id))
            except NotFound:
                return None
            except (RollcallError, ContractError) as error:
                log.warning("terminal not looked at", device=device_id, reason=str(error))
                await asyncio.sleep(self.ask_again_s)

    async def _changed(self, event: DeviceChanged, _: str) -> None:
        self._changed_at = time.monotonic()
        if event.change is DeviceChange.MANY:
            await self._look_at_all()
        elif event.change in CUTS:
            self._cut(event.device_id)
        else:
            for stream in self._open.get(event.device_id, ()):
                stream.look_again()

    def _cut(self, device_id: int) -> None:
        """A hub would refuse its token with these words."""
        for stream in self._open.get(device_id, ()):
            stream.cut(
                NotAllowed("设备未授权", "the device is not authorised", number=int(DeviceCode.PERMISSION_DENIED))
            )

    async def _look_at_all(self) -> None:
        for streams in self._open.values():
            for stream in streams:
                stream.look_again()
