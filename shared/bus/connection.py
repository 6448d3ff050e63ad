"""Opening the bus, and what happens when the broker goes and comes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import nats
import structlog
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.errors import NoServersError, SlowConsumerError

from shared.bus.bus import Bus
from shared.bus.topology import NEEDS, Needs, ensure, inbox_prefix

FIRST_CONNECT_S = 30.0
AGAIN_S = 0.5
"""between two tries to make the streams"""

log = structlog.get_logger("bus")


class BrokerUnreachable(Exception):
    """The broker did not answer, refused this user, or did not make its streams within FIRST_CONNECT_S."""


class _Watch:
    """Hears what becomes of a connection. A reconnect makes the streams anew; a client that gives up for good
    cancels the process's main task, rather than leave it limping."""

    def __init__(self) -> None:
        self.bus: Bus | None = None
        self.closing = False
        self._main = asyncio.current_task()

    async def error(self, error: Exception) -> None:
        if self.bus is not None and isinstance(error, SlowConsumerError):
            self.bus.overflowed += 1
        log.warning("nats", reason=repr(error))

    async def disconnected(self) -> None:
        if not self.closing:
            log.warning("broker is away")

    async def reconnected(self) -> None:
        if self.bus is not None:
            self.bus.spawn(self.bus.reconnected())

    async def closed(self) -> None:
        if not self.closing and self._main is not None:
            log.error("broker connection closed for good")
            self._main.cancel()


@asynccontextmanager
async def connect(
    url: str, service: str, password: str, *, name: str = "", frames: bool = False, replicas: int = 1
) -> AsyncIterator[Bus]:
    """Open the bus as a service (see topology.NEEDS). `url`: one, or several with commas between them, of one
    cluster. `frames`: a second connection, which needs no streams. `replicas`: nodes that keep each stream.

    Raises BrokerUnreachable after FIRST_CONNECT_S; later it reconnects for ever.
    """
    watch = _Watch()
    client = await _open(url, service, password, name or service, watch)
    needs = Needs() if frames else NEEDS[service]
    watch.bus = bus = Bus(client, service, needs, replicas)
    try:
        await _ensured(bus, needs, replicas)
        yield bus
    finally:
        watch.closing = True
        await bus.close()


async def _ensured(bus: Bus, needs: Needs, replicas: int) -> None:
    """All that the service needs of the broker stands. A cluster that is just starting has no leader yet and says no,
    or nothing. Raises BrokerUnreachable."""
    try:
        async with asyncio.timeout(FIRST_CONNECT_S):
            while not await _stands(bus, needs, replicas):
                await asyncio.sleep(AGAIN_S)
    except TimeoutError:
        raise BrokerUnreachable(f"the NATS broker did not make its streams within {FIRST_CONNECT_S:.0f} s") from None


async def _stands(bus: Bus, needs: Needs, replicas: int) -> bool:
    try:
        await ensure(bus.js, needs, replicas)
    except NatsError as error:
        log.warning("streams not ready", reason=repr(error))
        return False
    return True


async def _open(url: str, service: str, password: str, name: str, watch: _Watch) -> Client:
    try:
        async with asyncio.timeout(FIRST_CONNECT_S):
            return await nats.connect(
                url.split(","),
                user=service,
                password=password,
                name=name,
                inbox_prefix=inbox_prefix(service).encode(),
                max_reconnect_attempts=-1,
                reconnect_time_wait=0.5,
                connect_timeout=2,
                ping_interval=10,
                max_outstanding_pings=2,
                error_cb=watch.error,
                disconnected_cb=watch.disconnected,
                reconnected_cb=watch.reconnected,
                closed_cb=watch.closed,
            )
    except (TimeoutError, NoServersError, NatsError) as error:
        raise BrokerUnreachable(f"no NATS broker at {url}: {error!r}") from error
