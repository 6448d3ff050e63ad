"""Relay drivers against the real thing: a Modbus server over TCP and over a serial line, a web server."""

import asyncio
import os
import re
import tty
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from pymodbus import FramerType
from pymodbus.server import ModbusBaseServer, ModbusSerialServer, ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from rollcall.local import free_port
from terminal.latch import SwitchError
from terminal.relays import WrongAddress, open_switch

UNIT, COIL = 3, 2


def quiet(words: str) -> None:
    raise AssertionError(words)


def a_board() -> SimDevice:
    """A unit with eight coils, all off."""
    bits = [SimData(0, values=[False] * 8, datatype=DataType.BITS)]
    registers = [SimData(0, values=0, datatype=DataType.REGISTERS)]
    return SimDevice(UNIT, (bits, bits, registers, registers))


Coils = Callable[[], Awaitable[list[bool]]]


def coils_of(server: ModbusBaseServer) -> Coils:
    async def coils() -> list[bool]:
        return [bool(on) for on in await server.async_getValues(UNIT, 1, 0, 8)]

    return coils


@asynccontextmanager
async def tcp_board(port: int) -> AsyncIterator[Coils]:
    server = ModbusTcpServer(a_board(), address=("127.0.0.1", port))
    await server.serve_forever(background=True)
    try:
        yield coils_of(server)
    finally:
        await server.shutdown()


@asynccontextmanager
async def serial_line() -> AsyncIterator[tuple[str, str]]:
    """Both ends of an RS485 line, as devices."""
    loop, ends = asyncio.get_running_loop(), [os.openpty() for _ in range(2)]
    (one, _), (other, _) = ends
    for _, device in ends:
        tty.setraw(device)
    for source, target in ((one, other), (other, one)):
        loop.add_reader(source, lambda s=source, t=target: os.write(t, os.read(s, 256)))
    try:
        yield os.ttyname(ends[0][1]), os.ttyname(ends[1][1])
    finally:
        for pair in ends:
            loop.remove_reader(pair[0])
            for descriptor in pair:
                os.close(descriptor)


@asynccontextmanager
async def rtu_board() -> AsyncIterator[tuple[str, Coils]]:
    async with serial_line() as (ours, theirs):
        server = ModbusSerialServer(a_board(), port=theirs, baudrate=9_600, framer=FramerType.RTU)
        await server.serve_forever(background=True)
        try:
            yield ours, coils_of(server)
        finally:
            await server.shutdown()


ALL_OFF = [False] * 8
ONLY_OURS = [number == COIL for number in range(8)]


async def test_a_modbus_relay_on_the_network() -> None:
    port = free_port()
    async with tcp_board(port) as coils:
        relay = open_switch(f"modbus+tcp://127.0.0.1:{port}?unit={UNIT}&coil={COIL}", quiet)
        assert await coils() == ALL_OFF
        await relay.turn(True)
        assert await coils() == ONLY_OURS
        await relay.turn(True)
        await relay.turn(False)
        assert await coils() == ALL_OFF
        await relay.close()


async def test_a_modbus_relay_that_was_away_is_found_again() -> None:
    port = free_port()
    relay = open_switch(f"modbus+tcp://127.0.0.1:{port}?unit={UNIT}&coil={COIL}", quiet)
    with pytest.raises(SwitchError, match=f"127.0.0.1:{port} does not answer"):
        await relay.turn(True)
    for _ in range(2):
        async with tcp_board(port) as coils:
            await relay.turn(True)
            assert await coils() == ONLY_OURS
    with pytest.raises(SwitchError, match="does not answer"):
        await relay.turn(False)
    await relay.close()


async def test_a_modbus_relay_that_has_no_such_coil_says_so() -> None:
    port = free_port()
    async with tcp_board(port):
        relay = open_switch(f"modbus+tcp://127.0.0.1:{port}?unit={UNIT}&coil=99", quiet)
        with pytest.raises(SwitchError, match="refuses coil 99"):
            await relay.turn(True)
        await relay.close()


