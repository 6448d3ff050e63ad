"""The gateway as one context manager: two connections, the web app, the turn watch."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from gateway.app import create_app
from gateway.gateway import Gateway, build
from gateway.metrics import watch_gateway
from gateway.settings import GatewaySettings
from shared.admin import serve_admin
from shared.bus import connect
from shared.metrics import Metrics
from shared.runtime import background, serve_http


@asynccontextmanager
async def service(settings: GatewaySettings) -> AsyncIterator[Gateway]:
    """Run a gateway while inside. Frames have a connection of their own: one write buffer would put commands
    behind pictures."""
    password = settings.nats_password.get_secret_value()
    async with (
        connect(
            settings.nats_url, "gateway", password, name=f"gateway {settings.instance}", replicas=settings.nats_replicas
        ) as events,
        connect(settings.nats_url, "gateway", password, name=f"frames {settings.instance}", frames=True) as frames,
    ):
        gateway = build(settings, events, frames)
        metrics = Metrics("gateway", settings.instance)
        watch_gateway(metrics, gateway)
        gateway.health.expect("web")
        app = create_app(gateway, metrics=metrics)
        async with serve_admin(settings, gateway.health, metrics):
            await gateway.start()
            async with (
                background(gateway.frames.watch_turns(), gateway.face_api.loose.keep()),
                serve_http(app, settings.host, settings.port, websockets=True, ws_max_size=2**20),
            ):
                gateway.health.add("web")
                yield gateway
