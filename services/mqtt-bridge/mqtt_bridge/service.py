"""The MQTT bridge as one context manager."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from mqtt_bridge import payloads, topics
from mqtt_bridge.commands import CommandDesk
from mqtt_bridge.discovery import config_topics, entities
from mqtt_bridge.link import Link
from mqtt_bridge.retained import Retained
from mqtt_bridge.settings import BridgeSettings
from mqtt_bridge.terminals import Terminals
from shared.bus import connect
from shared.contracts.devices import DeviceChanged
from shared.health import Health
from shared.runtime import background, serve_http


@asynccontextmanager
async def service(settings: BridgeSettings) -> AsyncIterator[int]:
    """Run the bridge while inside; yields the port where it tells its health."""
    password = settings.nats_password.get_secret_value()
    async with connect(
        settings.nats_url, "mqtt", password, name=f"mqtt {settings.instance}", replicas=settings.nats_replicas
    ) as bus:
        retained = Retained()

        def changed(device_id: int) -> None:
            _retain(settings, retained, terminals, device_id)

        terminals = Terminals(bus, changed)
        link = Link(settings, bus, terminals, retained, CommandDesk(bus, terminals))
        bus.on_reconnect(terminals.refresh)
        await bus.follow(DeviceChanged.subject, DeviceChanged, terminals.hear)
        health = Health("mqtt-bridge")
        health.add("broker", bus.ready)
        health.add("mqtt", link.ready)
        async with (
            background(terminals.keep_listed(), terminals.watch_presence(), terminals.watch_hubs(), link.keep()),
            serve_http(health, settings.health_host, settings.health_port) as port,
        ):
            yield port


def _retain(settings: BridgeSettings, retained: Retained, terminals: Terminals, device_id: int) -> None:
    """What shall be known of a terminal from now on; nothing, if there is none."""
    device, home = terminals.get(device_id), settings.mqtt_home_assistant
    state: bytes | None = None
    shown: tuple[bytes | None, ...] = (None, None, None)
    if device is not None:
        state = payloads.state(device, terminals.presence(device_id))
        if home:
            shown = entities(device, home, commands=settings.mqtt_home_assistant_commands)
    retained.want(topics.state(device_id), state)
    for topic, config in zip(config_topics(device_id, settings.mqtt_discovery), shown, strict=True):
        retained.want(topic, config)
