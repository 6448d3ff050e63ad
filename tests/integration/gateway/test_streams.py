"""Open WebSockets at a real gateway over a real broker; what a hub and the registry say of a terminal is played at
their contracts."""

import asyncio
import io
import json
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from PIL import Image
from pydantic import SecretStr
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from gateway.app import create_app
from gateway.gateway import Gateway, build
from gateway.settings import GatewaySettings
from gateway.terminal_streams import CUTS
from shared.bus import Bus
from shared.contracts.base import now
from shared.contracts.devices import Device, DeviceChange, DeviceChanged, DeviceState, GetDevice
from shared.contracts.recognition import Frame, FrameCall
from shared.contracts.terminals import CheckToken
from shared.errors import Gone, NotFound, Unavailable
from shared.runtime import serve_http
from shared.security import make_ticket
from shared.testing import eventually
from tests.conftest import PASSWORDS, Broker


def grey() -> bytes:
    out = io.BytesIO()
    Image.new("L", (300, 400), 128).save(out, "JPEG")
    return out.getvalue()


SECRET = "a secret for cookies and tickets"
TICKET = make_ticket(SECRET, "wall", 3_600)
JPEG = grey()
REFUSED = {"type": "error", "code": "not_allowed", "zh": "设备未授权", "en": "the device is not authorised"}


@dataclass
class Office:
    """The registry's word on terminals, and a hub whose copy is as old as the first word: a token is the terminal's
    id."""

    bus: Bus
    devices: dict[int, Device] = field(default_factory=dict)
    copy: dict[int, Device] = field(default_factory=dict)
    looks: list[int] = field(default_factory=list)
    """which terminals the registry was asked for"""
    away: bool = False
    """the registry cannot say"""

    def put(self, device_id: int, **fields: Any) -> None:
        usual = {"name": f"门{device_id}", "sn": f"SN{device_id}", "state": DeviceState.AUTHORISED, "created_at": now()}
        self.devices[device_id] = Device(device_id=device_id, **(usual | fields))
        self.copy.setdefault(device_id, self.devices[device_id])

    async def tell(self, device_id: int, change: DeviceChange) -> None:
        await self.bus.record(DeviceChanged(device_id=device_id, change=change, by="test"))

    async def get(self, asked: GetDevice) -> Device:
        self.looks.append(asked.device_id)
        if self.away:
            raise Unavailable
        if asked.device_id not in self.devices:
            raise NotFound("没有这台终端", "no such terminal")
        return self.devices[asked.device_id]

    async def check(self, asked: CheckToken) -> Device:
        return self.copy[int(asked.token)]


@dataclass
class Open:
    """A gateway at work."""

    gateway: Gateway
    office: Office
    port: int
    recognizer: Bus

    def dial(self, path: str) -> AbstractAsyncContextManager[ClientConnection]:
        return connect(f"ws://127.0.0.1:{self.port}{path}", compression=None, proxy=None, close_timeout=1)

    @asynccontextmanager
    async def stream(self, device_id: int) -> AsyncIterator[ClientConnection]:
        """A terminal's, asked for its first picture."""
        async with self.dial("/stream") as socket:
            await socket.send(json.dumps({"type": "hello", "token": str(device_id)}))
            assert await hear(socket) == {"type": "next"}
            yield socket

    async def has_room(self) -> bool:
        return self.gateway.open_streams < 4

    async def place(self, device_id: int) -> str:
        """Where the terminal's newest picture was taken, as a recognizer is told; empty without one."""
        try:
            call = FrameCall.subject("g1", f"device-{device_id}")
            return (await self.recognizer.ask_at(call, None, Frame, FrameCall.timeout)).place
        except Gone:
            return ""


async def hear(socket: ClientConnection) -> Any:
    async with asyncio.timeout(5):
        return json.loads(await socket.recv())


async def closed(socket: ClientConnection) -> int:
    """The code with which the server closes; nothing more may be said."""
    async with asyncio.timeout(5):
        with pytest.raises(ConnectionClosed) as end:
            raise AssertionError(await socket.recv())
    assert end.value.rcvd is not None
    return end.value.rcvd.code


