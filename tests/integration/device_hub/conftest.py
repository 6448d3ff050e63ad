"""A real hub on a real broker, the registry's side of its contract over a dict, and plain WebSocket clients."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from nats.js.errors import Error as JetStreamError
from pydantic import SecretStr
from websockets.asyncio.client import ClientConnection, connect

from device_hub import service as hub_service
from device_hub.service import Running
from device_hub.settings import HubSettings
from shared.bus import Bus
from shared.bus.topology import PRESENCE
from shared.contracts.base import Done, now
from shared.contracts.devices import Device, DeviceChange, DeviceChanged, DeviceState
from shared.contracts.hubs import (
    AnnounceDevice,
    Deed,
    DeedsDone,
    DevicesMark,
    DevicesSeen,
    FindHubDevices,
    GetDevicesMark,
    HubDevice,
    HubDevices,
    ListHubDevices,
    Presence,
    Sighting,
)
from shared.contracts.terminals import CheckToken, IssueToken, TerminalPush
from shared.errors import Unavailable
from tests.conftest import PASSWORDS, Broker

SECRET = "0123456789abcdef" * 2


@dataclass
class Registry:
    """The registry's commands about devices, answered from a dict: a double at the contract."""

    bus: Bus
    devices: dict[int, Device] = field(default_factory=dict)
    secrets: dict[int, bytes] = field(default_factory=dict)
    seen: dict[int, Sighting] = field(default_factory=dict)
    deeds: dict[str, Deed] = field(default_factory=dict)
    away: bool = False
    """it takes no deeds"""
    answering: asyncio.Event = field(default_factory=asyncio.Event)
    """whether it answers questions about single devices, or lets them wait"""
    asked: int = 0
    mark: int = 0
    still: bool = False
    """nothing is said to have changed any more"""
    listed: int = 0
    marked: int = 0

    async def start(self) -> None:
        self.answering.set()
        await self.bus.serve(FindHubDevices, self._find)
        await self.bus.serve(ListHubDevices, self._list)
        await self.bus.serve(GetDevicesMark, self._mark)
        await self.bus.serve(AnnounceDevice, self._announce)
        await self.bus.serve(DevicesSeen, self._seen)
        await self.bus.serve(DeedsDone, self._deeds_done)

    async def _find(self, asked: FindHubDevices) -> HubDevices:
        self.asked += 1
        await self.answering.wait()
        found = (
            d
            for d in self.devices.values()
            if asked.device_id == d.device_id or d.name == asked.name or d.sn == asked.sn
        )
        return HubDevices.of(map(self._for_hub, found))

    async def _list(self, asked: ListHubDevices) -> HubDevices:
        self.listed += 1
        ordered = sorted(d for d in self.devices if d > asked.after)[: asked.limit]
        return HubDevices.of(self._for_hub(self.devices[device_id]) for device_id in ordered)

    async def _mark(self, asked: GetDevicesMark) -> DevicesMark:
        self.marked += 1
        self.mark += not self.still
        return DevicesMark(mark=self.mark)

    async def _announce(self, asked: AnnounceDevice) -> Device:
        known = (d for d in self.devices.values() if (d.name, d.sn) == (asked.name, asked.sn))
        return next(known, None) or self.put(
            max(self.devices) + 1, state=DeviceState.PENDING, name=asked.name, sn=asked.sn
        )

    async def _seen(self, asked: DevicesSeen) -> Done:
        self.seen |= {sighting.device_id: sighting for sighting in asked.seen}
        return Done()

    async def _deeds_done(self, told: DeedsDone) -> Done:
        if self.away:
            raise Unavailable
        self.deeds |= {deed.deed_id: deed for deed in told.deeds}
        return Done()

    def _for_hub(self, device: Device) -> HubDevice:
        return HubDevice.of(device, self.secrets.get(device.device_id, b""))

    def put(self, device_id: int, **fields: Any) -> Device:
        """A device in the table, authorised and believed on its serial number if not said otherwise; no news of it."""
        usual = {"name": f"门{device_id}", "sn": f"SN{device_id}", "state": DeviceState.AUTHORISED, "created_at": now()}
        device = Device(device_id=device_id, **(usual | fields))
        self.devices[device_id] = device
        return device

    async def announce(self, device_id: int, change: str) -> None:
        await self.bus.record(DeviceChanged(device_id=device_id, change=DeviceChange(change), by="test"))


