"""The registry, wired: database, bus, commands, ledger, relay, health."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from argon2 import PasswordHasher

from registry.copies import Copies
from registry.handlers import Attendance, Devices, FaceLibrary, Keyring, Office, Students, Terminals, serve
from registry.ledger import Ledger
from registry.metrics import Punches, watch_registry
from registry.outbox import Relay
from registry.remeasured import Remeasured
from registry.settings import RegistrySettings
from registry.store.database import Database, open_database
from registry.store.library import open_library
from registry.store.migrate import migrate, wait_until_up
from registry.sweeper import Sweeper
from shared.admin import serve_admin
from shared.bus import connect
from shared.health import Health
from shared.metrics import Metrics
from shared.runtime import background
from shared.security import Vault


@dataclass(frozen=True, slots=True)
class Running:
    """A registry at work; `health_port` is where /healthz, /readyz and /metrics answer."""

    health_port: int


@asynccontextmanager
async def service(settings: RegistrySettings) -> AsyncIterator[Running]:
    """Run the registry while inside. Raises DatabaseUnusable, BrokerUnreachable, OSError (port taken)."""
    vault = Vault(settings.library_key.get_secret_value())
    health = Health("registry", "broker", "database")
    metrics = Metrics("registry", settings.instance)
    async with AsyncExitStack() as stack:
        port = await stack.enter_async_context(serve_admin(settings, health, metrics))
        database = await stack.enter_async_context(_prepared(settings.database.get_secret_value()))
        library = await open_library(database, vault)
        password = settings.nats_password.get_secret_value()
        name = f"registry-{settings.instance}"
        bus = await stack.enter_async_context(
            connect(settings.nats_url, "registry", password, name=name, replicas=settings.nats_replicas)
        )
        sweeper, relay = Sweeper(database), Relay(bus, database)
        ledger = Ledger(bus, database, settings.debounce_s, Punches(metrics).settled)
        watch_registry(metrics, bus, database, relay)
        await stack.enter_async_context(background(ledger.run(), relay.run(), sweeper.run()))
        await serve(
            bus,
            Students(database, library),
            FaceLibrary(database, library, sweeper),
            Keyring(database, vault),
            Copies(database, vault),
            Remeasured(database, vault),
            Attendance(database, ZoneInfo(settings.timezone)),
            Devices(database, vault),
            Terminals(database, vault, settings.debounce_s),
            Office(database, PasswordHasher()),
        )
        health.add("broker", bus.ready)
        health.add("database", database.ready)
        yield Running(port)


@asynccontextmanager
async def _prepared(url: str) -> AsyncIterator[Database]:
    """An open database with all tables."""
    database = open_database(url)
    try:
        await wait_until_up(database)
        await migrate(database)
        yield database
    finally:
        await database.close()
