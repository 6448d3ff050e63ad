"""Drivers of what switches a door or a lamp, each chosen by an address.

simulated:                                          says what it would do
modbus+tcp://10.0.0.9:502?unit=1&coil=0             a Modbus relay on the network
modbus+rtu:///dev/ttyUSB0?baud=9600&unit=1&coil=0   the same on an RS485 line; parity=N, E or O
gpio:///dev/gpiochip0?line=17&active=high           a line of the machine itself; active=low for most relay boards
http://10.0.0.9/relay/0?turn={on|off}               a relay that is switched by GET; {open|close}, {1|0} … as it
                                                    likes; post+http:// for POST
"""

import asyncio
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import SplitResult, parse_qsl, urlsplit

import httpx

from terminal.latch import Switch, SwitchError
from terminal.trust import trusted

ANSWER_S: Final = 1.5
"""how long a relay may take to answer: less than the office waits for its order"""
_CHOICE: Final = re.compile(r"\{([^{}|]*)\|([^{}|]*)\}")
_CONSUMER: Final = "rollcall"


class WrongAddress(ValueError):
    """The address names no switch. The message is one sentence for people."""


def open_switch(address: str, say: Callable[[str], None], name: str = "relay") -> Switch:
    """The switch of this address; `say` takes the words of a simulated one, `name` is what they call it. Nothing is
    connected yet, but for GPIO, whose line is taken. Raises WrongAddress, SwitchError (a library is missing; no such
    line)."""
    parts = urlsplit(address)
    match parts.scheme:
        case "simulated":
            return SimulatedSwitch(say, name)
        case "modbus+tcp" | "modbus+rtu":
            return _modbus(address, parts)
        case "gpio":
            options = _options(address, parts, line="", active="high")
            if options["active"] not in ("high", "low") or not options["line"]:
                raise WrongAddress(f"{address}: a line is needed (line=17), and active is high or low")
            return GpioSwitch(parts.path, options["line"], active_low=options["active"] == "low")
        case "http" | "https" | "post+http" | "post+https":
            method = "POST" if parts.scheme.startswith("post+") else "GET"
            return HttpSwitch(method, address.removeprefix("post+"))
    raise WrongAddress(
        f"{address}: begin with simulated:, modbus+tcp://, modbus+rtu://, gpio://, http:// or post+http://"
    )


def _options(address: str, parts: SplitResult, **defaults: str) -> dict[str, str]:
    given = dict(parse_qsl(parts.query))
    if unknown := given.keys() - defaults.keys():
        raise WrongAddress(f"{address}: there is no {', '.join(sorted(unknown))}; there is {', '.join(defaults)}")
    return defaults | given


class SimulatedSwitch:
    """Says what it would do."""

    def __init__(self, say: Callable[[str], None], name: str = "relay") -> None:
        self._say, self._name, self._on = say, name, False

    async def turn(self, on: bool) -> None:
        if on != self._on:
            self._say(f"simulated {self._name} {'on' if on else 'off'}")
        self._on = on

    async def close(self) -> None:
        pass


# ---- Modbus


@dataclass(frozen=True, slots=True)
class Line:
    """Where Modbus is spoken: host and port, or a serial device with its speed and parity."""

    host: str = ""
    port: int = 502
    device: str = ""
    baud: int = 9_600
    parity: str = "N"


def _modbus(address: str, parts: SplitResult) -> "ModbusSwitch":
    try:
        if parts.scheme == "modbus+tcp":
            options = _options(address, parts, unit="1", coil="0")
            line = Line(host=parts.hostname or "", port=parts.port or 502)
        else:
            options = _options(address, parts, unit="1", coil="0", baud="9600", parity="N")
            line = Line(device=parts.path, baud=int(options["baud"]), parity=options["parity"])
        unit, coil = int(options["unit"]), int(options["coil"])
    except WrongAddress:
        raise
    except ValueError:
        raise WrongAddress(f"{address}: port, unit, coil and baud are numbers") from None
    if not (line.host or line.device) or not 0 <= unit <= 247 or not 0 <= coil <= 0xFFFF or line.parity not in "NEO":
        raise WrongAddress(f"{address}: a host or device, unit 0–247, coil 0–65535, parity N, E or O")
    return ModbusSwitch(line, unit, coil)