@dataclass
class Site:
    """A hub at work and everything around it."""

    broker: Broker
    registry: Registry
    gateway: Bus
    running: Running

    async def token(self, device: Device) -> str:
        return (await self.gateway.ask(IssueToken(name=device.name, sn=device.sn))).token

    async def whose(self, token: str) -> Device:
        return await self.gateway.ask(CheckToken(token=token))

    def dial(self, token: str) -> AbstractAsyncContextManager[ClientConnection]:
        """A WebSocket that has not said hello."""
        return connect(
            f"ws://127.0.0.1:{self.running.port}/terminal",
            additional_headers={"Authorization": f"Bearer {token}"},
            compression=None,
            ping_interval=None,
            proxy=None,
            close_timeout=1,
        )

    @asynccontextmanager
    async def terminal(self, device: Device) -> AsyncIterator[ClientConnection]:
        """A terminal that was welcomed."""
        async with self.dial(await self.token(device)) as socket:
            await greet(socket)
            yield socket

    async def push(self, device_id: int, message: dict[str, Any], hub: str = "hub-a") -> None:
        text = json.dumps(message)
        await self.gateway.publish(
            TerminalPush.subject_for(hub, str(device_id)), TerminalPush(device_id=device_id, text=text)
        )

    async def presence(self, device_id: int) -> Presence | None:
        """What the bucket says, as the gateway reads it."""
        try:
            entry = await (await self.gateway.js.key_value(PRESENCE)).get(str(device_id))
        except (JetStreamError, TimeoutError):
            return None
        return Presence.decode(entry.value or b"")


async def greet(socket: ClientConnection) -> dict[str, Any]:
    """hello → welcome."""
    await socket.send('{"type":"hello","versions":[1]}')
    return await hear(socket)


async def hear(socket: ClientConnection) -> dict[str, Any]:
    message: dict[str, Any] = json.loads(await socket.recv())
    return message


@pytest.fixture(autouse=True)
def nothing_broke(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """uvicorn logs what a connection's code raises, and goes on: such a test must fail."""
    yield
    broken = [record.getMessage() for record in caplog.get_records("call") if record.levelno >= logging.ERROR]
    assert broken == []


StartHub = Callable[..., AbstractAsyncContextManager[Running]]


@pytest.fixture
def start_hub(broker: Broker) -> StartHub:
    """Start a hub on the test's broker; keyword arguments are settings."""

    def start(**settings: Any) -> AbstractAsyncContextManager[Running]:
        chosen = {
            "nats_url": broker.url,
            "nats_password": SecretStr(PASSWORDS["hub"]),
            "instance": "hub-a",
            "port": 0,
            "token_secret": SecretStr(SECRET),
        } | settings
        return hub_service.service(HubSettings(**chosen))

    return start


@pytest.fixture
async def registry(broker: Broker) -> AsyncIterator[Registry]:
    """Three authorised devices (1, 2, 3) and one that is not (4)."""
    async with broker.connect("registry") as bus:
        registry = Registry(bus)
        for device_id in (1, 2, 3):
            registry.put(device_id)
        registry.put(4, state=DeviceState.SUSPENDED)
        await registry.start()
        try:
            yield registry
        finally:
            registry.answering.set()


@pytest.fixture
async def site(broker: Broker, registry: Registry, start_hub: StartHub) -> AsyncIterator[Site]:
    async with broker.connect("gateway") as gateway, start_hub() as running:
        yield Site(broker, registry, gateway, running)