@pytest.fixture
async def running(broker: Broker) -> AsyncIterator[Open]:
    """Three terminals; streams and walls of one address: four."""
    settings = GatewaySettings(
        nats_url=broker.url,
        nats_password=SecretStr(PASSWORDS["gateway"]),
        secret=SecretStr(SECRET),
        instance="g1",
        max_sources_per_address=4,
    )
    async with (
        broker.connect("registry") as registry,
        broker.connect("hub") as hub,
        broker.connect("gateway") as events,
        broker.connect("gateway", frames=True) as frames,
        broker.connect("recognizer", frames=True) as recognizer,
    ):
        office = Office(registry)
        for device_id in (1, 2, 3):
            office.put(device_id)
        await registry.serve(GetDevice, office.get)
        await hub.serve(CheckToken, office.check)
        gateway = build(settings, events, frames)
        await gateway.start()
        async with serve_http(create_app(gateway), "127.0.0.1", 0, websockets=True) as port:
            yield Open(gateway, office, port, recognizer)


@pytest.mark.parametrize("change", sorted(CUTS))
async def test_a_terminal_that_may_no_longer_is_cut_off_at_once(running: Open, change: DeviceChange) -> None:
    async with running.stream(1) as socket, running.stream(2) as other:
        await running.office.tell(1, change)
        assert await hear(socket) == REFUSED
        assert await closed(socket) == 1008
        assert running.office.looks.count(1) == 0, "the event says enough"
        await other.ping()
        assert running.gateway.open_streams == 1


async def test_a_change_is_asked_for_and_ends_the_stream_or_is_taken_over(running: Open) -> None:
    async with running.stream(1) as socket:

        async def is_at(place: str) -> bool:
            await socket.send(JPEG)
            return await running.place(1) == place

        await eventually(lambda: is_at("门1"))
        running.office.put(1, place="东门")
        await running.office.tell(1, DeviceChange.EDITED)
        await eventually(lambda: is_at("东门"))
        running.office.put(1, state=DeviceState.SUSPENDED)
        await running.office.tell(1, DeviceChange.AUTHORISED)
        while (heard := await hear(socket)) == {"type": "next"}:
            pass
        assert heard == REFUSED
        assert await closed(socket) == 1008


async def test_of_many_changes_each_open_stream_is_looked_at(running: Open) -> None:
    async with running.stream(1) as gone, running.stream(2) as stays, running.stream(3) as also_gone:
        del running.office.devices[1]
        running.office.put(3, state=DeviceState.SUSPENDED)
        await running.office.tell(0, DeviceChange.MANY)
        for socket in (gone, also_gone):
            assert await hear(socket) == REFUSED
            assert await closed(socket) == 1008
        await stays.ping()
        assert running.gateway.open_streams == 1


async def test_a_registry_that_cannot_say_is_asked_again(running: Open) -> None:
    running.gateway.terminal_streams.ask_again_s = 0.05
    async with running.stream(1) as socket:
        running.office.away = True
        running.office.put(1, state=DeviceState.SUSPENDED)
        await running.office.tell(1, DeviceChange.EDITED)

        async def is_asked_twice() -> bool:
            return len(running.office.looks) >= 2

        await eventually(is_asked_twice)
        await socket.ping()
        assert running.gateway.open_streams == 1
        running.office.away = False
        assert await hear(socket) == REFUSED
        assert await closed(socket) == 1008


async def test_a_change_that_crossed_the_hello_counts(running: Open) -> None:
    """The hub that answered for the token had not heard of it yet."""
    async with running.stream(2):
        del running.office.devices[1]
        await running.office.tell(0, DeviceChange.MANY)

        async def is_heard() -> bool:
            return running.office.looks == [2]

        await eventually(is_heard)
        async with running.stream(1) as socket:
            assert await hear(socket) == REFUSED
            assert await closed(socket) == 1008


async def test_walls_take_places_as_streams_do(running: Open) -> None:
    """One ticket is good for any number, and an address has four places."""
    path = f"/feed?recent=1&ticket={TICKET}"
    async with AsyncExitStack() as walls, running.stream(1):
        for _ in range(3):
            assert await hear(await walls.enter_async_context(running.dial(path))) == {"type": "recent", "items": []}
        async with running.dial(path) as beyond:
            assert await hear(beyond) == {
                "type": "error",
                "code": "unavailable",
                "zh": "连接数已满，请稍后再试",
                "en": "too many streams are open, please try again",
            }
            assert await closed(beyond) == 1013
        await walls.aclose()
        await eventually(running.has_room)
        async with running.dial(path) as again:
            assert await hear(again) == {"type": "recent", "items": []}
