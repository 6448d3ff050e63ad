"""The device-hub as one context manager."""

import asyncio
import contextlib
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

from nats.aio.msg import Msg

from device_hub.app import Door
from device_hub.commands import OrderDesk, TokenDesk
from device_hub.deeds import Deeds
from device_hub.directory import Directory
from device_hub.hub import Hub
from device_hub.metrics import Tally, watch_hub
from device_hub.offline import FaceHints, PunchDesk
from device_hub.presence import Lease, PresenceKeeper
from device_hub.seen import Seen
from device_hub.session import Session, Terms
from device_hub.settings import HubSettings
from device_hub.spent import SpentTokens
from shared.admin import serve_admin
from shared.bus import Bus, connect
from shared.contracts.devices import DeviceChange, DeviceChanged, DevicesConfigured
from shared.contracts.gallery import FaceChanged
from shared.contracts.hubs import TerminalsCame
from shared.contracts.terminals import (
    CheckDevice,
    CheckSerial,
    CheckToken,
    IssueToken,
    OrderOutcome,
    TerminalOrder,
    TerminalPush,
)
from shared.health import Health
from shared.metrics import Metrics
from shared.runtime import background, listen

FIRST_COPY_S = 30.0
"""how long a starting hub waits for its copy of the devices before it lets terminals knock, in seconds"""
BACKLOG = 2_048
"""connections that wait in the kernel's queue to be accepted. With more, those at its end have given up when it is
their turn, and are work for nothing; with fewer, more are turned away by the kernel, ask again after 1, 3, 7, 15 s, and
the hub may be idle then"""
LOOK_OVER_S = 120.0
"""how often terminals' configurations are compared with the copy, in case the news of a change was lost"""
LOOK_AT_ONCE = 100
"""terminals that are told of their configuration before others have their turn"""
MOST_ORDERS = 4_096
"""orders in work in this hub; more wait their turn"""
FAREWELL_S = 5.0
"""everything that is said after the terminals have left, in seconds: whoever stops a hub gives it 10 s or more"""
LAST_PRESENCE_S = 2.0
"""how long a stopping hub takes to say that its terminals are gone"""


@dataclass(frozen=True)
class Running:
    """A hub at work: the port in use, and who is connected."""

    port: int
    hub: Hub


@asynccontextmanager
async def service(settings: HubSettings) -> AsyncIterator[Running]:
    """Run a hub while inside. Leaving says bye to the terminals, ends the lease, then says that they are gone."""
    password = settings.nats_password.get_secret_value()
    async with connect(
        settings.nats_url, "hub", password, name=f"hub {settings.instance}", replicas=settings.nats_replicas
    ) as bus:
        presence = PresenceKeeper(bus, settings.instance, lambda *came: hub.came_elsewhere(*came))
        lease = Lease(bus, settings.instance, presence)
        seen = Seen(bus)
        hub, directory = _wire(bus, presence, seen)
        secret = settings.token_secret.get_secret_value().encode()
        metrics = Metrics("device-hub", settings.instance)
        tally = Tally(metrics)
        watch_hub(metrics, bus, hub, presence, lease)
        desk = TokenDesk(directory, SpentTokens(bus), secret, settings.token_ttl_s)
        deeds, hints = Deeds(bus), FaceHints(hub)
        await _listen(bus, hub, directory, desk)
        await bus.follow(FaceChanged.subject, FaceChanged, hints.changed)
        await bus.follow(TerminalsCame.subject, TerminalsCame, partial(_came, hub, settings.instance))
        await _take_orders(bus, settings.instance, hub, OrderDesk(hub, deeds, tally.order), tally)
        bus.on_reconnect(presence.repeat)
        bus.on_reconnect(directory.refresh)
        terms = Terms(hub.opened, hub.closed, seen.note, PunchDesk(bus).take, settings.heartbeat_s, tally.sent)
        health = _health(bus, directory, lease)
        door = Door(desk, terms, settings.max_terminals, health, tally.handshake)
        jobs = (directory.keep_fresh(), _look_over(hub, directory), presence.keep(), lease.renew(), seen.keep())
        later = presence.look_back(settings.look_back_after_s)
        async with background(*jobs, later, deeds.keep(), hints.keep()), serve_admin(settings, health, metrics):
            # A hub that knows nobody would only refuse terminals that its sisters behind the same address let in.
            await directory.first_copy(FIRST_COPY_S)
            gc.freeze()  # the copy stays, and is the most that a search for garbage would look through
            listening = partial(listen, settings.host, settings.port, share_port=settings.share_port, backlog=BACKLOG)
            async with door.receiving(listening, shared=settings.share_port) as port:
                health.add("web")
                try:
                    yield Running(port, hub)
                finally:
                    await hub.close()
            with contextlib.suppress(TimeoutError):  # somebody is slow; the lease at least is over
                async with asyncio.timeout(FAREWELL_S):
                    await lease.end()
                    await presence.settle(LAST_PRESENCE_S)
                    await seen.tell()
                    await deeds.tell()