class ModbusSwitch:
    """One coil of a Modbus device (function 5, write single coil). Connects when it is used, and again after a
    failure: a relay on a line that nobody else uses needs no connection to be kept."""

    def __init__(self, line: Line, unit: int, coil: int) -> None:
        self._line, self._unit, self._coil = line, unit, coil
        self._client: Any = None

    async def turn(self, on: bool) -> None:
        try:
            from pymodbus.exceptions import ModbusException
        except ImportError:
            raise SwitchError("Modbus needs the package pymodbus: pip install 'rollcall[terminal]'") from None
        try:
            async with asyncio.timeout(ANSWER_S):
                if self._client is None or not self._client.connected:
                    await self._connect()
                answer = await self._client.write_coil(self._coil, on, device_id=self._unit)
        except BaseException as error:
            await self.close()  # what is half said or half heard shall not be taken for the next answer
            if not isinstance(error, ModbusException | OSError | TimeoutError):
                raise
            raise SwitchError(f"The Modbus relay at {self._where} does not answer") from None
        if answer.isError():
            raise SwitchError(f"The Modbus relay at {self._where} refuses coil {self._coil}: {answer}")

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.close()

    async def _connect(self) -> None:
        from pymodbus.client import AsyncModbusSerialClient, AsyncModbusTcpClient

        await self.close()
        # We try again ourselves; two that try would answer each other's questions.
        once: dict[str, Any] = {"timeout": ANSWER_S, "retries": 0, "reconnect_delay": 0}
        line = self._line
        if line.host:
            self._client = AsyncModbusTcpClient(line.host, port=line.port, **once)
        else:
            self._client = AsyncModbusSerialClient(line.device, baudrate=line.baud, parity=line.parity, **once)
        if not await self._client.connect():
            raise OSError

    @property
    def _where(self) -> str:
        return f"{self._line.host}:{self._line.port}" if self._line.host else self._line.device


# ---- GPIO


class GpioSwitch:
    """One line of a GPIO chip, by its number or name, through the kernel's character device (libgpiod). The kernel
    gives the line back when the process ends, however it ends."""

    def __init__(self, chip: str, line: str, *, active_low: bool) -> None:
        """Takes the line, as an output that is off. Raises SwitchError."""
        try:
            import gpiod
            from gpiod.line import Direction, Value
        except ImportError:
            raise SwitchError("GPIO needs Linux and the package gpiod: pip install 'rollcall[gpio]'") from None
        self._values = {True: Value.ACTIVE, False: Value.INACTIVE}
        self._line: int | str = int(line) if line.isdecimal() else line
        settings = gpiod.LineSettings(direction=Direction.OUTPUT, active_low=active_low, output_value=Value.INACTIVE)
        if not Path(chip).exists():
            raise SwitchError(f"There is no GPIO chip {chip} on this machine")
        try:
            self._request = gpiod.request_lines(chip, consumer=_CONSUMER, config={self._line: settings})
        except PermissionError:
            raise SwitchError(f"No right to use {chip}: add the user to its group, mostly gpio") from None
        except (OSError, ValueError) as error:
            raise SwitchError(f"Line {line} of {chip} cannot be taken: {error}") from None

    async def turn(self, on: bool) -> None:
        try:
            self._request.set_value(self._line, self._values[on])
        except OSError as error:
            raise SwitchError(f"GPIO line {self._line} cannot be switched: {error}") from None

    async def close(self) -> None:
        self._request.release()


# ---- HTTP


class HttpSwitch:
    """A relay with a web interface of its own: one request for on, one for off."""

    def __init__(self, method: str, address: str) -> None:
        """`address` has `{on|off}` in it, the word for on before the bar. Raises WrongAddress."""
        if not _CHOICE.search(address):
            raise WrongAddress(f"{address}: write the two words for open and closed as {{on|off}} into the address")
        self._method = method
        self._urls: Mapping[bool, str] = {on: _CHOICE.sub(rf"\{1 if on else 2}", address) for on in (True, False)}
        try:
            self._host = httpx.URL(self._urls[True]).host
        except httpx.InvalidURL:
            self._host = ""
        if not self._host:
            raise WrongAddress(f"{address}: there is no host in it")
        # No connection is kept: small web servers have few, and shall not lose their relay to an idle one.
        limits = httpx.Limits(max_keepalive_connections=0)
        self._http = httpx.AsyncClient(timeout=ANSWER_S, verify=trusted(), trust_env=False, limits=limits)

    async def turn(self, on: bool) -> None:
        try:
            async with asyncio.timeout(ANSWER_S):
                answer = await self._http.request(self._method, self._urls[on])
        except (httpx.HTTPError, OSError, TimeoutError):
            raise SwitchError(f"The relay at {self._host} does not answer") from None
        if not answer.is_success:
            raise SwitchError(f"The relay at {self._host} refuses: HTTP {answer.status_code}")

    async def close(self) -> None:
        await self._http.aclose()
