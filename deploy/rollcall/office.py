"""Commands of the office on a running system: the password, the terminals."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import click
from pydantic import SecretStr

from rollcall.keys import Keys
from rollcall.local import CannotStart
from rollcall.running import Running, find_running
from shared.bus import Bus, connect
from shared.contracts.devices import AddDevice, Device, FindDevice, ListDevices, RemoveDevice
from shared.contracts.office import Password, SetPassword
from shared.errors import Conflict, NotFound

BY = "command line"


def need_running(data: Path) -> Running:
    """The system of this data folder. Raises CannotStart when none runs."""
    running = find_running(data)
    if running is None:
        raise CannotStart(f"No Rollcall is running on {data}; start it with `make up`, or name its folder with --data.")
    return running


@asynccontextmanager
async def bus_of(data: Path) -> AsyncIterator[Bus]:
    """The bus of the running system, as the command line's user. Raises CannotStart, BrokerUnreachable."""
    running = need_running(data)
    async with connect(running.nats_url, "cli", Keys.of(data).broker["cli"]) as bus:
        yield bus


async def set_password(data: Path, password: str) -> None:
    """Set or change the office password; everybody who is logged in is logged out."""
    async with bus_of(data) as bus:
        await bus.ask(SetPassword(password=Password(value=SecretStr(password)), first=False))
    click.echo("The office password is set; everybody has to log in again.")


async def add_device(data: Path, name: str, sn: str) -> None:
    """Authorise a terminal."""
    async with bus_of(data) as bus:
        device = await bus.ask(AddDevice(name=name, sn=sn, by=BY))
    click.echo(f"{device.name} (serial number {device.sn}) may connect.")


async def list_devices(data: Path) -> None:
    """Print all terminals."""
    async with bus_of(data) as bus:
        devices = await all_devices(bus)
    for device in devices:
        state = "authorised" if device.authorised else "refused"
        click.echo(f"{device.device_id:>5}  {state:10}  {device.sn:24}  {device.name}")
    click.echo(f"{len(devices)} device(s)")


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


async def find_by_name(bus: Bus, name: str) -> Device:
    """Raises NotFound."""
    found = [device for device in (await bus.ask(FindDevice(name=name, sn=""))).devices if device.name == name]
    if not found:
        raise NotFound(f"没有名为 {name} 的终端", f"there is no terminal named {name}")
    return found[0]


async def ensure_device(bus: Bus, name: str, sn: str) -> Device:
    """The terminal of this name and serial number, authorised now if it was not known. Raises Conflict."""
    try:
        return await bus.ask(AddDevice(name=name, sn=sn, by=BY))
    except Conflict:
        device = await find_by_name(bus, name)
        if device.sn != sn:
            raise
        return device