def _wire(bus: Bus, presence: PresenceKeeper, seen: Seen) -> tuple[Hub, Directory]:
    """Hub and directory know each other only through functions."""

    def moved(session: Session, here: bool) -> None:
        seen.note(session)
        if here:
            presence.connected(session.device_id, session.session_id, session.since)
        else:
            presence.gone(session.device_id)

    directory = Directory(bus, lambda device_id: hub.revoke(device_id))
    hub = Hub(moved, directory)
    return hub, directory


async def _listen(bus: Bus, hub: Hub, directory: Directory, desk: TokenDesk) -> None:
    async def changed(event: DeviceChanged, subject: str) -> None:
        await directory.changed(event, subject)
        if event.change is DeviceChange.EDITED:
            await _configure(hub, directory, event.device_id)

    async def configured(event: DevicesConfigured, _: str) -> None:
        """Many at a time: paced, so that other terminals have their turns."""
        for number, (device_id, revision) in enumerate(directory.configured(event).items()):
            if number % LOOK_AT_ONCE == 0:
                await asyncio.sleep(0)
            hub.configure(device_id, revision, event.config)

    await bus.serve(IssueToken, desk.issue)
    await bus.serve(CheckToken, desk.check)
    await bus.serve(CheckSerial, desk.check_serial)
    await bus.serve(CheckDevice, desk.check_device)
    await bus.follow(DeviceChanged.subject, DeviceChanged, changed)
    await bus.follow(DevicesConfigured.subject, DevicesConfigured, configured)


async def _take_orders(bus: Bus, hub_id: str, hub: Hub, desk: OrderDesk, tally: Tally) -> None:
    async def push(message: TerminalPush, _: str) -> None:
        tally.pushed[hub.push(message)]()

    async def order(message: Msg) -> OrderOutcome:
        return await desk.order(TerminalOrder.decode(message.data))

    await bus.follow(TerminalPush.subject_for(hub_id, "*"), TerminalPush, push)
    await bus.serve_at(TerminalOrder.subject_for(hub_id, "*"), order, concurrency=MOST_ORDERS)


async def _came(hub: Hub, hub_id: str, told: TerminalsCame, _: str) -> None:
    if told.hub != hub_id:
        for device_id, since in zip(told.ids, told.since, strict=False):
            hub.came_elsewhere(device_id, since)


async def _configure(hub: Hub, directory: Directory, device_id: int) -> None:
    revision = directory.config_revision(device_id)
    if hub.takes(device_id, revision) and (device := await directory.by_id(device_id)) is not None:
        hub.configure(device_id, device.config_revision, device.config)


async def _look_over(hub: Hub, directory: Directory) -> None:
    """For ever: tell terminals of changes whose news was lost, a few hundred at a time."""
    while True:
        await asyncio.sleep(LOOK_OVER_S)
        for number, device_id in enumerate(hub.devices()):
            if number % LOOK_AT_ONCE == 0:
                await asyncio.sleep(0)
            await _configure(hub, directory, device_id)


def _health(bus: Bus, directory: Directory, lease: Lease) -> Health:
    health = Health("device-hub", "web")
    health.add("broker", bus.ready)
    health.add("devices", directory.ready)
    health.add("lease", lease.ready)
    return health
