"""Commands of the office on a running system: the password, the terminals."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import click
from pydantic import SecretStr

from rollcall.keys import Keys
from rollcall.local import CannotStart
from rollcall.running import Running, find_running
from shared.bus import Bus, connect
from shared.bus.terminals import order
from shared.contracts.devices import (
    AddDevice,
    AuthoriseDevice,
    Device,
    FindDevice,
    IssuedSecret,
    ListDevices,
    Proof,
    RemoveDevice,
    RenewSecret,
    SuspendDevice,
)
from shared.contracts.office import Password, SetPassword
from shared.contracts.terminals import OpenDoor, Order, OrderOutcome, TakeSnapshot, TerminalOrder
from shared.errors import Conflict, NotFound
from shared.runtime import read_settings
from shared.settings import Settings

BY = "command line"


class Installation(Settings):
    """A system that `rollcall up` did not start, such as compose's: there is one where $ROLLCALL_NATS_URL is set."""

    url: str = "http://127.0.0.1:8000"
    """a gateway's"""
    hub_url: str = "ws://127.0.0.1:8001"


def _installation() -> Installation | None:
    return read_settings("rollcall", Installation) if "ROLLCALL_NATS_URL" in os.environ else None


def need_running(data: Path) -> Running:
    """The installation that the environment names, else the system of this data folder. Raises CannotStart when none
    runs."""
    if there := _installation():
        return Running(pid=0, nats_url=there.nats_url, url=there.url, hub_url=there.hub_url)
    running = find_running(data)
    if running is None:
        raise CannotStart(f"No Rollcall is running on {data}; start it with `make up`, or name its folder with --data.")
    return running


@asynccontextmanager
async def bus_of(data: Path) -> AsyncIterator[Bus]:
    """The bus of the running system, as the command line's user. Raises CannotStart, BrokerUnreachable."""
    there = _installation()
    password = there.nats_password.get_secret_value() if there else None
    running = need_running(data)
    async with connect(running.nats_url, "cli", password or Keys.of(data).broker["cli"]) as bus:
        yield bus


async def set_password(data: Path, password: str) -> None:
    """Set or change the office password; everybody who is logged in is logged out."""
    async with bus_of(data) as bus:
        await bus.ask(SetPassword(password=Password(value=SecretStr(password)), first=False))
    click.echo("The office password is set; everybody has to log in again.")


async def add_device(data: Path, name: str, sn: str, *, serial_only: bool) -> None:
    """Authorise a terminal, and print its secret once."""
    async with bus_of(data) as bus:
        issued = await bus.ask(AddDevice(name=name, sn=sn, proof=_proof(serial_only=serial_only), by=BY))
    _tell(issued)


def _proof(*, serial_only: bool) -> Proof:
    return Proof.SERIAL if serial_only else Proof.SECRET


def _tell(issued: IssuedSecret) -> None:
    device, secret = issued.device, issued.secret.get_secret_value()
    click.echo(f"{device.name} (serial number {device.sn}) may connect.")
    if secret:
        click.echo(f"Secret: {secret}")
        click.echo("Put it into the terminal's configuration; it is shown this once.", err=True)
    elif device.proof is Proof.SERIAL:
        click.echo("Compatibility: whoever knows its name and serial number is taken for it.", err=True)


async def list_devices(data: Path) -> None:
    """Print all terminals, those that wait first."""
    async with bus_of(data) as bus:
        devices = await all_devices(bus)
    for device in devices:
        weak = " (serial number only)" if device.proof is Proof.SERIAL else ""
        seen = f"seen {device.seen_at:%Y-%m-%d %H:%M}" if device.seen_at else "never seen"
        click.echo(f"{device.device_id:>5}  {device.state:10}  {device.sn:24}  {seen:21}  {device.name}{weak}")
    click.echo(f"{len(devices)} device(s)")


async def authorise_device(data: Path, name: str, *, serial_only: bool) -> None:
    """Let a terminal in that waits or was suspended."""
    async with bus_of(data) as bus:
        device = await find_by_name(bus, name)
        proof = _proof(serial_only=serial_only)
        issued = await bus.ask(AuthoriseDevice(device_id=device.device_id, proof=proof, by=BY))
    _tell(issued)


async def suspend_device(data: Path, name: str) -> None:
    """Keep a terminal, but let it in no more; a live connection is cut."""
    async with bus_of(data) as bus:
        device = await find_by_name(bus, name)
        await bus.ask(SuspendDevice(device_id=device.device_id, by=BY))
    click.echo(f"{name} is suspended.")


async def renew_secret(data: Path, name: str) -> None:
    """Give a terminal a new secret; the old one ends."""
    async with bus_of(data) as bus:
        device = await find_by_name(bus, name)
        issued = await bus.ask(RenewSecret(device_id=device.device_id, by=BY))
    _tell(issued)


async def all_devices(bus: Bus) -> list[Device]:
    """Every terminal, page by page."""
    devices: list[Device] = []
    while page := (await bus.ask(ListDevices(offset=len(devices)))).devices:
        devices.extend(page)
    return devices


async def remove_device(data: Path, name: str) -> None:
    """Revoke a terminal; a live connection is cut."""
    async with bus_of(data) as bus:
        device = await find_by_name(bus, name)
        await bus.ask(RemoveDevice(device_id=device.device_id, by=BY))
    click.echo(f"{name} may no longer connect.")


async def open_door(data: Path, name: str, seconds: float | None, reason: str) -> None:
    """Let a connected terminal unlock its door; returns when it said that it did. Raises Conflict with its words if it
    could not; Gone if it is offline; Unavailable."""
    outcome = await _ordered(data, name, OpenDoor(seconds=seconds, reason=reason), "没有开门", "did not open")
    click.echo(f"{name}: the door is open. {outcome.detail}".rstrip())


async def take_snapshot(data: Path, name: str, file: Path) -> None:
    """Write what a connected terminal's camera sees now into a file. Raises as open_door does."""
    outcome = await _ordered(data, name, TakeSnapshot(), "没有拍照", "took no picture")
    if not outcome.picture:
        raise Conflict(f"{name} 没有发来照片", f"{name} sent no picture")
    try:
        file.write_bytes(outcome.picture)
    except OSError as error:
        raise CannotStart(f"{file} cannot be written: {error.strerror}") from None
    click.echo(f"{file}: {len(outcome.picture)} bytes")


async def _ordered(data: Path, name: str, wish: Order, not_zh: str, not_en: str) -> OrderOutcome:
    async with bus_of(data) as bus:
        device = await find_by_name(bus, name)
        outcome = await order(bus, TerminalOrder(device_id=device.device_id, order=wish, by=BY))
    if not outcome.ok:
        said = f"{outcome.error} {outcome.detail}".strip()
        raise Conflict(f"{name} {not_zh}：{said}", f"{name} {not_en}: {said}")
    return outcome


async def find_by_name(bus: Bus, name: str) -> Device:
    """Raises NotFound."""
    found = [device for device in (await bus.ask(FindDevice(name=name, sn=""))).devices if device.name == name]
    if not found:
        raise NotFound(f"没有名为 {name} 的终端", f"there is no terminal named {name}")
    return found[0]


async def ensure_device(bus: Bus, name: str, sn: str) -> tuple[Device, str]:
    """The terminal of this name and serial number, authorised, and a new secret for it. Raises Conflict."""
    issued = await bus.ask(AddDevice(name=name, sn=sn, proof=Proof.SECRET, by=BY))
    return issued.device, issued.secret.get_secret_value()
