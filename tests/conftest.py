"""Fixtures every level shares: a real nats-server of its own for each test that asks, free ports, passwords."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from rollcall.broker import start_broker, stop_broker
from rollcall.local import free_port
from rollcall.mqtt import MqttClient, MqttOptions
from shared.bus import Bus, connect
from shared.bus.topology import NEEDS

PASSWORDS = {service: f"test-{service}" for service in NEEDS}


def require_real(reason: str) -> None:
    """Skip with a reason by hand; fail in CI, where every real part must be there."""
    if os.environ.get("ROLLCALL_REQUIRE_REAL") == "1":
        pytest.fail(f"required in CI: {reason}")
    pytest.skip(reason)


@dataclass
class Broker:
    """A private nats-server that a test may kill and start again on the same port and data."""

    folder: Path
    port: int
    monitor_port: int
    mqtt: MqttOptions | None = None
    clients: tuple[MqttClient, ...] = ()
    process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    async def start(self) -> None:
        self.process = await start_broker(
            self.folder,
            port=self.port,
            monitor_port=self.monitor_port,
            passwords=PASSWORDS,
            mqtt=self.mqtt,
            clients=self.clients,
        )

    async def stop(self) -> None:
        if self.process is not None:
            await stop_broker(self.process)

    async def kill(self) -> None:
        """kill -9, as a power cut would."""
        assert self.process is not None
        self.process.kill()
        await self.process.wait()

    def connect(self, service: str, *, frames: bool = False) -> AbstractAsyncContextManager[Bus]:
        return connect(self.url, service, PASSWORDS[service], frames=frames)


@asynccontextmanager
async def broker_in(
    folder: Path, mqtt: MqttOptions | None = None, clients: tuple[MqttClient, ...] = ()
) -> AsyncIterator[Broker]:
    broker = Broker(folder, free_port(), free_port(), mqtt, clients)
    await broker.start()
    try:
        yield broker
    finally:
        await broker.stop()


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[Broker]:
    """A real nats-server, private to the test."""
    async with broker_in(tmp_path / "nats") as running:
        yield running
