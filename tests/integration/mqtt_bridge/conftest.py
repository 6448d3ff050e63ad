"""A real broker that listens for MQTT, the real bridge, plain MQTT clients; the registry's and a hub's side of their
contracts over a dict."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import bcrypt
import pytest
from aiomqtt import Client, Message
from nats.aio.msg import Msg
from pydantic import SecretStr

from mqtt_bridge import service as bridge_service
from mqtt_bridge.settings import BridgeSettings
from rollcall.local import free_port
from rollcall.mqtt import May, MqttClient, MqttOptions
from shared.bus import Bus
from shared.bus.topology import HUBS, PRESENCE
from shared.contracts.attendance import AttendanceRecorded
from shared.contracts.base import now
from shared.contracts.devices import (
    Device,
    DeviceChange,
    DeviceChanged,
    DeviceList,
    DeviceState,
    GetDevice,
    ListDevices,
)
from shared.contracts.hubs import HubLease, Presence
from shared.contracts.people import Gender, Person
from shared.contracts.terminals import OrderOutcome, TerminalOrder
from shared.errors import NotFound
from tests.conftest import PASSWORDS, Broker, broker_in

WAIT_S = 20.0
"""a punch whose acknowledgement the broker lost with its life comes again after 12"""


def client_of(name: str, may: May) -> MqttClient:
    hashed = bcrypt.hashpw(f"password of {name}".encode(), bcrypt.gensalt(4)).decode()
    return MqttClient(name=name, may=may, password=hashed)


CLIENTS = (client_of("reader", May.READ), client_of("commander", May.COMMAND), client_of("home", May.COMMAND))


@dataclass
class Ear:
    """What an MQTT client hears."""

    client: Client

    async def next(self) -> Message:
        async with asyncio.timeout(WAIT_S):
            return await anext(aiter(self.client.messages))

    async def json(self) -> dict[str, Any]:
        """The next message's object."""
        message = await self.next()
        assert isinstance(message.payload, bytes)
        told: dict[str, Any] = json.loads(message.payload)
        return told

    async def until(self, topic: str, says: Callable[[bytes], bool]) -> bytes:
        """The first message of a topic that says so."""
        while True:
            message = await self.next()
            if str(message.topic) == topic and isinstance(message.payload, bytes) and says(message.payload):
                return message.payload

    async def hears(self, *topics: str, qos: int = 1) -> list[int]:
        """Subscribe; what the broker granted: 0 or 1, 128 for a refusal."""
        granted = await self.client.subscribe([(topic, qos) for topic in topics])
        return [int(getattr(code, "value", code)) for code in granted]


@dataclass
class Site:
    """Everything around a bridge."""

    broker: Broker
    registry: Bus
    hub: Bus
    devices: dict[int, Device] = field(default_factory=dict)
    orders: list[TerminalOrder] = field(default_factory=list)
    punches: int = 0

    async def start(self) -> None:
        await self.registry.serve(ListDevices, self._list)
        await self.registry.serve(GetDevice, self._get)
        await self.hub.serve_at(TerminalOrder.subject_for("hub-a", "*"), self._order)

    async def _list(self, asked: ListDevices) -> DeviceList:
        return DeviceList(devices=tuple(self.devices.values())[asked.offset : asked.offset + asked.limit])

    async def _get(self, asked: GetDevice) -> Device:
        if asked.device_id not in self.devices:
            raise NotFound("没有", "none")
        return self.devices[asked.device_id]

    async def _order(self, message: Msg) -> OrderOutcome:
        self.orders.append(TerminalOrder.decode(message.data))
        return OrderOutcome(ok=True, detail="opened")

    def put(self, device_id: int, **fields: Any) -> None:
        usual = {"name": f"门{device_id}", "sn": f"SN{device_id}", "state": DeviceState.AUTHORISED, "created_at": now()}
        self.devices[device_id] = Device(device_id=device_id, **(usual | fields))

    async def announce(self, device_id: int, change: DeviceChange) -> None:
        await self.registry.record(DeviceChanged(device_id=device_id, change=change, by="test"))

    async def alive(self, hub: str = "hub-a") -> None:
        await (await self.hub.js.key_value(HUBS)).put(hub, HubLease(hub=hub, terminals=1).encode())

    async def connected(self, device_id: int, hub: str = "hub-a") -> None:
        presence = Presence(hub=hub, session="s", since=now())
        await (await self.hub.js.key_value(PRESENCE)).put(str(device_id), presence.encode())

    async def gone(self, device_id: int) -> None:
        await (await self.hub.js.key_value(PRESENCE)).delete(str(device_id))

    async def punch(self, source: str = "device-7") -> AttendanceRecorded:
        """A punch is in the database."""
        self.punches += 1
        event = AttendanceRecorded(
            identified_event="e",
            punch_id=self.punches,
            person=Person(student_id=1, num="S-1", name="李雷", class_name="三年二班", gender=Gender.MAN),
            place="东门",
            source=source,
            captured_at=now(),
        )
        await self.registry.record(event)
        return event

    def bridge(self, **settings: Any) -> AbstractAsyncContextManager[int]:
        """The bridge; keyword arguments are settings."""
        assert self.broker.mqtt is not None
        chosen = {
            "nats_url": self.broker.url,
            "nats_password": SecretStr(PASSWORDS["mqtt"]),
            "mqtt_port": self.broker.mqtt.port,
            "mqtt_password": SecretStr(PASSWORDS["mqtt"]),
            "mqtt_ca": self.broker.mqtt.cert,
        } | settings
        return bridge_service.service(BridgeSettings(**chosen))

    @asynccontextmanager
    async def mqtt(self, name: str, password: str = "", **options: Any) -> AsyncIterator[Ear]:
        """A third party."""
        assert self.broker.mqtt is not None
        chosen = {"identifier": f"test-{name}", "timeout": WAIT_S} | options
        port, secret = self.broker.mqtt.port, password or f"password of {name}"
        async with Client("127.0.0.1", port, username=name, password=secret, **chosen) as client:
            yield Ear(client)

    @asynccontextmanager
    async def ready(self) -> AsyncIterator[Ear]:
        """A reader, once the bridge says that it is online."""
        async with self.mqtt("reader") as ear:
            await ear.hears("rollcall/v1/status")
            await ear.until("rollcall/v1/status", lambda body: b"online" in body)
            yield ear


@asynccontextmanager
async def a_site(folder: Path, options: MqttOptions | None) -> AsyncIterator[Site]:
    """`options`: None for a broker that does not listen for MQTT."""
    async with (
        broker_in(folder, options, CLIENTS) as broker,
        broker.connect("registry") as registry,
        broker.connect("hub") as hub,
    ):
        site = Site(broker, registry, hub)
        await site.start()
        await site.alive()
        yield site


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with a_site(tmp_path / "nats", MqttOptions(port=free_port(), home_assistant="home")) as running:
        yield running
