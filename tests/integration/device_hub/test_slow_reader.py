"""A terminal that never reads: its outbox overflows, and nobody else notices."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from device_hub.outbox import RULES, Kind
from shared.testing import eventually
from tests.integration.device_hub.conftest import Site, StartHub, hear

MAX_NEWS = RULES[Kind.NEWS].room
BIG = "x" * 60_000
PUSHES = 300
"""18 MB: more than the sockets' buffers and the outbox hold"""
UPGRADE = (
    "GET /terminal?token={token} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


@asynccontextmanager
async def mute(site: Site) -> AsyncIterator[asyncio.StreamReader]:
    """Device 1, connected and welcomed, reading nothing: a raw socket, because a WebSocket library would read."""
    token = await site.token(site.registry.devices[1])
    reader, writer = await asyncio.open_connection("127.0.0.1", site.running.port, limit=2**12)
    writer.write(UPGRADE.format(token=token).encode())
    assert b"101" in await reader.readuntil(b"\r\n\r\n")
    hello = b'{"type":"hello","versions":[1]}'
    writer.write(bytes([0x81, 0x80 | len(hello), 0, 0, 0, 0]) + hello)  # text, final, masked with zeros
    await eventually(lambda: _holds(site, 1))
    try:
        yield reader
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def _holds(site: Site, terminals: int) -> bool:
    return len(site.running.hub) == terminals


async def test_a_terminal_that_never_reads_hurts_nobody_and_loses_only_the_oldest(site: Site) -> None:
    async with mute(site) as reader:
        async with site.terminal(site.registry.devices[2]) as other:
            for number in range(PUSHES):
                await site.push(1, {"type": "result", "n": number, "fill": BIG})
                if number % 50 == 0:
                    await site.push(2, {"type": "result", "n": number})
                    assert (await hear(other))["n"] == number
            await other.send('{"type":"ping"}')
            assert (await hear(other))["type"] == "pong"
        numbers = await _read_numbers(reader, until=PUSHES - 1)
    assert numbers == sorted(numbers)
    assert numbers[-MAX_NEWS:] == list(range(PUSHES - MAX_NEWS, PUSHES))
    assert len(numbers) < PUSHES


async def test_cutting_a_terminal_that_never_reads_does_not_wait_for_it(site: Site) -> None:
    async with mute(site):
        for number in range(PUSHES):
            await site.push(1, {"type": "result", "n": number, "fill": BIG})
        await site.registry.announce(1, "removed")
        await eventually(lambda: _holds(site, 0), timeout=5)


async def test_a_terminal_that_answers_no_ping_is_gone_within_two_and_a_half_heartbeats(
    site: Site, start_hub: StartHub
) -> None:
    """Its machine lives on as far as TCP can tell: a half-open link looks the same to us."""
    async with start_hub(instance="hub-b", heartbeat_s=0.4) as quick:
        site.running = quick
        began = asyncio.get_running_loop().time()
        async with mute(site) as reader:
            await eventually(lambda: _holds(site, 0), timeout=10)  # the hub's own, and a busy machine's
            assert asyncio.get_running_loop().time() - began > 0.9
            everything = await reader.read()
    assert everything.endswith(b"\x03\xf3keepalive ping timeout")  # close code 1011


async def _read_numbers(reader: asyncio.StreamReader, until: int) -> list[int]:
    """The `n` of every result in the stream of WebSocket frames, to the end of `until`'s frame."""
    numbers: list[int] = []
    async with asyncio.timeout(20):
        while not numbers or numbers[-1] != until:
            message = json.loads(await _read_frame(reader))
            if message["type"] == "result":
                numbers.append(message["n"])
    return numbers


async def _read_frame(reader: asyncio.StreamReader) -> bytes:
    _, length = await reader.readexactly(2)
    if length == 126:
        length = int.from_bytes(await reader.readexactly(2))
    elif length == 127:
        length = int.from_bytes(await reader.readexactly(8))
    return await reader.readexactly(length)
