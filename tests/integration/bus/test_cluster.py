"""compose.ha.yaml's brokers: three nats-servers in one cluster, every stream on all of them, one killed under load."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from nats.errors import Error as NatsError
from nats.js.errors import KeyNotFoundError

from rollcall.broker import Cluster, configuration, find_server
from rollcall.local import free_port
from shared.bus import Bus, connect
from shared.bus.topology import EVENTS, LEDGER_CONSUMER, PRESENCE, TURNS, buckets
from shared.contracts.base import now
from shared.contracts.recognition import Identified, SourceKind
from shared.errors import Unavailable
from shared.testing import eventually
from tests.conftest import PASSWORDS

EVENTS_SENT = 60
KILL_AFTER = 20


@dataclass
class Node:
    """One nats-server of the cluster."""

    folder: Path
    port: int
    monitor_port: int
    process: asyncio.subprocess.Process

    async def is_well(self) -> bool:
        """As the container's health check asks: it has found the others, and they have a leader."""
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.monitor_port)
        except OSError:
            return False
        writer.write(b"GET /healthz?js-server-only=true HTTP/1.0\r\n\r\n")
        try:
            return b" 200 " in await reader.readline()
        finally:
            writer.close()

    async def leads(self, stream: str) -> bool:
        """Whether it is the one that the stream's others follow."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.monitor_port)
        writer.write(b"GET /jsz?accounts=true&streams=true HTTP/1.0\r\n\r\n")
        answer = await reader.read()
        writer.close()
        accounts = json.loads(answer.partition(b"\r\n\r\n")[2])["account_details"]
        streams = [stream for account in accounts for stream in account["stream_detail"]]
        return any(found["name"] == stream and found["cluster"]["leader"] == self.folder.name for found in streams)


@asynccontextmanager
async def three_brokers(folder: Path) -> AsyncIterator[list[Node]]:
    """All well; killed at the end."""
    routes = [f"127.0.0.1:{free_port()}" for _ in range(3)]
    async with AsyncExitStack() as stack:
        nodes = [
            await stack.enter_async_context(_node(folder / f"n{n}", route, routes)) for n, route in enumerate(routes)
        ]

        async def all_well() -> bool:
            return all([await node.is_well() for node in nodes])

        await eventually(all_well, 30, "the three have found each other")
        yield nodes


@asynccontextmanager
async def _node(folder: Path, route: str, routes: list[str]) -> AsyncIterator[Node]:
    folder.mkdir()
    port, monitor_port = free_port(), free_port()
    config = configuration(
        host="127.0.0.1",
        port=port,
        monitor_port=monitor_port,
        store=folder / "jetstream",
        passwords=PASSWORDS,
        name="$NATS_NAME",
        cluster=Cluster(route, tuple(routes), "test-route"),
    )
    (folder / "nats.conf").write_text(config)
    with (folder / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            find_server(), "-c", str(folder / "nats.conf"), env={"NATS_NAME": folder.name}, stdout=log, stderr=log
        )
    try:
        yield Node(folder, port, monitor_port, process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def keep(bus: Bus, event: Identified) -> None:
    """Until it is known to be stored, as the recognizer and the outbox do."""

    async def stored() -> bool:
        try:
            await bus.record(event, timeout=2)
        except Unavailable:
            return False
        return True

    await eventually(stored, 30, "the event is stored")


def sighting(number: int) -> Identified:
    return Identified(
        event_id=f"event-{number}",
        frame_id=f"frame-{number}",
        source="gate",
        kind=SourceKind.WEB,
        place="gate",
        student_id=number,
        score=0.9,
        captured_at=now(),
    )


async def test_the_leader_of_three_brokers_is_killed_and_no_event_is_lost(tmp_path: Path) -> None:
    async with three_brokers(tmp_path) as nodes, AsyncExitStack() as stack:
        url = ",".join(f"nats://127.0.0.1:{node.port}" for node in nodes)

        async def bus_of(service: str) -> Bus:
            return await stack.enter_async_context(connect(url, service, PASSWORDS[service], replicas=3))

        recognizer, registry, hub = await bus_of("recognizer"), await bus_of("registry"), await bus_of("hub")
        for stream in (EVENTS, TURNS):
            assert (await recognizer.js.stream_info(stream)).config.num_replicas == 3
        presence = await hub.js.key_value(PRESENCE)
        await presence.put("7", b"here")
        for number in range(EVENTS_SENT):
            await keep(recognizer, sighting(number))
            if number == KILL_AFTER:
                leads = [await node.leads(EVENTS) for node in nodes]
                leader = nodes[leads.index(True)]
                leader.process.kill()
                await leader.process.wait()
        assert await events_of(registry) == [f"event-{number}" for number in range(EVENTS_SENT)]

        async def still_there() -> bool:
            try:
                return (await presence.get("7")).value == b"here"
            except (NatsError, KeyNotFoundError):
                return False

        await eventually(still_there, 20, "the bucket answers from the others")


async def test_what_was_made_for_one_broker_is_kept_three_times_from_then_on(tmp_path: Path) -> None:
    """While an installation changes from one broker to three, a service of before may be first. What is in a bucket
    stays there."""
    async with three_brokers(tmp_path) as nodes:
        url = ",".join(f"nats://127.0.0.1:{node.port}" for node in nodes)
        async with connect(url, "hub", PASSWORDS["hub"]) as before:
            await (await before.js.key_value(PRESENCE)).put("7", b"here")
            async with connect(url, "hub", PASSWORDS["hub"], replicas=3) as hub:
                for stream in (EVENTS, *(f"KV_{name}" for name in buckets())):
                    assert (await hub.js.stream_info(stream)).config.num_replicas == 3, stream
                assert (await (await hub.js.key_value(PRESENCE)).get("7")).value == b"here"


async def events_of(registry: Bus) -> list[str]:
    """What the ledger's consumer is handed, acknowledged one by one, in order."""
    pull = await registry.js.pull_subscribe_bind(LEDGER_CONSUMER, EVENTS)
    found: list[str] = []
    async with asyncio.timeout(30):
        while len(found) < EVENTS_SENT:
            try:
                messages = await pull.fetch(EVENTS_SENT, timeout=1)
            except NatsError:
                continue
            for message in messages:
                event = Identified.decode(message.data).event_id
                await message.ack()
                if event not in found:
                    found.append(event)
    return found