async def test_a_modbus_relay_on_a_serial_line() -> None:
    async with rtu_board() as (device, coils):
        relay = open_switch(f"modbus+rtu://{device}?baud=9600&unit={UNIT}&coil={COIL}", quiet)
        await relay.turn(True)
        assert await coils() == ONLY_OURS
        await relay.turn(False)
        assert await coils() == ALL_OFF
        await relay.close()


async def test_a_serial_line_that_is_not_there() -> None:
    relay = open_switch("modbus+rtu:///dev/no-such-line", quiet)
    with pytest.raises(SwitchError, match="/dev/no-such-line does not answer"):
        await relay.turn(True)


@asynccontextmanager
async def web_relay(status: int = 200, *, silent: bool = False) -> AsyncIterator[tuple[str, list[str]]]:
    """A web server, and the first lines of what it was asked."""
    asked: list[str] = []
    answering: list[asyncio.Task[None] | None] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answering.append(asyncio.current_task())
        asked.append((await reader.readuntil(b"\r\n\r\n")).decode().splitlines()[0])
        if silent:
            await reader.read()
        else:
            writer.write(f"HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n".encode())
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}", asked
        await asyncio.gather(*filter(None, answering))


async def test_a_relay_with_a_web_interface() -> None:
    async with web_relay() as (host, asked):
        relay = open_switch(f"http://{host}/relay/0?turn={{on|off}}", quiet)
        await relay.turn(True)
        await relay.turn(False)
        await relay.close()
        relay = open_switch(f"post+http://{host}/{{unlock|lock}}", quiet)
        await relay.turn(True)
        await relay.close()
    assert asked == ["GET /relay/0?turn=on HTTP/1.1", "GET /relay/0?turn=off HTTP/1.1", "POST /unlock HTTP/1.1"]


async def test_a_relay_with_a_web_interface_that_refuses_or_is_silent_or_away() -> None:
    async with web_relay(401) as (host, _):
        relay = open_switch(f"http://{host}/{{on|off}}", quiet)
        with pytest.raises(SwitchError, match="HTTP 401"):
            await relay.turn(True)
    with pytest.raises(SwitchError, match="does not answer"):
        await relay.turn(True)
    await relay.close()
    async with web_relay(silent=True) as (host, _):
        relay = open_switch(f"http://{host}/{{on|off}}", quiet)
        with pytest.raises(SwitchError, match="does not answer"):
            await relay.turn(True)
        await relay.close()


async def test_a_simulated_relay_says_what_it_does_once() -> None:
    words: list[str] = []
    relay = open_switch("simulated:", words.append, "light")
    for on in (False, True, True, False):
        await relay.turn(on)
    await relay.close()
    assert words == ["simulated light on", "simulated light off"]


async def test_a_gpio_chip_that_is_not_there() -> None:
    with pytest.raises(SwitchError, match="no GPIO chip /dev/no-such-chip"):
        open_switch("gpio:///dev/no-such-chip?line=17&active=low", quiet)


async def test_a_file_that_is_no_gpio_chip() -> None:
    with pytest.raises(SwitchError, match="Line 17 of /dev/null cannot be taken"):
        open_switch("gpio:///dev/null?line=17", quiet)


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("", "begin with simulated:"),
        ("ftp://x", "begin with simulated:"),
        ("modbus+tcp://", "a host or device"),
        ("modbus+tcp://h:x", "are numbers"),
        ("modbus+tcp://h?unit=248", "unit 0–247"),
        ("modbus+tcp://h?coil=70000", "coil 0–65535"),
        ("modbus+tcp://h?baud=9600", "there is no baud"),
        ("modbus+rtu:///dev/x?baud=fast", "are numbers"),
        ("modbus+rtu:///dev/x?parity=X", "parity N, E or O"),
        ("gpio:///dev/gpiochip0", "a line is needed"),
        ("gpio:///dev/gpiochip0?line=1&active=up", "active is high or low"),
        ("http://10.0.0.9/relay", "{on|off}"),
        ("http:///{on|off}", "no host"),
    ],
)
def test_addresses_that_name_no_switch(address: str, words: str) -> None:
    with pytest.raises(WrongAddress, match=re.escape(words)):
        open_switch(address, quiet)
