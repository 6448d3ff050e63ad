"""What the world does to a hub: dead links, stalls, floods, rubbish, no registry. The others do not notice."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from websockets.frames import Frame, Opcode

from device_hub.app import MOST_STRANGERS
from device_hub.line import FIRST_WORD_S, MOST_REQUESTS
from shared.testing import eventually
from terminal.fleet import Fleet, Squad
from tests.conftest import Broker
from tests.integration.device_hub.conftest import Registry, Site, StartHub, hear
from tests.integration.device_hub.test_fleet import enlist, running_fleet

COUNT = 20
UPGRADE = (
    "GET /terminal?token={token} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
HELLO = Frame(Opcode.TEXT, b'{"type":"hello","versions":[1]}').serialize(mask=True)


@dataclass
class Cable:
    """A way to the hub that can go dead: TCP stands, and nothing comes through any more."""

    to: int
    port: int = 0
    dead: bool = False
    _writers: list[asyncio.StreamWriter] = field(default_factory=list)

    @asynccontextmanager
    async def laid(self) -> AsyncIterator[None]:
        server = await asyncio.start_server(self._join, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield
        finally:
            server.close()
            for writer in self._writers:
                writer.transport.abort()
            await server.wait_closed()

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.to)
        self._writers += [writer, far_writer]
        with contextlib.suppress(OSError):
            await asyncio.gather(self._carry(reader, far_writer), self._carry(far_reader, writer))

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            if not self.dead:
                writer.write(data)
        if not self.dead:
            writer.close()


def online(fleet: Fleet, count: int = COUNT) -> Callable[[], Awaitable[bool]]:
    async def so_many() -> bool:
        return fleet.tally.online == count

    return so_many


async def test_a_link_that_is_dead_on_both_sides_is_given_up_on_both_and_found_again(
    registry: Registry, start_hub: StartHub
) -> None:
    terminals = enlist(registry, 2 * COUNT)
    async with start_hub(heartbeat_s=0.4) as running, contextlib.AsyncExitStack() as stack:
        cable = Cable(running.port)
        await stack.enter_async_context(cable.laid())
        far = Squad(hub=f"ws://127.0.0.1:{cable.port}", terminals=terminals[:COUNT])
        near = Squad(hub=f"ws://127.0.0.1:{running.port}", terminals=terminals[COUNT:])
        fleet, others = [await stack.enter_async_context(running_fleet(squad)) for squad in (far, near)]
        await eventually(online(fleet), 10, "all are online")
        await eventually(online(others), 10, "the others too")
        cable.dead = True

        async def given_up() -> bool:
            return len(running.hub) == COUNT and fleet.tally.online == 0

        await eventually(given_up, 10, "both sides have given up")
        cable.dead = False
        await eventually(online(fleet), 20, "all are back")
        assert len(running.hub) == 2 * COUNT
        assert others.tally.dropped == 0


async def test_a_hub_that_did_not_run_for_a_while_believes_its_terminals_alive(
    registry: Registry, start_hub: StartHub
) -> None:
    async with start_hub(heartbeat_s=0.4) as running:
        squad = Squad(hub=f"ws://127.0.0.1:{running.port}", terminals=enlist(registry, COUNT))
        async with running_fleet(squad) as fleet:
            await eventually(online(fleet), 10, "all are online")
            began, sessions = fleet.loop.time(), set(running.hub.devices())
            time.sleep(2)  # noqa: ASYNC251 - this is the stall

            async def lived_on() -> bool:
                return fleet.loop.time() - began > 4

            await eventually(lived_on, 10, "four heartbeats more")
            assert set(running.hub.devices()) == sessions


@asynccontextmanager
async def raw(site: Site, device_id: int = 1) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A welcomed terminal, as a bare socket."""
    token = await site.token(site.registry.devices[device_id])
    reader, writer = await asyncio.open_connection("127.0.0.1", site.running.port)
    writer.write(UPGRADE.format(token=token).encode())
    assert b"101" in await reader.readuntil(b"\r\n\r\n")
    writer.write(HELLO)
    await eventually(lambda: _holds(site, device_id))
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def _holds(site: Site, device_id: int) -> bool:
    return device_id in site.running.hub.devices()


async def _is_gone(site: Site, device_id: int) -> bool:
    return not await _holds(site, device_id)


