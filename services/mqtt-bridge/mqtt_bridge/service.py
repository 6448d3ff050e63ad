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
from shared.admin import serve_admin
from shared.bus import connect
from shared.bus.metrics import watch_bus
from shared.bus.topology import MQTT_CONSUMER
from shared.contracts.devices import DeviceChanged
from shared.health import Health
from shared.metrics import Metrics
from shared.runtime import background


@asynccontextmanager
async def service(settings: BridgeSettings) -> AsyncIterator[int]:
    """Run the bridge while inside; yields the port where it tells its health."""
    password = settings.nats_password.get_secret_value()
    name = f"mqtt {settings.instance}"
    health = Health("mqtt-bridge", "broker", "mqtt")
    metrics = Metrics("mqtt-bridge", settings.instance)
    async with (
        serve_admin(settings, health, metrics) as port,
        connect(settings.nats_url, "mqtt", password, name=name, replicas=settings.nats_replicas) as bus,
    ):
        watch_bus(metrics, bus, consumers=(MQTT_CONSUMER,))
        retained = Retained()

        def changed(device_id: int) -> None:
            _retain(settings, retained, terminals, device_id)

        terminals = Terminals(bus, changed)
        link = Link(settings, bus, terminals, retained, CommandDesk(bus, terminals))
        bus.on_reconnect(terminals.refresh)
        await bus.follow(DeviceChanged.subject, DeviceChanged, terminals.hear)
        health.add("broker", bus.ready)
        health.add("mqtt", link.ready)
        async with background(terminals.keep_listed(), terminals.watch_presence(), terminals.watch_hubs(), link.keep()):
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
