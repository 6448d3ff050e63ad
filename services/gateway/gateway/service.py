"""The gateway as one context manager: two connections, the web app, the turn watch."""

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from gateway.app import create_app
from gateway.clockin import SETTLE_S
from gateway.frames import ANSWER_S
from gateway.gateway import Gateway, build
from gateway.metrics import watch_gateway
from gateway.settings import GatewaySettings
from gateway.throttle import bucket_of
from shared.admin import serve_admin
from shared.bus import connect
from shared.doorkeeper import Doorkeeper
from shared.metrics import Metrics
from shared.runtime import background, serve_http

GRACE_S: Final = math.ceil(ANSWER_S + SETTLE_S)
"""how long posts that are open at a stop may take: what a posted clock-in waits for, its result and its punch, in
seconds"""
HEAD_S = 15.0
"""how long a browser may take for the head of a request, in seconds"""


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
        door = Doorkeeper(settings.max_connections_per_address, HEAD_S, bucket_of)
        app = create_app(gateway, metrics=metrics)
        async with serve_admin(settings, gateway.health, metrics):
            await gateway.start()
            async with (
                background(gateway.frames.watch_turns(), gateway.face_api.loose.keep()),
                serve_http(
                    app,
                    settings.host,
                    settings.port,
                    websockets=True,
                    grace_s=GRACE_S,
                    ws_max_size=2**20,
                    http=door.http,
                ),
            ):
                gateway.health.add("web")
                yield gateway