@pytest.mark.parametrize("opcode", [Opcode.PING, Opcode.PONG])
async def test_a_flood_below_the_frames_is_a_flood(site: Site, opcode: Opcode) -> None:
    async with site.terminal(site.registry.devices[2]) as other, raw(site) as (reader, writer):
        writer.write(Frame(opcode, b"x").serialize(mask=True) * 10_000)
        await eventually(lambda: _is_gone(site, 1), 5)
        assert (4429).to_bytes(2) in await reader.read()
        await other.send('{"type":"ping"}')
        assert (await hear(other))["type"] == "pong"


async def test_bytes_that_are_no_frames_end_the_connection_with_the_rfcs_code(site: Site) -> None:
    async with site.terminal(site.registry.devices[2]) as other, raw(site) as (reader, writer):
        writer.write(b"\xff" * 100)
        await eventually(lambda: _is_gone(site, 1), 5)
        assert (1002).to_bytes(2) in await reader.read()
        await other.send('{"type":"ping"}')
        assert (await hear(other))["type"] == "pong"


async def test_text_that_is_no_utf8_ends_the_connection(site: Site) -> None:
    async with raw(site) as (reader, writer):
        writer.write(Frame(Opcode.TEXT, b"\xff").serialize(mask=True))
        assert (1007).to_bytes(2) in await reader.read()


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (b"rubbish\r\n\r\n", b"400"),
        (b"POST /terminal HTTP/1.1\r\nContent-Length: 2\r\n\r\nab", b"400"),
        (b"GET /terminal HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", b"400"),
        (b"GET /elsewhere HTTP/1.1\r\n\r\n", b"404"),
        (b"x" * 20_000, b""),
    ],
)
async def test_what_is_no_request_is_answered_and_cut(site: Site, words: bytes, status: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", site.running.port)
    writer.write(words)
    with contextlib.suppress(ConnectionResetError):
        assert (await reader.read()).partition(b"\r\n")[0][9:12] == status
    writer.transport.abort()


async def test_two_requests_in_one_piece_are_answered_one_after_the_other(site: Site) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", site.running.port)
    writer.write(b"GET /terminal HTTP/1.1\r\n\r\nGET /healthz HTTP/1.1\r\n\r\n")
    answers = await reader.read()
    writer.close()
    assert [answers.count(word) for word in (b"HTTP/1.1 426", b"HTTP/1.1 200", b'"alive"')] == [1, 1, 1]


async def test_a_connection_is_answered_four_times(site: Site) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", site.running.port)
    writer.write(b"GET /terminal HTTP/1.1\r\n\r\n" * (MOST_REQUESTS + 2))
    answers = (await reader.read()).lower()
    writer.close()
    assert answers.count(b"http/1.1 426") == MOST_REQUESTS
    assert answers.count(b"connection: close") == 1


async def test_idle_connections_by_the_hundred_keep_nobody_out(site: Site) -> None:
    port, wires = site.running.port, list[asyncio.StreamWriter]()
    challenged = b"GET /terminal HTTP/1.1\r\n\r\n"
    try:
        for number in range(MOST_STRANGERS):
            reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=("127.0.0.2", 0))
            wires.append(writer)
            if number % 2:
                writer.write(challenged)
                await reader.readuntil(b"\r\n\r\n")
        async with asyncio.timeout(FIRST_WORD_S - 2), site.terminal(site.registry.devices[1]):
            assert await _holds(site, 1)
    finally:
        for writer in wires:
            writer.transport.abort()


async def test_frames_that_come_with_the_request_are_not_lost(site: Site) -> None:
    token = await site.token(site.registry.devices[1])
    reader, writer = await asyncio.open_connection("127.0.0.1", site.running.port)
    writer.write(UPGRADE.format(token=token).encode() + HELLO)
    await reader.readuntil(b'"welcome"')
    writer.transport.abort()
    await eventually(lambda: _is_gone(site, 1), 5)


async def test_a_fleet_comes_in_while_broker_and_registry_are_away(
    broker: Broker, registry: Registry, start_hub: StartHub
) -> None:
    """Who may enter stands in the hub's copy."""
    terminals = enlist(registry, COUNT)
    async with start_hub() as running:
        await broker.kill()
        squad = Squad(hub=f"ws://127.0.0.1:{running.port}", terminals=terminals)
        async with running_fleet(squad) as fleet:
            await eventually(online(fleet), 10, "all are online")
        await broker.start()
