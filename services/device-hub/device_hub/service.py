"""The device-hub as one context manager."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from device_hub.app import Door, hub_app
from device_hub.commands import TokenDesk
from device_hub.directory import Directory
from device_hub.hub import Hub
from device_hub.presence import Lease, PresenceKeeper
from device_hub.protocol import MAX_FRAME
from device_hub.seen import Seen
from device_hub.session import Session, Terms
from device_hub.settings import HubSettings
from device_hub.spent import SpentTokens
from shared.bus import Bus, connect
from shared.contracts.devices import CheckDevice, CheckSerial, CheckToken, DeviceChanged, IssueToken, TerminalPush
from shared.health import Health
from shared.runtime import background, serve_http

LAST_PRESENCE_S = 2.0
"""how long a stopping hub takes to say that its terminals are gone"""


@dataclass(frozen=True)
class Running:
    """A hub at work: the port in use, and who is connected."""

    port: int
    hub: Hub


@asynccontextmanager
async def service(settings: HubSettings) -> AsyncIterator[Running]:
    """Run a hub while inside. Leaving says bye to the terminals, then that they are gone, then ends the lease."""
    password = settings.nats_password.get_secret_value()
    async with connect(settings.nats_url, "hub", password, name=f"hub {settings.instance}") as bus:
        presence = PresenceKeeper(bus, settings.instance)
        lease = Lease(bus, settings.instance, presence)
        seen = Seen(bus)
        hub, directory = _wire(bus, presence, seen)
        secret = settings.token_secret.get_secret_value().encode()
        desk = TokenDesk(directory, SpentTokens(bus), secret, settings.token_ttl_s)
        await _listen(bus, settings.instance, hub, directory, desk)
        bus.on_reconnect(presence.repeat)
        bus.on_reconnect(directory.refresh)
        terms = Terms(hub.opened, hub.closed, settings.heartbeat_s)
        app = hub_app(_health(bus, directory), Door(desk, terms, settings.max_terminals))
        async with background(directory.keep_fresh(), presence.keep(), lease.renew(), seen.keep()):
            # The channel has its own pings, which terminals can answer whatever their WebSocket library does.
            async with serve_http(
                app, settings.host, settings.port, ws_max_size=MAX_FRAME, ws_ping_interval=None
            ) as port:
                try:
                    yield Running(port, hub)
                finally:
                    await hub.close()
            await presence.settle(LAST_PRESENCE_S)
            await seen.tell()
            await lease.end()


def _wire(bus: Bus, presence: PresenceKeeper, seen: Seen) -> tuple[Hub, Directory]:
    """Hub and directory know each other only through functions."""

    def moved(session: Session, here: bool) -> None:
        seen.note(session)
        if here:
            presence.connected(session.device.device_id, session.session_id, session.since)
        else:
            presence.gone(session.device.device_id)

    directory = Directory(bus, lambda device_id: hub.revoke(device_id))
    hub = Hub(moved, directory.is_authorised)
    return hub, directory


async def _listen(bus: Bus, hub_id: str, hub: Hub, directory: Directory, desk: TokenDesk) -> None:
    async def push(message: TerminalPush, _: str) -> None:
        hub.push(message)

    await bus.serve(IssueToken, desk.issue)
    await bus.serve(CheckToken, desk.check)
    await bus.serve(CheckSerial, desk.check_serial)
    await bus.serve(CheckDevice, desk.check_device)
    await bus.follow(DeviceChanged.subject, DeviceChanged, directory.changed)
    await bus.follow(TerminalPush.subject_for(hub_id, "*"), TerminalPush, push)


def _health(bus: Bus, directory: Directory) -> Health:
    health = Health("device-hub")
    health.add("broker", bus.ready)
    health.add("devices", directory.ready)
    return health
